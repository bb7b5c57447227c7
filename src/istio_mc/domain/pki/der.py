"""DER, read as strictly as Go reads it (golang.org/x/crypto/cryptobyte). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOLEAN, INTEGER, BITS, OCTETS, OID, SEQUENCE, SET = 0x01, 0x02, 0x03, 0x04, 0x06, 0x30, 0x31
NULL = b"\x05\x00"
FIELD = 0x80
"""Tag of a field that is known by its number, which is added."""

GROUP = 0xA0
"""Tag of such a field that consists of other values."""

_MORE = 0x80  # the bit that says that a length, or a number, goes on
_ONE_BYTE = 0x1F
_LENGTH_BYTES = range(1, 5)
_UNUSED_BITS = range(8)


class RefusedError(ValueError):
    """It is not read; the text says why, and quotes nothing."""


class Der:
    """Reads DER values one after another."""

    __slots__ = ("rest", "what")

    def __init__(self, rest: bytes, what: str) -> None:
        self.rest = rest
        self.what = what

    def refused(self) -> RefusedError:
        """The error for what is malformed."""
        return RefusedError(f"{self.what} is malformed")

    def value(self) -> tuple[int, bytes, bytes]:
        """Tag, content, and the whole of the next value."""
        data = self.rest
        header = 2
        if len(data) < header or data[0] & _ONE_BYTE == _ONE_BYTE:
            raise self.refused()
        size = data[1]
        if size & _MORE:
            count = size & ~_MORE
            header += count
            size = int.from_bytes(data[2:header], "big")
            if count not in _LENGTH_BYTES or size < _MORE or not size >> 8 * (count - 1):
                raise self.refused()
        if len(data) < header + size:
            raise self.refused()
        self.rest = data[header + size :]
        return data[0], data[header : header + size], data[: header + size]

    def has(self, tag: int) -> bool:
        """Whether the next value is of this tag."""
        return self.rest[:1] == bytes([tag])

    def read_value(self, tag: int) -> bytes:
        """The content of the next value, which must be of this tag."""
        actual, content, _ = self.value()
        if actual != tag:
            raise self.refused()
        return content

    def inside(self, tag: int = SEQUENCE) -> Der:
        """A reader of what the next value holds."""
        return Der(self.read_value(tag), self.what)

    def each(self) -> Iterator[Der]:
        """Itself, as long as anything is left."""
        while self.rest:
            yield self

    def integer(self, tag: int = INTEGER) -> int:
        """A whole number, in as few bytes as it takes."""
        content = self.read_value(tag)
        padded = len(content) > 1 and (content[0], content[1] >> 7) in {(0, 0), (0xFF, 1)}
        if not content or padded:
            raise self.refused()
        return int.from_bytes(content, "big", signed=True)

    def boolean(self) -> bool:
        """A yes or no."""
        content = self.read_value(BOOLEAN)
        if content not in {b"\x00", b"\xff"}:
            raise self.refused()
        return content == b"\xff"

    def oid(self) -> str:
        """An object identifier, in digits and dots; as in Go, no number of it takes more than 31 bits."""
        content = self.read_value(OID)
        if not content or content[-1] & _MORE:
            raise self.refused()
        numbers: list[int] = []
        number, begins = 0, True
        for byte in content:
            number = number << 7 | byte & ~_MORE
            if (begins and byte == _MORE) or number >> 31:
                raise self.refused()
            begins = not byte & _MORE
            if begins:
                numbers.append(number)
                number = 0
        first = min(numbers[0] // 40, 2)
        return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))

    def bits(self) -> bytes:
        """The bytes of a bit string."""
        content = self.read_value(BITS)
        if not content or content[0] not in _UNUSED_BITS:
            raise self.refused()
        unused = content[0]
        if (unused and len(content) == 1) or content[-1] & ((1 << unused) - 1) * (len(content) > 1):
            raise self.refused()
        return content[1:]
