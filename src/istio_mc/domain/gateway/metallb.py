"""MetalLB's objects for a gateway: pool and announcement, those of istio-mc and those of others. Pure."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.diff import differences
from istio_mc.domain.kube.objects import (
    Kind,
    Object,
    annotations_of,
    is_ours,
    kind_of,
    labels_of,
    ref_of,
    selects,
)
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, MANAGED_BY
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from istio_mc.domain.hint import Command, Hint

NAMESPACE = "metallb-system"
POOL_CRD = "ipaddresspools.metallb.io"
KINDS = (
    objects.BGP_ADVERTISEMENT,
    objects.L2_ADVERTISEMENT,
    objects.BGP_PEER,
    objects.IP_ADDRESS_POOL,
)
"""The kinds that are written for a gateway, in the order in which they are removed."""
_SHOWN = 5
DEFAULT_ASN = 64512
_HIGHEST_ASN = 2**32 - 1

Range = tuple[int, int, int]
"""IP version, first and last address as numbers."""


class Announce(StrEnum):
    """How MetalLB announces the addresses of a pool."""

    L2 = "l2"
    BGP = "bgp"


_ADVERTISEMENTS = {Announce.L2: objects.L2_ADVERTISEMENT, Announce.BGP: objects.BGP_ADVERTISEMENT}


class Peer(NamedTuple):
    """A router that MetalLB's speakers connect to."""

    address: str
    asn: int


@dataclass(frozen=True, slots=True)
class Request:
    """What a gateway gets from MetalLB.

    Attributes:
        addresses: The address of the gateway; empty: MetalLB chooses one of the pool.
        ranges: What the pool has; empty: the address alone.
        announce: How the pool is announced; None: as it is now.
        peers: The routers of `bgp`; empty: those that the cluster has.
        asn: The cluster's own AS number.
    """

    addresses: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    announce: Announce | None = None
    peers: tuple[Peer, ...] = ()
    asn: int = DEFAULT_ASN

    @property
    def needed(self) -> tuple[str, ...]:
        """What a pool must have to serve the request."""
        return self.ranges or tuple(f"{one}/{128 if ':' in one else 32}" for one in self.addresses)

    @property
    def pool(self) -> Object:
        """The pool; of one address, it is for the gateway alone, as the guide has it (MetalLB 0.14.8)."""
        spec = {"addresses": [*self.needed], "autoAssign": bool(self.ranges)}
        return _ours(objects.IP_ADDRESS_POOL, EAST_WEST_GATEWAY, spec)


@dataclass(frozen=True, slots=True)
class MetalLB:
    """MetalLB's objects in a cluster, of the kinds that are written for a gateway."""

    items: tuple[Object, ...] = field(default=(), repr=False)

    def of(self, kind: Kind) -> list[Object]:
        """The objects of a kind."""
        return [one for one in self.items if kind_of(one) == kind]

    @property
    def pool(self) -> Object | None:
        """The pool of the gateway's name."""
        pools = self.of(objects.IP_ADDRESS_POOL)
        return next((one for one in pools if one["metadata"]["name"] == EAST_WEST_GATEWAY), None)

    def pool_with(self, texts: Sequence[str]) -> Object | None:
        """The pool that has all of these addresses or ranges."""
        return next((one for one in self.of(objects.IP_ADDRESS_POOL) if contains(one, texts)), None)

    def announced_by(self, pool: Object) -> list[Object]:
        """The advertisements of a pool."""
        found = [one for kind in _ADVERTISEMENTS.values() for one in self.of(kind)]
        return [one for one in found if _announces(one, pool)]


