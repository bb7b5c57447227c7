"""HTML and SVG elements with escaped text, and the words and symbols of states."""

from __future__ import annotations

import html
import re
import unicodedata
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

from istio_mc.checks.model import Verdict
from istio_mc.present.output.language import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from istio_mc.checks.model import Result, Target

    Anchors = Mapping[tuple[str, Target], str]
    """The IDs on the page of failed results, by check and target."""


# Letters that no document may hold, and those that turn the direction of what follows them.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
_VOID = frozenset({"meta", "br", "hr", "link", "col"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content = str | int | None
"""What may stand in an element: markup as it is, any other text escaped, None as nothing."""


def escaped(text: str) -> Markup:
    """A text as it may stand between tags and in an attribute."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)))


def join(*content: Content) -> Markup:
    """One after the other."""
    return Markup(
        "".join(escaped(str(part) if isinstance(part, int) else part) for part in content if part is not None)
    )


def tag(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """An element: `tag("a", "text", href="#x", class_="y", aria_label="z")`.

    An attribute that is None or False is left out; one that is True has no value.
    """
    given = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        given.append(f" {written}" if value is True else f' {written}="{escaped(shown)}"')
    start = f"<{name}{''.join(given)}>"
    return Markup(start if name in _VOID else f"{start}{join(*content)}</{name}>")


_YEAR = timedelta(days=365)
_UNITS = (
    (2 * _YEAR, _YEAR, "{count} years left", "expired {count} years ago"),
    (timedelta(days=2), timedelta(days=1), "{count} days left", "expired {count} days ago"),
    (timedelta(hours=2), timedelta(hours=1), "{count} hours left", "expired {count} hours ago"),
    (timedelta(0), timedelta(minutes=1), "{count} minutes left", "expired {count} minutes ago"),
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
    _, unit, ahead, ago = next(row for row in _UNITS if abs(span) >= row[0])
    return words(ahead if span >= timedelta(0) else ago, count=abs(span) // unit)


def moment(when: datetime) -> str:
    """A time as people read it, in UTC."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


class State(IntEnum):
    """From nothing known to the worst; the greater hides the smaller."""

    NONE = 0
    OK = 1
    UNKNOWN = 2
    WARNING = 3
    FAILED = 4

    @property
    def sign(self) -> str:
        """The sign verify has for it."""
        return ("-", "√", "?", "‼", "×")[self]

    @property
    def word(self) -> str:
        """What a screen reader says, and a printer without colours."""
        return words(self._english)

    def counted(self, number: int) -> str:
        """A number of results in it: `3 failed`."""
        return words(f"{{count}} {self._english}", count=number)

    @property
    def _english(self) -> str:
        return ("not run", "passed", "unknown", "warning", "failed")[self]

    @property
    def style(self) -> str:
        """Its class in the style sheet."""
        return ("none", "ok", "unknown", "warning", "failed")[self]


def state_of(result: Result) -> State:
    """How a check came out."""
    if result.verdict is Verdict.OK:
        return State.OK
    if result.verdict is Verdict.UNKNOWN:
        return State.UNKNOWN
    return State.FAILED if result.is_error else State.WARNING


def worst(results: Iterable[Result]) -> State:
    """The worst of several; NONE where there are none."""
    return max((state_of(result) for result in results), default=State.NONE)


def badge(state: State, text: str | None = None) -> Markup:
    """A sign with its word, which only a screen reader reads if there is a text next to it."""
    sign = tag("span", state.sign, aria_hidden="true")
    word = tag("span", state.word, class_="hidden") if text is None else text
    return tag("span", sign, " ", word, class_=f"badge {state.style}")


def check_anchor(check_id: str) -> str:
    """The ID of a check's line in the list of all checks."""
    return f"check-{check_id}"


def check_link(check_id: str) -> Markup:
    """A check's ID as a link to that line."""
    return tag("a", tag("code", check_id), href=f"#{check_anchor(check_id)}")
