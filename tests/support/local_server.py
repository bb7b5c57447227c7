"""An HTTP or HTTPS server on 127.0.0.1, in threads of this process."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], over: threading.Event) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._over = over

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002 - as it is called
        """Whether a connection is served: the one that ends the server is not."""
        return not self._over.is_set()

    def serve(self) -> None:
        """Serves until it is over, and sleeps until the next connection: hundreds of these run at once."""
        while not self._over.is_set():
            self.handle_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that closes its connection early is what some tests are about."""


class LocalServer:
    """The server, while `serve` runs it.

    Attributes:
        over: Set when it ends.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> None:
        self.over = threading.Event()
        self._server = _Server(handler, self.over)
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._scheme = "https" if tls else "http"

    @property
    def address(self) -> tuple[str, int]:
        """Its IP address and port."""
        return ("127.0.0.1", int(self._server.server_address[1]))

    @property
    def url(self) -> str:
        """Its URL, without a path."""
        return f"{self._scheme}://127.0.0.1:{self.address[1]}"

    @contextmanager
    def serve(self) -> Iterator[Self]:
        """Runs it for the length of a block."""
        thread = threading.Thread(target=self._server.serve)
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            socket.create_connection(self.address, timeout=5).close()
            thread.join()
            self._server.server_close()
