"""Texts without what no eye sees in them: letters of no width, and colours of a terminal."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

_WIDTHLESS = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff"
_UNSEEN = re.compile(
    rf"[{_WIDTHLESS}]|\\++u(?i:00ad|200[b-f]|202[a-e]|206[0-4]|feff)"
    r"|(?:\x1b|\\++(?:u001[bB]|x1[bB]|033|e))\[[0-9;]*+m"
)


def seen(text: str) -> str:
    """A text without what is not seen in it."""
    return text if text.isascii() and "\\" not in text and "\x1b" not in text else _UNSEEN.sub("", text)


@dataclass(frozen=True)
class Seen:
    """A text as it is read, and where each letter of it stands in the original.

    Attributes:
        text: What is left.
        _at: Where each stretch of it begins in `text`, in order.
        _moved: By how much more each stretch stands behind in the original.
    """

    text: str
    _at: list[int] = field(repr=False)
    _moved: list[int] = field(repr=False)

    @classmethod
    def of(cls, text: str) -> Seen:
        """Leaves out what is not seen."""
        kept: list[str] = []
        starts, moved = [0], [0]
        place = length = 0
        for match in _UNSEEN.finditer(text):
            kept.append(text[place : match.start()])
            length += match.start() - place
            place = match.end()
            starts.append(length)
            moved.append(place - length)
        return cls("".join([*kept, text[place:]]), starts, moved)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where a stretch of the text lies in the original."""
        return self._place(start), self._place(end - 1) + 1 if end > start else self._place(start)

    def _place(self, at: int) -> int:
        return at + self._moved[bisect_right(self._at, at) - 1]
