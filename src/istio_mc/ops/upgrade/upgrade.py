"""upgrade: each hop in each cluster, the canary first, with a gate after each; and back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.diff import differences
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.plan import reasons_of
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.upgrade import manifests
from istio_mc.domain.upgrade.pending import BACK, UPGRADE
from istio_mc.domain.upgrade.record import NAME, Before, begun, document_of, move_to, read_record
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.kube.snapshot import completed, observe
from istio_mc.ops.install.wait import wait_ready
from istio_mc.ops.session import rights, topology
from istio_mc.ops.upgrade import gate, revisions, workloads
from istio_mc.ops.upgrade.prepare import Goal, document_file, is_under_way, mesh_at, objects_of
from istio_mc.ops.upgrade.rollout import roll_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from istio_mc.domain.kube.rights import Right
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.upgrade.record import Move
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.ops.session.session import Session
    from istio_mc.ops.upgrade.prepare import ClusterUpgrade, Upgrading
    from istio_mc.ops.upgrade.workloads import Remaining

READERS, RECORD, ISTIO = "readers", "record", "istio"


@dataclass(frozen=True, slots=True)
class Reached:
    """A version that a cluster was brought to.

    Attributes:
        took_s: Seconds that it took, without the gate.
        changed: Whether there was anything to do.
        keeps: What keeps the control plane that the cluster leaves by revision; empty: it is gone.
        has_gate: Whether a gate follows: also where only workloads were restarted.
    """

    version: str
    took_s: float
    changed: bool
    remaining: tuple[Remaining, ...] = ()
    keeps: tuple[str, ...] = ()
    has_gate: bool = False


@dataclass(frozen=True, slots=True)
class UpgradeResult:
    """What became of an upgrade.

    Attributes:
        reached: The versions that each cluster was brought to, in their order.
        failures: Why a cluster, or the gate after it, stopped the upgrade.
    """

    plan: Upgrading
    reached: Mapping[str, tuple[Reached, ...]] = field(default_factory=dict)
    failures: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All errors."""
        found = (problem for problems in self.failures.values() for problem in problems)
        return tuple(dict.fromkeys((*self.plan.problems, *found)))

    def is_done(self, name: str) -> bool:
        """Whether a cluster has reached all its goals."""
        goals = [goal.version for goal in self.plan.upgrades[name].goals]
        return name not in self.failures and [one.version for one in self.reached.get(name, ())] == goals


def upgrade(
    session: Session,
    todo: Upgrading,
    now: datetime,
    *,
    canary: str | None = None,
    parallel: int = 1,
    restarts: bool = False,
) -> UpgradeResult:
    """Does what was planned; stops at the first fault, with a mesh that works.

    Args:
        parallel: Clusters at once; the canary is always alone.
        restarts: Whether workloads with older proxies are restarted.
    """
    reached: dict[str, list[Reached]] = {name: [] for name in todo.upgrades}
    if not any(one.goals for one in todo.upgrades.values()):
        return UpgradeResult(todo)
    before = gate.look_before(session, BACK if todo.is_back else UPGRADE, now)
    failures: Failures = {}
    for version in _hops(todo):
        pending = {
            name: goal
            for name, one in todo.upgrades.items()
            if (goal := next((goal for goal in one.goals if goal.version == version), None))
        }
        failures |= _extend_readers(session, todo, version)
        for batch in _batches(list(pending), canary, parallel):
            if failures:
                break
            begin = partial(gate.begin_change, session, before, now=now)
            work = partial(_bring, session, todo, pending, begin, restarts=restarts)
            done, failures = session.clusters.each(partial(_reported, session, work), batch, step=ISTIO)
            for name, one in done.items():
                reached[name].append(one)
            if not failures and (
                any(one.has_gate for one in done.values()) or before.pending.keys() & {*batch}
            ):
                failures |= _gate(session, before, batch, now)
    failures = {name: (*problems, *_advice(todo, name, problems)) for name, problems in failures.items()}
    return UpgradeResult(todo, {name: tuple(one) for name, one in reached.items()}, failures)


