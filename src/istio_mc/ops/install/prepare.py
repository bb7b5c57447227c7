"""What comes before an install: every cluster is read, the CA is settled, and each cluster's plan is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istio_mc.checks.model import Facts
from istio_mc.domain import plan
from istio_mc.domain.events import Event, State
from istio_mc.domain.gateway.address import desired_remote_gateways
from istio_mc.domain.istio.choice import gateway_api_of
from istio_mc.domain.istio.kept_values import config_map_of, lost_values
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.links.state import Others, refuse_for_us_only
from istio_mc.domain.mesh import CLUSTER_LABEL, MANAGED_BY, NETWORK_LABEL
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.domain.this_machine import names_of
from istio_mc.domain.tools import PLATFORMS, Tool
from istio_mc.gateways.host.dns import names_here
from istio_mc.gateways.istio.istioctl import Istioctl
from istio_mc.gateways.kube.snapshot import observe, survey
from istio_mc.ops.ca import trust
from istio_mc.ops.ca.intermediates import SpareKeys
from istio_mc.ops.ca.root import is_bare
from istio_mc.ops.install import preflight
from istio_mc.ops.install.manifest import istioctl_of, manifest_for, read_istio
from istio_mc.ops.install.planning import ClusterPlan, istio_step, plan_cluster
from istio_mc.ops.session import istio_version, topology
from istio_mc.ops.session.inputs import refuse_unknown_clusters

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date, datetime

    from istio_mc.domain.istio.choice import IstioChoice
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.settings.model import Settings
    from istio_mc.domain.this_machine import Here
    from istio_mc.gateways.host.ca_store import CaStore
    from istio_mc.gateways.istio.istioctl import Istioctl
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.install.planning import IstioObjects
    from istio_mc.ops.session.run import Run
    from istio_mc.ops.session.session import Session


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found in every cluster and is to be done in it."""

    mesh: Mesh
    clusters: Mapping[str, Cluster]
    plans: Mapping[str, ClusterPlan]
    trust: trust.Trust
    istioctl: Istioctl
    istio: IstioChoice
    warnings: tuple[Problem, ...] = ()


def prepare(
    session: Session,
    store: CaStore,
    options: CaOptions,
    now: datetime,
    *,
    dry_run: bool,
    strict: bool,
    replace_ca: Collection[str] = (),
) -> Prepared:
    """Reads every cluster at once and plans what is to be done in each; changes no cluster.

    Without `dry_run`, certificates that are missing are made, in the store. Clusters in `replace_ca` get a
    CA under the store's root whatever they have.

    Raises:
        InputError: `replace_ca` names a cluster that is not part of the run; or, without `dry_run`, there is
            no mesh.yaml and a cluster has values that the default settings would remove.
        ProblemError: Something other than an unreachable cluster is wrong.
    """
    refuse_unknown_clusters({"--replace-ca": replace_ca}, session.clusters.names)
    with _keys_ahead(session, store, options, dry_run=dry_run) as keys:
        ahead = replace(options, key=keys)
        pinned = session.settings.istio.version
        pinned_one = istioctl_of(pinned, session.settings, session.run.deadline) if pinned else None
        session.run.progress(Event(None, "preflight", State.STARTED, "looking at every cluster"))
        results, unreachable = session.clusters.each(
            lambda name: (observe(session.clusters.kubes[name]), survey(session.clusters.kubes[name]))
        )
        preflight.stop_unless_unreachable(unreachable)
        session.clusters.mark_unusable(unreachable)
        observed = {name: pair[0] for name, pair in results.items()}
        istio = _chosen(session, observed, now.date())
        mesh = topology.mesh_of(session.settings, istio.version)
        istioctl = pinned_one or istioctl_of(istio.version, session.settings, session.run.deadline, istio)
        others = _others(session)
        found_clusters = topology.clusters_of(
            session.clusters.contexts, _settled(session, istio), observed, others=others
        )
        clusters = topology.as_installed(found_clusters, mesh)
        warnings = [
            *istio_version.warnings(session, istio, now.date()),
            *preflight.named_after_ids(clusters, session.settings, observed, others),
        ]
        preflight.refuse_other_mesh(mesh, observed)
        refuse_for_us_only(clusters)
        facts = Facts(
            mesh,
            clusters,
            observed,
            session.clusters.unusable,
            seen={},
            surroundings={name: pair[1] for name, pair in results.items()},
            here=_names_here(session, clusters, observed),
            now=now,
        )
        warnings += preflight.judge(facts, strict=strict)
        gateway_api = _gateway_api(session, observed, istio)
        trusted = trust.decide(store, clusters, observed, ahead, now, dry_run=dry_run, replace=replace_ca)
        warnings += [*trusted.warnings, *preflight.outlived(trusted.ends, mesh, clusters, now)]
    session.run.progress(Event(None, "preflight", State.DONE, str(istio)))

    at_risk: dict[str, list[str]] = {}

    def plan_of(name: str) -> ClusterPlan:
        cluster, live = clusters[name], observed[name]
        istio_objects = read_istio(session, mesh, cluster, live, istioctl)
        step = istio_step(mesh, cluster, live, istio_objects)
        at_risk[name] = _values_at_risk(session, mesh, cluster, live, istioctl, istio_objects)
        standing = desired_remote_gateways(name, clusters, observed)
        made = plan_cluster(mesh, cluster, live, trusted, step, gateway_api, standing)
        _report_unchanged(session.run, made)
        return made

    plans, failures = session.clusters.each(plan_of, observed)
    if failures:
        raise ProblemError(*(problem for problems in failures.values() for problem in problems))
    lost = preflight.values_lost({name: at_risk[name] for name in plans if at_risk.get(name)}, "an install")
    if lost and not dry_run:
        raise InputError(*lost)
    return Prepared(mesh, clusters, plans, trusted, istioctl, istio, (*warnings, *lost))


