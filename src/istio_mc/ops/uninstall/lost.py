"""uninstall --lost: the others forget a cluster whose API server is gone; nothing is read of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import naming
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.istiod import running_istiods
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind
from istio_mc.domain.links.lost import in_regions, mentions, only_in, with_lost
from istio_mc.domain.links.remote_secrets import linked_ids
from istio_mc.domain.links.state import refuse_for_us_only, with_linked_address
from istio_mc.domain.mesh import SYSTEM_NAMESPACE, ApiServer, Cluster
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.text import few
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.istio.istiod import read_view_and_regions
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.rotation.tokens import more_rights
from istio_mc.ops.session import rights, topology
from istio_mc.ops.uninstall.leave import (
    forget,
    named_in_settings,
    rotation_of,
    tokens_in_files,
    tokens_kept,
)
from istio_mc.ops.uninstall.plan import Uninstalling
from istio_mc.ops.uninstall.uninstall import UninstallResult

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from istio_mc.domain.istio.discovery import IstiodView
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed
    from istio_mc.ops.session.session import Session

CONFIGURATION = tuple(
    Kind("networking.istio.io/v1", kind)
    for kind in ("DestinationRule", "ServiceEntry", "WorkloadEntry", "VirtualService", "Sidecar")
)
"""Kinds whose objects may name a cluster, its network or its gateway."""
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Losing:
    """What is to be forgotten.

    Attributes:
        ids: The IDs of the lost clusters.
        warnings: What will not be there any more, and what still points to it.
    """

    plan: Uninstalling
    ids: tuple[str, ...]
    warnings: tuple[Problem, ...] = ()


def prepare_lost(session: Session, lost: Collection[str]) -> Losing:
    """Reads the clusters that stay; nothing is read of those that are lost, and nothing is changed.

    Args:
        lost: Contexts, or cluster IDs of clusters that the kubeconfig has no context of.

    Raises:
        InputError: One of them responds, or is no member of the mesh.
        ProblemError: No member responds.
    """
    lost = _contexts(session, lost)
    if alive := [name for name in lost if name in session.clusters.kubes]:
        raise InputError(*map(_responds, alive))
    staying = [name for name in session.clusters.kubes if name not in lost]
    observed, failed = session.clusters.each(lambda name: observe(session.clusters.kubes[name]), staying)
    silent = {name: one for name, one in (session.clusters.unusable | failed).items() if name not in lost}
    if not observed:
        raise ProblemError(*(problem for problems in silent.values() for problem in problems))
    clusters = _clusters(session, lost, observed)
    ids = {name: clusters[name].cluster_id for name in lost}
    if strangers := [name for name in lost if not _is_known(ids[name], observed)]:
        raise InputError(*(_unknown(name, ids[name]) for name in strangers))
    plan = Uninstalling(
        clusters=clusters,
        going=tuple(lost),
        observed=observed,
        removals={},
        sample=(),
        meshed={},
        failures=silent,
        mesh_id=next((one.mesh_id for one in observed.values() if one.mesh_id), ""),
    )
    views = _views(session, plan)
    regions = _regions([of_clusters for _, of_clusters in views.values()], ids)
    warnings = (
        *_alone([view for view, _ in views.values()], ids),
        *_pointing(session, plan, ids, regions),
    )
    return Losing(plan, tuple(ids.values()), warnings)


def _contexts(session: Session, lost: Collection[str]) -> list[str]:
    """The contexts of what the user named; a cluster ID stays where no context has it."""
    everyone = {one.name: one.cluster for one in session.kubeconfig.contexts}
    fixed = {one.context: one.id for one in session.settings.clusters if one.id}
    by_id = {cluster_id: name for name, cluster_id in naming.derive_cluster_ids(everyone, fixed).items()}
    return list(dict.fromkeys(name if name in everyone else by_id.get(name, name) for name in lost))


def forget_lost(session: Session, todo: Losing) -> UninstallResult:
    """Has the others forget the clusters, and remember that they are gone.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """
    rotation = rotation_of(session, todo.plan)
    needed = {name: (*rights.FORGET, *more_rights(rotation, name)) for name in todo.plan.staying}
    rights.require(session, "uninstall --lost", needed)

    def remember(name: str) -> None:
        kube = session.clusters.kubes[name]
        if body := with_lost(kube.get(objects.NAMESPACE, SYSTEM_NAMESPACE), todo.ids):
            kube.patch(objects.NAMESPACE, SYSTEM_NAMESPACE, None, body)

    _, unremembered = session.clusters.each(remember, todo.plan.staying)
    removed, failures = forget(session, todo.plan)
    failures = failures | unremembered
    warnings = named_in_settings(todo.plan, session.listed, session.settings.file)
    if todo.plan.absent or failures:
        kept = tokens_kept(todo.plan, failures)
        warnings = (replace(kept, hint=istio_mc("uninstall", *_options(todo.plan.going))), *warnings)
    else:
        warnings = (*tokens_in_files(todo.plan), *warnings)
    return UninstallResult(
        todo.plan, removed, todo.plan.failures | failures, warnings=(*todo.warnings, *warnings)
    )


def untouched(session: Session, todo: Losing) -> UninstallResult:
    """What a dry run reports."""
    warnings = named_in_settings(todo.plan, session.listed, session.settings.file)
    return UninstallResult(
        todo.plan, {}, todo.plan.failures, dry_run=True, warnings=(*todo.warnings, *warnings)
    )


def _options(lost: Collection[str]) -> list[str]:
    return [word for name in lost for word in ("--lost", name)]


def _clusters(
    session: Session, lost: Collection[str], observed: Mapping[str, Observed]
) -> dict[str, Cluster]:
    """Every cluster by context; one that the kubeconfig has no context of is known by its ID."""
    known, faults = topology.identified(session.clusters.contexts, session.settings, observed)
    if blocking := [fault for fault in faults if fault.cluster not in lost]:
        raise InputError(*blocking)
    everyone = {one.name: one.cluster for one in session.kubeconfig.contexts}
    derived = naming.derive_cluster_ids(everyone, {name: one.cluster_id for name, one in known.items()})
    clusters = {name: with_linked_address(one, observed) for name, one in known.items()}
    refuse_for_us_only({name: one for name, one in clusters.items() if name not in lost})
    for name in lost:
        if name not in clusters:
            cluster_id = session.settings.cluster(name).id or derived.get(name, name)
            clusters[name] = Cluster(name, cluster_id, "", ApiServer(""))
    return clusters


def _is_known(cluster_id: str, observed: Mapping[str, Observed]) -> bool:
    """Whether a cluster that stays is linked with it, or has forgotten it before."""
    return any(
        cluster_id in linked_ids(one.of(objects.SECRET))
        or not with_lost(one.find(objects.NAMESPACE, SYSTEM_NAMESPACE), [cluster_id])
        for one in observed.values()
    )


_Regions = dict[str, frozenset[str]]
"""The regions of endpoints, by cluster ID."""


def _views(session: Session, plan: Uninstalling) -> dict[str, tuple[IstiodView, _Regions]]:
    """What one istiod of each cluster that stays has of all clusters, and the regions of their endpoints."""
    pods = {name: running_istiods(plan.observed[name].of(objects.POD)) for name in plan.staying}
    found, _ = session.clusters.each(
        lambda name: read_view_and_regions(session.clusters.kubes[name], pods[name][0]),
        [name for name in plan.staying if pods[name]],
    )  # of those that do not respond, another one may
    return found


def _alone(views: Sequence[IstiodView], ids: Mapping[str, str]) -> list[Problem]:
    """The services that live only in a lost cluster, as the istiods of the others have them."""
    found = {
        lost: services for view in views for lost, one in ids.items() if (services := only_in(view, one))
    }
    return [
        Problem(
            code=Code.LOST_SERVICES,
            cluster=lost,
            message=f"services live only in {lost}: no other cluster has endpoints of them",
            seen=few(services, _MOST_NAMED),
            expected="endpoints in a cluster that stays",
            hint=Advice("deploy them in another cluster"),
        )
        for lost, services in found.items()
    ]


def _pointing(
    session: Session, plan: Uninstalling, ids: Mapping[str, str], regions: Mapping[str, frozenset[str]]
) -> list[Problem]:
    """Objects of the others that still point to a lost cluster: they are their owners' to change."""

    def read(name: str) -> list[Object]:
        kube = session.clusters.kubes[name]
        kinds = all_of({kind.kind: partial(kube.list, kind) for kind in CONFIGURATION})
        return [item for items in kinds.values() for item in items]

    written, _ = session.clusters.each(read, plan.staying)
    problems: list[Problem] = []
    for lost, cluster_id in ids.items():
        own = session.settings.cluster(lost)
        names = {cluster_id, *own.gateway_addresses, *([own.network] if own.network else [])}
        only_there = regions.get(lost, frozenset())
        problems += [
            Problem(
                code=Code.LOST_REFERENCES,
                cluster=name,
                message=f"objects in {name} still point to {lost}",
                seen=few(those, _MOST_NAMED),
                expected=f"no endpoint, subset, locality or failover setting of {lost}",
                hint=Advice("change these objects; istio-mc does not change what others made"),
            )
            for name, items in written.items()
            if (those := dict.fromkeys((*mentions(items, names), *in_regions(items, only_there))))
        ]
    return problems


