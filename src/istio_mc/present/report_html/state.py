"""How well something is, as the page shows it: a colour, a sign, a word."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from istio_mc.checks.model import Verdict
from istio_mc.present.report_html.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.checks.model import Result


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
        return ("not asked", "passed", "cannot be told", "warning", "failed")[self]

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
    """A sign with its word, which only a screen reader reads where a text stands beside it."""
    sign = tag("span", state.sign, aria_hidden="true")
    word = tag("span", state.word, class_="hidden") if text is None else text
    return tag("span", sign, " ", word, class_=f"badge {state.style}")
