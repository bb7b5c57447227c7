"""address: at which address each gateway is called, and three ways to give it one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.codes import Code
from istio_mc.domain.events import Event, State
from istio_mc.domain.gateway import address
from istio_mc.domain.gateway.changes import (
    METALLB_NAMESPACE,
    POOL_CRD,
    Action,
    Change,
    Live,
    Via,
    foreign,
    is_our_pool,
    pool,
    setting,
    unsetting,
)
from istio_mc.domain.hint import Advice, in_order, istio_mc, kubectl
from istio_mc.domain.hosts import address_fault
from istio_mc.domain.istio.istiod import gateway_addresses
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Object, kind_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE, Cluster
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.domain.settings.flags import SET_ADDRESS, parse_assignments
from istio_mc.gateways.host.dns import Resolved, resolve
from istio_mc.gateways.host.parallel import Failures, all_of
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.session import topology
from istio_mc.ops.session.istio_documents import missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session


_STEP = "address"
_RESOLVE_S = 5.0


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """One gateway's address, and what must be open before it.

    Attributes:
        service: Its gateway's Service; None: there is none.
        from_load_balancer: The addresses in the Service's status.
        external_ips: Those in its spec.
        standing: Gateways that stand for it in the other clusters.
        addresses: What the other clusters call; none: pending.
        resolved: What its host names resolve to on this machine.
    """

    cluster: Cluster
    service: Object | None = field(repr=False)
    from_load_balancer: tuple[str, ...]
    external_ips: tuple[str, ...]
    standing: tuple[address.Standing, ...]
    lacking: tuple[str, ...]
    addresses: tuple[str, ...]
    ports: tuple[address.Port, ...]
    resolved: tuple[Resolved, ...]

    def doubts(self) -> list[tuple[str, str]]:
        """Addresses the other clusters may not reach, and why."""
        return _doubts(self.addresses, self.resolved)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a mesh's addresses.

    Attributes:
        views: One for each of those that answered.
        without_metallb: Those that are to get an address from MetalLB, and have none.
    """

    live: Live
    shown: tuple[str, ...]
    views: Mapping[str, ClusterAddress]
    failures: Failures
    without_metallb: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AddressResult:
    """What was seen, and what was done about it.

    Attributes:
        look: How it is now; in a dry run, and where nothing was done, how it was.
        asked: Whether there was anything to do but to look.
        dry_run: Whether nothing was touched.
    """

    look: Look
    changes: tuple[Change, ...] = ()
    failures: Failures = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    asked: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user wants of the addresses.

    Attributes:
        set: New addresses, by context.
    """

    set: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    via: Via = Via.EXTERNAL_IP
    unset: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the user only looks."""
        return not (self.set or self.unset)


def wanted(to_set: Sequence[str], via: str | None, to_unset: Sequence[str]) -> Wanted:
    """What the options say, checked as far as they can be without looking at a cluster.

    Raises:
        InputError: With every fault of theirs.
    """
    faults: list[Problem] = []
    way = Via.EXTERNAL_IP
    try:
        way = Via(via or way)
    except ValueError:
        faults.append(option(f"--via: {via!r} is not one of {', '.join(Via)}"))
    if via and not to_set:
        faults.append(option("--via requires --set"))
    found: dict[str, tuple[str, ...]] = {}
    for context, text in parse_assignments(to_set, SET_ADDRESS).items():
        found[context] = tuple(part.strip() for part in text.split(","))
        faults += [
            option(f"--set: {one!r} {why}", context) for one in found[context] if (why := address_fault(one))
        ]
        faults += refused_by(way, context, found[context])
        if context in to_unset:
            faults.append(option(f"--set and --unset both name {context}", context))
    if faults:
        raise InputError(*faults)
    return Wanted(found, way, tuple(dict.fromkeys(to_unset)))


def look(session: Session, shown: Sequence[str] = (), want: Wanted | None = None) -> Look:
    """Reads the addresses of a mesh; changes nothing.

    Args:
        session: The run, with every member: others hold what stands for a cluster.
        shown: The contexts asked about; none: all.
        want: What the user wants, where what it needs is to be read too.

    Raises:
        InputError: The clusters' IDs or networks contradict the settings or each other.
    """
    through_metallb = want.set if want and want.via is Via.METALLB else {}

    def read(name: str) -> tuple[Observed, Object | None, bool]:
        kube = session.clusters.kubes[name]
        found = kube.get(objects.IP_ADDRESS_POOL, EAST_WEST_GATEWAY, METALLB_NAMESPACE)
        return observe(kube), found, name in through_metallb and not _has_metallb(kube)

    session.run.progress(Event(None, _STEP, State.STARTED, "looking at every cluster"))
    found, failed = session.clusters.each(read)
    observed = {name: one for name, (one, *_) in found.items()}
    clusters = topology.clusters_of(session.clusters.contexts, session.settings, observed)
    pools = {name: one for name, (_, one, _) in found.items() if one}
    without = frozenset(name for name, (*_, lacks_it) in found.items() if lacks_it)
    asked = tuple(name for name in session.clusters.names if name in shown or not shown)
    resolved = _resolved(session, _hosts(clusters, observed))
    session.run.progress(Event(None, _STEP, State.DONE))
    views = {name: _view(name, clusters, observed, resolved) for name in asked if name in observed}
    live = Live(clusters, observed, pools)
    return Look(live, asked, views, session.clusters.unusable | failed, without)


