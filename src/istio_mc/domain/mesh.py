"""The desired mesh: clusters with their cluster ID, network and addresses, and what they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_NAMESPACE = "istio-system"
NETWORK_LABEL = "topology.istio.io/network"
MESH_LABEL = "istio-mc/mesh-id"
CLUSTER_LABEL = "istio-mc/cluster-id"
MANAGED_BY = {"app.kubernetes.io/managed-by": "istio-mc"}
EAST_WEST_GATEWAY = "istio-ingressgateway"
"""Name of the gateway that joins the networks: the guide's one gateway is ingress and east-west in one."""

READER_SERVICE_ACCOUNT = "istio-reader-service-account"
CROSS_NETWORK_GATEWAY = "cross-network-gateway"
REVISION_LABEL = "istio.io/rev"
TAG_LABEL = "istio.io/tag"
COMPONENT_LABEL = "operator.istio.io/component"
OWNER_LABEL = "install.operator.istio.io/owning-resource"
OWNER_NAMESPACE_LABEL = "install.operator.istio.io/owning-resource-namespace"
UPGRADE_RECORD = "istio-mc-upgrade"
"""Name of the ConfigMap with what a cluster had before its upgrade."""


def injection_labels(revision: str | None) -> dict[str, str]:
    """The label of a Namespace for injection: by the revision where one is named, else by the default."""
    return {REVISION_LABEL: revision} if revision else {"istio-injection": "enabled"}


def istiod_of(revision: str) -> str:
    """Name of istiod's Deployment and Service under a revision; empty is the one without a name."""
    return f"istiod-{revision}" if revision else "istiod"


def revision_label(revision: str) -> str:
    """The value of the label of what belongs to a revision; empty is the one without a name."""
    return revision or "default"


def revision_of_label(value: str) -> str:
    """The inverse of `revision_label`."""
    return "" if value == "default" else value


@dataclass(frozen=True, slots=True)
class ApiServer:
    """How the other clusters' istiods reach a cluster's API server.

    Attributes:
        ca_data: PEM of the CA its certificate is checked with; None: the one its own service accounts get.
    """

    server: str
    ca_data: bytes | None = field(default=None, repr=False)
    tls_server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster of the mesh.

    Attributes:
        context: Name of its context in the merged kubeconfig; what people call it.
        gateway_addresses: Addresses to put on its gateway Service as `externalIPs`; none: its
            LoadBalancer gives one.
        reader: Its ServiceAccount whose token the other clusters' istiods read it with.
        kubeconfig_folder: Where its istiod reads kubeconfigs of the others, instead of remote secrets; empty:
            it reads remote secrets.
    """

    context: str
    cluster_id: str
    network: str
    api_server: ApiServer
    gateway_addresses: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    reader: str = READER_SERVICE_ACCOUNT
    kubeconfig_folder: str = ""


@dataclass(frozen=True, slots=True)
class Mesh:
    """What all clusters share."""

    mesh_id: str
    version: str
    revision: str = ""
    hub: str | None = None
    tag: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def istiod(self) -> str:
        """Name of istiod's Deployment and Service under this revision."""
        return istiod_of(self.revision)
