"""What the options of `address` request of gateways' addresses, checked without a cluster. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from istio_mc.domain.gateway import address, metallb
from istio_mc.domain.gateway.changes import Via
from istio_mc.domain.hint import istio_mc
from istio_mc.domain.hosts import address_fault
from istio_mc.domain.problem import Code, InputError, Problem
from istio_mc.domain.settings.flags import PEERS, POOL, SET_ADDRESS, parse_assignments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from istio_mc.domain.settings.flags import AssignedOption


T = TypeVar("T")


class MetalLBWords(NamedTuple):
    """The options for MetalLB, as they were given."""

    pools: Sequence[str] = ()
    announce: str | None = None
    peers: Sequence[str] = ()
    asn: int | None = None


@dataclass(frozen=True, slots=True)
class AddressOptions:
    """What the user wants of the addresses.

    Attributes:
        set: The addresses by context; none where MetalLB chooses one.
        through_metallb: What MetalLB is to do, by context; of `Via.METALLB` only.
    """

    set: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    via: Via = Via.EXTERNAL_IP
    unset: tuple[str, ...] = ()
    through_metallb: Mapping[str, metallb.Request] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether the user only looks."""
        return not (self.set or self.unset)

    def request(self, context: str) -> metallb.Request:
        """What MetalLB is to do in a cluster."""
        return self.through_metallb.get(context) or metallb.Request(self.set[context])


def parse_options(
    to_set: Sequence[str], via: str | None, to_unset: Sequence[str], words: MetalLBWords | None = None
) -> AddressOptions:
    """What the options say, checked as far as they can be without looking at a cluster.

    Raises:
        InputError: With every fault of theirs.
    """
    faults: list[Problem] = []
    words = words or MetalLBWords()
    way = Via.EXTERNAL_IP
    try:
        way = Via(via or way)
    except ValueError:
        faults.append(option(f"--via: {via!r} is not one of {', '.join(Via)}"))
    found: dict[str, tuple[str, ...]] = {}
    for context, text in parse_assignments(to_set, SET_ADDRESS).items():
        found[context] = tuple(part.strip() for part in text.split(","))
        faults += [
            option(f"--set: {one!r} {why}", context) for one in found[context] if (why := address_fault(one))
        ]
        faults += refused_by(way, context, found[context])
    requests = _requests(words, way, found, faults)
    found |= {context: () for context in requests if context not in found}
    if via and not found:
        faults.append(option(f"--via requires --set{' or --pool' if way is Via.METALLB else ''}"))
    faults += [option(f"--set and --unset both name {one}", one) for one in found if one in to_unset]
    if faults:
        raise InputError(*faults)
    return AddressOptions(found, way, tuple(dict.fromkeys(to_unset)), requests)


def _requests(
    words: MetalLBWords, way: Via, addresses: Mapping[str, tuple[str, ...]], faults: list[Problem]
) -> dict[str, metallb.Request]:
    """What MetalLB is to do, by context; faults of the options are appended."""
    given = {"--pool": words.pools, "--announce": words.announce, "--peer": words.peers, "--asn": words.asn}
    used = [name for name, value in given.items() if value]
    if way is not Via.METALLB:
        faults += [option(f"{name} requires --via metallb") for name in used]
        return {}
    announce = _announce(words, faults)
    pools = _each(words.pools, POOL, _range, faults)
    peers = _each(words.peers, PEERS, metallb.peer_of, faults)
    faults += [
        option(f"--peer names {one}, and neither --set nor --pool does", one)
        for one in peers
        if one not in {*addresses, *pools}
    ]
    asn = metallb.DEFAULT_ASN if words.asn is None else words.asn
    if not metallb.is_asn(asn):
        faults.append(option(f"--asn: {asn} is not the number of an autonomous system"))
    found = {}
    for context in dict.fromkeys([*addresses, *pools]):
        request = metallb.Request(
            addresses.get(context, ()), pools.get(context, ()), announce, peers.get(context, ()), asn
        )
        found[context] = request
        faults += _outside(context, request)
    return found


def _announce(words: MetalLBWords, faults: list[Problem]) -> metallb.Announce | None:
    try:
        announce = metallb.Announce(words.announce) if words.announce else None
    except ValueError:
        announce = None
        faults.append(option(f"--announce: {words.announce!r} is not one of {', '.join(metallb.Announce)}"))
    else:
        if announce is not metallb.Announce.BGP:
            names = {"--peer": words.peers, "--asn": words.asn}
            faults += [option(f"{name} requires --announce bgp") for name, value in names.items() if value]
    return announce


def _each(
    texts: Sequence[str], named: AssignedOption, read: Callable[[str], T], faults: list[Problem]
) -> dict[str, tuple[T, ...]]:
    """The values of an option by context, each of them read."""
    found: dict[str, tuple[T, ...]] = {}
    for context, text in parse_assignments(texts, named).items():
        values = []
        for part in text.split(","):
            try:
                values.append(read(part.strip()))
            except ValueError:
                faults.append(
                    option(f"{named.name}: {part.strip()!r} is not of the form {named.example}", context)
                )
        found[context] = tuple(values)
    return found


def _range(text: str) -> str:
    metallb.range_of(text)
    return text


def _outside(context: str, request: metallb.Request) -> list[Problem]:
    """The address of a gateway that its own pool does not have."""
    if not (request.addresses and request.ranges):
        return []
    pool = {"spec": {"addresses": request.ranges}}
    alone = metallb.Request(request.addresses)
    try:
        has_it = metallb.contains(pool, alone.needed)
    except ValueError:
        return []  # reported of --set
    if has_it:
        return []
    return [
        Problem(
            code=Code.ADDRESS_NOT_IN_POOL,
            cluster=context,
            message=f"--set: {', '.join(request.addresses)} is not in the pool that --pool gives {context}",
            seen=", ".join(request.ranges),
            expected="an address of the pool",
        )
    ]


def refused_by(way: Via, context: str, addresses: Sequence[str]) -> list[Problem]:
    """Addresses that a way cannot give."""
    hosts = [one for one in addresses if not address.is_ip(one) and not address_fault(one)]
    if way is not Via.GATEWAY and hosts:
        return [
            Problem(
                code=Code.OPTION_MALFORMED,
                cluster=context,
                message=f"--set: --via {way} accepts only IP addresses",
                seen=", ".join(hosts),
                expected="an IP address, or an option that accepts host names",
                hint=istio_mc("address", "--set", f"{context}={','.join(addresses)}", "--via", "gateway"),
            )
        ]
    if way is Via.METALLB and len(addresses) > 1:
        return [option("--set: --via metallb accepts only one address (spec.loadBalancerIP)", context)]
    return []


def option(message: str, cluster: str | None = None) -> Problem:
    """An option that cannot be used."""
    return Problem(code=Code.OPTION_MALFORMED, message=message, cluster=cluster)
