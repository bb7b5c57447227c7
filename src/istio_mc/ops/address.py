"""address: at which address each gateway is called, and three ways to give it one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State
from istio_mc.domain.gateway import address, metallb
from istio_mc.domain.gateway.changes import Action, Change, Live, Via, foreign, setting, unsetting
from istio_mc.domain.hint import Advice, in_order, istio_mc, kubectl
from istio_mc.domain.istio.istiod import gateway_addresses
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Object, kind_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE, Cluster
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host.dns import Resolved, resolve
from istio_mc.gateways.host.parallel import Failures, all_of
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.session import rights, topology
from istio_mc.ops.session.inputs import refuse_unknown_clusters
from istio_mc.ops.session.istio_documents import missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from istio_mc.domain.gateway.requests import AddressOptions
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.kube.rights import Right
    from istio_mc.domain.observed import Observed
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session


_STEP = "address"
_RESOLVE_S = 5.0
_ADDRESS = "ADDRESS"


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """One gateway's address, and what must be open before it.

    Attributes:
        from_load_balancer: The addresses in the Service's status.
        resolved: What its host names resolve to on this machine.
        pool: The pool of MetalLB's that has its address, or is made for it.
        advertisements: The advertisements of that pool.
    """

    cluster: Cluster
    service: Object | None = field(repr=False)
    from_load_balancer: tuple[str, ...]
    external_ips: tuple[str, ...]
    remote_gateways: tuple[address.RemoteGateway, ...]
    lacking: tuple[str, ...]
    addresses: tuple[str, ...]
    ports: tuple[address.Port, ...]
    resolved: tuple[Resolved, ...]
    pool: Object | None = field(default=None, repr=False)
    advertisements: tuple[Object, ...] = field(default=(), repr=False)

    def unreachable(self) -> list[tuple[str, str]]:
        """Addresses the other clusters may not reach, and why."""
        return _unreachable(self.addresses, self.resolved)


@dataclass(frozen=True, slots=True)
class MeshAddresses:
    """What was seen of a mesh's addresses.

    Attributes:
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
        addresses: How it is now; in a dry run, and where nothing was done, how it was.
    """

    addresses: MeshAddresses
    changes: tuple[Change, ...] = ()
    failures: Failures = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    requested: bool = False
    dry_run: bool = False


def read_addresses(
    session: Session, shown: Sequence[str] = (), options: AddressOptions | None = None
) -> MeshAddresses:
    """Reads the addresses of a mesh; changes nothing.

    Args:
        options: What the user wants, where what it needs is to be read too.

    Raises:
        InputError: The clusters' IDs or networks contradict the settings or each other.
    """
    through_metallb = options.set if options and options.via is Via.METALLB else {}

    def read(name: str) -> tuple[Observed, metallb.MetalLB, bool]:
        kube = session.clusters.kubes[name]
        desired = name in through_metallb
        return observe(kube), _read_metallb(kube, desired=desired), desired and not _has_metallb(kube)

    session.run.progress(Event(None, _STEP, State.STARTED, "looking at every cluster"))
    results, failed = session.clusters.each(read)
    observed = {name: one for name, (one, *_) in results.items()}
    clusters = topology.clusters_of(session.clusters.contexts, session.settings, observed)
    without = frozenset(name for name, (*_, lacks_it) in results.items() if lacks_it)
    requested = tuple(name for name in session.clusters.names if name in shown or not shown)
    live = Live(clusters, observed, {name: one for name, (_, one, _) in results.items()})
    resolved = _resolved(session, _hosts(clusters, observed))
    session.run.progress(Event(None, _STEP, State.DONE))
    views = {name: _view(name, live, resolved) for name in requested if name in observed}
    return MeshAddresses(live, requested, views, session.clusters.unusable | failed, without)


def _has_metallb(kube: Kube) -> bool:
    crd = kube.get(objects.CRD, metallb.POOL_CRD)
    return crd is not None and kube.get(objects.NAMESPACE, metallb.NAMESPACE) is not None


def _read_metallb(kube: Kube, *, desired: bool) -> metallb.MetalLB:
    """MetalLB's objects; none where there is no pool, unless one is to be made."""
    pools = kube.list(objects.IP_ADDRESS_POOL, metallb.NAMESPACE)
    others = [kind for kind in metallb.KINDS if kind != objects.IP_ADDRESS_POOL and (pools or desired)]
    found = [one for kind in others for one in kube.list(kind, metallb.NAMESPACE)]
    return metallb.MetalLB((*pools, *found))


