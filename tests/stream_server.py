"""An API server that remembers the headers of each request, and whose WebSockets do what a test scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
BINARY, CLOSE, PING = 0x2, 0x8, 0x9
SUCCESS = {"kind": "Status", "status": "Success"}


def ended(code: int) -> dict[str, object]:
    """The Status of a command that ended with another exit code than 0, as Kubernetes 1.32.3 sends it."""
    return {
        "kind": "Status",
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: error executing command: exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


class Request(NamedTuple):
    """A request: its path with the query, and its headers with names in lower case, in the order sent."""

    path: str
    headers: list[tuple[str, str]]


class Peer:
    """The server's end of a WebSocket."""

    def __init__(self, handler: BaseHTTPRequestHandler, over: threading.Event) -> None:
        self._handler = handler
        self._over = over

    def send(self, channel: int, data: bytes) -> None:
        """A message on a channel."""
        self.frame(BINARY, bytes([channel]) + data)

    def end(self, status: object) -> None:
        """The Status that ends an exec, and the end of the stream."""
        self.send(3, json.dumps(status).encode())
        self.close()

    def close(self) -> None:
        self.frame(CLOSE, struct.pack("!H", 1000))

    def frame(self, opcode: int, data: bytes) -> None:
        self.raw(_head(opcode, len(data)) + data)

    def begin(self, channel: int, size: int) -> None:
        """The head of a message of so many bytes, and none of them."""
        self.raw(_head(BINARY, size + 1) + bytes([channel]))

    def raw(self, data: bytes) -> None:
        with suppress(OSError):  # the client may have gone
            self._handler.wfile.write(data)

    def receive(self) -> bytes | None:
        """The next message; None where the client has closed."""
        source = self._handler.rfile
        head = source.read(2)
        if len(head) < 2 or head[0] & 0xF == CLOSE:
            return None
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(source.read(2 if size == 126 else 8))
        mask = source.read(4)
        return bytes(byte ^ mask[place % 4] for place, byte in enumerate(source.read(size)))

    def wait(self, seconds: float) -> bool:
        """Keeps silent; whether the server is to end."""
        return self._over.wait(seconds)

    def reset(self) -> None:
        """Breaks the connection off."""
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._handler.connection.close()


def _head(opcode: int, size: int) -> bytes:
    if size < 126:
        return bytes([0x80 | opcode, size])
    return (
        bytes([0x80 | opcode, 126]) + struct.pack("!H", size)
        if size < 1 << 16
        else (bytes([0x80 | opcode, 127]) + struct.pack("!Q", size))
    )


class StreamServer:
    """The server, while `serve` runs it.

    Attributes:
        requests: Every request so far.
        script: What the server's end of a WebSocket does.
        answer: Status, headers and body of every other request.
        refusal: The same where a WebSocket is asked for; None: it is opened.
        protocol: The subprotocol it names.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.script: Callable[[Peer], None] = lambda peer: peer.end(SUCCESS)
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
        self.refusal: tuple[int, dict[str, str], bytes] | None = None
        self.protocol = "v4.channel.k8s.io"
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._scheme = "https" if tls else "http"

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", int(self._server.server_address[1]))

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.address[1]}"

    @contextmanager
    def serve(self) -> Iterator[StreamServer]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what some tests are about."""


def _handler(server: StreamServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            pairs = [(name.lower(), value) for name, value in self.headers.items()]
            server.requests.append(Request(self.path, pairs))
            if self.headers.get("Upgrade") and server.refusal is None:
                self._open()
                server.script(Peer(self, server.over))
                self.close_connection = True
                return
            status, headers, body = (
                server.refusal if self.headers.get("Upgrade") and server.refusal else server.answer
            )
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _open(self) -> None:
            key = self.headers["Sec-WebSocket-Key"] + _GUID
            accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", accept)
            self.send_header("Sec-WebSocket-Protocol", server.protocol)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - http.server's names

    return Handler
