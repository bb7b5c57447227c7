"""The road to the clusters' API servers, as a proxy: slow, and closed whenever a test says so."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING

from tests.e2e.harness import merged_kubeconfig, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 65536


class Road:
    """A CONNECT proxy on this machine, as `proxy-url` of a kubeconfig names one.

    Attributes:
        delay_s: How long each piece of what clients send is kept back, in seconds.
        travelled: Set once somebody has come along.
    """

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s
        self.travelled = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._server = _Server(("127.0.0.1", 0), _handler(self))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(self, path: Path) -> str:
        """Writes the lab's kubeconfig with this road to every cluster; its path."""
        document = merged_kubeconfig()
        for entry in document["clusters"]:
            entry["cluster"]["proxy-url"] = self.url
        return write_kubeconfig(path, document)

    def close(self) -> None:
        """Nothing gets through any more."""
        self._open.clear()

    def passes(self) -> None:
        """Waits until a piece may go on."""
        time.sleep(self.delay_s)
        self._open.wait()

    @contextlib.contextmanager
    def there(self) -> Iterator[Road]:
        """The road, for as long as a `with` block lasts."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._open.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what the tests are about."""


def _handler(road: Road) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            words = self.rfile.readline().split()
            while self.rfile.readline().strip():
                pass
            host, _, port = words[1].decode().rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10) as server:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                road.travelled.set()
                self._pump(server)

        def _pump(self, server: socket.socket) -> None:
            client = self.connection
            while True:
                for side in select.select([client, server], [], [])[0]:
                    data = side.recv(_CHUNK)
                    if not data:
                        return
                    if side is client:
                        road.passes()
                    (server if side is client else client).sendall(data)

    return Handler