def plan(seen: MeshAddresses, options: AddressOptions) -> tuple[Change, ...]:
    """What is to be done.

    Raises:
        InputError: An option names a cluster that is not part of the run.
        ProblemError: A cluster concerned does not answer, or lacks what the way needs.
    """
    refuse_unknown_clusters({"--set": options.set, "--unset": options.unset}, seen.live.clusters)
    if silent := [p for name in (*options.set, *options.unset) for p in seen.failures.get(name, ())]:
        raise ProblemError(*silent)
    faults = [fault for name in options.set for fault in lacks(seen, name, options)]
    if faults:
        raise ProblemError(*faults)
    changes: list[Change] = []
    for name, addresses in options.set.items():
        changes += setting(seen.live, name, addresses, options.via, options.request(name))
    for name in options.unset:
        changes += unsetting(seen.live, name)
    return tuple(changes)


def warnings(session: Session, seen: MeshAddresses, options: AddressOptions) -> tuple[Problem, ...]:
    """What the user should know of what is wanted."""
    problems = []
    resolved = _resolved(session, [text for addresses in options.set.values() for text in addresses])
    for name, addresses in options.set.items():
        lookups = [resolved[text] for text in addresses if text in resolved]
        problems += [maybe_unreachable(name, text, doubt) for text, doubt in _unreachable(addresses, lookups)]
        if options.via is Via.GATEWAY and (own := _own_addresses(seen.live, name)):
            problems.append(ignored_gateways(name, own))
    for name in (*options.set, *options.unset):
        from_file = session.settings.cluster(name).gateway_addresses
        new = options.set.get(name, ()) if options.via is Via.EXTERNAL_IP else ()
        if from_file and from_file != new:
            problems.append(differs_from_settings(session, name, from_file))
    for name in (*options.unset, *(options.set if options.via is Via.GATEWAY else ())):
        own = _addresses_of(seen.live, name)
        if own and not _own_addresses(seen.live, name):
            problems.append(remembered(seen.live, name, own))
    for name in options.unset:
        if left := foreign(seen.live, name):
            problems.append(foreign_addresses(name, left))
    return tuple(problems)


def _resolved(session: Session, addresses: Iterable[str]) -> dict[str, Resolved]:
    """What host names among addresses resolve to on this machine, all looked up at once."""
    hosts = [text for text in dict.fromkeys(addresses) if not address.is_ip(text)]
    return all_of({host: partial(resolve, host, min(_RESOLVE_S, session.run.remaining_s)) for host in hosts})


def _unreachable(addresses: Iterable[str], resolved: Iterable[Resolved]) -> list[tuple[str, str]]:
    resolved = tuple(resolved)
    numbers = [text for text in addresses if address.is_ip(text)]
    numbers += [text for one in resolved for text in one.addresses]
    reasons = [(text, doubt) for text in dict.fromkeys(numbers) if (doubt := address.why_unreachable(text))]
    return reasons + [(one.host, f"does not resolve here: {one.fault}") for one in resolved if one.fault]