def documents(found: MetalLB, request: Request) -> list[tuple[Object, str]]:
    """What is to be applied, with the reasons; what serves already, whoever made it, is left alone."""
    pool = _serving(found, request)
    desired: list[tuple[Object, str]] = []
    if pool is None:
        pool = request.pool
        what = "pool with this address" if not request.ranges else f"pool of {', '.join(request.ranges)}"
        desired.append((pool, what))
    if request.announce is Announce.BGP:
        desired += [
            (_peer_document(one, request.asn), f"router {one.address}, AS {one.asn}")
            for one in request.peers
            if not _peers_at(found, one)
        ]
    if request.announce and not _is_announced(found, request, pool):
        desired.append(_advertisement(found, request, pool["metadata"]["name"]))
    live = {ref_of(one): one for one in found.items}
    wrong = {one.ref for one in differences([document for document, _ in desired], live)}
    return [(document, why) for document, why in desired if ref_of(document) in wrong]


def replaced(found: MetalLB, request: Request) -> list[tuple[Object, str]]:
    """What this tool wrote for another announcement, or for other routers, and is to be deleted."""
    if request.announce is None:
        return []
    other = next(kind for mode, kind in _ADVERTISEMENTS.items() if mode is not request.announce)
    gone = [(one, f"announced by {request.announce} instead") for one in found.of(other) if is_ours(one)]
    keeps = {peer_name(one) for one in request.peers} if request.announce is Announce.BGP else set()
    if request.announce is Announce.BGP and not request.peers:
        return gone
    peers = [one for one in found.of(objects.BGP_PEER) if is_ours(one)]
    return gone + [(one, "no longer a router of it") for one in peers if one["metadata"]["name"] not in keeps]


def ours(found: MetalLB) -> list[Object]:
    """What this tool wrote, in the order in which it is removed."""
    return [one for kind in KINDS for one in found.of(kind) if is_ours(one)]


def problems(found: MetalLB, request: Request, context: str) -> list[Problem]:
    """Why a request cannot be served: pools of others, or the pool that istio-mc made, stand in the way."""
    pool = _serving(found, request)
    if pool is None:
        own = found.pool
        taken = [
            one
            for one in found.of(objects.IP_ADDRESS_POOL)
            if not is_ours(one) and (one is own or _overlaps(one, request.needed))
        ]
        if taken:
            return [_pool_of_others(taken[0], request, context)]
        if own and not request.ranges and own["spec"].get("autoAssign"):
            return [_outside(own, request, context)]
        pool = request.pool
    return _announce_problems(found, request, pool, context)


def _announce_problems(found: MetalLB, request: Request, pool: Object, context: str) -> list[Problem]:
    if request.announce is None or _is_announced(found, request, pool):
        return []
    if request.announce is Announce.BGP and not request.peers and not found.of(objects.BGP_PEER):
        return [
            Problem(
                code=Code.NO_BGP_PEER,
                cluster=context,
                message=f"{context} has no router to announce addresses to",
                seen="no BGPPeer, and no --peer",
                expected="a router of the nodes' network and its AS number",
                hint=Advice(f"add --peer {context}=ROUTER@ASN"),
            )
        ]
    theirs = [
        one
        for one in found.of(_ADVERTISEMENTS[request.announce])
        if one["metadata"]["name"] == EAST_WEST_GATEWAY and not is_ours(one)
    ]
    return [_advertisement_of_others(one, pool, context) for one in theirs]


def _serving(found: MetalLB, request: Request) -> Object | None:
    """The pool that serves a request unchanged; ours only if its ranges are those requested, or none are."""
    pool = found.pool_with(request.needed)
    if pool is None or (is_ours(pool) and request.ranges and pool["spec"] != request.pool["spec"]):
        return None
    return pool


def _is_announced(found: MetalLB, request: Request, pool: Object) -> bool:
    """Whether others announce a pool in the requested way."""
    kind = _ADVERTISEMENTS.get(request.announce) if request.announce else None
    theirs = [one for one in found.announced_by(pool) if kind_of(one) == kind and not is_ours(one)]
    return any(not (request.peers and one["spec"].get("peers")) for one in theirs)


def _announces(advertisement: Object, pool: Object) -> bool:
    """Whether an advertisement is for a pool: by name, by label, or because it is for all."""
    spec = advertisement.get("spec") or {}
    names, by_label = spec.get("ipAddressPools") or [], spec.get("ipAddressPoolSelectors") or []
    if not (names or by_label):
        return True
    labels = labels_of(pool)
    return pool["metadata"]["name"] in names or any(selects(one, labels) for one in by_label)


