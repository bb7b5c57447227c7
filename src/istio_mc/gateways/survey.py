"""What is around a mesh in a cluster, asked for at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain import cilium, objects, surroundings
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.objects import Kind
from istio_mc.domain.surroundings import Surroundings
from istio_mc.gateways.fanout import all_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.gateways.kube import Kube

_METRICS = "v1beta1.metrics.k8s.io"
_REVIEW = Kind("authorization.k8s.io/v1", "SelfSubjectAccessReview")


class _Right(NamedTuple):
    verb: str
    resource: str
    group: str = ""
    namespace: str = SYSTEM_NAMESPACE
    subresource: str = ""

    def __str__(self) -> str:
        what = self.resource + (f".{self.group}" if self.group else "")
        what += f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {what}" + (f" in {self.namespace}" if self.namespace else "")


_EVERYTHING = _Right("*", "*", "*", "")
_NEEDED = (
    _Right("create", "namespaces", "", ""),
    _Right("patch", "namespaces", "", ""),
    *(
        _Right(verb, resource, group)
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
        _Right(verb, resource, group, "")
        for verb in ("list", "create", "patch")
        for resource, group in (
            ("clusterroles", "rbac.authorization.k8s.io"),
            ("clusterrolebindings", "rbac.authorization.k8s.io"),
            ("mutatingwebhookconfigurations", "admissionregistration.k8s.io"),
            ("validatingwebhookconfigurations", "admissionregistration.k8s.io"),
            ("customresourcedefinitions", "apiextensions.k8s.io"),
        )
    ),
    _Right("create", "pods", "", SYSTEM_NAMESPACE, "portforward"),
)


def survey(kube: Kube) -> Surroundings:
    """Looks around in a cluster: seven requests, more only where a right is missing.

    Raises:
        ProblemError: It cannot be reached, or refuses to tell.
    """
    listed = all_of(
        {
            "storage": partial(kube.list, objects.STORAGE_CLASS),
            "nodes": partial(kube.list, objects.NODE),
            "istiods": partial(kube.list, objects.DEPLOYMENT, labels="app=istiod"),
            "ztunnels": partial(kube.list, objects.DAEMON_SET, labels="app=ztunnel"),
        }
    )
    metrics = kube.get(objects.API_SERVICE, _METRICS)
    config = kube.get(objects.CONFIG_MAP, cilium.CONFIG, cilium.NAMESPACE)
    return Surroundings(
        storage_classes=surroundings.storage_classes(listed["storage"]),
        metrics=surroundings.metrics(metrics),
        architectures=surroundings.architectures(listed["nodes"]),
        cilium=(config.get("data") or {}) if config else None,
        denied=_denied(kube),
        control_planes=tuple(surroundings.control_plane(item) for item in listed["istiods"]),
        ambient=bool(listed["ztunnels"]),
    )


def _denied(kube: Kube) -> tuple[str, ...]:
    """The rights that are missing; one question is enough for whoever may do everything."""
    if _allowed(kube, _EVERYTHING):
        return ()
    asked: dict[str, Callable[[], bool]] = {str(right): partial(_allowed, kube, right) for right in _NEEDED}
    return tuple(right for right, allowed in all_of(asked).items() if not allowed)


def _allowed(kube: Kube, right: _Right) -> bool:
    attributes = {
        "verb": right.verb,
        "resource": right.resource,
        "group": right.group,
        "namespace": right.namespace,
        "subresource": right.subresource,
    }
    review = {
        "apiVersion": _REVIEW.api_version,
        "kind": _REVIEW.kind,
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    answer = kube.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
    return bool(answer.get("status", {}).get("allowed"))
