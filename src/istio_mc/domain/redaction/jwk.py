"""The private numbers of keys that are written as JSON (RFC 7517, RFC 7518): `{"kty": "RSA", "d": …}`."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from istio_mc.domain.redaction.secret_objects import braces
from istio_mc.domain.redaction.shapes import KEY
from istio_mc.domain.redaction.spans import BLANKS, MARK, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "k", "oth", "r", "t"})
"""Members that are no part of the public half; `r` and `t` stand in those of `oth`."""

_WORD = r"(?:(?<=\\[nrt])|(?<![\w.\\-]))"
_KTY = re.compile(rf"{_WORD}{MARK}kty{MARK}[ \t]*+:[ \t]*+{MARK}(?:RSA|EC|OKP|oct)\b")
_MEMBER = re.compile(
    rf"{_WORD}{MARK}(?:{'|'.join(sorted(PRIVATE))}){MARK}"
    rf"{BLANKS}:{BLANKS}{MARK}(?P<value>[A-Za-z0-9_+/=-]{{2,}}+)"
)
_BREAK = re.compile(r"\n|\\++n")
_FARTHEST = 20_000
_MOST_LINES = 20


def spans(text: str) -> Iterator[Span]:
    """Every private member of every such key."""
    keys = list(_KTY.finditer(text))
    if not keys:
        return
    around = braces(text)
    starts = list(around)
    breaks = [0, *(match.start() for match in _BREAK.finditer(text))]
    done = 0
    for key in keys:
        start, end = _object(around, starts, key.start()) or _lines(breaks, key.start(), len(text))
        for member in _MEMBER.finditer(text, max(start, done), end):
            yield Span(*member.span("value"), KEY)
        done = max(done, end)


def _object(around: dict[int, tuple[int, int]], starts: list[int], at: int) -> tuple[int, int] | None:
    """The object that a place lies in, or as much of it as is near."""
    begin = starts[bisect_left(starts, at) - 1] if starts and starts[0] < at else -1
    while begin >= 0 and around[begin][0] < at:
        begin = around[begin][1]
    if begin < max(0, at - _FARTHEST):
        return None
    return begin, min(around[begin][0], at + _FARTHEST)


def _lines(breaks: list[int], at: int, end: int) -> tuple[int, int]:
    """Some lines around a place: a key in YAML has not more of them."""
    line = bisect_left(breaks, at)
    first, last = max(0, line - _MOST_LINES), line + _MOST_LINES
    return breaks[first], breaks[last] if last < len(breaks) else end