def _advertisement(found: MetalLB, request: Request, pool: str) -> tuple[Object, str]:
    spec: Object = {"ipAddressPools": [pool]}
    if request.announce is Announce.L2:
        return (
            _ours(objects.L2_ADVERTISEMENT, EAST_WEST_GATEWAY, spec),
            "announced in the nodes' network by ARP or NDP",
        )
    names = [_peers_at(found, one) or peer_name(one) for one in request.peers]
    if names:
        spec["peers"] = names
    routers = ", ".join(one.address for one in request.peers) or "every BGPPeer"
    return _ours(objects.BGP_ADVERTISEMENT, EAST_WEST_GATEWAY, spec), f"announced by BGP to {routers}"


def _peers_at(found: MetalLB, peer: Peer) -> str:
    """The name of a BGPPeer of others for the same router; empty: there is none."""
    for one in found.of(objects.BGP_PEER):
        spec = one["spec"]
        if not is_ours(one) and (spec.get("peerAddress"), spec.get("peerASN")) == peer:
            return str(one["metadata"]["name"])
    return ""


def peer_name(peer: Peer) -> str:
    """The name of the BGPPeer for a router."""
    return f"{EAST_WEST_GATEWAY}-{ipaddress.ip_address(peer.address).exploded.replace(':', '-')}"


def _peer_document(peer: Peer, asn: int) -> Object:
    spec = {"myASN": asn, "peerASN": peer.asn, "peerAddress": peer.address}
    return _ours(objects.BGP_PEER, peer_name(peer), spec)


def _ours(kind: Kind, name: str, spec: Object) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(MANAGED_BY)}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


_FROM_POOL = ("metallb.io/ip-allocated-from-pool", "metallb.universe.tf/ip-allocated-from-pool")
"""The annotations with which MetalLB marks the Services that it serves (controller/service.go, 0.15.2)."""


class Served(NamedTuple):
    """A Service, and the address that it has from a pool."""

    service: Object
    address: str
    pool: Object

    def __str__(self) -> str:
        metadata = self.service["metadata"]
        return f"Service {metadata['namespace']}/{metadata['name']} {self.address}"


def served(services: Iterable[Object], pools: Iterable[Object]) -> tuple[Served, ...]:
    """The Services with an address of one of the pools; without its pool MetalLB takes an address back."""
    pools = tuple(pools)
    found = []
    for one in services:
        ingress = (one.get("status") or {}).get("loadBalancer", {}).get("ingress") or []
        if one["spec"].get("type") != "LoadBalancer" or not annotations_of(one).keys() & {*_FROM_POOL}:
            continue
        for address in (str(entry.get("ip") or "") for entry in ingress):
            if address and (pool := next((p for p in pools if contains(p, [_alone(address)])), None)):
                found.append(Served(one, address, pool))
                break
    return tuple(found)


