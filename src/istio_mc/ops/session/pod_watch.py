"""Looks at the pods of Deployments while they are waited for: reports what keeps them, and ends the wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from istio_mc.domain.events import Event, State
from istio_mc.domain.istio.pod_faults import FaultTimer, problem_of
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.kube.pods import read_deployment_faults

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.events import Progress
    from istio_mc.domain.istio.pod_faults import PodFault
    from istio_mc.gateways.kube.client import Kube


@dataclass(frozen=True, slots=True)
class PodTiming:
    """How often pods are looked at, and how long what is wrong with them is waited for; in seconds.

    Attributes:
        lasting_s: How long a fault lasts for which waiting does not help before the wait ends.
        slow_s: How long what nearly every pod has for a moment lasts before it is reported.
    """

    every_s: float = 3.0
    lasting_s: float = 60.0
    slow_s: float = 8.0


class PodWatch:
    """The pods of some Deployments of one cluster, while they are waited for.

    Attributes:
        problem: Why they do not come up, as of the last look; None where nothing keeps them.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        deployments: Iterable[str],
        *,
        step: str,
        progress: Progress,
        timing: PodTiming,
    ) -> None:
        """Begins to look.

        Args:
            deployments: Their names, what explains the others first.
        """
        self.problem: Problem | None = None
        self._kube = kube
        self._namespace = namespace
        self._deployments = tuple(deployments)
        self._step = step
        self._progress = progress
        self._timing = timing
        self._timer = FaultTimer(lasting_s=timing.lasting_s, slow_s=timing.slow_s)
        self._shown: object = None
        self._checked_at: float | None = None
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Reports nothing any more: a look in another thread may still be under way."""
        self._is_over = True

    def check_when_due(self) -> None:
        """Looks, where the last look is long enough ago.

        Raises:
            ProblemError: What is wrong has lasted so long that waiting does not help.
        """
        now = time.monotonic()
        if self._checked_at is None or now - self._checked_at >= self._timing.every_s:
            self.check()

    def check(self) -> None:
        """Reads the pods, and reports what is new.

        Raises:
            ProblemError: What is wrong has lasted so long that waiting does not help.
        """
        try:
            faults = self._read()
        except ProblemError:  # that the cluster does not respond is for what waits to report
            return
        finally:
            self._checked_at = time.monotonic()
        due, over = self._timer.update(faults, self._checked_at)
        self.problem = problem_of(self._kube.context, self._namespace, due)
        if due and not self._is_over and (shown := (due[0].key, due[0].restarts)) != self._shown:
            self._shown = shown
            detail = " ".join(str(due[0]).split())
            self._progress(Event(self._kube.context, self._step, State.WAITING, detail))
        if over and (ended := problem_of(self._kube.context, self._namespace, over)):
            raise ProblemError(ended)

    def _read(self) -> tuple[PodFault, ...]:
        calls = {
            name: partial(self._kube.get, objects.DEPLOYMENT, name, self._namespace)
            for name in self._deployments
        }
        refused = [one for one in all_of(calls).values() if one]
        faults = read_deployment_faults(self._kube, self._namespace, refused)
        return tuple(fault for one in faults.values() for fault in one)
