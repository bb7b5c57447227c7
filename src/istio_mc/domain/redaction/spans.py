"""Stretches of a text, and the text without what breaks its lines."""

from __future__ import annotations

import re
import string
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GAP = re.compile(r"""(?:\s|\\++(?:[nrt]|u000[9aAdD])?|%0[aAdD9]|%20|["'])+""")
"""What may stand between two parts of one wrapped, quoted or escaped value."""

_ESCAPED = re.compile(r"\\+u00(2[bBdDfF]|3[dD])|%(2[bBdDfF]|3[dD])")
_PIECE = re.compile(rf"(?P<gap>{GAP.pattern})|{_ESCAPED.pattern}")
BLANKS = r"(?:\s|\\++[nrt])*+"
"""White space, as it is or written as `\\n`, in however many escapes: a piece of patterns."""

MARK = r"""(?:\\*+["'])?"""
"""A quotation mark or none, likewise."""

_BREAK = re.compile(r"[\n\r]|\\+[nr]|u000[aAdD]|%0[aAdD]")
_LETTERS = string.ascii_letters + string.digits + "+/=_.-"
_RULE = "-----"
_LEAST_LINE = 8
_LEAST_PART = 16


class Span(NamedTuple):
    """A stretch of a text that shall not be handed on.

    Attributes:
        start: Where it begins.
        end: Behind its end.
        kind: What it is, in a word or two.
    """

    start: int
    end: int
    kind: str


class Piece(NamedTuple):
    """A part of a text between two gaps: its place there, and in the squeezed text."""

    start: int
    end: int
    at: int
    text: str
    breaks: bool
    """Whether the gap before it holds a line break."""