def _alone(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


_MOST_COMMANDS = 3


def in_use(context: str, found: Sequence[Served]) -> Problem:
    """The problem of a removal while Services have their address from MetalLB."""
    steps = [_release(context, one) for one in found[:_MOST_COMMANDS]]
    first: Hint = replace(steps[0], then=tuple(steps[1:]))
    if len(found) > _MOST_COMMANDS:
        first = Advice("do the same for each of them: ", steps[0])
    return Problem(
        code=Code.ADDON_IN_USE,
        cluster=context,
        message=f"{context}: {plural(len(found), 'Service')} with an address from MetalLB",
        seen=few(map(str, found), _SHOWN),
        expected="no such Service: without MetalLB no node responds at its address any more",
        hint=first,
    )


def _release(context: str, found: Served) -> Command:
    """What takes the address from a Service: of the gateway all that `address` wrote for it."""
    metadata = found.service["metadata"]
    if metadata["name"] == EAST_WEST_GATEWAY and is_ours(found.pool):
        return istio_mc("address", "--unset", context, "--yes")
    patch = json.dumps({"spec": {"type": "NodePort"}})
    words = ("patch", "service", metadata["name"], "--type", "merge", "-p", patch)
    return kubectl(context, "-n", metadata["namespace"], *words)


def range_of(text: str) -> Range:
    """An address range as MetalLB reads it: `10.0.0.0/28`, `10.0.0.10-10.0.0.20`.

    Raises:
        ValueError: It is none.
    """
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not dash:
        if "/" not in text:
            raise ValueError(text)
        network = ipaddress.ip_network(text, strict=False)
        return network.version, int(network.network_address), int(network.broadcast_address)
    low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    if low.version != high.version or int(low) > int(high):
        raise ValueError(text)
    return low.version, int(low), int(high)


def peer_of(text: str) -> Peer:
    """A router as it is given: `10.0.0.1@64513`.

    Raises:
        ValueError: It is none.
    """
    address, _, asn = text.strip().rpartition("@")
    if not asn.isdecimal() or not is_asn(int(asn)):
        raise ValueError(text)
    return Peer(str(ipaddress.ip_address(address)), int(asn))


def is_asn(number: int) -> bool:
    """Whether a number can be that of an autonomous system."""
    return 0 < number <= _HIGHEST_ASN


def contains(pool: Object, texts: Iterable[str]) -> bool:
    """Whether a pool has all of these addresses or ranges; a range may not span two entries."""
    has = _ranges(pool)
    return all(any(_within(range_of(text), one) for one in has) for text in texts)


def _within(inner: Range, outer: Range) -> bool:
    return inner[0] == outer[0] and outer[1] <= inner[1] and inner[2] <= outer[2]


def _overlaps(pool: Object, texts: Iterable[str]) -> bool:
    required = [range_of(text) for text in texts]
    return any(
        one[0] == other[0] and one[1] <= other[2] and other[1] <= one[2]
        for one in _ranges(pool)
        for other in required
    )


def _ranges(pool: Object) -> list[Range]:
    found = []
    for text in pool.get("spec", {}).get("addresses") or []:
        try:
            found.append(range_of(str(text)))
        except ValueError:
            continue  # MetalLB rejects it too
    return found


def _shown(pool: Object) -> str:
    return ", ".join(map(str, pool.get("spec", {}).get("addresses") or []))


def _pool_of_others(pool: Object, request: Request, context: str) -> Problem:
    name = pool["metadata"]["name"]
    return Problem(
        code=Code.POOL_OF_OTHERS,
        cluster=context,
        message=f"{context}: IPAddressPool {name}, that istio-mc did not write, is in the way",
        seen=_shown(pool),
        expected=f"a pool with all of {', '.join(request.needed)}, or none with a part of it",
        hint=Advice(kubectl(context, "-n", NAMESPACE, "edit", "ipaddresspool", name)),
    )


def _outside(pool: Object, request: Request, context: str) -> Problem:
    (one,) = request.addresses
    return Problem(
        code=Code.ADDRESS_NOT_IN_POOL,
        cluster=context,
        message=f"{context}: {one} is not in the pool of the gateway",
        seen=_shown(pool),
        expected="an address of the pool, or other ranges by --pool",
        hint=Advice(
            "for example: ",
            istio_mc(
                "address", "--set", f"{context}={one}", "--via", "metallb", "--pool", f"{context}={one}/32"
            ),
        ),
    )


def _advertisement_of_others(item: Object, pool: Object, context: str) -> Problem:
    kind, name = item["kind"], item["metadata"]["name"]
    return Problem(
        code=Code.POOL_OF_OTHERS,
        cluster=context,
        message=f"{context}: {kind} {name}, that istio-mc did not write, is for other pools",
        seen=", ".join((item.get("spec") or {}).get("ipAddressPools") or []) or "pools by label",
        expected=str(pool["metadata"]["name"]),
        hint=Advice(kubectl(context, "-n", NAMESPACE, "edit", kind.lower(), name)),
    )
