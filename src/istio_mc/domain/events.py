"""What a running verb tells about its progress, as values; who shows them, and how, is present's business."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a step of a cluster stands; pending: it is to be done, and not its turn yet."""

    PENDING = "pending"
    STARTED = "started"
    WAITING = "waiting"
    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class Event(NamedTuple):
    """One step of one cluster changed its state.

    Attributes:
        cluster: Context name; None: the step is the whole mesh's.
        subject: What the step is about where that is no cluster, such as a tool that is downloaded.
        fraction: How much of the step is done, 0 to 1; None: unknown.
    """

    cluster: str | None
    step: str
    state: State
    detail: str = ""
    subject: str | None = None
    fraction: float | None = None

    @property
    def owner(self) -> str:
        """Whose step it is, in a word."""
        return self.cluster or self.subject or "mesh"


Progress = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Progress nobody looks at."""
