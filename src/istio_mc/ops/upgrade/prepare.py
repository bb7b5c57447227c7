"""What comes before an upgrade: every cluster is read, and every hop is judged for each of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import PREFLIGHT
from istio_mc.checks.model import REACHABLE, Facts, Severity, Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio import hazards
from istio_mc.domain.istio.choice import running
from istio_mc.domain.istio.kept_values import lost_values
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.istio.revision import not_moved, revisions_of
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.kube.rights import Right
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, istiod_of, revision_label
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.text import plural
from istio_mc.domain.upgrade import judgement, manifests
from istio_mc.domain.upgrade.path import in_order, next_hops, path_of, tag_for
from istio_mc.domain.upgrade.record import has_left, read_record
from istio_mc.domain.upgrade.rollout import is_held
from istio_mc.domain.upgrade.workloads import old_proxies
from istio_mc.gateways.host import files
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.istio.istioctl import manifest
from istio_mc.gateways.istio.proxies import injected_pods
from istio_mc.gateways.kube.rights import allowed
from istio_mc.gateways.kube.snapshot import observe, survey
from istio_mc.gateways.tools.cache import find_cache
from istio_mc.ops.install import preflight
from istio_mc.ops.install.manifest import istioctl_of
from istio_mc.ops.session import topology
from istio_mc.ops.session.inputs import refuse_unknown_clusters
from istio_mc.ops.session.istio_documents import write_document

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed, Surroundings
    from istio_mc.domain.upgrade.record import Record
    from istio_mc.domain.upgrade.workloads import OldProxy
    from istio_mc.gateways.istio.istioctl import Istioctl
    from istio_mc.ops.session.session import Session

_END_OF_LIFE = frozenset({Code.ISTIO_END_OF_LIFE, Code.ISTIO_END_OF_LIFE_EXPECTED})


@dataclass(frozen=True, slots=True)
class Goal:
    """What a cluster is brought to: a version of Istio, and the document that makes it."""

    version: str
    document: Object = field(repr=False)
    istioctl: Istioctl = field(repr=False)

    @property
    def revision(self) -> str:
        """The revision of the control plane that the document makes; empty: the one without a name."""
        return str(self.document["spec"].get("revision") or "")

    @property
    def istiod(self) -> str:
        """The Deployment of istiod that the document makes."""
        return istiod_of(self.revision)


@dataclass(frozen=True, slots=True)
class ClusterUpgrade:
    """The upgrade of one cluster.

    Attributes:
        running: The version that it runs; of one that is under way, the one that it is brought to.
        goals: What it is brought to, one after another.
        notes: What people should know of it, which is no fault.
    """

    cluster: Cluster
    observed: Observed = field(repr=False)
    running: str
    goals: tuple[Goal, ...]
    record: Record | None = field(default=None, repr=False)
    old: tuple[OldProxy, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Upgrading:
    """What is to be done.

    Attributes:
        path: The versions that the mesh goes through.
        upgrades: The clusters that are upgraded, in their order, the canary first.
        members: Every cluster of the mesh that can be reached.
        problems: What stands in the way: nothing is changed where there is any.
        values_lost: The warnings that only a dry run passes: values that would be reset without a mesh.yaml.
        revision: The name of the control plane that comes beside the old one; None: in place.
    """

    to: str
    path: tuple[str, ...]
    upgrades: Mapping[str, ClusterUpgrade]
    members: Mapping[str, Cluster]
    goals: Mapping[tuple[str, str], Goal] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    values_lost: tuple[Problem, ...] = ()
    is_back: bool = False
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class _Read:
    observed: Observed
    around: Surroundings
    pods: Sequence[Object] = field(repr=False)
    nodes: Sequence[Object] = field(repr=False)
    filters: Sequence[Object] = field(repr=False)
    may_restart: bool


def _read(session: Session, name: str) -> _Read:
    kube = session.clusters.kubes[name]
    calls: dict[str, Callable[[], object]] = {
        "observed": partial(observe, kube),
        "around": partial(survey, kube),
        "pods": partial(injected_pods, kube),
        "nodes": partial(kube.list, objects.NODE),
        "filters": partial(kube.list, objects.ENVOY_FILTER),
        "may_restart": partial(allowed, kube, Right("patch", "deployments", "apps", "")),
    }
    return _Read(**all_of(calls))  # type: ignore[arg-type]


def prepare(
    session: Session,
    named: Collection[str],
    to: str,
    now: datetime,
    *,
    via: Collection[str] = (),
    canary: str | None = None,
    restarts: bool = False,
    revision: str | None = None,
) -> Upgrading:
    """Reads the mesh and judges every hop for every cluster; changes nothing.

    Args:
        named: The contexts that are upgraded; none: all.
        revision: The name of a control plane that comes beside the old one; None: in place.

    Raises:
        InputError: There is no path, or an option names a cluster that is not upgraded.
        ProblemError: A cluster cannot be read.
    """
    chosen = order(session, named, canary)
    session.run.progress(Event(None, "preflight", State.STARTED, "reading every cluster"))
    found = read_all(session, chosen)
    observed = {name: one.observed for name, one in found.items()}
    members = members_of(session, observed)
    versions = running({name: observed[name] for name in chosen}, session.settings.istio.revision)
    if missing := [name for name in chosen if not observed[name].istiods]:
        raise ProblemError(*(_no_istiod(name) for name in missing))
    _refuse_not_moved(session, {name: observed[name] for name in chosen}, to)
    under_way = {
        name
        for name in chosen
        if is_under_way(session, observed[name])
        and _is_led_to(session, observed[name], revision)
        and not has_left(read_record(observed[name].of(objects.CONFIG_MAP)), str(versions[name]))
    }
    path = _whole_path(session, {name: versions[name] for name in chosen}, to, via, under_way)
    _refuse_other_revisions(session, observed, path, revision)
    istioctls, unavailable = _istioctls(session, path)
    problems: list[Problem] = list(unavailable)
    warnings: list[Problem] = []
    goals = {
        (name, version): _goal(session, members[name], version, istioctls[version], revision)
        for name in members
        for version in path
        if version in istioctls
    }
    for version in path if not unavailable else ():
        stops, others = _judge_version(
            session, members, found, mesh_at(session, version, revision), now, is_last=version == to
        )
        problems += stops
        warnings += others
    upgrades = {}
    for name in chosen:
        running_now = str(versions[name])
        own = [version for version in next_hops(path, running_now) if (name, version) in goals]
        if running_now in path and (name in under_way or running_now == to) and (name, running_now) in goals:
            own.insert(0, running_now)
        upgrades[name] = ClusterUpgrade(
            members[name],
            observed[name],
            running_now,
            tuple(goals[name, version] for version in own),
            read_record(observed[name].of(objects.CONFIG_MAP)),
            old_proxies(found[name].pods, to),
        )
    lost: list[Problem] = []
    if not problems:
        judged, _ = session.clusters.each(
            lambda name: _judge_cluster(session, upgrades[name], found[name], restarts=restarts), upgrades
        )
        lost = preflight.values_lost(
            {name: one.lost_values for name, one in judged.items() if one.lost_values}, "an upgrade"
        )
        for name, one in judged.items():
            problems += one.stops
            warnings += one.warnings
            upgrades[name] = replace(upgrades[name], notes=one.notes)
    warnings += (*lost, *_settings_warnings(session, to, revision))
    session.run.progress(Event(None, "preflight", State.DONE, " → ".join(path) or f"Istio {to}"))
    return Upgrading(
        to,
        path,
        upgrades,
        members,
        goals,
        tuple(dict.fromkeys(problems)),
        tuple(dict.fromkeys(one for one in warnings if one not in problems)),
        tuple(lost),
        revision=revision,
    )


def order(session: Session, named: Collection[str], canary: str | None) -> tuple[str, ...]:
    """The contexts that are upgraded, the canary first."""
    chosen = tuple(name for name in session.clusters.names if not named or name in named)
    refuse_unknown_clusters({"--canary": [canary] if canary else []}, chosen)
    return tuple(sorted(chosen, key=lambda name: name != canary)) if canary else chosen


def read_all(session: Session, chosen: Collection[str]) -> dict[str, _Read]:
    """What is read of every cluster of the mesh that can be reached.

    Raises:
        ProblemError: One of those that are upgraded cannot be.
    """
    found, failures = session.clusters.each(lambda name: _read(session, name))
    session.clusters.mark_unusable(failures)
    unusable = session.clusters.unusable
    if lost := [problem for name in chosen for problem in unusable.get(name, ())]:
        raise ProblemError(*lost)
    return found


def members_of(session: Session, observed: Mapping[str, Observed]) -> dict[str, Cluster]:
    """The clusters of the mesh that were read, by context."""
    everyone = topology.clusters_of(session.clusters.contexts, session.settings, observed)
    return {name: one for name, one in everyone.items() if name in observed}


def rolled_out_by(session: Session, live: Observed) -> list[Object | None]:
    """The Deployments that an upgrade of a cluster rolls out: istiod and the gateway."""
    istiod = live.own(topology.mesh_of(session.settings)).istiod
    return [live.find(objects.DEPLOYMENT, name) for name in (istiod, EAST_WEST_GATEWAY)]


def is_under_way(session: Session, live: Observed) -> bool:
    """Whether an upgrade of a cluster was begun and not ended."""
    return any(map(is_held, rolled_out_by(session, live)))


def _is_led_to(session: Session, live: Observed, revision: str | None) -> bool:
    """Whether what runs in a cluster is what its upgrade leads to: by revision only the new control plane."""
    return revision in (None, live.own(topology.mesh_of(session.settings)).revision)


def _whole_path(
    session: Session,
    versions: Mapping[str, str | None],
    to: str,
    via: Collection[str],
    under_way: Collection[str],
) -> tuple[str, ...]:
    """The path, with the versions that clusters are on their way to already; the last one in any case."""
    path = path_of(session.run.releases, versions, to, via)
    begun = {str(versions[name]) for name in under_way}
    return in_order([*path, *begun, to])


def _istioctls(session: Session, path: Collection[str]) -> tuple[dict[str, Istioctl], list[Problem]]:
    """The istioctl of each version of a path, and the problems of those that are missing."""
    found: dict[str, Istioctl] = {}
    problems: list[Problem] = []
    for version in path:
        try:
            found[version] = istioctl_of(version, session.settings, session.run.deadline)
        except ProblemError as error:
            problems += error.problems
    return found, problems


def mesh_at(session: Session, version: str, revision: str | None = None) -> Mesh:
    """The mesh of the settings at a version, and under another revision where one is named."""
    mesh = topology.mesh_of(session.settings, version)
    own = mesh.revision if revision is None else revision
    return replace(mesh, tag=tag_for(session.settings.istio.tag, version), revision=own)


def _goal(
    session: Session, cluster: Cluster, version: str, istioctl: Istioctl, revision: str | None = None
) -> Goal:
    return Goal(version, istio_operator(mesh_at(session, version, revision), cluster), istioctl)


def objects_of(session: Session, cluster: Cluster, goal: Goal) -> list[Object]:
    """What istioctl makes of a goal.

    Raises:
        ProblemError: istioctl rejected the document.
    """
    kept = find_cache(os.environ, files.home_folder()).folder / "istio"
    return manifest(goal.istioctl, document_file(session, cluster, goal), kept, session.run.deadline)


def document_file(session: Session, cluster: Cluster, goal: Goal) -> Path:
    """The file of a goal's document, for istioctl."""
    name = "-".join(filter(None, (cluster.cluster_id, goal.version, goal.revision)))
    return write_document(session.run.folder, name, goal.document)


