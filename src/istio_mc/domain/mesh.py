"""The mesh as it shall be: clusters with their cluster ID, network and addresses, and what they share."""

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


def injection_labels(revision: str | None) -> dict[str, str]:
    """The label of a Namespace for injection: by the revision where one is named, else by the default."""
    return {"istio.io/rev": revision} if revision else {"istio-injection": "enabled"}


@dataclass(frozen=True, slots=True)
class ApiServer:
    """How the other clusters' istiods reach a cluster's API server.

    Attributes:
        ca_data: PEM of the CA its certificate is checked with; None: the one its own service accounts get.
        tls_server_name: Name looked for in its certificate, where that is not the host of the URL.
    """

    server: str
    ca_data: bytes | None = field(default=None, repr=False)
    tls_server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster of the mesh.

    Attributes:
        context: Name of its context in the merged kubeconfig; what people call it.
        cluster_id: Its ID in Istio, a DNS-1123 label.
        api_server: Where the other clusters' istiods reach it.
        gateway_addresses: Addresses to put on its gateway Service as `externalIPs`; none: its
            LoadBalancer gives one.
        values: IstioOperator values that differ from the mesh's.
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
    """What all clusters share.

    Attributes:
        version: Istio's version, such as `1.26.0`.
        revision: Control-plane revision; empty for the default one.
        hub: Registry of Istio's images; None: what istioctl was built with.
        tag: Tag of Istio's images; None likewise.
    """

    mesh_id: str
    version: str
    revision: str = ""
    hub: str | None = None
    tag: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def istiod(self) -> str:
        """Name of istiod's Deployment and Service under this revision."""
        return f"istiod-{self.revision}" if self.revision else "istiod"
