"""Stretches of a text, and pieces of patterns for quotes and line breaks in whatever escapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

GAP = r"""(?:\s|\\++(?:[nrt]|u000[9aAdD])?|%0[aAdD9]|["'])"""
"""White space, also written as `\\n`, a quotation mark or a backslash: a piece of patterns."""

BREAK = r"[ \t]*+(?:\r?\n|(?:\\++r)?\\++n|(?:%0[dD])?%0[aA])[ \t]*+"
"""A line break and the blanks around it."""

MARK = r"""(?:\\*+["'])?"""
"""A quotation mark or none."""

WORD = r"(?:(?<=\\[nrt])|(?<![\w.\\-]))"
"""Where a word begins, which may be behind a line break written as `\\n`."""


class Span(NamedTuple):
    """A stretch of a text that is taken out.

    Attributes:
        end: Behind its end.
        kind: What it is, in a word or two.
    """

    start: int
    end: int
    kind: str


def merged(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that overlap as one; it is of the kind of the longest."""
    done: list[Span] = []
    widest = 0
    for span in sorted(span for span in spans if span.start < span.end):
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