def refuse_lost_values(todo: Upgrading) -> None:
    """Stops where values of Istio would be reset because there is no mesh.yaml, in whichever cluster.

    Raises:
        InputError: With a Problem for each such cluster, and what else stands in the way.
    """
    if todo.values_lost:
        raise InputError(*todo.values_lost, *todo.problems)


def require_rights(session: Session, todo: Upgrading, *, restarts: bool = False) -> None:
    """Stops where rights are missing, before the first change, in whichever cluster.

    Args:
        restarts: Whether workloads with older proxies are restarted.

    Raises:
        InputError: With a Problem for each cluster in which one is missing.
    """
    needed: dict[str, tuple[Right, ...]] = dict.fromkeys(todo.members, rights.EXTEND_READERS)
    for name, one in todo.upgrades.items():
        by_revision = todo.revision is not None or (one.record is not None and one.record.move is not None)
        needed[name] = (
            *rights.UPGRADE,
            *(rights.REMOVE_CONTROL_PLANE if by_revision else ()),
            *(rights.RESTART_WORKLOADS if restarts else ()),
        )
    rights.require(session, "upgrade", needed)


def _hops(todo: Upgrading) -> Sequence[str]:
    return tuple(reversed(todo.path)) if todo.is_back else todo.path


def _batches(names: Sequence[str], canary: str | None, parallel: int) -> Iterator[Sequence[str]]:
    """The canary alone, then as many at once as there may be."""
    first = [name for name in names if name == canary]
    if first:
        yield first
    rest = [name for name in names if name != canary]
    for at in range(0, len(rest), parallel):
        yield rest[at : at + parallel]


def _gate(session: Session, before: gate.Before, batch: Sequence[str], now: datetime) -> Failures:
    try:
        gate.pass_gate(session, before, batch, now)
    except ProblemError as error:
        return {batch[-1]: error.problems}
    return {}


def _extend_readers(session: Session, todo: Upgrading, version: str) -> Failures:
    """Grants what istiods of a version read in other clusters, before any of them runs it."""

    def extend(name: str) -> None:
        goal = todo.goals.get((name, version))
        if goal is None:
            return
        kube = session.clusters.kubes[name]
        desired = objects_of(session, todo.members[name], goal)
        if roles := manifests.missing_reader_rules(desired, kube.list(objects.CLUSTER_ROLE)):
            with session.run.step(name, READERS, f"rights that istiods of {version} need"):
                all_of({role["metadata"]["name"]: partial(kube.apply, role) for role in roles})

    _, failures = session.clusters.each(extend, todo.members)
    return failures


def _reported(session: Session, work: Callable[[str], Reached], name: str) -> Reached:
    """Work on a cluster, whose fault is reported at once: the others of its batch may take minutes still."""
    try:
        return work(name)
    except ProblemError as error:
        session.run.progress(Event(name, ISTIO, State.FAILED, error.problems[0].message))
        raise


def _bring(
    session: Session,
    todo: Upgrading,
    goals: Mapping[str, Goal],
    begin: Callable[[str], None],
    name: str,
    *,
    restarts: bool,
) -> Reached:
    """Brings one cluster to its goal.

    Args:
        begin: Records that the cluster has a gate to pass, before its first change.

    Raises:
        ProblemError: It stopped; what served before serves on.
    """
    begun_s = time.monotonic()
    goal, one = goals[name], todo.upgrades[name]
    session.check_lease(name)
    kube = session.clusters.kubes[name]
    live = observe(kube)
    desired = objects_of(session, one.cluster, goal)
    move = _move(session, live, goal)
    different = differences(desired, completed(kube, live, desired).objects)
    under_way = is_under_way(session, live)
    changed = bool(different) or under_way
    recorded: list[str] = []

    def begin_once() -> None:
        if not recorded:
            begin(name)
            recorded.append(name)

    if changed:
        begin_once()
        _record(session, todo, one, goal, live, move, under_way=under_way)
        reasons = reasons_of(different) or ("a run of an upgrade was interrupted",)
        with session.run.step(name, ISTIO, f"Istio {goal.version}: {reasons[0]}"):
            document = document_file(session, one.cluster, goal)
            ids = {each: cluster.cluster_id for each, cluster in todo.members.items()}
            roll_out(session, goal.istioctl, goal.istiod, one.cluster, document, desired, ids, move)
    else:
        session.run.progress(Event(name, ISTIO, State.UNCHANGED))
    if move and revisions.tags_to_move(kube, move):
        begin_once()
        changed = True
        revisions.move_tags(session, goal.istioctl, one.cluster, move)
    others = [cluster for other, cluster in todo.members.items() if other != name]
    wait_ready(session, mesh_at(session, goal.version, goal.revision), one.cluster, others)
    left = (
        workloads.restart(session, name, goal.version, begin_once)
        if restarts
        else workloads.remaining(kube, goal.version)
    )
    old = revisions.OldControlPlane()
    if move:
        session.check_lease(name)
        old = revisions.remove_old(session, name, move, desired, begin_once)
    if todo.is_back and not old.keeps:  # else the same command goes on, and needs the record
        _forget(session, name, goal)
    changed = changed or old.is_removed
    return Reached(goal.version, time.monotonic() - begun_s, changed, left, old.keeps, bool(recorded))


