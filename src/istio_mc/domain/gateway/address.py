"""Addresses of east-west gateways: which one the other clusters take, and what must be open for them.

istiod takes the LoadBalancer's addresses and `spec.externalIPs` of a gateway's Service; and a Gateway of
class `istio-remote`, which it reads from its own cluster only, so that a cluster's stands in every other
one (pilot/pkg/serviceregistry/kube/controller/network.go, Istio 1.26.0).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain.istio.istiod import gateway_addresses
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT, STATUS_PORT
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Object, is_ours, labels_of
from istio_mc.domain.mesh import (
    CLUSTER_LABEL,
    EAST_WEST_GATEWAY,
    MANAGED_BY,
    NETWORK_LABEL,
    SYSTEM_NAMESPACE,
    Cluster,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from istio_mc.domain.observed import Observed

REMOTE_CLASS = "istio-remote"
_PROTOCOL_OPTION = "gateway.istio.io/listener-protocol"
_AUTO_PASSTHROUGH = "auto-passthrough"
_TYPES = frozenset({"IPAddress", "Hostname"})
_SHARED = ipaddress.ip_network("100.64.0.0/10")

_PURPOSES: Mapping[int, tuple[str, bool]] = {
    CROSS_NETWORK_PORT: ("requests from the other clusters (mTLS)", True),
    STATUS_PORT: ("health checks of load balancers and of istio-mc", True),
    80: ("ingress over HTTP, if this gateway is also an ingress", False),
    443: ("ingress over HTTPS, if this gateway is also an ingress", False),
    31400: ("ingress over TCP, if this gateway is also an ingress", False),
    15012: ("istiod for clusters without one: primary-remote only", False),
    15017: ("webhooks for clusters without an istiod: primary-remote only", False),
}
"""What each port of the guide's gateway is for, and whether a multi-primary mesh needs it.

Source: Istio's samples/multicluster/gen-eastwest-gateway.sh and its multi-primary guide (1.26.0).
"""


@dataclass(frozen=True, slots=True)
class Port:
    """One port of a gateway's Service, as a load balancer or firewall in front of it is set up.

    Attributes:
        node_port: Where each node takes it; None: nowhere.
    """

    name: str
    port: int
    protocol: str
    node_port: int | None
    purpose: str
    needed: bool


@dataclass(frozen=True, slots=True)
class RemoteGateway:
    """A Gateway of class `istio-remote` that stands for a cluster in another one."""

    context: str
    name: str
    addresses: tuple[str, ...]
    ours: bool


def ports(service: Object) -> tuple[Port, ...]:
    """A gateway's ports, those first that multi-primary needs."""
    result = []
    for entry in service["spec"].get("ports") or []:
        purpose, needed = _PURPOSES.get(entry["port"], ("not used by the mesh", False))
        result.append(
            Port(
                entry.get("name", ""),
                entry["port"],
                entry.get("protocol", "TCP"),
                entry.get("nodePort"),
                purpose,
                needed,
            )
        )
    return tuple(sorted(result, key=lambda port: (not port.needed, -port.port if port.needed else 0)))


def why_unreachable(text: str) -> str | None:
    """Why another provider's cluster may not reach an IP address, or None."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.version == _SHARED.version and address in _SHARED:
        return "shared address space of carriers (100.64.0.0/10), not reachable from outside"
    if address.is_private:
        return "private: reachable only if the clusters' networks are connected, for example by VPN"
    return None


def is_ip(text: str) -> bool:
    """Whether an address is an IP address and no host name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def remote_gateway_name(cluster_id: str) -> str:
    """Name of the Gateway that stands for a cluster in the others."""
    return f"{REMOTE_CLASS}-{cluster_id}"


def remote_gateway(cluster: Cluster, addresses: Sequence[str]) -> Object:
    """The Gateway by which another cluster's istiod learns a cluster's addresses.

    Nothing is deployed for it. An address without a type is passed over by istiod, and so is a listener
    that does not pass TLS through by SNI.
    """
    return {
        "apiVersion": objects.KUBERNETES_GATEWAY.api_version,
        "kind": objects.KUBERNETES_GATEWAY.kind,
        "metadata": {
            "name": remote_gateway_name(cluster.cluster_id),
            "namespace": SYSTEM_NAMESPACE,
            "labels": {**MANAGED_BY, NETWORK_LABEL: cluster.network, CLUSTER_LABEL: cluster.cluster_id},
        },
        "spec": {
            "gatewayClassName": REMOTE_CLASS,
            "addresses": [
                {"type": "IPAddress" if is_ip(address) else "Hostname", "value": address}
                for address in addresses
            ],
            "listeners": [
                {
                    "name": "cross-network",
                    "port": CROSS_NETWORK_PORT,
                    "protocol": "TLS",
                    "tls": {"mode": "Passthrough", "options": {_PROTOCOL_OPTION: _AUTO_PASSTHROUGH}},
                }
            ],
        },
    }


