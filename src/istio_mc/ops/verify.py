"""verify: reads the mesh once, asks every check of what was read, and says what is wrong where."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Check, Facts, Result, Severity, Verdict
from istio_mc.checks.runner import run
from istio_mc.domain import objects
from istio_mc.domain.events import Event, State
from istio_mc.domain.istiod import RemoteCluster, running_istiods
from istio_mc.gateways.fanout import all_of, fan_out
from istio_mc.gateways.istiod import clusterz
from istio_mc.gateways.observe import observe
from istio_mc.gateways.survey import survey
from istio_mc.ops import topology

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from istio_mc.domain.observed import Observed
    from istio_mc.domain.surroundings import Surroundings
    from istio_mc.ops.session import Session

_POLL_S = 3.0


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What came of every check.

    Attributes:
        facts: What was read.
        results: One for each check and target.
    """

    facts: Facts
    results: tuple[Result, ...]

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results that are errors."""
        return tuple(
            result
            for result in self.results
            if result.verdict is Verdict.FAILED and result.check.severity is Severity.ERROR
        )


def verify(session: Session, checks: Sequence[Check], today: date, *, wait_s: float = 0.0) -> VerifyResult:
    """Asks the checks of the session's clusters; with `wait_s`, again and again until all are true.

    Changes nothing in any cluster.

    Raises:
        InputError: The clusters' IDs or networks contradict the settings or each other.
    """
    until = time.monotonic() + wait_s
    wanted = {check.id for check in checks}
    while True:
        facts = gather(session, today)
        # All are asked, as one that is left out may be what another needs; only the wanted are told.
        results = tuple(result for result in run(ALL, facts) if result.check.id in wanted)
        result = VerifyResult(facts, results)
        left = until - time.monotonic()
        if not result.failed or left <= _POLL_S:
            return result
        names = ", ".join(dict.fromkeys(failed.check.id for failed in result.failed))
        session.progress(Event(None, "verify", State.WAITING, f"{names}; {left:.0f} s left"))
        time.sleep(_POLL_S)


def gather(session: Session, today: date | None = None) -> Facts:
    """Reads everything the checks ask about: every cluster once, every istiod once.

    Without a day, what is around the mesh is not looked at.
    """

    def read(name: str) -> tuple[Observed, Surroundings | None]:
        session.progress(Event(name, "verify", State.STARTED, "reading"))
        kube = session.kubes[name]
        return observe(kube), survey(kube) if today else None

    def ask(name: str) -> dict[str, tuple[RemoteCluster, ...]]:
        kube = session.kubes[name]
        pods = running_istiods(observed[name].of(objects.POD))
        seen = all_of({pod["metadata"]["name"]: partial(clusterz, kube, pod) for pod in pods})
        session.progress(Event(name, "verify", State.DONE))
        return seen

    found, failed = fan_out(session.kubes, read, concurrency=session.concurrency)
    observed = {name: pair[0] for name, pair in found.items()}
    seen, unseen = fan_out(observed, ask, concurrency=session.concurrency)
    return Facts(
        mesh=topology.mesh_of(session.settings),
        clusters=topology.clusters_of(session.contexts, session.settings, observed),
        observed=observed,
        unreachable=session.unusable | failed,
        seen=seen,
        unseen=unseen,
        surroundings={name: around for name, (_, around) in found.items() if around},
        today=today,
    )