def _judge_version(
    session: Session,
    members: Mapping[str, Cluster],
    found: Mapping[str, _Read],
    mesh: Mesh,
    now: datetime,
    *,
    is_last: bool,
) -> tuple[list[Problem], list[Problem]]:
    """What an install checks before it, for one version; what stands in the way, and the rest."""
    facts = Facts(
        mesh,
        members,
        {name: one.observed for name, one in found.items()},
        {},
        seen={},
        surroundings={name: one.around for name, one in found.items()},
        now=now,
        releases=session.run.releases,
    )
    failed = [
        one for one in run(PREFLIGHT, facts) if one.verdict is Verdict.FAILED and one.check.id != REACHABLE
    ]
    stops = [one.problem for one in failed if one.check.severity is Severity.ERROR and one.problem]
    others = [one.problem for one in failed if one.check.severity is not Severity.ERROR and one.problem]
    return stops, [one for one in others if is_last or one.code not in _END_OF_LIFE]


@dataclass(frozen=True, slots=True)
class _Judged:
    stops: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    notes: tuple[str, ...]
    lost_values: tuple[str, ...] = ()


def _judge_cluster(session: Session, one: ClusterUpgrade, read: _Read, *, restarts: bool) -> _Judged:
    """What each version means for one cluster."""
    if not one.goals:
        return _Judged((), (), ())
    context = one.cluster.context
    stops = [*judgement.never_empty(context, rolled_out_by(session, one.observed))]
    if restarts and not read.may_restart:
        stops.append(_may_not_restart(context))
    warnings = [hazards.defects(session.run.releases, hazards.by_version({context: [one.running]}))]
    notes: list[str] = []
    lost: list[str] = []
    before, version = _manifest_before(session, one), one.running
    if not before and one.running not in (goal.version for goal in one.goals):
        warnings.append(_no_way_back_here(context, one.running))
    for goal in one.goals:
        after = objects_of(session, one.cluster, goal)
        is_first = version == one.running
        behind = judgement.proxies_behind(context, goal.version, one.old)
        if behind and (is_first or not restarts):
            stops.append(behind)
        lost += _lost_values(session, one, goal, after)
        values = goal.document["spec"]["values"]
        warnings.append(judgement.changed_values(context, values, version, goal.version))
        if before:
            warnings.append(manifests.no_way_back(context, version, before, after))
            warnings.append(_fields_in_use(session, one, goal.version, before, after))
        notes += _notes(one, goal.version, after, judgement.node_images(read.nodes))
        before, version = after, goal.version
    if read.filters:
        notes.append(f"{plural(len(read.filters), 'EnvoyFilter')}: they depend on Envoy's version; test them")
    found = tuple(warning for warning in warnings if warning)
    return _Judged(tuple(stops), found, tuple(notes), tuple(dict.fromkeys(lost)))


