"""Hints with the options of the run added, so that they act on the same clusters."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from istio_mc.domain.hint import RunOptions, with_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.hint import Hint
    from istio_mc.domain.problem import Problem

_NONE = RunOptions()
_OPTIONS: ContextVar[RunOptions] = ContextVar("options", default=_NONE)


@contextmanager
def printed_with(options: RunOptions) -> Iterator[None]:
    """Gives every hint that is printed within the block the options of this run."""
    token = _OPTIONS.set(options)
    try:
        yield
    finally:
        _OPTIONS.reset(token)


def as_printed(hint: Hint | None) -> Hint | None:
    """A hint, or a command that is shown elsewhere, as it is printed."""
    return with_options(hint, _OPTIONS.get())


def hint_of(problem: Problem) -> Hint | None:
    """What fixes a problem, as it is printed."""
    return as_printed(problem.hint)


def text_of(problem: Problem) -> str | None:
    """The text of a problem's hint; None where it has none."""
    hint = hint_of(problem)
    return None if hint is None else str(hint)