def _has_metallb(kube: Kube) -> bool:
    crd = kube.get(objects.CRD, POOL_CRD)
    return crd is not None and kube.get(objects.NAMESPACE, METALLB_NAMESPACE) is not None


def plan(seen: Look, want: Wanted) -> tuple[Change, ...]:
    """What is to be done.

    Args:
        seen: What was seen with that in mind.
        want: What the user wants.

    Raises:
        InputError: An option names a cluster that is no member.
        ProblemError: A cluster concerned does not answer, or lacks what the way needs.
    """
    _refuse_strangers(tuple(seen.live.clusters), want)
    if silent := [p for name in (*want.set, *want.unset) for p in seen.failures.get(name, ())]:
        raise ProblemError(*silent)
    faults = [fault for name in want.set for fault in lacks(seen, name, want.set[name], want.via)]
    if faults:
        raise ProblemError(*faults)
    changes: list[Change] = []
    for name, addresses in want.set.items():
        changes += setting(seen.live, name, addresses, want.via)
    for name in want.unset:
        changes += unsetting(seen.live, name)
    return tuple(changes)


def warnings(session: Session, seen: Look, want: Wanted) -> tuple[Problem, ...]:
    """What the user should know of what is wanted."""
    told = []
    resolved = _resolved(session, [text for addresses in want.set.values() for text in addresses])
    for name, addresses in want.set.items():
        looked_up = [resolved[text] for text in addresses if text in resolved]
        told += [doubtful(name, text, doubt) for text, doubt in _doubts(addresses, looked_up)]
        if want.via is Via.GATEWAY and (own := _own_addresses(seen.live, name)):
            told.append(eclipsed(name, own))
    for name in (*want.set, *want.unset):
        from_file = session.settings.cluster(name).gateway_addresses
        new = want.set.get(name, ()) if want.via is Via.EXTERNAL_IP else ()
        if from_file and from_file != new:
            told.append(said_otherwise(session, name, from_file))
    for name in (*want.unset, *(want.set if want.via is Via.GATEWAY else ())):
        own = _addresses_of(seen.live, name)
        if own and not _own_addresses(seen.live, name):
            told.append(remembered(seen.live, name, own))
    for name in want.unset:
        if left := foreign(seen.live, name):
            told.append(left_alone(name, left))
    return tuple(told)


def _resolved(session: Session, addresses: Iterable[str]) -> dict[str, Resolved]:
    """What host names among addresses resolve to on this machine, all looked up at once."""
    hosts = [text for text in dict.fromkeys(addresses) if not address.is_ip(text)]
    return all_of({host: partial(resolve, host, min(_RESOLVE_S, session.run.remaining_s)) for host in hosts})


def _doubts(addresses: Iterable[str], resolved: Iterable[Resolved]) -> list[tuple[str, str]]:
    resolved = tuple(resolved)
    numbers = [text for text in addresses if address.is_ip(text)]
    numbers += [text for one in resolved for text in one.addresses]
    found = [(text, doubt) for text in dict.fromkeys(numbers) if (doubt := address.reach_doubt(text))]
    return found + [(one.host, f"does not resolve here: {one.fault}") for one in resolved if one.fault]


def apply(session: Session, changes: Sequence[Change]) -> tuple[tuple[Change, ...], Failures]:
    """Does what was planned: clusters at once, each cluster's changes in their order.

    Returns:
        What was done, and clusters where something was not, and why.
    """
    done: list[Change] = []
    by_cluster: dict[str, list[Change]] = {}
    for change in changes:
        by_cluster.setdefault(change.context, []).append(change)

    def work(name: str) -> None:
        kube = session.clusters.kubes[name]
        for change in by_cluster[name]:
            with session.run.step(name, _STEP, str(change)):
                _do(kube, change)
                done.append(change)

    _, failures = session.clusters.each(work, by_cluster, step=_STEP)
    return tuple(change for change in changes if change in done), failures