def _lost_values(session: Session, one: ClusterUpgrade, goal: Goal, after: list[Object]) -> Iterator[str]:
    """The values in a cluster that a goal does not set, because there is no mesh.yaml.

    By revision they are those of the control plane that the cluster leaves, and of the one that it gets: a
    run that was interrupted may have installed it with a mesh.yaml.
    """
    if session.settings.file is not None:
        return
    live = one.observed.own(topology.mesh_of(session.settings)).revision
    for revision in dict.fromkeys((live, goal.revision)):
        yield from lost_values(one.observed.of(objects.CONFIG_MAP), after, revision)


def _notes(
    one: ClusterUpgrade, version: str, after: list[Object], images: Mapping[str, Collection[str]]
) -> Iterator[str]:
    if roles := manifests.missing_reader_rules(after, one.observed.of(objects.CLUSTER_ROLE)):
        names = ", ".join(role["metadata"]["name"] for role in roles)
        yield f"{version}: ClusterRole {names} is extended first, for the istiods that read it"
    if seen := judgement.images(one.cluster.context, after, images):
        yield f"{version}: {seen}"


def _manifest_before(session: Session, one: ClusterUpgrade) -> list[Object]:
    """What istioctl of the running version makes; nothing where there is none of it here."""
    try:
        istioctl = istioctl_of(one.running, session.settings, session.run.deadline)
        return objects_of(session, one.cluster, _goal(session, one.cluster, one.running, istioctl))
    except ProblemError:
        return []