def _values_at_risk(
    session: Session,
    mesh: Mesh,
    cluster: Cluster,
    live: Observed,
    istioctl: Istioctl,
    read: IstioObjects | None,
) -> list[str]:
    """The values in a cluster that an install would reset, because there is no mesh.yaml."""
    if session.settings.file is not None:
        return []
    if live.mesh_id and live.istiods and live.find(objects.DEPLOYMENT, mesh.istiod) is None:
        return ["istio.revision"]
    stored = live.find(objects.CONFIG_MAP, config_map_of(mesh.revision))
    if stored is None:
        return []
    desired = read.desired if read else manifest_for(session, mesh, cluster, istioctl)
    return lost_values([stored], desired, mesh.revision)


def _chosen(session: Session, observed: Mapping[str, Observed], today: date) -> IstioChoice:
    """The version of Istio that is installed.

    Raises:
        InputError: The user has to name one.
        ProblemError: No cluster can be reached, so that there is nothing to choose it by.
    """
    if not observed and not session.settings.istio.version:
        raise ProblemError(
            *(problem for problems in session.clusters.unusable.values() for problem in problems)
        )
    chosen = istio_version.decide(session, observed, today)
    if chosen.problem:
        raise InputError(chosen.problem)
    return chosen


def _names_here(
    session: Session, clusters: Mapping[str, Cluster], observed: Mapping[str, Observed]
) -> Mapping[str, tuple[Here, ...]]:
    names, _ = session.clusters.each(
        lambda name: names_here(names_of(name, clusters[name], observed, {})), observed
    )
    return names


def _keys_ahead(session: Session, store: CaStore, options: CaOptions, *, dry_run: bool) -> SpareKeys:
    """A mesh without a root yet needs a key for it and one for each cluster: made while clusters are read."""
    desired = 1 + len(session.clusters.contexts) if not dry_run and is_bare(store.read()) else 0
    return SpareKeys(options.key, desired)


def _others(session: Session) -> Others:
    """What clusters of the kubeconfig outside this run have already."""
    if all(cluster.network for cluster in session.settings.clusters) and session.settings.clusters:
        return Others()
    outside = [c for c in session.kubeconfig.contexts if c.name not in session.clusters.names]
    labels = [
        of_cluster for of_cluster in session.clusters.labels_around(outside) if NETWORK_LABEL in of_cluster
    ]
    return Others(
        frozenset(of_cluster[NETWORK_LABEL] for of_cluster in labels),
        frozenset(of_cluster[CLUSTER_LABEL] for of_cluster in labels if CLUSTER_LABEL in of_cluster),
    )


def _settled(session: Session, istio: IstioChoice) -> Settings:
    """The settings, with the versions that are installed."""
    return session.settings.with_versions(istio.version, gateway_api_of(session.run.releases, istio.version))


def _gateway_api(session: Session, observed: Mapping[str, Observed], istio: IstioChoice) -> list[Object]:
    """The Gateway API's CRDs, fetched only where a cluster lacks them."""
    desired = session.settings.gateway_api
    if not desired.install or all(result.gateway_api for result in observed.values()):
        return []
    # The HTTP client takes a tenth of verify's start, and verify fetches nothing.
    from istio_mc.gateways.tools import manifests  # noqa: PLC0415, files
    from istio_mc.ops.tools.fetch import artifact_of  # noqa: PLC0415

    if desired.manifest:
        result = manifests.documents(
            desired.manifest,
            sha256=desired.sha256,
            deadline=session.run.deadline,
            progress=session.run.progress,
        )
    else:
        settings = _settled(session, istio)
        official = artifact_of(settings, Tool.GATEWAY_API, PLATFORMS[0])
        result = manifests.documents(
            official.url, sha256=official.sha256, deadline=session.run.deadline, progress=session.run.progress
        )
    return [_labelled(item) for item in result if item["kind"] == objects.CRD.kind]


def _labelled(crd: Object) -> Object:
    """A CRD that says who installed it: an uninstall removes no other."""
    return {**crd, "metadata": {**crd["metadata"], "labels": {**labels_of(crd), **MANAGED_BY}}}


_UNCHANGED = (plan.NAMESPACE, plan.CACERTS, plan.ISTIO, plan.EXPOSE, plan.GATEWAY_API)


def _report_unchanged(run: Run, todo: ClusterPlan) -> None:
    """Reports the steps that a cluster does not need."""
    needed = {step.name for step in todo.steps}
    for name in _UNCHANGED:
        if name not in needed:
            run.progress(Event(todo.cluster.context, name, State.UNCHANGED))
