"""upgrade --back: what clusters had before their upgrade, read from the record in each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.choice import running
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.upgrade import judgement, manifests
from istio_mc.domain.upgrade.path import in_order
from istio_mc.domain.upgrade.record import NAME, read_record
from istio_mc.domain.upgrade.workloads import old_proxies
from istio_mc.ops.install.manifest import istioctl_of
from istio_mc.ops.upgrade.prepare import (
    ClusterUpgrade,
    Goal,
    Upgrading,
    members_of,
    objects_of,
    order,
    read_all,
    rolled_out_by,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.upgrade.record import Record
    from istio_mc.ops.session.session import Session


def prepare_back(session: Session, named: Collection[str], *, canary: str | None = None) -> Upgrading:
    """Reads what each cluster can return to; changes nothing.

    Args:
        named: The contexts that return; none: all that have a record.

    Raises:
        ProblemError: None of them has a record, or a cluster cannot be read.
    """
    chosen = order(session, named, canary)
    found = read_all(session, chosen)
    observed = {name: one.observed for name, one in found.items()}
    records = {name: read_record(observed[name].of(objects.CONFIG_MAP)) for name in chosen}
    lacking = [name for name in chosen if not (record := records[name]) or not record.before]
    if len(lacking) == len(chosen) or (named and lacking):
        raise ProblemError(*(_nothing_recorded(name) for name in lacking))
    members = members_of(session, observed)
    versions = running(observed, session.settings.istio.revision)
    problems: list[Problem] = []
    upgrades: dict[str, ClusterUpgrade] = {}
    for name in chosen:
        record = records[name]
        if not record or not record.before:
            continue
        goals, missing = _goals(session, record)
        problems += missing
        now = versions.get(name) or ""
        upgrades[name] = ClusterUpgrade(
            members[name], observed[name], now, goals, record, old_proxies(found[name].pods, now)
        )
        problems += [] if missing else _judge(session, upgrades[name])
    problems += _revision_of_settings(session, upgrades)
    path = in_order(goal.version for one in upgrades.values() for goal in one.goals)
    goals_by = {(name, goal.version): goal for name, one in upgrades.items() for goal in one.goals}
    first = path[0] if path else ""
    return Upgrading(first, path, upgrades, members, goals_by, tuple(dict.fromkeys(problems)), is_back=True)


def _goals(session: Session, record: Record) -> tuple[tuple[Goal, ...], list[Problem]]:
    """What a record has, the newest first, and the problems of those whose istioctl is missing."""
    goals: list[Goal] = []
    problems: list[Problem] = []
    for before in reversed(record.before):
        try:
            istioctl = istioctl_of(before.version, session.settings, session.run.deadline)
        except ProblemError as error:
            problems += error.problems
            continue
        goals.append(Goal(before.version, before.document, istioctl))
    return tuple(goals), problems


def _judge(session: Session, one: ClusterUpgrade) -> list[Problem]:
    """What keeps a cluster from returning."""
    context = one.cluster.context
    problems = [*judgement.never_empty(context, rolled_out_by(session, one.observed))]
    for goal in one.goals:
        desired = objects_of(session, one.cluster, goal)
        if lost := manifests.stored_beyond(desired, one.observed.of(objects.CRD)):
            problems.append(manifests.no_way_back_of(context, goal.version, lost))
    return problems


def _revision_of_settings(session: Session, upgrades: Mapping[str, ClusterUpgrade]) -> list[Problem]:
    """That mesh.yaml has a revision that clusters do not have any more once they have returned."""
    set_to = session.settings.istio.revision
    last = {name: one.goals[-1].revision for name, one in upgrades.items() if one.goals}
    return [
        Problem(
            code=Code.UPGRADE_REVISION,
            cluster=name,
            message=f"{name} returns to another revision than mesh.yaml has",
            seen=f"istio.revision: {set_to or 'not set'}",
            expected=f"istio.revision: {revision or 'not set'}",
            hint=Advice(f"set istio.revision to {revision or 'nothing'} in mesh.yaml first"),
        )
        for name, revision in last.items()
        if revision != set_to
    ]


def _nothing_recorded(context: str) -> Problem:
    return Problem(
        code=Code.UPGRADE_NOTHING_RECORDED,
        cluster=context,
        message=f"{context} has no record of an upgrade that it could return from",
        seen=f"no ConfigMap {SYSTEM_NAMESPACE}/{NAME}, or an empty one",
        expected="the versions and values it had before an upgrade",
        hint=Advice("name the clusters that were upgraded: --contexts"),
    )