def _do(kube: Kube, change: Change) -> None:
    document = change.document
    metadata = document["metadata"]
    if change.action is Action.APPLY:
        kube.apply(document)
    elif change.action is Action.PATCH:
        body = {key: document[key] for key in document.keys() - {"apiVersion", "kind", "metadata"}}
        kube.patch(kind_of(document), metadata["name"], metadata["namespace"], body)
    else:
        kube.delete(kind_of(document), metadata["name"], metadata["namespace"])


def _view(
    name: str,
    clusters: Mapping[str, Cluster],
    observed: Mapping[str, Observed],
    resolved: Mapping[str, Resolved],
) -> ClusterAddress:
    service = observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY)
    standing = address.standing(name, clusters[name], address.kubernetes_gateways(observed))
    external = address.external_ips(observed[name])
    addresses = address.seen_addresses(name, clusters[name], observed)
    holders = {one.context for one in standing}
    every = dict.fromkeys([*addresses, *gateway_addresses(service), *address.unique(standing)])
    return ClusterAddress(
        cluster=clusters[name],
        service=service,
        from_load_balancer=_from_load_balancer(service),
        external_ips=external,
        standing=standing,
        lacking=tuple(other for other in observed if other != name and other not in holders),
        addresses=addresses,
        ports=address.ports(service) if service else (),
        resolved=tuple(resolved[host] for host in every if host in resolved),
    )


def _from_load_balancer(service: Object | None) -> tuple[str, ...]:
    ingress = ((service or {}).get("status") or {}).get("loadBalancer", {}).get("ingress") or []
    return tuple(filter(None, (entry.get("ip") or entry.get("hostname") for entry in ingress)))


def _addresses_of(live: Live, name: str) -> tuple[str, ...]:
    """Addresses of a Service, by whomever."""
    status = _from_load_balancer(live.service(name))
    return tuple(dict.fromkeys([*status, *address.external_ips(live.observed[name])]))


def _own_addresses(live: Live, name: str) -> tuple[str, ...]:
    """Addresses of a Service that stay when those of ours are gone."""
    service = live.service(name)
    gone = {
        key for change in unsetting(live, name, but=Via.GATEWAY) for key in change.document.get("spec", {})
    }
    kept = () if "externalIPs" in gone else address.external_ips(live.observed[name])
    status = () if "loadBalancerIP" in gone else _from_load_balancer(service)
    return tuple(dict.fromkeys([*status, *kept]))


def _hosts(clusters: Mapping[str, Cluster], observed: Mapping[str, Observed]) -> list[str]:
    gateways = address.kubernetes_gateways(observed)
    found: dict[str, None] = {}
    for name, live in observed.items():
        service = live.find(objects.SERVICE, EAST_WEST_GATEWAY)
        standing = address.standing(name, clusters[name], gateways)
        found |= dict.fromkeys([*gateway_addresses(service), *address.unique(standing)])
    return [text for text in found if not address.is_ip(text)]


def _refuse_strangers(members: Sequence[str], want: Wanted) -> None:
    if strangers := [name for name in (*want.set, *want.unset) if name not in members]:
        raise InputError(
            Problem(
                code=Code.NOT_IN_THIS_RUN,
                message="an option names a cluster that is not a member of the mesh",
                seen=", ".join(strangers),
                expected=f"one of {', '.join(members)}",
                hint=Advice(istio_mc("contexts")),
            )
        )


def lacks(seen: Look, name: str, addresses: Sequence[str], via: Via) -> list[Problem]:
    """What a way needs and a cluster has not."""
    live, members = seen.live, tuple(seen.live.clusters)
    service = live.service(name)
    if service is None:
        return [_no_gateway(name, members)]
    if via is Via.METALLB:
        return _lacks_metallb(seen, name, addresses, service)
    if via is Via.GATEWAY:
        others = [other for other in live.observed if other != name]
        if not others:
            return [_alone(name)]
        return [missing(other, members) for other in others if not live.observed[other].gateway_api]
    return []


