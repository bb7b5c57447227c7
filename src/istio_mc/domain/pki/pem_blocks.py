"""PEM blocks in a text, found as Go finds them and as a person would. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

UNFINISHED = "a PEM block without an END line"

_BLOCK = re.compile(rb"-----BEGIN ([^-\r\n]+)-----([^-]*(?:-(?!----)[^-]*)*)-----END \1-----")
_HEADERS = re.compile(rb"\s*((?:[^\r\n:]+:[^\r\n]*[\r\n]+)+)(.*)", re.DOTALL)
_BEGIN, _END, _DASHES = b"-----BEGIN ", b"\n-----END ", b"-----"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Block:
    """One PEM block.

    Attributes:
        der: Its content; None where that is not base64; kept out of `repr`, as it may be a private key.
    """

    kind: str
    der: bytes | None = field(repr=False)
    headers: bytes = field(default=b"", repr=False)


def blocks_of_go(data: bytes) -> list[Block]:
    """The blocks that Go's encoding/pem finds (Go 1.26; 1.24 from 1.24.8 on).

    A block begins and ends on lines of its own, and has base64 alone between them, or below its headers.
    What is no such block is skipped.
    """
    blocks: list[Block] = []
    at = 0
    while (end := data.find(_END, at)) >= 0:
        behind = end + len(_END)
        begin = data.rfind(_BEGIN, at, end)
        alone = begin == at or data[begin - 1 : begin] == b"\n"
        block = _go_block(data, begin + len(_BEGIN), end) if begin >= 0 and alone else None
        if block is None:
            at = behind
            continue
        blocks.append(block)
        at = data.find(b"\n", behind) + 1 or len(data)
    return blocks


def _go_block(data: bytes, begin: int, end: int) -> Block | None:
    """The block whose first line has its name at `begin`, and whose last line begins behind `end`."""
    first, newline, _ = data[begin:].partition(b"\n")
    kind = first.rstrip(b"\r").rstrip(b" \t")
    last = data[end + len(_END) :].partition(b"\n")[0].rstrip(b"\r").rstrip(b" \t")
    if not newline or not kind.endswith(_DASHES) or last != kind:
        return None
    body = data[begin + len(first) + 1 : max(end, begin + len(first))]
    headers = b""
    while b":" in (parts := body.partition(b"\n"))[0]:
        line, newline, body = parts
        if not newline:
            return None  # between headers and the last line there must be an empty one
        headers += line + newline
    try:
        der = base64.b64decode(body.translate(None, b" \t\r\n"), validate=True)
    except binascii.Error:
        return None
    return Block(kind.removesuffix(_DASHES).decode("latin-1"), der, headers)


def blocks_of_people(data: bytes) -> tuple[list[Block], list[str]]:
    """The blocks that a person would find, and what is odd about the text around them."""
    odd: list[str] = []
    if data.startswith(_UTF_16):
        odd.append("UTF-16 text")
        data = data.decode("utf-16", "replace").encode("ascii", "replace")
    if data.startswith(_BYTE_ORDER_MARK):
        odd.append("a byte order mark")
        data = data.removeprefix(_BYTE_ORDER_MARK)
    blocks: list[Block] = []
    text = b""
    at = 0
    for match in _BLOCK.finditer(data):
        between = data[at : match.start()]
        text += between
        if at and b"\n" not in between:
            odd.append("no line break between two PEM blocks")
        elif between.rpartition(b"\n")[2]:
            odd.append("a PEM block that does not start at the beginning of a line")
        at = match.end()
        blocks.append(_block(match[1].decode("latin-1"), match[2]))
    text += data[at:]
    if _BEGIN in text:
        odd.append(UNFINISHED)
    elif text.strip():
        odd.append("text outside the PEM blocks")
    if any(block.headers for block in blocks):
        odd.append("headers in a PEM block")
    if b"\r" in data:
        odd.append("line breaks other than \\n")
    return blocks, list(dict.fromkeys(odd))


def _block(kind: str, body: bytes) -> Block:
    headers = b""
    if match := _HEADERS.fullmatch(body):
        headers, body = match[1], match[2]
    try:
        return Block(kind, base64.b64decode(b"".join(body.split()), validate=True), headers)
    except binascii.Error:
        return Block(kind, None, headers)