def _fields_in_use(
    session: Session, one: ClusterUpgrade, version: str, before: list[Object], after: list[Object]
) -> Problem | None:
    """What live objects use of what the CRDs of a version no longer have."""
    kube = session.clusters.kubes[one.cluster.context]
    crds = {item["metadata"]["name"]: item for item in before if item["kind"] == objects.CRD.kind}
    gone = manifests.fields_dropped(before, after)
    not_served = manifests.versions_dropped(before, after)
    lines = []
    for name in {*gone, *not_served}:
        kind = manifests.stored_kind(crds[name])
        lines += [
            f"{ref_of(item)}: {', '.join(used)}"
            for item in kube.list(kind)
            if (used := manifests.uses(item, gone.get(name, ())))
        ]
    lines += [f"{name}: no longer serves {', '.join(versions)}" for name, versions in not_served.items()]
    return manifests.dropped(one.cluster.context, version, lines)


def _settings_warnings(session: Session, to: str, revision: str | None) -> list[Problem]:
    """That mesh.yaml has another version or revision: the next install would go back to it."""
    pinned, file = session.settings.istio.version, session.settings.file
    if revision not in (None, session.settings.istio.revision):
        return [_pinned_revision(session, str(revision))]
    if not pinned or pinned == to:
        return []
    return [
        Problem(
            code=Code.UPGRADE_PINNED,
            message=f"mesh.yaml pins Istio {pinned}: the next install would return to it",
            seen=f"istio.version: {pinned} in {file}",
            expected=f"istio.version: {to} once the upgrade has ended",
            hint=Advice(f"set istio.version to {to} in {file}, and istio.tag if it is set"),
        )
    ]


