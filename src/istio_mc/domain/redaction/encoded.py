"""Secrets in base64, base32, base85, hexadecimal or numbers, and in that of that, looked at as any text."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from istio_mc.domain.redaction import base85
from istio_mc.domain.redaction.shapes import BASE64, CERTIFICATE, KEY, is_certificate, is_key
from istio_mc.domain.redaction.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from istio_mc.domain.redaction.spans import Squeezed

COMPRESSED = "compressed data"

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]++={0,2}")
_BASE32 = re.compile(r"[A-Z2-7]++={0,6}|[a-z2-7]++={0,6}")
_HEX = re.compile(r"[0-9a-fA-F]++")
# Each byte by itself: `\x2d`, `0x2d, 0x2d`, `\u002d`, `2d:2d`, `2d 2d`; `[45 45]`, as Go prints it.
_BETWEEN = r"(?:[:, \t\r\n]|\\++[nrt])*+"
_BYTES = (
    (
        re.compile(rf"(?:(?:\\++x|0x|\\++u00)[0-9a-fA-F]{{2}}{_BETWEEN}){{32,}}+"),
        re.compile(r"(?:x|u00)(..)"),
        16,
    ),
    (
        re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{2}(?:[: ]\s*+[0-9a-fA-F]{2}(?![0-9a-fA-F])){31,}+"),
        re.compile(r"([0-9a-fA-F]{2})"),
        16,
    ),
    (
        re.compile(r"(?<![0-9])[0-9]{1,3}(?:(?:,\s*+|\s++)[0-9]{1,3}(?![0-9])){31,}+"),
        re.compile(r"([0-9]+)"),
        10,
    ),
)
_LEAST = 16
_LEAST_HEX = 64
_LEAST_BASE32 = 32
_READABLE = 0.9
_WIDE = 20
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh", b"\xfd7zXZ")
_KEYSTORES = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")


def spans(squeezed: Squeezed, look: Callable[[str], list[Span]]) -> Iterator[Span]:
    """Every encoded stretch that holds a secret, by `look`; one of certificates alone is told as such."""
    for run, least, decode in _ALPHABETS:
        for start, end in squeezed.blobs(run, least):
            if kind := _kind(decode(squeezed.text[start:end]), look):
                yield squeezed.span(start, end, kind)
    for start, end, data in (*base85.decoded(squeezed.original), *_numbers(squeezed.original)):
        if kind := _kind(data, look):
            yield Span(start, end, kind)


def _numbers(text: str) -> Iterator[tuple[int, int, bytes]]:
    for run, byte, base in _BYTES:
        for match in run.finditer(text):
            numbers = [int(number, base) for number in byte.findall(match[0])]
            if max(numbers) < 256:  # noqa: PLR2004 - a byte
                yield *match.span(), bytes(numbers)


def _kind(data: bytes, look: Callable[[str], list[Span]]) -> str | None:
    if is_key(data) or data.startswith(_KEYSTORES):
        return KEY
    if data.startswith(_PACKED):
        return COMPRESSED
    if is_certificate(base64.b64encode(data).decode()):
        return CERTIFICATE
    text = data.decode("utf-16-le" if data[1:64:2].count(0) > _WIDE else "utf-8", errors="replace")
    readable = sum(letter.isprintable() or letter.isspace() for letter in text if letter != "�")
    if readable < _READABLE * len(text):
        return None
    found = {span.kind for span in look(text)}
    if found == {CERTIFICATE}:
        return CERTIFICATE
    return BASE64 if found else None


def _from_base32(text: str) -> bytes:
    text = text.rstrip("=").upper()
    text = text[: len(text) // 8 * 8]  # what is left over is less than one letter of a key
    return base64.b32decode(text)


def _from_base64(text: str) -> bytes:
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    text = text[: len(text) - (len(text) % 4 == 1)]
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _from_hex(text: str) -> bytes:
    return bytes.fromhex(text[: len(text) // 2 * 2])


_ALPHABETS = (
    (_BASE64, _LEAST, _from_base64),
    (_BASE32, _LEAST_BASE32, _from_base32),
    (_HEX, _LEAST_HEX, _from_hex),
)
