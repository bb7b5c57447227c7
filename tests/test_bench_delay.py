"""The benchmark's proxy: what passes through it takes a round trip longer, and nothing is changed."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.delay import delayed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUND_TRIP_MS = 60
SENT = b"x" * 300_000


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1 << 16):
            self.request.sendall(data)


@contextmanager
def echo_server() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def through_the_proxy(port: int) -> tuple[bytes, float]:
    """What comes back of what is sent, and after how many seconds its first byte does."""
    proxy = urlsplit(os.environ["HTTPS_PROXY"])
    with socket.create_connection((proxy.hostname, proxy.port), timeout=20) as connection:
        connection.sendall(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
        assert connection.recv(1 << 16) == b"HTTP/1.1 200 OK\r\n\r\n"
        begun = time.monotonic()
        threading.Thread(target=connection.sendall, args=(SENT,), daemon=True).start()
        received = connection.recv(1 << 16)
        first = time.monotonic() - begun
        while len(received) < len(SENT):
            received += connection.recv(1 << 16)
    return received, first


def test_a_response_takes_a_round_trip_longer_and_is_complete() -> None:
    with echo_server() as port, delayed(ROUND_TRIP_MS):
        received, first = through_the_proxy(port)
    assert received == SENT
    assert first >= ROUND_TRIP_MS / 1000


def test_only_programs_that_start_meanwhile_are_delayed() -> None:
    before = dict(os.environ)
    with delayed(ROUND_TRIP_MS):
        assert os.environ["HTTPS_PROXY"] == os.environ["https_proxy"]
        assert os.environ["NO_PROXY"] == ""
    assert dict(os.environ) == before


def test_without_a_delay_there_is_no_proxy() -> None:
    before = dict(os.environ)
    with delayed(0):
        assert dict(os.environ) == before
