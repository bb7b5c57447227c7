"""The API server's port-forward, as far as a client sees it: a WebSocket to a port that really listens.

Two channels a port, data and errors, each begun by the server with the port's number in two bytes
(k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go, Kubernetes 1.32).
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from tests.support.websocket_frames import BINARY, CLOSE, accept, frame, receive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.server import BaseHTTPRequestHandler
    from io import BufferedIOBase

    Target = tuple[str, int] | Callable[[socket.socket], None]
    """Where a port leads: to what listens on this machine, or to a function that is given the connection."""


def forward(handler: BaseHTTPRequestHandler, targets: Mapping[int, Target]) -> None:
    """Answers one port-forward: to where `targets` says the port listens, or as a pod that refuses it."""
    port = int(parse_qs(urlsplit(handler.path).query)["ports"][0])
    accept(handler)
    for channel in (0, 1):
        handler.wfile.write(frame(BINARY, bytes([channel]) + port.to_bytes(2, "little")))
    try:
        target = _connected(targets[port])
    except (KeyError, OSError):
        refused = f"dial tcp4 127.0.0.1:{port}: connect: connection refused"
        handler.wfile.write(frame(BINARY, b"\x01" + refused.encode()))
        return
    with target:
        back = threading.Thread(target=_carry_back, args=(target, handler.wfile), daemon=True)
        back.start()
        while (data := receive(handler.rfile)) is not None:
            with suppress(OSError):  # what listens there may have gone: the client is yet to hear of it
                target.sendall(data[1:])
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        back.join(5)


def _connected(target: Target) -> socket.socket:
    if not callable(target):
        return socket.create_connection(target, timeout=5)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, suppress(OSError):
            target(theirs)

    threading.Thread(target=serve, daemon=True).start()
    return ours


def _carry_back(target: socket.socket, out: BufferedIOBase) -> None:
    with suppress(OSError):  # also where what listened there has left data unread: that resets a connection
        while data := target.recv(4096):
            out.write(frame(BINARY, b"\x00" + data))
    with suppress(OSError):
        out.write(frame(CLOSE, b""))