def apply(session: Session, changes: Sequence[Change]) -> tuple[tuple[Change, ...], Failures]:
    """Does what was planned: clusters at once, each cluster's changes in their order.

    Returns:
        What was done, and clusters where something was not, and why.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """
    done: list[Change] = []
    by_cluster: dict[str, list[Change]] = {}
    for change in changes:
        by_cluster.setdefault(change.context, []).append(change)
    needed = {name: [one for each in own for one in _rights(each)] for name, own in by_cluster.items()}
    rights.require(session, "address", needed)

    def work(name: str) -> None:
        kube = session.clusters.kubes[name]
        for change in by_cluster[name]:
            with session.run.step(name, _STEP, str(change)):
                _do(kube, change)
                done.append(change)

    _, failures = session.clusters.each(work, by_cluster, step=_STEP)
    return tuple(change for change in changes if change in done), failures


def _rights(change: Change) -> tuple[Right, ...]:
    if change.action is Action.APPLY:
        return rights.to_apply([change.document])
    verb = "patch" if change.action is Action.PATCH else "delete"
    return (rights.right(verb, change.document),)


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


def _view(name: str, live: Live, resolved: Mapping[str, Resolved]) -> ClusterAddress:
    clusters, observed, found = live.clusters, live.observed, live.metallb[name]
    service = observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY)
    remote_gateways = address.remote_gateways(name, clusters[name], address.kubernetes_gateways(observed))
    external = address.external_ips(observed[name])
    addresses = address.used_addresses(name, clusters[name], observed)
    holders = {one.context for one in remote_gateways}
    every = dict.fromkeys([*addresses, *gateway_addresses(service), *address.unique(remote_gateways)])
    requested = (service or {}).get("spec", {}).get("loadBalancerIP")
    own = [one for one in (requested, *_from_load_balancer(service)) if one and address.is_ip(one)]
    pool = (found.pool_with(metallb.Request((own[0],)).needed) if own else None) or found.pool
    return ClusterAddress(
        cluster=clusters[name],
        service=service,
        from_load_balancer=_from_load_balancer(service),
        external_ips=external,
        remote_gateways=remote_gateways,
        lacking=tuple(other for other in observed if other != name and other not in holders),
        addresses=addresses,
        ports=address.ports(service) if service else (),
        resolved=tuple(resolved[host] for host in every if host in resolved),
        pool=pool,
        advertisements=tuple(found.announced_by(pool)) if pool else (),
    )


def _from_load_balancer(service: Object | None) -> tuple[str, ...]:
    ingress = ((service or {}).get("status") or {}).get("loadBalancer", {}).get("ingress") or []
    return tuple(filter(None, (entry.get("ip") or entry.get("hostname") for entry in ingress)))


def _addresses_of(live: Live, name: str) -> tuple[str, ...]:
    """Addresses of a Service, by whomever."""
    status = _from_load_balancer(live.service(name))
    return tuple(dict.fromkeys([*status, *address.external_ips(live.observed[name])]))


def _own_addresses(live: Live, name: str) -> tuple[str, ...]:
    """Addresses of a Service that remain once those that istio-mc set are removed."""
    service = live.service(name)
    gone = {
        key for change in unsetting(live, name, but=Via.GATEWAY) for key in change.document.get("spec", {})
    }
    kept = () if "externalIPs" in gone else address.external_ips(live.observed[name])
    status = () if "loadBalancerIP" in gone else _from_load_balancer(service)
    return tuple(dict.fromkeys([*status, *kept]))


def _hosts(clusters: Mapping[str, Cluster], observed: Mapping[str, Observed]) -> list[str]:
    gateways = address.kubernetes_gateways(observed)
    hosts: dict[str, None] = {}
    for name, live in observed.items():
        service = live.find(objects.SERVICE, EAST_WEST_GATEWAY)
        remote_gateways = address.remote_gateways(name, clusters[name], gateways)
        hosts |= dict.fromkeys([*gateway_addresses(service), *address.unique(remote_gateways)])
    return [text for text in hosts if not address.is_ip(text)]


