"""cilium: the settings a mesh needs of Cilium, put there until every agent runs with them, and taken back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from istio_mc.domain import cilium
from istio_mc.domain.cilium import Cilium, Plan, Ready, lost, ready, why_not_ready
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, Command, istio_mc, kubectl
from istio_mc.domain.istio.operator import merged
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.refusal import Reason
from istio_mc.domain.observed import ISTIO_CNI, uses_istio_cni
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.text import few
from istio_mc.gateways.host.parallel import Failures, all_of, poll_rounds
from istio_mc.gateways.kube.errors import KubeError
from istio_mc.ops.session.wait_report import WaitReport

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from istio_mc.domain.kube.objects import Object
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

_STEP = "cilium"
_POLL_S = 1.0
_TICK_S = 1.1
"""Longer than the API server's time stamps are coarse: what comes after it bears a later one."""
_MAX_SILENCES = 5


class Verb(StrEnum):
    """What is done to the settings."""

    FIX = "fix"
    REVERT = "revert"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class CiliumResult:
    """What was found, what was to be done, and what came of it; all by context.

    Attributes:
        without: Why the others count as having none.
        finished: Whether the plans were carried out: False for a status or a dry run.
    """

    verb: Verb
    contexts: tuple[str, ...]
    required_settings: Mapping[str, str]
    found: Mapping[str, Cilium]
    without: Mapping[str, str]
    plans: Mapping[str, Plan]
    failures: Failures
    finished: bool = False

    @property
    def todo(self) -> dict[str, Plan]:
        """The plans that are not empty."""
        return {name: plan for name, plan in self.plans.items() if not plan.empty}


def status(session: Session, *, k_paas: bool = False) -> CiliumResult:
    """Looks at the session's clusters; changes nothing."""
    return _prepare_each(session, Verb.STATUS, cilium.required_settings(k_paas=k_paas), lambda _: Plan())


def prepare_fix(session: Session, *, k_paas: bool = False) -> CiliumResult:
    """Settles what a fix has to do in each cluster; changes nothing."""
    settings = cilium.required_settings(k_paas=k_paas)
    return _prepare_each(session, Verb.FIX, settings, lambda current: cilium.fix_plan(current, settings))


def prepare_revert(session: Session, *, force: bool = False, keep_others: bool = False) -> CiliumResult:
    """Settles what a revert has to do in each cluster; changes nothing.

    Args:
        force: Restore every key, those too that others have changed since the backup.
        keep_others: Restore the keys that fixes have set, and leave the others as they are.
    """

    def decide(current: Cilium) -> Plan:
        return cilium.revert_plan(current, force=force, keep_others=keep_others)

    return _prepare_each(session, Verb.REVERT, cilium.required_settings(), decide)


def _prepare_each(
    session: Session, verb: Verb, settings: Mapping[str, str], decide: Callable[[Cilium], Plan]
) -> CiliumResult:
    def inspect(name: str) -> tuple[Cilium | str, Plan]:
        state = _read_cilium(session, name)
        if isinstance(state, str):
            return state, Plan()
        plan = decide(state)
        if plan.restart and not state.restarts_itself:
            raise ProblemError(_on_delete(name))
        return state, plan

    inspected, failed = session.clusters.each(inspect)
    return CiliumResult(
        verb=verb,
        contexts=session.clusters.names,
        required_settings=settings,
        found={name: state for name, (state, _) in inspected.items() if isinstance(state, Cilium)},
        without={name: state for name, (state, _) in inspected.items() if isinstance(state, str)},
        plans={name: plan for name, (_, plan) in inspected.items()},
        failures=session.clusters.unusable | failed,
    )


def _read_cilium(session: Session, name: str) -> Cilium | str:
    """A cluster's Cilium, or why there is none."""
    kube = session.clusters.kubes[name]
    # Asked first and alone: a cluster that does not answer shall cost one timeout and be one Problem.
    config = kube.get(objects.CONFIG_MAP, cilium.CONFIG, cilium.NAMESPACE)
    daemon_set = kube.get(objects.DAEMON_SET, cilium.DAEMON_SET, cilium.NAMESPACE)
    if config is None or daemon_set is None:
        missing = [
            what
            for what, item in ((f"ConfigMap {cilium.CONFIG}", config), ("DaemonSet cilium", daemon_set))
            if item is None
        ]
        return f"no {', no '.join(missing)} in {cilium.NAMESPACE}"
    backup = kube.get(objects.CONFIG_MAP, cilium.BACKUP, cilium.NAMESPACE)
    values = merged(session.settings.values, session.settings.cluster(name).values)
    istio_cni = uses_istio_cni(values) or any(
        one["metadata"]["name"] == ISTIO_CNI for one in kube.list(objects.DAEMON_SET)
    )
    return Cilium(config, daemon_set, tuple(_agents(kube, daemon_set)), backup, istio_cni)


