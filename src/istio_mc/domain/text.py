"""Lists and counts told in a line: no more than can be read, and how many there are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def few(items: Iterable[str], most: int, between: str = ", ") -> str:
    """The first `most` of the items, and how many more there are."""
    items = list(items)
    shown = between.join(items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 cluster`, `3 clusters`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(time: timedelta) -> str:
    """A length of time in its largest fitting unit: `90 days`, `24 hours`, `30 minutes`."""
    for unit, name in ((timedelta(days=2), "day"), (timedelta(hours=1), "hour")):
        if time >= unit:
            return plural(time // timedelta(**{f"{name}s": 1}), name)
    return plural(time // timedelta(minutes=1), "minute")


def printable(text: str) -> str:
    """A text without line breaks and what would move a terminal's cursor."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
