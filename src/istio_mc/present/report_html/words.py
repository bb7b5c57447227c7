"""Texts cut to a width, times and numbers in words."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_YEAR = timedelta(days=365)
_UNITS = (
    (2 * _YEAR, _YEAR, "years"),
    (timedelta(days=2), timedelta(days=1), "days"),
    (timedelta(hours=2), timedelta(hours=1), "hours"),
    (timedelta(0), timedelta(minutes=1), "minutes"),
)


def width(text: str) -> int:
    """How many Latin letters wide a text is; one of Korean is two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def clipped(text: str, most: int) -> str:
    """A text of at most so many letters' width, with dots at its end where some are missing."""
    return text if width(text) <= most else f"{_fitting(text, most - 1)}…"


def clipped_name(name: str, most: int) -> str:
    """The same of a cluster's name, with the dots in its middle: those of one provider end differently."""
    if width(name) <= most:
        return name
    room = most - 1
    head = _fitting(name, room - room // 2)
    return f"{head}…{_fitting(name[::-1], room - width(head))[::-1]}"


def _fitting(text: str, room: int) -> str:
    kept = ""
    for letter in text:
        room -= width(letter)
        if room < 0:
            break
        kept += letter
    return kept


def left(until: datetime, now: datetime) -> str:
    """How long until then: `3 hours left`, `expired 2 days ago`."""
    span = until - now
    for least, unit, name in _UNITS:
        if abs(span) >= least:
            told = f"{abs(span) // unit} {name}"
            break
    return f"{told} left" if span >= timedelta(0) else f"expired {told} ago"


def moment(when: datetime) -> str:
    """A time as people read it, in UTC."""
    return f"{when:%Y-%m-%d %H:%M} UTC"