def _agents(kube: Kube, daemon_set: Object) -> list[Object]:
    """The DaemonSet's pods, without those on their way out."""
    return [pod for pod in _pods_of(kube, daemon_set) if not pod["metadata"].get("deletionTimestamp")]


def _pods_of(kube: Kube, daemon_set: Object) -> list[Object]:
    labels = daemon_set["spec"]["selector"].get("matchLabels") or {}
    pods = kube.list(
        objects.POD, cilium.NAMESPACE, labels=",".join(f"{key}={value}" for key, value in labels.items())
    )
    uid = daemon_set["metadata"]["uid"]
    return [
        pod
        for pod in pods
        if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or [])
    ]


def carry_out(session: Session, planned: CiliumResult, now: datetime, *, settle_s: float) -> CiliumResult:
    """Does what was planned, on all clusters at once; one that fails does not stop the others.

    In each: backup, settings, rolling restart, its end, and then a watch on what was ready before.
    """

    def work(name: str) -> None:
        with session.run.step(name, _STEP):
            _Work(
                session, session.clusters.kubes[name], planned.verb, planned.found[name], planned.plans[name]
            ).do(now, settle_s)

    _, failed = session.clusters.each(work, planned.todo, step=_STEP)
    return CiliumResult(
        planned.verb,
        planned.contexts,
        planned.required_settings,
        planned.found,
        planned.without,
        planned.plans,
        planned.failures | failed,
        finished=True,
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """One cluster's plan, carried out."""

    session: Session
    kube: Kube
    verb: Verb
    found: Cilium
    plan: Plan

    def do(self, now: datetime, settle_s: float) -> None:
        before = self._ready() if self.plan.watch else None
        if self.plan.changes:
            self._report_waiting("writing the settings")
            self._change(now)
        if self.plan.restart:
            # A run that was interrupted may have written the settings just now.
            time.sleep(_TICK_S)
            self.kube.patch(
                objects.DAEMON_SET, cilium.DAEMON_SET, cilium.NAMESPACE, cilium.restart_patch(now)
            )
        if before is not None:
            self._watch_rollout()
            self._watch_readiness(before, settle_s)
        if self.plan.drop_backup:
            self.kube.delete(objects.CONFIG_MAP, cilium.BACKUP, cilium.NAMESPACE)

    def _change(self, now: datetime) -> None:
        if self.verb is Verb.FIX:
            self._back_up()
        else:
            self._patch_backup(cilium.revert_started(now))
        try:
            self.kube.patch(
                objects.CONFIG_MAP,
                cilium.CONFIG,
                cilium.NAMESPACE,
                cilium.patch(self.found, self.plan.changes),
            )
        except KubeError as error:
            if error.reason is Reason.CONFLICT:
                raise ProblemError(_changed_meanwhile(self.kube.context)) from None
            raise
        self._report_waiting("settings written; the restart comes next")

    def _back_up(self) -> None:
        changes = self.plan.changes
        made = self.found.backup is None and self.kube.create(cilium.backup_document(self.found, changes))
        if isinstance(made, dict):
            return
        if body := cilium.backup_patch(self.found, changes):
            self._patch_backup(body)

    def _patch_backup(self, body: Mapping[str, object]) -> None:
        self.kube.patch(objects.CONFIG_MAP, cilium.BACKUP, cilium.NAMESPACE, body)

    def _watch_rollout(self) -> None:
        silences = 0
        seen = ""
        waits = WaitReport(self.session.run.progress, self.kube.context, _STEP)
        for left_s in poll_rounds(self.session.run.deadline, _POLL_S):
            try:
                daemon_set = self.kube.get(objects.DAEMON_SET, cilium.DAEMON_SET, cilium.NAMESPACE)
                silences = 0
            except KubeError as error:
                # The path to the API server may itself lead through an agent that restarts.
                silences += 1
                if (
                    not error.unreachable
                    or silences >= _MAX_SILENCES
                    or self.session.run.remaining_s <= _POLL_S
                ):
                    raise
                continue
            rollout = Cilium(self.found.config, daemon_set or self.found.daemon_set).rollout
            if rollout.complete:
                return
            seen = str(rollout)
            waits(seen, left_s)
        raise ProblemError(self._not_rolled_out(seen))

    def _not_rolled_out(self, seen: str) -> Problem:
        # One on its way out may be all there is: the next is made only when it is gone.
        pods = _pods_of(self.kube, self.found.daemon_set)
        reasons = [why for pod in pods if (why := why_not_ready(pod))][:3]
        return Problem(
            code=Code.AGENTS_NOT_ROLLED_OUT,
            cluster=self.kube.context,
            message=f"Cilium's agents of {self.kube.context} were not all restarted and ready in time",
            seen="\n".join([seen, *reasons]),
            expected="every agent updated and ready before the run's deadline (--timeout)",
            hint=Advice(
                kubectl(
                    self.kube.context, "-n", cilium.NAMESPACE, "describe", "daemonset", cilium.DAEMON_SET
                ),
                "; then the same command again",
                *self._undo_hint(),
            ),
        )

    def _watch_readiness(self, before: Ready, settle_s: float) -> None:
        until = time.monotonic() + min(settle_s, max(0.0, self.session.run.remaining_s - _POLL_S))
        for left in poll_rounds(until, _POLL_S * 2) if settle_s > 0 else ():
            seen = lost(before, *self._nodes_and_pods())
            self._report_waiting(
                f"watching what was ready before, {left:.0f} s left" + _listed(seen, ": not ready: ")
            )
        time.sleep(max(0.0, until - time.monotonic()))
        # The look that counts is the one at the end.
        if seen := lost(before, *self._nodes_and_pods()):
            raise ProblemError(self._readiness_lost(seen))

    def _readiness_lost(self, seen: Collection[str]) -> Problem:
        return Problem(
            code=Code.READINESS_LOST,
            cluster=self.kube.context,
            message=f"{self.kube.context} has lost the readiness of what was ready before the restart",
            seen=_listed(seen, ""),
            expected="the same nodes and pods ready as before; hostns-only has cost some clusters "
            "their pods' way to the API server (cilium issue 17738)",
            hint=Advice(kubectl(self.kube.context, "get", "pods", "-A"), *self._undo_hint()),
        )

    def _undo_hint(self) -> tuple[str | Command, ...]:
        if self.verb is Verb.REVERT:
            return ()
        return "; to undo: ", istio_mc("cilium", "revert", contexts=[self.kube.context])

    def _ready(self) -> Ready:
        return ready(*self._nodes_and_pods())

    def _nodes_and_pods(self) -> tuple[list[Object], list[Object]]:
        results = all_of(
            {
                "nodes": lambda: self.kube.list(objects.NODE),
                "pods": lambda: self.kube.list(objects.POD),
            }
        )
        return results["nodes"], results["pods"]

    def _report_waiting(self, text: str) -> None:
        self.session.run.progress(Event(self.kube.context, _STEP, State.WAITING, text))


def _listed(names: Collection[str], before: str, most: int = 5) -> str:
    return before + few(names, most) if names else ""


def _on_delete(context: str) -> Problem:
    return Problem(
        code=Code.RESTART_BY_HAND,
        cluster=context,
        message=f"a rolling restart of Cilium in {context} would restart nothing",
        seen=f"DaemonSet {cilium.NAMESPACE}/{cilium.DAEMON_SET} has updateStrategy OnDelete",
        expected="updateStrategy RollingUpdate",
        hint=kubectl(
            context,
            "-n",
            cilium.NAMESPACE,
            "patch",
            "daemonset",
            cilium.DAEMON_SET,
            "-p",
            '{"spec":{"updateStrategy":{"type":"RollingUpdate"}}}',
        ),
    )


def _changed_meanwhile(context: str) -> Problem:
    return Problem(
        code=Code.CHANGED_MEANWHILE,
        cluster=context,
        message=f"{cilium.CONFIG} of {context} was changed after the preview; it was not written",
        seen="409 Conflict",
        expected="the settings that were shown",
        hint=Advice("look at what changed there, then run the same command again"),
    )
