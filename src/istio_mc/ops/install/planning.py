"""Plans for every cluster: what is wanted, less what lives."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from istio_mc.checks.model import Facts
from istio_mc.domain import plan
from istio_mc.domain.codes import Code
from istio_mc.domain.events import Event, State
from istio_mc.domain.gateway.address import remote_gateways_wanted
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.choice import gateway_api_of
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.diff import differences
from istio_mc.domain.kube.objects import Ref, labels_of
from istio_mc.domain.links.state import Others, refuse_for_us_only
from istio_mc.domain.mesh import CLUSTER_LABEL, MANAGED_BY, NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.plan import Step
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.domain.this_machine import names_of
from istio_mc.domain.tools import PLATFORMS, Tool
from istio_mc.gateways.host import files
from istio_mc.gateways.host.dns import names_here
from istio_mc.gateways.istio.istioctl import Istioctl, find_istioctl, manifest
from istio_mc.gateways.kube.snapshot import completed, observe, survey
from istio_mc.gateways.tools.cache import find_cache
from istio_mc.ops.ca import trust
from istio_mc.ops.ca.intermediates import SpareKeys
from istio_mc.ops.ca.root import is_bare
from istio_mc.ops.install import preflight
from istio_mc.ops.session import istio_version, topology
from istio_mc.ops.session.inputs import refuse_strangers
from istio_mc.ops.session.istio_documents import written

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import date, datetime

    from istio_mc.domain.istio.choice import IstioChoice
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.settings.model import Settings
    from istio_mc.domain.this_machine import Here
    from istio_mc.gateways.host.ca_store import CaStore
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.session.session import Session


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What is still to be done in a cluster.

    Attributes:
        steps: What is to be done before linking, in order.
    """

    cluster: Cluster
    observed: Observed = field(repr=False)
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found in every cluster and is to be done in it.

    Attributes:
        clusters: Every cluster of the run, by context.
        plans: What is to be done in those that answer.
        warnings: What the user should know before it is done.
    """

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
    """Looks at every cluster at once and plans what is to be done in each; changes no cluster.

    Without `dry_run`, certificates that are missing are made, in the store. Clusters in `replace_ca` get a
    CA under the store's root whatever they have.

    Raises:
        InputError: `replace_ca` names a cluster that is not part of the run.
        ProblemError: Something other than an unreachable cluster is wrong.
    """
    refuse_strangers(replace_ca, session.clusters.names)
    with _keys_ahead(session, store, options, dry_run=dry_run) as keys:
        ahead = replace(options, key=keys)
        pinned = session.settings.istio.version
        istioctl = _istioctl(pinned, session.settings, session.run.deadline) if pinned else None
        session.run.progress(Event(None, "preflight", State.STARTED, "looking at every cluster"))
        found, unreachable = session.clusters.each(
            lambda name: (observe(session.clusters.kubes[name]), survey(session.clusters.kubes[name]))
        )
        preflight.stop_unless_unreachable(unreachable)
        session.clusters.mark_unusable(unreachable)
        observed = {name: pair[0] for name, pair in found.items()}
        istio = _chosen(session, observed, now.date())
        mesh = topology.mesh_of(session.settings, istio.version)
        istioctl = istioctl or _istioctl(istio.version, session.settings, session.run.deadline, istio)
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
            surroundings={name: pair[1] for name, pair in found.items()},
            here=_names_here(session, clusters, observed),
            now=now,
        )
        warnings += preflight.judge(facts, strict=strict)
        gateway_api = _gateway_api(session, observed, istio)
        trusted = trust.decide(store, clusters, observed, ahead, now, dry_run=dry_run, replace=replace_ca)
        warnings += [*trusted.warnings, *preflight.outlived(trusted.ends, mesh, clusters, now)]
    session.run.progress(Event(None, "preflight", State.DONE, str(istio)))
    plans, failures = session.clusters.each(
        lambda name: _plan(
            session,
            mesh,
            clusters[name],
            observed[name],
            trusted,
            istioctl,
            gateway_api,
            remote_gateways_wanted(name, clusters, observed),
        ),
        observed,
    )
    if failures:
        raise ProblemError(*(problem for problems in failures.values() for problem in problems))
    return Prepared(mesh, clusters, plans, trusted, istioctl, istio, tuple(warnings))


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
    found, _ = session.clusters.each(
        lambda name: names_here(names_of(name, clusters[name], observed, {})), observed
    )
    return found


def _keys_ahead(session: Session, store: CaStore, options: CaOptions, *, dry_run: bool) -> SpareKeys:
    """A mesh without a root yet needs a key for it and one for each cluster: made while clusters are read."""
    wanted = 1 + len(session.clusters.contexts) if not dry_run and is_bare(store.read()) else 0
    return SpareKeys(options.key, wanted)


def _istioctl(
    version: str, settings: Settings, deadline: float, choice: IstioChoice | None = None
) -> Istioctl:
    """The istioctl of a version.

    Raises:
        InputError: There is one, of another version.
        ProblemError: There is none.
    """
    found = find_istioctl(os.environ, settings.tools.bin_dir, version, deadline)
    if found.version != version:
        install = istio_mc("tools", "install", "istioctl", "--istioctl", version)
        raise InputError(
            Problem(
                code=Code.ISTIOCTL_VERSION,
                message="istioctl is of another version than the mesh",
                seen=f"{found.path}: {found.version}",
                expected=f"{version} ({choice.reason})" if choice else version,
                hint=Advice(install, f"; or pin the one that is installed: --istio-version {found.version}")
                if choice and choice.is_default
                else install,
            )
        )
    return found


def _others(session: Session) -> Others:
    """What clusters of the kubeconfig outside this run have already."""
    if all(cluster.network for cluster in session.settings.clusters) and session.settings.clusters:
        return Others()
    outside = [c for c in session.kubeconfig.contexts if c.name not in session.clusters.names]
    labels = [found for found in session.clusters.labels_around(outside) if NETWORK_LABEL in found]
    return Others(
        frozenset(found[NETWORK_LABEL] for found in labels),
        frozenset(found[CLUSTER_LABEL] for found in labels if CLUSTER_LABEL in found),
    )


def _settled(session: Session, istio: IstioChoice) -> Settings:
    """The settings, with the versions that are installed."""
    return session.settings.with_versions(istio.version, gateway_api_of(session.run.releases, istio.version))


def _gateway_api(session: Session, observed: Mapping[str, Observed], istio: IstioChoice) -> list[Object]:
    """The Gateway API's CRDs, fetched only where a cluster lacks them."""
    wanted = session.settings.gateway_api
    if not wanted.install or all(found.gateway_api for found in observed.values()):
        return []
    # The HTTP client takes a tenth of verify's start, and verify fetches nothing.
    from istio_mc.gateways.tools import manifests  # noqa: PLC0415, files
    from istio_mc.ops.tools.fetch import artifact_of  # noqa: PLC0415

    if wanted.manifest:
        found = manifests.documents(
            wanted.manifest,
            sha256=wanted.sha256,
            deadline=session.run.deadline,
            progress=session.run.progress,
        )
    else:
        settings = _settled(session, istio)
        official = artifact_of(settings, Tool.GATEWAY_API, PLATFORMS[0])
        found = manifests.documents(
            official.url, sha256=official.sha256, deadline=session.run.deadline, progress=session.run.progress
        )
    return [_labelled(item) for item in found if item["kind"] == objects.CRD.kind]


