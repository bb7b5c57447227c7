"""The server's side of WebSockets (RFC 6455), as API servers use them for port-forward and exec."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler
    from io import BufferedIOBase

PROTOCOL = "v4.channel.k8s.io"
BINARY, CLOSE, PING = 0x2, 0x8, 0x9
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3


def accept(handler: BaseHTTPRequestHandler, protocol: str = PROTOCOL) -> None:
    """Turns a request into a WebSocket, the last request of its connection."""
    key = handler.headers["Sec-WebSocket-Key"] + _GUID
    digest = hashlib.sha1(key.encode(), usedforsecurity=False).digest()
    handler.send_response(101)
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    handler.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
    handler.send_header("Sec-WebSocket-Protocol", protocol)
    handler.end_headers()
    handler.close_connection = True


def head(opcode: int, size: int) -> bytes:
    """The head of an unfragmented frame of so many bytes."""
    if size < 126:
        return bytes([0x80 | opcode, size])
    if size < 1 << 16:
        return bytes([0x80 | opcode, 126]) + struct.pack("!H", size)
    return bytes([0x80 | opcode, 127]) + struct.pack("!Q", size)


def frame(opcode: int, data: bytes) -> bytes:
    """An unfragmented frame."""
    return head(opcode, len(data)) + data


def receive(source: BufferedIOBase) -> bytes | None:
    """The data of the next frame; None if the client has closed."""
    begin = source.read(2)
    if len(begin) < 2 or begin[0] & 0xF == CLOSE:
        return None
    size = begin[1] & 0x7F
    if size >= 126:
        size = int.from_bytes(source.read(2 if size == 126 else 8))
    mask = source.read(4)
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(source.read(size)))
