"""What a running verb tells about its progress, as values; who shows them, and how, is present's business."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a step of a cluster stands."""

    STARTED = "started"
    WAITING = "waiting"
    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class Event(NamedTuple):
    """One step of one cluster changed its state.

    Attributes:
        cluster: Context name; None: the step is the whole mesh's.
        step: Name of the step, such as `istio`.
        state: Its new state.
        detail: What it is at, or what it waits for.
    """

    cluster: str | None
    step: str
    state: State
    detail: str = ""


Progress = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Progress nobody looks at."""
