"""An API server that remembers the headers of each request, and whose WebSockets do what a test scripts."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, NamedTuple

from tests.support.local_server import LocalServer
from tests.support.websocket_frames import BINARY, CLOSE, PROTOCOL, accept, frame, head, receive

if TYPE_CHECKING:
    import ssl
    import threading
    from collections.abc import Callable

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
        self.raw(frame(opcode, data))

    def begin(self, channel: int, size: int) -> None:
        """The head of a message of so many bytes, and none of them."""
        self.raw(head(BINARY, size + 1) + bytes([channel]))

    def raw(self, data: bytes) -> None:
        with suppress(OSError):  # the client may have gone
            self._handler.wfile.write(data)

    def receive(self) -> bytes | None:
        """The next message; None where the client has closed."""
        return receive(self._handler.rfile)

    def wait(self, seconds: float) -> bool:
        """Keeps silent; whether the server is to end."""
        return self._over.wait(seconds)

    def reset(self) -> None:
        """Breaks the connection off."""
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._handler.connection.close()


class StreamServer(LocalServer):
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
        self.script: Callable[[Peer], object] = lambda peer: peer.end(SUCCESS)
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"{}")
        self.refusal: tuple[int, dict[str, str], bytes] | None = None
        self.protocol = PROTOCOL
        super().__init__(_handler(self), tls)


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
                accept(self, server.protocol)
                server.script(Peer(self, server.over))
                return
            status, headers, body = (
                server.refusal if self.headers.get("Upgrade") and server.refusal else server.answer
            )
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - http.server's names

    return Handler
