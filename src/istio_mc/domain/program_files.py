"""How long a program's file must be, by what its header says. Pure."""

from __future__ import annotations

HEADER = 64 << 10
"""Bytes from the beginning that are enough for `least_size`."""

_LC_SEGMENT_64 = 0x19


def least_size(head: bytes) -> int:
    """The size below which a program's file is truncated; 0: unknown.

    ELF: System V ABI, program headers (e_phoff) and section headers (e_shoff); Mach-O: <mach-o/loader.h>,
    LC_SEGMENT_64.
    """
    if head.startswith(b"\x7fELF\x02\x01"):
        return _elf(head)
    if head.startswith(b"\xcf\xfa\xed\xfe"):
        return _mach_o(head)
    return 0


def _elf(head: bytes) -> int:
    sections_end = _number(head, 40, 8) + _number(head, 58, 2) * _number(head, 60, 2)
    first, each, count = _number(head, 32, 8), _number(head, 54, 2), _number(head, 56, 2)
    places = [first + each * index for index in range(count)]
    return max([sections_end, *(_number(head, at + 8, 8) + _number(head, at + 32, 8) for at in places)])


def _mach_o(head: bytes) -> int:
    least, at = 0, 32
    for _ in range(_number(head, 16, 4)):
        if _number(head, at, 4) == _LC_SEGMENT_64:
            least = max(least, _number(head, at + 40, 8) + _number(head, at + 48, 8))
        size = _number(head, at + 4, 4)
        if not size:
            break
        at += size
    return least


def _number(head: bytes, at: int, size: int) -> int:
    return int.from_bytes(head[at : at + size], "little")