def _pinned_revision(session: Session, revision: str) -> Problem:
    set_to, file = session.settings.istio.revision, session.settings.file
    return Problem(
        code=Code.UPGRADE_PINNED,
        message="mesh.yaml has another revision: the next install would add that control plane again",
        seen=f"istio.revision: {set_to or 'not set'}" + (f" in {file}" if file else ""),
        expected=f"istio.revision: {revision} once the upgrade has ended",
        hint=Advice(f"set istio.revision to {revision or 'nothing'} in mesh.yaml once the upgrade has ended"),
    )


def _refuse_not_moved(session: Session, observed: Mapping[str, Observed], to: str) -> None:
    """Stops where mesh.yaml names a revision that clusters are not on: what they run is not what it says.

    Raises:
        InputError: With every such cluster.
    """
    mesh = topology.mesh_of(session.settings)
    present = {name: revisions_of(live.istiods) for name, live in observed.items()}
    others = {
        name: those
        for name, those in present.items()
        if revision_label(observed[name].own(mesh).revision) not in those
    }
    if others:
        raise InputError(*(not_moved(name, those, mesh.revision, to) for name, those in others.items()))


def _refuse_other_revisions(
    session: Session, observed: Mapping[str, Observed], path: Sequence[str], revision: str | None
) -> None:
    """Stops an upgrade by revision over several minors, and one in place of what mesh.yaml does not name.

    Raises:
        InputError: It is one of these.
    """
    if revision is not None and len(path) > 1:
        raise InputError.of(
            code=Code.UPGRADE_REVISION,
            message="by revision an upgrade goes one minor at a time",
            seen=f"a path of {plural(len(path), 'version')}: {', '.join(path)}",
            expected=f"--to {path[0]} first, then another --revision",
        )
    mesh = topology.mesh_of(session.settings)
    live = {name: one.own(mesh).revision for name, one in observed.items()}
    others = {name: one for name, one in live.items() if one not in (mesh.revision, revision)}
    if others or (revision is None and set(live.values()) != {mesh.revision}):
        raise InputError.of(
            code=Code.UPGRADE_REVISION,
            message="mesh.yaml has another revision than the clusters",
            seen=", ".join(f"{name}: revision {one or 'default'}" for name, one in live.items()),
            expected=f"istio.revision: {mesh.revision or 'not set'}, as mesh.yaml has it",
            hint=Advice("set istio.revision to that of the clusters; or repeat --revision to finish a move"),
        )


def _no_istiod(context: str) -> Problem:
    return Problem(
        code=Code.NOT_A_MEMBER,
        cluster=context,
        message=f"{context} runs no istiod that could be upgraded",
        seen="no Deployment with label app=istiod in istio-system",
        expected="a control plane",
        hint=Advice("install it first: ", istio_mc("install", contexts=[context])),
    )


def _may_not_restart(context: str) -> Problem:
    return Problem(
        code=Code.RIGHTS_MISSING,
        cluster=context,
        message=f"user lacks permissions to restart workloads of {context}",
        seen="patch deployments.apps in all namespaces is not allowed",
        expected="that right, or an upgrade without --restart-workloads",
        hint=Advice("bind the user to ClusterRole cluster-admin, or leave out --restart-workloads"),
    )


def _no_way_back_here(context: str, version: str) -> Problem:
    return Problem(
        code=Code.UPGRADE_NO_WAY_BACK,
        cluster=context,
        message=f"{context} cannot return to {version} from this machine: istioctl of it is missing",
        seen=f"no istioctl {version}",
        expected=f"istioctl {version}, for upgrade --back and to compare what its CRDs have",
        hint=istio_mc("tools", "install", "istioctl", "--istioctl", version),
    )