def _labelled(crd: Object) -> Object:
    """A CRD that says who installed it: an uninstall removes no other."""
    return {**crd, "metadata": {**crd["metadata"], "labels": {**labels_of(crd), **MANAGED_BY}}}


def _plan(
    session: Session,
    mesh: Mesh,
    cluster: Cluster,
    observed: Observed,
    trusted: trust.Trust,
    istioctl: Istioctl,
    gateway_api: Iterable[Object],
    remote_gateways: Iterable[Object],
) -> ClusterPlan:
    live = observed.objects
    cacerts = trusted.steps.get(cluster.context)
    steps = steps_before_link(session, mesh, cluster, observed, cacerts, istioctl)
    if reason := trusted.restarts.get(cluster.context):
        steps.insert(steps.index(cacerts) + 1, _restart_step(mesh, observed, reason))
    if gateway_api and not observed.gateway_api:
        steps.append(_gateway_api_step(gateway_api))
    if gateway_api or observed.gateway_api:
        steps.append(plan.apply_step(plan.REMOTE_GATEWAYS, remote_gateways, live))
    found = tuple(step for step in steps if step)
    for name in _TOLD_UNCHANGED:
        if name not in {step.name for step in found}:
            session.run.progress(Event(cluster.context, name, State.UNCHANGED))
    return ClusterPlan(cluster, observed, found)


