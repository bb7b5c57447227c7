"""The plan of each cluster: what is wanted, less what lives. A function of what was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain import plan
from istio_mc.domain.gateway.address import desired_remote_gateways
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.diff import differences
from istio_mc.domain.kube.objects import Ref, labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE, TAG_LABEL
from istio_mc.domain.plan import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.ops.ca.trust import Trust


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What is still to be done in a cluster."""

    cluster: Cluster
    observed: Observed = field(repr=False)
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class IstioObjects:
    """Istio itself in a cluster."""

    desired: Sequence[Object] = field(repr=False)
    live: Mapping[Ref, Object] = field(repr=False)


def plan_cluster(
    mesh: Mesh,
    cluster: Cluster,
    observed: Observed,
    trusted: Trust,
    istio: Step | None,
    gateway_api: Iterable[Object],
    remote_gateways: Iterable[Object],
) -> ClusterPlan:
    """What an install has to do in a cluster before it is linked."""
    cacerts = trusted.steps.get(cluster.context)
    steps = steps_before_link(mesh, cluster, observed, cacerts, istio)
    if reason := trusted.restarts.get(cluster.context):
        steps.insert(steps.index(cacerts) + 1, _restart_step(mesh, observed, reason))
    if gateway_api and not observed.gateway_api:
        steps.append(_gateway_api_step(gateway_api))
    if gateway_api or observed.gateway_api:
        steps.append(plan.apply_step(plan.REMOTE_GATEWAYS, remote_gateways, observed.objects))
    return ClusterPlan(cluster, observed, tuple(step for step in steps if step))


def steps_before_link(
    mesh: Mesh, cluster: Cluster, observed: Observed, cacerts: Step | None, istio: Step | None
) -> list[Step | None]:
    """What a cluster lacks of namespace, CA, Istio and Gateway resource; None: nothing."""
    namespace = observed.find(objects.NAMESPACE, SYSTEM_NAMESPACE)
    return [
        plan.apply_step(plan.NAMESPACE, [documents.namespace(mesh, cluster, namespace)], observed.objects),
        cacerts,
        istio,
        plan.apply_step(plan.EXPOSE, [documents.cross_network_gateway()], observed.objects),
    ]


def _restart_step(mesh: Mesh, observed: Observed, reason: str) -> Step | None:
    """The restart of an istiod that runs already."""
    if observed.find(objects.DEPLOYMENT, mesh.istiod) is None:
        return None
    return Step(plan.RESTART, (reason,))


def _gateway_api_step(crds: Iterable[Object]) -> Step:
    return Step(plan.GATEWAY_API, ("Gateway API CRDs are missing",), tuple(crds))


def drift_before_link(
    mesh: Mesh,
    clusters: Mapping[str, Cluster],
    observed: Mapping[str, Observed],
    context: str,
    cacerts: Step | None,
    istio: Step | None,
    *,
    gateway_api: bool,
) -> tuple[Step, ...]:
    """What an install would do in a cluster of a mesh that stands, but for links.

    Args:
        istio: What is to be done about Istio itself; None: nothing, or it was not compared.
    """
    live = observed[context]
    steps = steps_before_link(mesh, clusters[context], live, cacerts, istio)
    if live.gateway_api:
        desired = desired_remote_gateways(context, clusters, observed)
        steps.append(plan.apply_step(plan.REMOTE_GATEWAYS, desired, live.objects))
    elif gateway_api:
        steps.append(_gateway_api_step(()))
    return tuple(step for step in steps if step)


_DEFAULT_TAG = "istio-revision-tag-default"


def istio_step(
    mesh: Mesh, cluster: Cluster, observed: Observed, objects_of_istio: IstioObjects | None
) -> Step | None:
    """What is to be done about Istio itself; None: nothing."""
    document = istio_operator(mesh, cluster)
    if objects_of_istio is None:
        istiod = Ref("apps", objects.DEPLOYMENT.kind, SYSTEM_NAMESPACE, mesh.istiod)
        return Step(plan.ISTIO, (f"Deployment {mesh.istiod} is missing",), (document,), (istiod,))
    different = differences(objects_of_istio.desired, objects_of_istio.live)
    reasons, refs = plan.reasons_of(different), plan.refs_of(different)
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
        if not any(labels_of(item).get(TAG_LABEL) == "default" for item in observed.of(kind))
    ]
