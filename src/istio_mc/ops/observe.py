"""What lives in a cluster, read once a run and all at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain import objects
from istio_mc.domain.mesh import CLUSTER_LABEL, MESH_LABEL, NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.objects import Kind, Object, Ref, ref_of
from istio_mc.ops.fanout import all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from istio_mc.gateways.kube import Kube

_IN_SYSTEM_NAMESPACE = (
    objects.SECRET,
    objects.SERVICE,
    objects.SERVICE_ACCOUNT,
    objects.CONFIG_MAP,
    objects.POD,
    objects.DEPLOYMENT,
    objects.HPA,
    objects.PDB,
    objects.ROLE,
    objects.ROLE_BINDING,
    objects.ISTIO_GATEWAY,
)
_CLUSTER_WIDE = (
    objects.CLUSTER_ROLE,
    objects.CLUSTER_ROLE_BINDING,
    objects.MUTATING_WEBHOOK,
    objects.VALIDATING_WEBHOOK,
    objects.CRD,
)
_MANY = (objects.CLUSTER_ROLE, objects.CLUSTER_ROLE_BINDING, objects.CRD)
_OF_ISTIO = "app.kubernetes.io/part-of=istio"
_GATEWAY_API_CRD = "gatewayclasses.gateway.networking.k8s.io"


@dataclass(frozen=True, slots=True)
class Observed:
    """One cluster as it was found.

    Attributes:
        version: The API server's version, such as `v1.32.3`.
        objects: All that matters to the mesh, by reference.
        gateway_api: Whether the Gateway API's CRDs are there.
    """

    version: str
    objects: Mapping[Ref, Object] = field(repr=False)
    gateway_api: bool = False

    def of(self, kind: Kind) -> list[Object]:
        """All objects of a kind that were found."""
        return [item for ref, item in self.objects.items() if ref.kind == kind.kind]

    def find(self, kind: Kind, name: str) -> Object | None:
        """One object of istio-system, or a cluster-wide one."""
        namespace = SYSTEM_NAMESPACE if kind.namespaced else None
        group = kind.api_version.rpartition("/")[0]
        return self.objects.get(Ref(group, kind.kind, namespace, name))

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of istio-system; none where there is no such namespace."""
        found = self.find(objects.NAMESPACE, SYSTEM_NAMESPACE)
        return (found or {}).get("metadata", {}).get("labels") or {}

    @property
    def mesh_id(self) -> str | None:
        """The mesh this cluster is a member of, as the label says."""
        return self.labels.get(MESH_LABEL)

    @property
    def network(self) -> str | None:
        """The network it already has."""
        return self.labels.get(NETWORK_LABEL)

    @property
    def cluster_id(self) -> str | None:
        """The cluster ID it already has: our label's, else what its istiod runs under."""
        if found := self.labels.get(CLUSTER_LABEL):
            return found
        for deployment in self.istiods:
            for container in deployment["spec"]["template"]["spec"]["containers"]:
                for variable in container.get("env") or []:
                    if variable["name"] == "CLUSTER_ID" and variable.get("value"):
                        return str(variable["value"])
        return None

    @property
    def istiods(self) -> list[Object]:
        """The control planes' Deployments, of whatever revision."""
        return [
            item
            for item in self.of(objects.DEPLOYMENT)
            if (item["metadata"].get("labels") or {}).get("app") == "istiod"
        ]


def observe(kube: Kube, namespace: Object | None = None) -> Observed:
    """Reads a cluster: some seventeen requests at once, each kind listed once.

    Args:
        kube: Its API server.
        namespace: istio-system, where this run has read it before.

    Raises:
        ProblemError: It cannot be reached, or refuses to tell.
    """
    # Asked first and alone: a cluster that does not answer shall cost one timeout and be one Problem.
    version = kube.version()

    def listed(kind: Kind) -> Callable[[], list[Object]]:
        if kind.namespaced:
            return lambda: kube.list(kind, SYSTEM_NAMESPACE)
        return lambda: kube.list(kind, labels=_OF_ISTIO if kind in _MANY else None)

    calls: dict[str, Callable[[], list[Object]]] = {
        kind.plural: listed(kind) for kind in (*_IN_SYSTEM_NAMESPACE, *_CLUSTER_WIDE)
    }
    calls["namespace"] = lambda: _one(namespace or kube.get(objects.NAMESPACE, SYSTEM_NAMESPACE))
    calls["gateway-api"] = lambda: _one(kube.get(objects.CRD, _GATEWAY_API_CRD))
    found = all_of(calls)
    gateway_api = bool(found.pop("gateway-api"))
    return Observed(version, {ref_of(item): item for items in found.values() for item in items}, gateway_api)


def _one(found: Object | None) -> list[Object]:
    return [found] if found else []