def _regions(views: Sequence[_Regions], ids: Mapping[str, str]) -> _Regions:
    """The regions in which lost clusters alone have endpoints, by context, as istiods have them.

    An istiod that started since has no endpoints of a lost cluster: where that holds for all, none is known.
    """
    by_id: dict[str, set[str]] = {}
    for view in views:
        for cluster_id, those in view.items():
            by_id.setdefault(cluster_id, set()).update(those)
    others = {one for cluster_id, those in by_id.items() if cluster_id not in ids.values() for one in those}
    return {lost: frozenset(by_id.get(cluster_id, set()) - others) for lost, cluster_id in ids.items()}


def _responds(name: str) -> Problem:
    return Problem(
        code=Code.LOST_RESPONDS,
        cluster=name,
        message=f"{name} is not lost: its API server responds",
        seen="a response",
        expected="no API server, or one that no one can reach",
        hint=Advice("have it leave the mesh: ", istio_mc("uninstall", contexts=[name])),
    )


def _unknown(name: str, cluster_id: str) -> Problem:
    return Problem(
        code=Code.NOT_A_MEMBER,
        cluster=name,
        message=f"no cluster is linked with {name}",
        seen=f"no remote secret of {cluster_id} in any cluster",
        expected="a context, or the cluster ID, of a member",
        hint=Advice("see which clusters are linked: ", istio_mc("status")),
    )
