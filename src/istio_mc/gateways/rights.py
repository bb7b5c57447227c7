"""Whether whoever asks may do something: SelfSubjectAccessReview."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.objects import Kind

if TYPE_CHECKING:
    from istio_mc.gateways.kube import Kube

_REVIEW = Kind("authorization.k8s.io/v1", "SelfSubjectAccessReview")


class Right(NamedTuple):
    """Something one may do, or not.

    Attributes:
        verb: Such as `list`.
        resource: Its plural in URLs.
        group: Its API group; empty for the core's.
        namespace: Where; empty: in all.
        subresource: Such as `portforward`.
    """

    verb: str
    resource: str
    group: str = ""
    namespace: str = SYSTEM_NAMESPACE
    subresource: str = ""

    def __str__(self) -> str:
        what = self.resource + (f".{self.group}" if self.group else "")
        what += f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {what}" + (f" in {self.namespace}" if self.namespace else "")


def allowed(kube: Kube, right: Right) -> bool:
    """Whether the API server grants it.

    Raises:
        KubeError: It does not say.
    """
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
    answer = kube.request(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review, reads=True
    )
    return bool(answer.get("status", {}).get("allowed"))