def steps_before_link(
    session: Session,
    mesh: Mesh,
    cluster: Cluster,
    observed: Observed,
    cacerts: Step | None,
    istioctl: Istioctl | None,
) -> list[Step | None]:
    """What a cluster lacks of namespace, CA, Istio and Gateway resource; None: nothing.

    Without an istioctl, nothing is said of Istio itself.

    Raises:
        ProblemError: istioctl refused the cluster's document.
    """
    namespace = observed.find(objects.NAMESPACE, SYSTEM_NAMESPACE)
    return [
        plan.apply_step(plan.NAMESPACE, [documents.namespace(mesh, cluster, namespace)], observed.objects),
        cacerts,
        _istio_step(session, mesh, cluster, observed, istioctl) if istioctl else None,
        plan.apply_step(plan.EXPOSE, [documents.cross_network_gateway()], observed.objects),
    ]


_TOLD_UNCHANGED = (plan.NAMESPACE, plan.CACERTS, plan.ISTIO, plan.EXPOSE, plan.GATEWAY_API)


def _restart_step(mesh: Mesh, observed: Observed, reason: str) -> Step | None:
    """The restart of an istiod that runs already."""
    if observed.find(objects.DEPLOYMENT, mesh.istiod) is None:
        return None
    return Step(plan.RESTART, (reason,))


def _gateway_api_step(crds: Iterable[Object]) -> Step:
    return Step(plan.GATEWAY_API, ("the Gateway API's CRDs are not there",), tuple(crds))


def drift_before_link(
    session: Session,
    mesh: Mesh,
    clusters: Mapping[str, Cluster],
    observed: Mapping[str, Observed],
    context: str,
    cacerts: Step | None,
    istioctl: Istioctl | None,
) -> tuple[Step, ...]:
    """What an install would do in a cluster of a mesh that stands, but for links.

    Raises:
        ProblemError: istioctl refused the cluster's document.
    """
    live = observed[context]
    steps = steps_before_link(session, mesh, clusters[context], live, cacerts, istioctl)
    if live.gateway_api:
        wanted = remote_gateways_wanted(context, clusters, observed)
        steps.append(plan.apply_step(plan.REMOTE_GATEWAYS, wanted, live.objects))
    elif session.settings.gateway_api.install:
        steps.append(_gateway_api_step(()))
    return tuple(step for step in steps if step)


def istioctl_at_hand(mesh: Mesh, settings: Settings, deadline: float) -> Istioctl | None:
    """The istioctl that an install would use; None where there is none of the mesh's version."""
    try:
        return _istioctl(mesh.version, settings, deadline)
    except ProblemError:
        return None


_DEFAULT_TAG = "istio-revision-tag-default"


def _istio_step(
    session: Session, mesh: Mesh, cluster: Cluster, observed: Observed, istioctl: Istioctl
) -> Step | None:
    document = istio_operator(mesh, cluster)
    path = written(session, mesh, cluster)  # istioctl is given it now to compare with, or later to install
    if observed.find(objects.DEPLOYMENT, mesh.istiod) is None:
        istiod = Ref("apps", objects.DEPLOYMENT.kind, SYSTEM_NAMESPACE, mesh.istiod)
        return Step(plan.ISTIO, (f"Deployment {mesh.istiod} is missing",), (document,), (istiod,))
    kept = find_cache(os.environ, files.home_folder()).folder / "istio"
    wanted = manifest(istioctl, path, kept, session.run.deadline)
    found = differences(wanted, completed(session.clusters.kubes[cluster.context], observed, wanted).objects)
    reasons, refs = plan.told(found), plan.refs_of(found)
    if not mesh.revision:
        missing = _missing_of_default_tag(observed)
        reasons = (*reasons, *(f"{kind} of revision tag default is missing" for kind in missing))
        refs = (*refs, *(Ref("admissionregistration.k8s.io", kind, None, _DEFAULT_TAG) for kind in missing))
    return Step(plan.ISTIO, reasons, (document,), refs) if reasons else None


def _missing_of_default_tag(observed: Observed) -> list[str]:
    """Kinds that the revision tag default lacks: istioctl sets it last, and a run may end before that."""
    return [
        kind.kind
        for kind in (objects.MUTATING_WEBHOOK, objects.VALIDATING_WEBHOOK)
        if not any(labels_of(item).get("istio.io/tag") == "default" for item in observed.of(kind))
    ]