def _move(session: Session, live: Observed, goal: Goal) -> Move | None:
    """The change of revision by which a cluster gets to its goal; None: it goes in place."""
    present = live.own(topology.mesh_of(session.settings)).revision
    return move_to(goal.revision, present, read_record(live.of(objects.CONFIG_MAP)))


def _record(
    session: Session,
    todo: Upgrading,
    one: ClusterUpgrade,
    goal: Goal,
    live: Observed,
    move: Move | None,
    *,
    under_way: bool,
) -> None:
    """Writes what the cluster has into a ConfigMap, before it is changed; of a return only the revision."""
    name = one.cluster.context
    kube = session.clusters.kubes[name]
    present = read_record(live.of(objects.CONFIG_MAP))
    if todo.is_back:
        record = replace(present, move=move) if present else None
        if record is None or record == present:
            return
    else:
        runs = _version_before(one, goal)
        record = replace(begun(present, todo.to, one.running), move=move)
        if not under_way and runs != goal.version:
            mesh = mesh_at(session, runs, move.leaves if move else None)
            record = record.with_version(Before(runs, istio_operator(mesh, one.cluster)))
    with session.run.step(name, RECORD, f"what {name} has before Istio {goal.version}"):
        kube.apply(document_of(record))


def _version_before(one: ClusterUpgrade, goal: Goal) -> str:
    """What a cluster runs before a goal: the goal before it, or what it ran at the beginning."""
    versions = [each.version for each in one.goals]
    at = versions.index(goal.version)
    return versions[at - 1] if at else one.running


def _forget(session: Session, name: str, goal: Goal) -> None:
    """Takes what the cluster has returned to out of its record; the record goes with the last."""
    kube = session.clusters.kubes[name]
    record = read_record([item for item in [kube.get(objects.CONFIG_MAP, NAME, SYSTEM_NAMESPACE)] if item])
    if record is None:
        return
    if record.before and record.before[-1].version == goal.version:
        record = record.without_last()
    if record.before:
        kube.apply(document_of(record))
    else:
        kube.delete(objects.CONFIG_MAP, NAME, SYSTEM_NAMESPACE)


def _advice(todo: Upgrading, name: str, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """How to go on and how to go back, where a cluster stopped an upgrade; a gate says it itself."""
    if any(one.code is Code.UPGRADE_GATE for one in problems):
        return ()
    back = istio_mc("upgrade", "--back", contexts=[name])
    advice = (
        Advice("repair it, then the same command continues from there")
        if todo.is_back
        else Advice("repair it, then the same command continues from there; or go back: ", back)
    )
    return (
        Problem(
            code=Code.UPGRADE_STOPPED,
            cluster=name,
            message=f"the {'return' if todo.is_back else 'upgrade'} stopped in {name}; old pods serve on",
            seen="no further cluster was begun",
            expected="every cluster at its version",
            hint=advice,
        ),
    )


def dry_run(todo: Upgrading) -> UpgradeResult:
    """What would be done; nothing is changed."""
    return UpgradeResult(todo, dry_run=True)
