"""What stands between a laptop and clouds: an HTTP proxy that speaks CONNECT, a tunnel as `ssh -L` opens."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 65536


class ConnectProxy:
    """A proxy on this machine.

    Attributes:
        leads_to: Where every connection is led, whatever was asked for; None: where it was asked to.
        user: `user:password` that it asks for; None: nobody's.
        asked: What it was asked for, `host:port` each, in order.
    """

    def __init__(self, *, leads_to: tuple[str, int] | None = None, user: str | None = None) -> None:
        self.leads_to = leads_to
        self.user = user
        self.requested: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.address}"

    def passes(self) -> None:
        """Called before a piece of what a client sends goes on."""

    def takes(self, headers: list[bytes]) -> bool:
        """Whether it lets a client through that sends these headers."""
        if self.user is None:
            return True
        desired = f"proxy-authorization: basic {base64.b64encode(self.user.encode()).decode()}"
        return desired.lower() in [header.decode().strip().lower() for header in headers]

    @contextlib.contextmanager
    def there(self) -> Iterator[Self]:
        """The proxy, for as long as a `with` block lasts."""
        with _served(self._server):
            yield self


@contextlib.contextmanager
def tunnel(host: str, port: int) -> Iterator[int]:
    """A port of this machine that leads to another's, for as long as a `with` block lasts."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, port), timeout=10) as server:
                _pump(self.request, server, lambda: None)

    with _Server(("127.0.0.1", 0), Handler) as server, _served(server):
        yield int(server.server_address[1])


@contextlib.contextmanager
def _served(server: _Server) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _pump(client: socket.socket, server: socket.socket, passes: Callable[[], None]) -> None:
    while True:
        for side in select.select([client, server], [], [])[0]:
            data = side.recv(_CHUNK)
            if not data:
                return
            if side is client:
                passes()
            (server if side is client else client).sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what the tests are about."""


def _handler(proxy: ConnectProxy) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            words = self.rfile.readline().split()
            headers = list(iter(lambda: self.rfile.readline().strip(), b""))
            target = words[1].decode()
            if not proxy.takes(headers):
                self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            host, _, port = target.rpartition(":")
            with socket.create_connection(proxy.leads_to or (host, int(port)), timeout=10) as server:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                proxy.requested.append(target)
                _pump(self.connection, server, proxy.passes)

    return Handler