def is_our_gateway(gateway: Object) -> bool:
    """Whether a Gateway is one of class `istio-remote` that this tool wrote."""
    return is_ours(gateway) and gateway["spec"].get("gatewayClassName") == REMOTE_CLASS


def managed_gateway(cluster_id: str, observed: Observed) -> Object | None:
    """The Gateway this tool wrote into a cluster for another one."""
    gateway = observed.find(objects.KUBERNETES_GATEWAY, remote_gateway_name(cluster_id))
    return gateway if gateway and is_our_gateway(gateway) else None


def accepted_addresses(network: str, gateway: Object) -> tuple[str, ...]:
    """The addresses istiod takes from a Gateway for a network; none where it passes the Gateway over."""
    labels = labels_of(gateway)
    spec = gateway["spec"]
    if spec.get("gatewayClassName") != REMOTE_CLASS or labels.get(NETWORK_LABEL) != network:
        return ()
    if not any(_passes(listener) for listener in spec.get("listeners") or []):
        return ()
    return tuple(entry["value"] for entry in spec.get("addresses") or [] if entry.get("type") in _TYPES)


def _passes(listener: Object) -> bool:
    tls = listener.get("tls")
    if tls is None:
        return False
    options = tls.get("options") or {}
    # In a Gateway that has the network's label, Istio's own port passes through without the option too.
    return options.get(_PROTOCOL_OPTION) == _AUTO_PASSTHROUGH or listener.get("port") == CROSS_NETWORK_PORT


def remote_gateways(
    context: str, cluster: Cluster, gateways: Mapping[str, Iterable[Object]]
) -> tuple[RemoteGateway, ...]:
    """The Gateways that stand for a cluster in the others."""
    return tuple(
        RemoteGateway(name, gateway["metadata"]["name"], addresses, is_our_gateway(gateway))
        for name, of_cluster in gateways.items()
        if name != context
        for gateway in of_cluster
        if (addresses := accepted_addresses(cluster.network, gateway))
    )


def is_everywhere(gateways: Iterable[RemoteGateway], others: Iterable[str]) -> bool:
    """Whether every other cluster, of which there must be one, has a Gateway for the cluster."""
    others = set(others)
    return bool(others) and others <= {one.context for one in gateways}


def unique(gateways: Iterable[RemoteGateway]) -> tuple[str, ...]:
    """Their addresses, each once."""
    return tuple(dict.fromkeys(address for one in gateways for address in one.addresses))


def external_ips(observed: Observed | None) -> tuple[str, ...]:
    """What stands in the gateway Service's `spec.externalIPs`."""
    service = observed.find(objects.SERVICE, EAST_WEST_GATEWAY) if observed else None
    return tuple((service or {}).get("spec", {}).get("externalIPs") or ())


def used_addresses(context: str, cluster: Cluster, observed: Mapping[str, Observed]) -> tuple[str, ...]:
    """The addresses at which the other clusters call a cluster's gateway.

    Those of its Service, which istiod prefers; where it has none, and every other cluster that answered
    has a Gateway that stands for it, that Gateway's.
    """
    live = observed.get(context)
    if live and (own := gateway_addresses(live.find(objects.SERVICE, EAST_WEST_GATEWAY))):
        return own
    gateways = remote_gateways(context, cluster, kubernetes_gateways(observed))
    return unique(gateways) if is_everywhere(gateways, observed.keys() - {context}) else ()


def kubernetes_gateways(observed: Mapping[str, Observed]) -> dict[str, list[Object]]:
    """The Gateway API's Gateways of each cluster's istio-system."""
    return {name: cluster.of(objects.KUBERNETES_GATEWAY) for name, cluster in observed.items()}


def desired_remote_gateways(
    context: str, clusters: Mapping[str, Cluster], observed: Mapping[str, Observed]
) -> list[Object]:
    """The Gateways that istio-mc keeps in a cluster for the others, as found in it or in another cluster.

    They are recorded only in the clusters: a cluster that joins gets those that the others have.
    """
    desired = []
    held = {holder: live for holder, live in observed.items() if live.of(objects.KUBERNETES_GATEWAY)}
    for name, cluster in clusters.items():
        if name == context:
            continue
        holders = [context, *(other for other in held if other not in (context, name))]
        for holder in holders:
            live = held.get(holder)
            gateway = managed_gateway(cluster.cluster_id, live) if live else None
            if gateway and (
                addresses := [entry["value"] for entry in gateway["spec"].get("addresses") or []]
            ):
                desired.append(remote_gateway(cluster, addresses))
                break
    return desired