def lacks(seen: MeshAddresses, name: str, options: AddressOptions) -> list[Problem]:
    """What a way needs and a cluster has not."""
    live, members, via = seen.live, tuple(seen.live.clusters), options.via
    service = live.service(name)
    if service is None:
        return [_no_gateway(name, members)]
    if via is Via.METALLB:
        return _lacks_metallb(seen, name, options.request(name), service)
    if via is Via.GATEWAY:
        others = [other for other in live.observed if other != name]
        if not others:
            return [_alone(name)]
        return [missing(other, members) for other in others if not live.observed[other].gateway_api]
    return []


def _lacks_metallb(
    seen: MeshAddresses, name: str, request: metallb.Request, service: Object
) -> list[Problem]:
    if name in seen.without_metallb:
        return [
            Problem(
                code=Code.METALLB_MISSING,
                cluster=name,
                message=f"MetalLB is not installed in {name}",
                seen=f"no CustomResourceDefinition {metallb.POOL_CRD}, or no namespace {metallb.NAMESPACE}",
                expected="MetalLB 0.13 or newer",
                hint=istio_mc("addons", "install", "metallb", contexts=[name]),
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
                hint=Advice(istio_mc("address", "--set", f"{name}={_ADDRESS}", "--via", "external-ip")),
            )
        ]
    return metallb.problems(seen.live.metallb[name], request, name)


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


def maybe_unreachable(name: str, text: str, doubt: str) -> Problem:
    """A new address that other clusters may not reach."""
    return Problem(
        code=Code.ADDRESS_NOT_PUBLIC,
        cluster=name,
        message=f"{text} may not be an address that the other clusters reach",
        seen=doubt,
        expected="an address that every other cluster reaches",
    )


def ignored_gateways(name: str, own: Sequence[str]) -> Problem:
    """Gateways that count for nothing beside the Service's own address."""
    return Problem(
        code=Code.SERVICE_ADDRESS_WINS,
        cluster=name,
        message=f"the Gateways for {name} have no effect: its Service has an address",
        seen=f"{', '.join(own)}, which istiod prefers",
        expected="a pending Service",
    )


def remembered(live: Live, name: str, addresses: Sequence[str]) -> Problem:
    """The last address of a Service, which the other clusters' istiods do not forget.

    Seen at /debug/networkz of istiod 1.26.0: an address that another takes the place of is forgotten, and so
    is one that a Gateway gave; the last one of a Service stays until istiod restarts.
    """
    istiods = {
        other: [f"deployment/{istiod['metadata']['name']}" for istiod in of_cluster.istiods]
        for other, of_cluster in live.observed.items()
        if other != name
    }
    restarts = [
        kubectl(other, "-n", SYSTEM_NAMESPACE, "rollout", "restart", *of_cluster)
        for other, of_cluster in istiods.items()
        if of_cluster
    ]
    text = ", ".join(addresses)
    return Problem(
        code=Code.ADDRESS_REMEMBERED,
        cluster=name,
        message=f"istiods of other clusters still use the old address of {name}",
        seen=f"{text} is the last address of the Service: istiod 1.26 uses it until it restarts",
        expected="only addresses that exist",
        hint=in_order(restarts),
    )


def differs_from_settings(session: Session, name: str, from_file: Sequence[str]) -> Problem:
    """An address of mesh.yaml that the next install brings back."""
    return Problem(
        code=Code.SETTINGS_DIFFER,
        cluster=name,
        message=f"the next install sets the address of {name} from mesh.yaml again",
        seen=f"gatewayAddress: {', '.join(from_file)} in {session.settings.file}",
        expected="no gatewayAddress there, or the same",
        hint=Advice(f"remove gatewayAddress of {name} from {session.settings.file}"),
    )


def foreign_addresses(name: str, left: Sequence[str]) -> Problem:
    """Addresses that others gave."""
    return Problem(
        code=Code.ADDRESS_OF_OTHERS,
        cluster=name,
        message=f"the gateway of {name} has addresses that istio-mc did not set; they are kept",
        seen="; ".join(left),
    )
