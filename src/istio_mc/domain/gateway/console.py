"""What is entered in a cloud's console for a gateway: load balancers, NAT, firewall rules. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.gateway.address import Port
    from istio_mc.domain.kube.objects import Object

PUBLIC_IP = "PUBLIC-IP"
_ANYWHERE = "0.0.0.0/0"
_HTTPS = 443


class Cloud(StrEnum):
    """The clouds of the guide, and any other."""

    KT = "kt"
    NCLOUD = "ncloud"
    NHN = "nhn"
    OTHER = "other"


class _Words(NamedTuple):
    """What a cloud calls things.

    Attributes:
        firewall: Where the rules of a load balancer and of nodes are entered.
        api: Where access to the API server is restricted.
    """

    name: str
    firewall: str
    api: str
    signs: tuple[str, ...] = ()


WORDS: Mapping[Cloud, _Words] = {
    Cloud.NHN: _Words(
        "NHN Cloud", "Security group, ingress", "access control of the endpoint", ("nhn", "toast.com")
    ),
    Cloud.NCLOUD: _Words(
        "Naver Cloud", "ACG, inbound", "IP ACL of the cluster", ("ncloud", "ntruss", "ncp-iam", "nks_kr")
    ),
    Cloud.KT: _Words("KT Cloud", "Firewall", "Firewall", ("kt", "k2p", "ktcloud")),
    Cloud.OTHER: _Words("the cloud", "Firewall", "access control of the API server"),
}
"""The signs are looked for in this order: in the names of a kubeconfig: `nhncloud` is not Naver's."""


class Screen(NamedTuple):
    """One screen of a console: what is entered, a row for each entry."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Peer(NamedTuple):
    """Another cluster that calls the gateway.

    Attributes:
        addresses: From which it calls, as far as its nodes say.
    """

    context: str
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.addresses) or f"NAT address of the nodes of {self.context}"


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster, as far as its console is concerned.

    Attributes:
        addresses: At which its gateway is called.
        balanced: Whether its cloud makes load balancers for Services.
        nodes: The addresses of its nodes in their own network.
        server: The URL of its API server.
    """

    context: str
    cluster_id: str
    cloud: Cloud
    addresses: tuple[str, ...]
    balanced: bool
    ports: tuple[Port, ...]
    nodes: tuple[str, ...]
    peers: tuple[Peer, ...]
    server: str

    @property
    def public(self) -> str:
        """The address to enter; a placeholder where there is none yet."""
        return ", ".join(self.addresses) or PUBLIC_IP


def cloud_of(*texts: str) -> Cloud:
    """The cloud of a cluster, by what its kubeconfig calls it."""
    words = " ".join(texts).lower()
    for cloud, named in WORDS.items():
        if any(_is_in(sign, words) for sign in named.signs):
            return cloud
    return Cloud.OTHER


def _is_in(sign: str, words: str) -> bool:
    """Whether a sign is there; one of two letters, as a word."""
    if len(sign) > len("kt"):
        return sign in words
    return sign in "".join(one if one.isalnum() else " " for one in words).split()


def node_addresses(nodes: Iterable[Object], kind: str) -> tuple[str, ...]:
    """The addresses of nodes of a kind, such as `InternalIP`."""
    return tuple(
        entry["address"]
        for node in nodes
        for entry in (node.get("status") or {}).get("addresses") or []
        if entry.get("type") == kind
    )


def screens(site: Site) -> list[Screen]:
    """What is entered, in the order of the guide: load balancers, public IP and NAT, firewall, API server."""
    words = WORDS[site.cloud]
    found = [_made_by_the_cloud(site)] if site.balanced else [_load_balancers(site), _nat(site)]
    found.append(_firewall(site, words.firewall))
    if site.server:
        found.append(_api_server(site, words.api))
    return found


def _required(port: Port) -> str:
    return "required" if port.needed else "only for ingress" if port.port in _INGRESS else "not needed"


_INGRESS = frozenset({80, 443, 31400})


def _offered(site: Site) -> list[Port]:
    """The ports that are of use in a mesh of several primaries."""
    return [port for port in site.ports if port.needed or port.port in _INGRESS]


def _load_balancers(site: Site) -> Screen:
    servers = ", ".join(site.nodes) or "every node"
    rows = tuple(
        (
            f"{site.cluster_id}-{port.port}",
            port.protocol,
            str(port.port),
            servers,
            str(port.node_port or "-"),
            port.protocol,
            _required(port),
        )
        for port in _offered(site)
    )
    columns = ("NAME", "PROTOCOL", "PORT", "SERVERS", "SERVER PORT", "HEALTH CHECK", "IN THE MESH")
    note = "one for each port; all of them with the same address, if the console offers that"
    return Screen("Load balancers", note, columns, rows)


def _nat(site: Site) -> Screen:
    row = (site.public, "address of the load balancers", "static, one to one")
    return Screen("Public IP and static NAT", "", ("PUBLIC IP", "PRIVATE ADDRESS", "NAT"), (row,))


def _made_by_the_cloud(site: Site) -> Screen:
    rows = tuple(
        (site.public, port.protocol, str(port.port), str(port.node_port or "-"), _required(port))
        for port in _offered(site)
    )
    columns = ("ADDRESS", "PROTOCOL", "PORT", "NODE PORT", "IN THE MESH")
    return Screen(
        "Load balancer", "the cloud makes it for the Service: compare, enter nothing", columns, rows
    )


def _firewall(site: Site, title: str) -> Screen:
    callers = "; ".join(map(str, site.peers)) or "the other clusters"
    rows = []
    for port in _offered(site):
        source = callers if port.needed else _ANYWHERE
        rows.append(
            (source, site.public, port.protocol, str(port.port), str(port.node_port or "-"), _required(port))
        )
    columns = ("SOURCE", "DESTINATION", "PROTOCOL", "PORT", "NODE PORT", "IN THE MESH")
    note = (
        "a rule that is for the nodes instead of the address has the node port; "
        "15021 also from the load balancer and from where istio-mc runs"
    )
    return Screen(title, note, columns, tuple(rows))


def _api_server(site: Site, title: str) -> Screen:
    url = urlsplit(site.server)
    port = url.port or (_HTTPS if url.scheme == "https" else 80)
    rows = tuple((str(peer), url.hostname or "", "TCP", str(port)) for peer in site.peers)
    note = "istiods of the other clusters read this API server"
    return Screen(f"API server: {title}", note, ("SOURCE", "DESTINATION", "PROTOCOL", "PORT"), rows)