@dataclass(frozen=True)
class Squeezed:
    """A text without its white space, quotes and escapes, however they are written.

    Attributes:
        original: The text.
        text: What is left of it.
        pieces: Where each part of that comes from.
    """

    original: str
    text: str
    pieces: list[Piece] = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Squeezed:
        """Squeezes a text."""
        pieces: list[Piece] = []
        place = at = 0
        breaks = True

        def add(start: int, end: int, content: str) -> None:
            nonlocal at, breaks
            pieces.append(Piece(start, end, at, content, breaks))
            at += len(content)
            breaks = False

        for match in _PIECE.finditer(text):
            if match.start() > place:
                add(place, match.start(), text[place : match.start()])
            if match["gap"] is None:
                add(match.start(), match.end(), chr(int(match[2] or match[3], 16)))
            else:
                breaks = breaks or bool(_BREAK.search(match["gap"]))
            place = match.end()
        if place < len(text):
            add(place, len(text), text[place:])
        return cls(text, "".join(piece.text for piece in pieces), pieces)

    def span(self, start: int, end: int, kind: str) -> Span:
        """The stretch of the original text that a stretch of the squeezed one comes from."""
        first, last = self._piece(start), self._piece(end - 1)
        return Span(self._origin(first, start), self._origin(last, end - 1) + self._width(last), kind)

    def grown(self, start: int, end: int, kind: str, *, back: bool = True, on: bool = True) -> Span:
        """The same, with all behind it (`on`) and before it (`back`) that seems to be of the same value."""
        while back:
            number = self._piece(start)
            piece = self.pieces[number]
            start -= len(_tail(piece.text[: start - piece.at]))
            if start > piece.at or not number or not self._goes_back(number):
                break
            before = self.pieces[number - 1]
            start = before.at + len(before.text) - len(_tail(before.text))
        while on:
            number = self._piece(end - 1)
            piece = self.pieces[number]
            end += len(_head(piece.text[end - piece.at :]))
            behind = number + 1
            if end < piece.at + len(piece.text) or behind == len(self.pieces) or not self._goes_on(behind):
                break
            end = self.pieces[behind].at + len(_head(self.pieces[behind].text))
        return self.span(start, end, kind)

    def blobs(self, run: re.Pattern[str], least: int) -> Iterator[tuple[int, int]]:
        """Runs of an alphabet in the squeezed text that may be one value.

        A run that goes on after a gap is told as a whole, without its first part (which may be a word of
        its own), and part by part.
        """
        parts: list[tuple[int, int]] = []
        for number, piece in enumerate(self.pieces):
            if len(piece.text) < _LEAST_PART and not (parts and parts[-1][1] == piece.at):
                continue  # a word; most pieces of a log are
            for match in run.finditer(piece.text):
                first, end = piece.at + match.start(), piece.at + match.end()
                if end - first < _LEAST_PART and match.start() and match.end() < len(piece.text):
                    continue
                if not parts or not first == parts[-1][1] == piece.at:
                    yield from _candidates(parts, least)
                    parts = []
                elif self._is_split(number):
                    first = parts.pop()[0]
                elif (
                    parts[-1][1] - parts[-1][0] < _LEAST_PART
                    or self.text[first - 1] == "="  # what pads a value ends it
                    or not self._fits(number, match[0], number)
                ):
                    yield from _candidates(parts, least)
                    parts = []
                parts.append((first, end))
        yield from _candidates(parts, least)

    def _is_split(self, number: int) -> bool:
        """Whether nothing stands between a piece and the one before it: an escaped letter parted them."""
        return number > 0 and self.pieces[number].start == self.pieces[number - 1].end

    def _goes_on(self, number: int) -> bool:
        """Whether a piece goes on with the value that the piece before it ended with."""
        return self._is_split(number) or self._fits(number, _head(self.pieces[number].text), number)

    def _goes_back(self, number: int) -> bool:
        """Whether the piece before this one may have begun its value."""
        before = number - 1
        return self._is_split(number) or self._fits(before, _tail(self.pieces[before].text), number)

    def _fits(self, number: int, run: str, gap: int) -> bool:
        if not self.pieces[gap].breaks:
            return len(run) >= _LEAST_PART and mixed(run)
        if len(run) == len(self.pieces[number].text):
            return len(run) >= _LEAST_LINE or self._alone(number)
        return len(run) >= _LEAST_PART and not run.isalpha() and any(letter.isdigit() for letter in run)

    def _alone(self, number: int) -> bool:
        return self.pieces[number].breaks and (
            number + 1 == len(self.pieces) or self.pieces[number + 1].breaks
        )

    def _piece(self, at: int) -> int:
        return bisect_right(self.pieces, at, key=lambda piece: piece.at) - 1

    def _origin(self, number: int, at: int) -> int:
        piece = self.pieces[number]
        return piece.start + (at - piece.at if self._width(number) == 1 else 0)

    def _width(self, number: int) -> int:
        piece = self.pieces[number]
        return 1 if len(piece.text) == piece.end - piece.start else piece.end - piece.start


def merged(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that overlap as one; it is of the kind of the longest."""
    done: list[Span] = []
    widest = 0
    for span in sorted(spans):
        width = span.end - span.start
        if done and span.start < done[-1].end:
            last = done[-1]
            kind = span.kind if width > widest else last.kind
            done[-1] = Span(last.start, max(last.end, span.end), kind)
            widest = max(width, widest)
        else:
            done.append(span)
            widest = width
    return done


def mixed(text: str) -> bool:
    """Whether a run is no word or number of any language: capitals, small letters and digits in one."""
    return bool(re.search(r"[A-Z]", text) and re.search(r"[a-z]", text) and re.search(r"[0-9]", text))


def _candidates(parts: list[tuple[int, int]], least: int) -> Iterator[tuple[int, int]]:
    starts = [start for start, _ in parts[:2]]
    found = dict.fromkeys([*((start, parts[-1][1]) for start in starts), *parts])
    yield from ((start, end) for start, end in found if end - start >= least)


def _head(text: str) -> str:
    """The letters of a value that a text begins with, up to where a PEM block would begin."""
    return text[: len(text) - len(text.lstrip(_LETTERS))].partition(_RULE)[0]


def _tail(text: str) -> str:
    """Those that it ends with."""
    return text[len(text.rstrip(_LETTERS)) :].rpartition(_RULE)[2]