def _lacks_metallb(seen: Look, name: str, addresses: Sequence[str], service: Object) -> list[Problem]:
    if name in seen.without_metallb:
        return [
            Problem(
                code=Code.METALLB_MISSING,
                cluster=name,
                message=f"MetalLB is not installed in {name}",
                seen=f"no CustomResourceDefinition {POOL_CRD}, or no namespace {METALLB_NAMESPACE}",
                expected="MetalLB 0.13 or newer (the guide installs 0.14.8)",
                hint=Advice(
                    "install MetalLB first (https://metallb.io/installation), or: ",
                    istio_mc("address", "--set", f"{name}={addresses[0]}", "--via", "external-ip"),
                ),
            )
        ]
    if service["spec"].get("type") != "LoadBalancer":
        return [
            Problem(
                code=Code.NO_LOAD_BALANCER_SERVICE,
                cluster=name,
                message=f"the gateway's Service of {name} is of a type that MetalLB passes over",
                seen=str(service["spec"].get("type")),
                expected="LoadBalancer",
                hint=istio_mc("address", "--set", f"{name}={addresses[0]}", "--via", "external-ip"),
            )
        ]
    found = seen.live.pools.get(name)
    if (
        found
        and not is_our_pool(found)
        and not found.get("spec", {}).items() >= pool(addresses)["spec"].items()
    ):
        return [
            Problem(
                code=Code.POOL_OF_OTHERS,
                cluster=name,
                message=f"{name} has a pool {EAST_WEST_GATEWAY} of MetalLB's that istio-mc did not write",
                seen=", ".join(found.get("spec", {}).get("addresses") or []),
                expected=", ".join(pool(addresses)["spec"]["addresses"]),
                hint=Advice(
                    kubectl(name, "-n", METALLB_NAMESPACE, "edit", "ipaddresspool", EAST_WEST_GATEWAY)
                ),
            )
        ]
    return []


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


def _no_gateway(name: str, members: Iterable[str]) -> Problem:
    return Problem(
        code=Code.GATEWAY_MISSING,
        cluster=name,
        message=f"{name} has no gateway yet",
        seen=f"no Service {SYSTEM_NAMESPACE}/{EAST_WEST_GATEWAY}",
        expected="the Service that install makes",
        hint=istio_mc("install", contexts=members),
    )


def _alone(name: str) -> Problem:
    return Problem(
        code=Code.NO_OTHER_CLUSTER,
        cluster=name,
        message=f"no other cluster for a Gateway of {name}",
        seen="at least one other reachable cluster",
        expected="another member",
        hint=Advice(istio_mc("verify")),
    )


def doubtful(name: str, text: str, doubt: str) -> Problem:
    """A new address that other clusters may not reach."""
    return Problem(
        code=Code.ADDRESS_NOT_PUBLIC,
        cluster=name,
        message=f"{text} may not be an address that the other clusters reach",
        seen=doubt,
        expected="an address that every other cluster reaches",
    )


def eclipsed(name: str, own: Sequence[str]) -> Problem:
    """Gateways that count for nothing beside the Service's own address."""
    return Problem(
        code=Code.SERVICE_ADDRESS_WINS,
        cluster=name,
        message=f"the Gateways for {name} have no effect: its Service has an address, which istiod prefers",
        seen=", ".join(own),
        expected="a pending Service",
    )


def remembered(live: Live, name: str, addresses: Sequence[str]) -> Problem:
    """The last address of a Service, which the other clusters' istiods do not forget.

    Seen at /debug/networkz of istiod 1.26.0: an address that another takes the place of is forgotten, and so
    is one that a Gateway gave; the last one of a Service stays until istiod restarts.
    """
    istiods = {
        other: [f"deployment/{istiod['metadata']['name']}" for istiod in found.istiods]
        for other, found in live.observed.items()
        if other != name
    }
    restarts = [
        kubectl(other, "-n", SYSTEM_NAMESPACE, "rollout", "restart", *found)
        for other, found in istiods.items()
        if found
    ]
    told = ", ".join(addresses)
    return Problem(
        code=Code.ADDRESS_REMEMBERED,
        cluster=name,
        message=f"the other clusters' istiods go on calling {name} at {told} until they restart",
        seen=f"{told} is the last address of the Service: istiod 1.26 does not forget it",
        expected="istiods that know only what is there",
        hint=in_order(restarts),
    )


def said_otherwise(session: Session, name: str, from_file: Sequence[str]) -> Problem:
    """An address of mesh.yaml that the next install brings back."""
    return Problem(
        code=Code.SETTINGS_DIFFER,
        cluster=name,
        message=f"the next install sets the address of {name} from mesh.yaml again",
        seen=f"gatewayAddress: {', '.join(from_file)} in {session.settings.file}",
        expected="no gatewayAddress there, or the same",
        hint=Advice(f"remove gatewayAddress of {name} from {session.settings.file}"),
    )


def left_alone(name: str, left: Sequence[str]) -> Problem:
    """Addresses that others gave."""
    return Problem(
        code=Code.ADDRESS_OF_OTHERS,
        cluster=name,
        message=f"the gateway of {name} has addresses that istio-mc did not set; they are kept",
        seen="; ".join(left),
    )
