"""The API server's port-forward, as far as a client sees it: a WebSocket to a port that really listens.

Two channels a port, data and errors, each begun by the server with the port's number in two bytes
(k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go, Kubernetes 1.32).
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.server import BaseHTTPRequestHandler
    from typing import BinaryIO

    Target = tuple[str, int] | Callable[[socket.socket], None]
    """Where a port leads: to what listens on this machine, or to a function that is given the connection."""

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_BINARY, _CLOSE = 0x2, 0x8


def forward(handler: BaseHTTPRequestHandler, targets: Mapping[int, Target]) -> None:
    """Answers one port-forward: to where `targets` says the port listens, or as a pod that refuses it."""
    port = int(parse_qs(urlsplit(handler.path).query)["ports"][0])
    accept(handler)
    for channel in (0, 1):
        _send(handler.wfile, bytes([channel]) + port.to_bytes(2, "little"))
    try:
        target = _connected(targets[port])
    except (KeyError, OSError):
        _send(handler.wfile, b"\x01" + f"dial tcp4 127.0.0.1:{port}: connect: connection refused".encode())
        return
    with target:
        back = threading.Thread(target=_carry_back, args=(target, handler.wfile), daemon=True)
        back.start()
        while (data := _receive(handler.rfile)) is not None:
            with suppress(OSError):  # what listens there may have gone: the client is yet to hear of it
                target.sendall(data[1:])
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
        back.join(5)


def accept(handler: BaseHTTPRequestHandler) -> None:
    """Has a request become a WebSocket of channels."""
    key = handler.headers["Sec-WebSocket-Key"] + _GUID
    handler.send_response(101)
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    handler.send_header(
        "Sec-WebSocket-Accept",
        base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode(),
    )
    handler.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
    handler.end_headers()
    handler.close_connection = True


def _connected(target: Target) -> socket.socket:
    if not callable(target):
        return socket.create_connection(target, timeout=5)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, suppress(OSError):
            target(theirs)

    threading.Thread(target=serve, daemon=True).start()
    return ours


def _carry_back(target: socket.socket, out: BinaryIO) -> None:
    with suppress(OSError):
        while data := target.recv(4096):
            _send(out, b"\x00" + data)
        _send(out, b"", _CLOSE)


def _send(out: BinaryIO, data: bytes, opcode: int = _BINARY) -> None:
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack("!H", len(data))
    out.write(bytes([0x80 | opcode]) + size + data)


def _receive(source: BinaryIO) -> bytes | None:
    """The data of the next frame; None where the client has closed."""
    head = source.read(2)
    if len(head) < 2 or head[0] & 0xF == _CLOSE:
        return None
    size = head[1] & 0x7F
    if size >= 126:
        size = int.from_bytes(source.read(2 if size == 126 else 8))
    mask = source.read(4)
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(source.read(size)))
