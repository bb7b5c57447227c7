"""Workloads whose sidecars are of an older version: restarted one after another, without an outage."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.kube import objects
from istio_mc.domain.text import plural
from istio_mc.domain.upgrade.workloads import (
    RESTARTABLE,
    OldProxy,
    leaves_none_ready,
    old_proxies,
    rolled_out,
    why_not_now,
)
from istio_mc.gateways.host.parallel import poll_rounds
from istio_mc.gateways.istio.proxies import injected_pods
from istio_mc.ops.session.wait_report import WaitReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from istio_mc.domain.kube.objects import Object
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

STEP = "workloads"
_POLL_S = 0.5
PATIENCE_S = 300.0
"""How long one workload may take to roll out, and a PodDisruptionBudget to allow it."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """A workload that stays on an older proxy, and why."""

    proxy: OldProxy
    reason: str


def remaining(kube: Kube, version: str) -> tuple[Remaining, ...]:
    """The workloads that run an older proxy.

    Raises:
        ProblemError: The pods cannot be listed.
    """
    return tuple(Remaining(one, "not restarted") for one in old_proxies(injected_pods(kube), version))


def restart(
    session: Session, context: str, version: str, begin: Callable[[], None] = lambda: None
) -> tuple[Remaining, ...]:
    """Restarts what runs an older proxy, one workload at a time, and waits for each.

    Args:
        begin: Is called before the first restart, where there is one to do.

    Returns:
        What stays on its proxy, and why.

    Raises:
        ProblemError: A workload cannot be read or changed.
    """
    kube = session.clusters.kubes[context]
    old = old_proxies(injected_pods(kube), version)
    reasons: dict[OldProxy, str] = {}
    if not old:
        return ()
    begin()
    with session.run.step(context, STEP, f"{plural(len(old), 'workload')} with an older proxy"):
        waits = WaitReport(session.run.progress, context, STEP)
        for one in old:  # in the order of their namespaces
            session.check_lease(context)
            remind = partial(waits, f"{one.workload} is restarted")
            remind(session.run.remaining_s)
            if reason := _restart(session, kube, one, remind):
                reasons[one] = reason
    left = {one.workload: one for one in old_proxies(injected_pods(kube), version)}
    known = {one.workload: reason for one, reason in reasons.items()}
    return tuple(
        Remaining(one, known.get(workload, "its new pods have the older proxy too"))
        for workload, one in left.items()
    )


def _restart(session: Session, kube: Kube, one: OldProxy, remind: Callable[[float], None]) -> str:
    """Restarts a workload as `kubectl rollout restart` does; why not, or why it is not done.

    Args:
        remind: Is called with the seconds left, again and again while this waits.
    """
    kind = RESTARTABLE.get(one.workload.kind)
    if kind is None:
        return f"a {one.workload.kind} is not restarted: delete its pods when it suits"
    namespace, name = one.workload.namespace, one.workload.name
    why = "it is gone"
    for left_s in poll_rounds(_until(session), _POLL_S):
        remind(left_s)
        workload = kube.get(kind, name, namespace)
        if workload is None:
            return "it is gone"
        if leaves_none_ready(workload):
            return "its rollout leaves no ready pod"
        why = "" if rolled_out(workload) else "its last rollout has not ended"
        why = why or why_not_now(workload, _budgets(kube, namespace))
        if not why:
            break
    if why:
        return why
    stamp = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat(timespec="seconds")}
    body = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
    kube.patch(kind, name, namespace, body)
    for left_s in poll_rounds(_until(session), _POLL_S):
        remind(left_s)
        workload = kube.get(kind, name, namespace)
        if workload is None or rolled_out(workload):
            return ""
    return "its rollout did not end in time"


def _budgets(kube: Kube, namespace: str) -> Iterable[Object]:
    return kube.list(objects.PDB, namespace)


def _until(session: Session) -> float:
    return min(session.run.deadline, time.monotonic() + PATIENCE_S)
