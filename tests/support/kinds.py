"""The kinds that a stand-in API server serves: Kubernetes' own, and those that CRDs add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Object = dict[str, Any]

CORE = ""
APIEXTENSIONS = "apiextensions.k8s.io"
CRD_KIND = "CustomResourceDefinition"


@dataclass(frozen=True)
class Served:
    """One kind that is served.

    Attributes:
        group: Its API group; empty: the core's.
        versions: The versions in which it is served, the one to store first.
        kind: Such as `Deployment`.
        plural: Its name in URLs.
        namespaced: Whether its objects live in namespaces.
        custom: Whether a CRD defines it.
        has_status: Whether its status is a subresource of its own: other writes leave it alone.
    """

    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    namespaced: bool
    custom: bool = False
    has_status: bool = False

    @property
    def resource(self) -> str:
        """As API servers name it in messages: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def api_version(self, version: str | None = None) -> str:
        """The apiVersion in which its objects are written; None: the one to store."""
        version = version or self.versions[0]
        return f"{self.group}/{version}" if self.group else version


class Key(NamedTuple):
    """Where an object is kept; the namespace is empty for what stands outside namespaces."""

    group: str
    plural: str
    namespace: str
    name: str


def _kinds(
    group: str, versions: str, *, namespaced: str = "", cluster: str = "", status: str = ""
) -> list[Served]:
    """The kinds of a group: `Kind=plural` separated by spaces; the plural may be left out."""
    found = []
    for text, inside in ((namespaced, True), (cluster, False)):
        for word in text.split():
            kind, _, plural = word.partition("=")
            plural = plural or kind.lower() + "s"
            found.append(
                Served(
                    group, tuple(versions.split()), kind, plural, inside, has_status=kind in status.split()
                )
            )
    return found


BUILT_IN: tuple[Served, ...] = (
    *_kinds(
        CORE,
        "v1",
        namespaced="Secret ConfigMap Service ServiceAccount Pod Endpoints=endpoints Event "
        "ReplicationController PersistentVolumeClaim LimitRange ResourceQuota",
        cluster="Namespace Node PersistentVolume",
        status="Service Pod Namespace Node",
    ),
    *_kinds(
        "apps",
        "v1",
        namespaced="Deployment ReplicaSet DaemonSet StatefulSet",
        status="Deployment ReplicaSet DaemonSet StatefulSet",
    ),
    *_kinds("batch", "v1", namespaced="Job CronJob", status="Job CronJob"),
    *_kinds("autoscaling", "v2 v1", namespaced="HorizontalPodAutoscaler", status="HorizontalPodAutoscaler"),
    *_kinds("policy", "v1", namespaced="PodDisruptionBudget", status="PodDisruptionBudget"),
    *_kinds("discovery.k8s.io", "v1", namespaced="EndpointSlice"),
    *_kinds("coordination.k8s.io", "v1", namespaced="Lease"),
    *_kinds(
        "networking.k8s.io",
        "v1",
        namespaced="NetworkPolicy=networkpolicies Ingress=ingresses",
        cluster="IngressClass=ingressclasses",
    ),
    *_kinds(
        "rbac.authorization.k8s.io",
        "v1",
        namespaced="Role RoleBinding",
        cluster="ClusterRole ClusterRoleBinding",
    ),
    *_kinds(
        "admissionregistration.k8s.io",
        "v1",
        cluster="MutatingWebhookConfiguration ValidatingWebhookConfiguration "
        "ValidatingAdmissionPolicy=validatingadmissionpolicies ValidatingAdmissionPolicyBinding",
    ),
    *_kinds(APIEXTENSIONS, "v1", cluster=CRD_KIND, status=CRD_KIND),
    *_kinds("storage.k8s.io", "v1", cluster="StorageClass=storageclasses"),
    *_kinds("apiregistration.k8s.io", "v1", cluster="APIService", status="APIService"),
)


def of_crd(crd: Object) -> Served:
    """The kind that a CRD defines."""
    spec = crd["spec"]
    served = [version for version in spec["versions"] if version.get("served")]
    served.sort(key=lambda version: not version.get("storage"))
    return Served(
        spec["group"],
        tuple(version["name"] for version in served),
        spec["names"]["kind"],
        spec["names"]["plural"],
        spec.get("scope") == "Namespaced",
        custom=True,
        has_status=any("status" in (version.get("subresources") or {}) for version in served),
    )


def by_plural(kinds: Iterable[Served]) -> dict[tuple[str, str], Served]:
    """Kinds by group and plural."""
    return {(kind.group, kind.plural): kind for kind in kinds}
