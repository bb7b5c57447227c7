"""What is around a mesh in a cluster, asked for at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import calico, cilium, objects, surroundings
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.objects import labels_of
from istio_mc.domain.refusal import Reason
from istio_mc.domain.surroundings import ISTIO_CNI, Surroundings
from istio_mc.gateways.fanout import all_of
from istio_mc.gateways.kube_error import KubeError
from istio_mc.gateways.rights import Right, allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from istio_mc.domain.calico import Calico
    from istio_mc.domain.objects import Object
    from istio_mc.gateways.kube import Kube

_METRICS = "v1beta1.metrics.k8s.io"
_EVERYTHING = Right("*", "*", "*", "")
_NEEDED = (
    Right("create", "namespaces", "", ""),
    Right("patch", "namespaces", "", ""),
    *(
        Right(verb, resource, group)
        for verb in ("list", "create", "patch")
        for resource, group in (
            ("secrets", ""),
            ("configmaps", ""),
            ("services", ""),
            ("serviceaccounts", ""),
            ("deployments", "apps"),
            ("horizontalpodautoscalers", "autoscaling"),
            ("poddisruptionbudgets", "policy"),
            ("roles", "rbac.authorization.k8s.io"),
            ("rolebindings", "rbac.authorization.k8s.io"),
        )
    ),
    *(
        Right(verb, resource, group, "")
        for verb in ("list", "create", "patch")
        for resource, group in (
            ("clusterroles", "rbac.authorization.k8s.io"),
            ("clusterrolebindings", "rbac.authorization.k8s.io"),
            ("mutatingwebhookconfigurations", "admissionregistration.k8s.io"),
            ("validatingwebhookconfigurations", "admissionregistration.k8s.io"),
            ("customresourcedefinitions", "apiextensions.k8s.io"),
        )
    ),
    Right("list", "networkpolicies", "networking.k8s.io"),
    # A WebSocket begins with a GET; Kubernetes 1.35 and newer require the other right for it too.
    Right("get", "pods", "", SYSTEM_NAMESPACE, "portforward"),
    Right("create", "pods", "", SYSTEM_NAMESPACE, "portforward"),
)


def survey(kube: Kube) -> Surroundings:
    """Looks around in a cluster: ten requests, more only where a right is missing or Calico runs.

    Raises:
        ProblemError: It cannot be reached, or refuses to tell.
    """
    listed = all_of(
        {
            "storage": partial(kube.list, objects.STORAGE_CLASS),
            "nodes": partial(kube.list, objects.NODE),
            "istiods": partial(kube.list, objects.DEPLOYMENT, labels="app=istiod"),
            "daemon sets": partial(kube.list, objects.DAEMON_SET),
        }
    )
    daemon_sets = listed["daemon sets"]
    crds = all_of({name: partial(kube.get, objects.CRD, name) for name in objects.GATEWAY_API_VERSIONED})
    metrics = kube.get(objects.API_SERVICE, _METRICS)
    config = kube.get(objects.CONFIG_MAP, cilium.CONFIG, cilium.NAMESPACE)
    return Surroundings(
        storage_classes=surroundings.storage_classes(listed["storage"]),
        metrics=surroundings.metrics(metrics),
        architectures=surroundings.architectures(listed["nodes"]),
        cilium=(config.get("data") or {}) if config else None,
        calico=_calico(kube, daemon_sets),
        istio_cni=any(one["metadata"]["name"] == ISTIO_CNI for one in daemon_sets),
        denied=_denied(kube),
        control_planes=tuple(surroundings.control_plane(item) for item in listed["istiods"]),
        gateway_api=surroundings.bundle_versions([crd for crd in crds.values() if crd]),
        ambient=any(labels_of(one).get("app") == "ztunnel" for one in daemon_sets),
    )


def _calico(kube: Kube, daemon_sets: Collection[Object]) -> Calico | None:
    """Calico's settings; asked for only where it runs."""
    node = next((one for one in daemon_sets if one["metadata"]["name"] == calico.DAEMON_SET), None)
    if node is None:
        return None
    try:
        found = (kube.get(kind, calico.FELIX) for kind in objects.FELIX_CONFIGURATIONS)
        return calico.calico_of(node, next(filter(None, found), None))
    except KubeError as error:
        if error.reason is not Reason.FORBIDDEN:
            raise
        return calico.calico_of(node, None, is_known=False)


def _denied(kube: Kube) -> tuple[str, ...]:
    """The rights that are missing; one question is enough for whoever may do everything."""
    if allowed(kube, _EVERYTHING):
        return ()
    asked: dict[str, Callable[[], bool]] = {str(right): partial(allowed, kube, right) for right in _NEEDED}
    return tuple(right for right, may in all_of(asked).items() if not may)
