"""What holds for a whole run: its deadline, how its progress is reported, and what it works with."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, Progress, State, silent
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host import files, temporary
from istio_mc.gateways.istio.releases import release_table
from istio_mc.ops.session.pod_watch import PodTiming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from istio_mc.domain.istio.releases import ReleaseTable

_LATE_S = 2.0
_OVERDUE_S = 1.0
"""How long after the deadline what has no deadline of its own is abandoned: what has one reports more."""


@dataclass(frozen=True, slots=True)
class Run:
    """What holds for a whole run.

    Attributes:
        folder: A private folder that goes when the run ends.
    """

    deadline: float
    concurrency: int
    progress: Progress = silent
    pod_timing: PodTiming = field(default_factory=PodTiming)
    releases: ReleaseTable = field(default_factory=release_table, repr=False)
    folder: Path = field(default_factory=temporary.make_folder, repr=False)
    read: Callable[[Path], bytes] = field(default=files.content, repr=False)

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; never negative."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def overdue(self) -> float:
        """`time.monotonic()` value at which calls are abandoned that did not end by the deadline."""
        return self.deadline + _OVERDUE_S

    @property
    def abandoned(self) -> float:
        """`time.monotonic()` value at which a cluster's work is abandoned: after its calls."""
        return self.overdue + _OVERDUE_S

    def queue(self, names: Iterable[str], step: str) -> None:
        """Reports that a step is to be done in each of these clusters."""
        for name in names:
            self.progress(Event(name, step, State.PENDING))

    @contextmanager
    def step(self, context: str, name: str, detail: str = "") -> Iterator[None]:
        """Reports that a step of a cluster begins with a `with` block, and how it ends."""
        self.progress(Event(context, name, State.STARTED, detail))
        try:
            yield
        except ProblemError:
            self.progress(Event(context, name, State.FAILED))
            raise
        self.progress(Event(context, name, State.DONE))

    @contextmanager
    def waiting(self, step: str, pending: Mapping[str, str]) -> Iterator[None]:
        """Reports what contexts still wait for, where a `with` block takes long."""
        reported: list[str] = []

        def report() -> None:
            for name, what in [*pending.items()]:
                reported.append(name)
                self.progress(Event(name, step, State.WAITING, what))

        if not pending:
            yield
            return
        late = threading.Timer(_LATE_S, report)
        late.daemon = True
        late.start()
        try:
            yield
        finally:
            late.cancel()
            for name in reported:
                self.progress(Event(name, step, State.DONE))
