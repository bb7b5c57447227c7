"""One cluster as it was found: plain objects, and what they say of its part in a mesh."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain import objects
from istio_mc.domain.mesh import CLUSTER_LABEL, EAST_WEST_GATEWAY, MESH_LABEL, NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.objects import Kind, Object, Ref, labels_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Observed:
    """One cluster as it was found.

    Attributes:
        version: The API server's version, such as `v1.32.3`.
        objects: All that matters to the mesh, by reference.
        gateway_api: Whether the Gateway API's CRDs are there.
        ahead_s: How many seconds its API server's clock is ahead of this machine's; None: it does not tell.
    """

    version: str
    objects: Mapping[Ref, Object] = field(repr=False)
    gateway_api: bool = False
    ahead_s: float | None = None

    def of(self, kind: Kind) -> list[Object]:
        """All objects of a kind that were found."""
        named = (kind.api_version.rpartition("/")[0], kind.kind)
        return [item for ref, item in self.objects.items() if (ref.group, ref.kind) == named]

    def find(self, kind: Kind, name: str) -> Object | None:
        """One object of istio-system, or a cluster-wide one."""
        namespace = SYSTEM_NAMESPACE if kind.namespaced else None
        group = kind.api_version.rpartition("/")[0]
        return self.objects.get(Ref(group, kind.kind, namespace, name))

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of istio-system; none where there is no such namespace."""
        found = self.find(objects.NAMESPACE, SYSTEM_NAMESPACE)
        return labels_of(found)

    @property
    def mesh_id(self) -> str | None:
        """The mesh this cluster is a member of, as the label says."""
        return self.labels.get(MESH_LABEL)

    @property
    def network(self) -> str | None:
        """The network it already has: the namespace's label, else the east-west gateway's."""
        return self.labels.get(NETWORK_LABEL) or self.gateway_network

    @property
    def gateway_network(self) -> str | None:
        """The network that the label of the east-west gateway's Service names."""
        return labels_of(self.find(objects.SERVICE, EAST_WEST_GATEWAY)).get(NETWORK_LABEL)

    @property
    def cluster_id(self) -> str | None:
        """The cluster ID it already has: our label's, else what its istiod runs under."""
        if found := self.labels.get(CLUSTER_LABEL):
            return found
        for deployment in self.istiods:
            if found := objects.environment(deployment).get("CLUSTER_ID"):
                return found
        return None

    @property
    def istiods(self) -> list[Object]:
        """The control planes' Deployments, of whatever revision."""
        return [item for item in self.of(objects.DEPLOYMENT) if labels_of(item).get("app") == "istiod"]
