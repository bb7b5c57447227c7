"""Regular expressions of the user's own, for what no rule knows: `--redact`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from istio_mc.domain.codes import Code
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

OWN = "own pattern"
_RUN = 64
_MOST_LETTERS = 40


def compiled(texts: Sequence[str]) -> tuple[list[re.Pattern[str]], list[Problem]]:
    """The patterns, and what is wrong with those that are none.

    No message repeats one: it may be a secret.
    """
    found: list[re.Pattern[str]] = []
    faults: list[Problem] = []
    for number, text in enumerate(texts, 1):
        try:
            found.append(re.compile(text, re.MULTILINE))
        except re.error as error:
            where = f" at position {error.pos}" if error.pos is not None else ""
            faults.append(_fault(number, f"{error.msg}{where}"))
        except (OverflowError, RecursionError):
            faults.append(_fault(number, "too large"))
    return found, faults


def too_slow(seen: str) -> Problem:
    """A pattern takes more time than a bundle has for it."""
    return Problem(
        code=Code.USAGE,
        message="--redact: a regular expression takes too long; no bundle was written",
        seen=seen,
        expected="a pattern without a repeat of a repeat, such as (a+)+ or (.*,)*",
    )


def _fault(number: int, seen: str) -> Problem:
    return Problem(
        code=Code.USAGE,
        message=f"--redact: invalid regular expression (number {number} of this option)",
        seen=seen,
        expected="a regular expression as Python's re module has them",
    )


def trials(pattern: re.Pattern[str]) -> Iterator[str]:
    """Texts on which a pattern with repeats of repeats takes for ever: runs of its own letters."""
    letters = dict.fromkeys(["a", "0", " ", *pattern.pattern[:1000]])
    for letter in list(letters)[:_MOST_LETTERS]:
        yield letter * _RUN + "\x00"
    yield f"{'a1 ' * _RUN}\x00"
    yield f"{'a1,' * _RUN}\x00"


def without(patterns: Iterable[re.Pattern[str]], text: str, instead: str) -> tuple[str, int]:
    """A text with each match replaced, those side by side as one; and how many there were."""
    places = sorted(match.span() for pattern in patterns for match in pattern.finditer(text) if match[0])
    kept: list[str] = []
    at, count = 0, 0
    for start, end in places:
        if start > at or not count:
            kept += [text[at:start], instead]
            count += 1
        at = max(at, end)
    return ("".join([*kept, text[at:]]), count) if count else (text, 0)
