"""trace: follows calls of a service from every cluster to every other one, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.checks import (
    access,
    cacerts,
    control_plane,
    data_path,
    discovery,
    gateway,
    identity,
    remote_access,
    remote_secret,
    trust,
)
from istio_mc.checks.catalogue import EVERY
from istio_mc.checks.model import Observation
from istio_mc.checks.runner import run, with_needs
from istio_mc.checks.services import sources
from istio_mc.domain.hint import Advice, Command, kubectl
from istio_mc.domain.istio.proxies import abridged, gateway_pods
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.text import few, plural
from istio_mc.domain.trace import hops
from istio_mc.domain.trace.additions import added_slices, filter_warnings, selected_entries
from istio_mc.domain.trace.destination_rule import limits
from istio_mc.domain.trace.injection import inject, may_have_sidecar, why_not_injected
from istio_mc.domain.trace.matching import pod_name
from istio_mc.domain.trace.model import Path, ServiceName, declared_ports, is_meshed
from istio_mc.domain.trace.proxies import outbound, sni_dnat
from istio_mc.domain.trace.sidecars import forwarding
from istio_mc.gateways.host.parallel import results_in_time
from istio_mc.gateways.istio.proxies import read_cluster
from istio_mc.gateways.kube.pods import refuses
from istio_mc.ops.session.inputs import refuse_unknown_clusters
from istio_mc.ops.verify.gather import gather

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from istio_mc.checks.model import Check, Facts, Result
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView, Trace
    from istio_mc.domain.trace.sources import Sources
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

_READ_S = 25.0
_SHOWN = 3
_STEP = "trace"

_ACCESS = frozenset(check.id for check in access.CHECKS)
_LINK: tuple[Check, ...] = (
    *access.CHECKS,
    *identity.CHECKS,
    *control_plane.CHECKS,
    *gateway.CHECKS,
    *(check for check in remote_secret.CHECKS if check.id != remote_secret.MEMBERS),
    *remote_access.CHECKS,
)
_PATH: tuple[Check, ...] = (*access.CLOCKS, *cacerts.CHECKS, *trust.CHECKS, *data_path.CHECKS)
_GROUPS: Mapping[str, frozenset[str]] = {
    hops.LINK: frozenset(check.id for check in _LINK),
    hops.DISCOVERY: frozenset(check.id for check in discovery.CHECKS),
    hops.DATA_PATH: frozenset(check.id for check in _PATH),
}
_OF_TARGET = frozenset({control_plane.GATEWAY, *(check.id for check in (*gateway.CHECKS, *data_path.CHECKS))})
"""Checks of a cluster that matter to calls into it, and not to calls out of it."""


_DELAYED = frozenset({control_plane.ISTIOD, identity.NETWORK})
"""Checks whose faults end no call at once: proxies keep what they have until they get new configuration."""


class TraceQuery(NamedTuple):
    """What the user wants to be traced.

    Attributes:
        service: `NAMESPACE/SERVICE`, or the service alone.
    """

    service: str
    client: str | None = None
    target: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class TraceResult:
    """What was seen on the path of each pair of clusters.

    Attributes:
        clients: The pods that calls were traced from, as `namespace/pod`, by context; empty where none runs.
        delayed: Problems that end calls only once proxies get new configuration.
    """

    service: ServiceName
    port: int
    clients: Mapping[str, str]
    traces: tuple[Trace, ...]
    warnings: tuple[Problem, ...] = ()
    delayed: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What breaks paths, each once, however many it breaks."""
        problems = [one.broken.outcome.problem for one in self.traces if one.broken]
        return tuple(dict.fromkeys(problem for problem in problems if problem))


def trace(session: Session, query: TraceQuery, now: datetime) -> TraceResult:
    """Reads the clusters, and follows the calls of a service.

    Raises:
        InputError: There is no such service, port or cluster.
    """
    named = {"--from": query.client, "--to": query.target}
    refuse_unknown_clusters(
        {option: [name] for option, name in named.items() if name}, session.clusters.names
    )
    checks = with_needs(EVERY, (*_LINK, *discovery.CHECKS, *_PATH))
    reads = {observation for check in checks for observation in check.reads}
    facts, _ = gather(session, now, reads | {Observation.CONFIGURATION, Observation.SERVICES})
    return follow(session, query, facts, [one for one in run(checks, facts) if one.is_root_cause])


def follow(session: Session, query: TraceQuery, facts: Facts, results: Collection[Result]) -> TraceResult:
    """Follows the calls of a service, hop by hop; only proxies are read.

    Raises:
        InputError: There is no such service or port.
        ProblemError: The Services of no cluster could be read.
    """
    sources_by_name = sources(facts)
    service = _service(query, sources_by_name, facts)
    port = _port(query, service, sources_by_name)
    views, warnings = _views(session, facts, sources_by_name, service, port)
    pairs = [
        (client, target)
        for client in facts.clusters
        for target in facts.clusters
        if query.client in (None, client) and _is_target(query, views, client, target)
    ]
    services = {name: view.service for name, view in views.items() if view.service}
    paths = [
        Path(service, port, views[client], views[target], _checks(results, client, target), services)
        for client, target in pairs
    ]
    warnings += dict.fromkeys(one for path in paths for one in limits(path))
    clients = {name: pod_name(view.client) for name, view in views.items()}
    delayed = tuple(one.problem for one in results if one.problem and one.check.id in _DELAYED)
    traces = tuple(map(hops.walk, paths))
    return TraceResult(service, port, clients, traces, (*session.warnings, *warnings), delayed)


def _is_target(query: TraceQuery, views: Mapping[str, ClusterView], client: str, target: str) -> bool:
    """Whether a cluster is traced to: one without the Service where it has its pods, or the user names it."""
    if query.target is not None:
        return query.target == target and (client != target or query.client == client)
    view = views[target]
    return view.service is not None or bool(view.pods) or not view.namespaces


def _service(query: TraceQuery, sources_by_name: Mapping[str, Sources], facts: Facts) -> ServiceName:
    namespace, _, name = query.service.rpartition("/")
    every = dict.fromkeys(one for cluster in sources_by_name.values() for one in cluster.names())
    matching = [one for one in every if one.name == name and namespace in ("", one.namespace)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise InputError.of(
            code=Code.SERVICE_UNKNOWN,
            message=f"several namespaces have a Service {name}",
            seen=", ".join(map(str, matching)),
            expected="NAMESPACE/SERVICE",
            hint=Advice("name the namespace too"),
        )
    unread = (*facts.unreachable.values(), *facts.failures.get(Observation.SERVICES, {}).values())
    if unread and not facts.services:
        raise ProblemError(*(problem for problems in unread for problem in problems))
    first = next(iter(facts.observed), next(iter(facts.clusters)))
    raise InputError.of(
        code=Code.SERVICE_UNKNOWN,
        message=f"no cluster that responds has a Service {query.service}",
        seen=f"{len(every)} Services in {', '.join(facts.services) or 'no cluster'}",
        expected="NAMESPACE/SERVICE of one of them",
        hint=Advice("see which there are: ", kubectl(first, "get", "services", "-A")),
    )


def _port(query: TraceQuery, service: ServiceName, sources_by_name: Mapping[str, Sources]) -> int:
    specs = [one["spec"] for cluster in sources_by_name.values() if (one := cluster.service(service))]
    ports = list(
        dict.fromkeys(
            int(port["port"])
            for spec in specs
            for port in spec.get("ports") or []
            if port.get("protocol", "TCP") == "TCP"
        )
    )
    if query.port is None and ports:
        return ports[0]
    if query.port in ports:
        return int(query.port or 0)
    raise InputError.of(
        code=Code.SERVICE_UNKNOWN,
        message=f"Service {service} has no TCP port {query.port or ''}".rstrip(),
        seen=f"TCP ports {', '.join(map(str, ports)) or 'none'}",
        expected="one of its TCP ports",
        hint=Advice("give one with --port") if ports else Advice("the mesh routes TCP only"),
    )


def _views(
    session: Session, facts: Facts, sources_by_name: Mapping[str, Sources], service: ServiceName, port: int
) -> tuple[dict[str, ClusterView], list[Problem]]:
    """What each cluster has of the service, and what of it could not be read."""

    def read(name: str) -> tuple[ClusterView, list[Problem]]:
        with session.run.step(name, _STEP, f"reading the proxies for {service}"):
            return _view(session, facts, sources_by_name, name, (service, port))

    results, failed = session.clusters.each(read, facts.observed)
    views = {
        name: results[name][0] if name in results else sources_by_name[name].view(service)
        for name in facts.clusters
    }
    unread = [problem for _, problems in results.values() for problem in problems]
    return views, [*unread, *(problem for problems in failed.values() for problem in problems)]


class _Pods(NamedTuple):
    """The pods of a service's namespace in a cluster; `selected` None: they could not be read."""

    selected: tuple[Object, ...] | None = None
    other_pods: tuple[Object, ...] = ()


def _view(
    session: Session,
    facts: Facts,
    sources_by_name: Mapping[str, Sources],
    name: str,
    service_port: tuple[ServiceName, int],
) -> tuple[ClusterView, list[Problem]]:
    """Reads pods and proxies; what cannot be read is unknown at its hop, and a warning."""
    source, (service, port) = sources_by_name[name], service_port
    kube = session.clusters.kubes[name]
    until = session.run.overdue
    lists = {
        "pods": objects.POD,
        "entries": objects.WORKLOAD_ENTRY,
        "filters": objects.ENVOY_FILTER,
        "plugins": objects.WASM_PLUGIN,
        "authentications": objects.REQUEST_AUTHENTICATION,
    }
    of_namespace = {"pods", "entries"}
    listed, unlisted = results_in_time(
        {
            what: (_READ_S, partial(kube.list, kind, service.namespace if what in of_namespace else None))
            for what, kind in lists.items()
        },
        context=name,
        until=until,
    )
    pods = (
        _divided(listed["pods"], _selector(sources_by_name, name, service)) if "pods" in listed else _Pods()
    )
    without_sidecar = [pod for pod in pods.other_pods if may_have_sidecar(pod) and not is_meshed(pod)]
    client = source.client(service, own=not without_sidecar)
    gateways = gateway_pods(facts.observed[name].of(objects.POD), EAST_WEST_GATEWAY)
    by_pod = {f"gateway {pod['metadata']['name']}": pod for pod in gateways}
    route = sni_dnat(port, service.host)
    calls = {what: (_READ_S, partial(read_cluster, kube, pod, route)) for what, pod in by_pod.items()}
    if client is not None:
        calls["client"] = (_READ_S, partial(read_cluster, kube, client, outbound(port, service.host)))
    proxies, missed = results_in_time(calls, context=name, until=until)
    probe = _undeclared(source.view(service, pods=pods.selected), service, port)
    refused, unprobed = results_in_time(
        {"port": (_READ_S, partial(_refusing, kube, *probe))} if probe else {}, context=name, until=until
    )
    view = source.view(
        service,
        client=client,
        pods=pods.selected,
        other_pods=without_sidecar,
        refused=refused.get("port", ""),
        envoy_filters=(*listed.get("filters", ()), *listed.get("plugins", ())),
        client_endpoints=proxies.get("client"),
        gateway_endpoints={
            pod["metadata"]["name"]: proxies[what] for what, pod in by_pod.items() if what in proxies
        }
        or None,
    )
    if "authentications" in listed:
        view = replace(view, request_authentications=tuple(listed["authentications"]))
    problems = [problem for problems in (missed | unprobed | unlisted).values() for problem in problems]
    problems += selected_entries(view, service, listed.get("entries", ()))
    problems += added_slices(view, service, source.slices(service))
    problems += filter_warnings(view, service)
    return view, [*problems, *(_staying(view, service, without_sidecar) if client is not None else ())]


def _selector(sources_by_name: Mapping[str, Sources], name: str, service: ServiceName) -> Mapping[str, str]:
    """The selector of a cluster's Service; where it has none of that name, that of another cluster."""
    services = [
        sources_by_name[name].service(service),
        *(one.service(service) for one in sources_by_name.values()),
    ]
    specs = [one["spec"] for one in services if one]
    return (specs[0].get("selector") or {}) if specs else {}


def _divided(pods: Collection[Object], selector: Mapping[str, str]) -> _Pods:
    selected: list[Object] = []
    other_pods: list[Object] = []
    for pod in map(abridged, pods):
        if selector and selector.items() <= labels_of(pod).items():
            selected.append(pod)
        elif pod.get("status", {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp"):
            other_pods.append(pod)
    return _Pods(tuple(selected), tuple(other_pods))


def _undeclared(view: ClusterView, service: ServiceName, port: int) -> tuple[Object, int] | None:
    """A ready pod and the port of it that its sidecar calls, where no container of it declares that port."""
    path = Path(service, port, view, view)
    pod, called = next((one.pod for one in path.called if one.pod), None), path.target_port
    if pod is None or called is None:
        return None
    found = forwarding(view, pod, called)
    called = found[1] if found else called
    return None if called in declared_ports(pod) else (pod, called)


def _refusing(kube: Kube, pod: Object, port: int) -> str:
    return str(pod["metadata"]["name"]) if refuses(kube, pod, port) else ""


def _staying(view: ClusterView, service: ServiceName, without_sidecar: Collection[Object]) -> list[Problem]:
    """A warning of pods beside the service whose calls do not leave their cluster."""
    if not without_sidecar:
        return []
    namespace, names = service.namespace, [str(pod["metadata"]["name"]) for pod in without_sidecar]
    change = inject(view, namespace, without_sidecar)
    return [
        Problem(
            code=Code.CLIENT_WITHOUT_SIDECAR,
            cluster=view.context,
            message=f"{view.context}: {plural(len(names), 'pod')} in namespace {namespace} without a sidecar",
            seen=f"{few(names, _SHOWN)}: {why_not_injected(view, namespace, list(without_sidecar))}",
            expected="a sidecar, if they call other clusters: without one, calls stay in their cluster",
            hint=Advice("if they are: ", change) if isinstance(change, Command) else change,
        )
    ]


def _checks(results: Collection[Result], client: str, target: str) -> dict[str, Problem]:
    """The first problem that checks of verify found on a path, for each hop that they look at."""
    problems: dict[str, Problem] = {}
    for result in results:
        if result.problem and _concerns(result, client, target):
            for hop, ids in _GROUPS.items():
                if result.check.id in ids:
                    problems.setdefault(hop, result.problem)
    return problems


def _concerns(result: Result, client: str, target: str) -> bool:
    of = result.target
    if client == target:  # a call within a cluster needs that alone
        return of.cluster == client and result.check.id in _ACCESS
    if of.peer:
        return (of.cluster, of.peer) == (client, target)
    return of.cluster in (None, target) or (of.cluster == client and result.check.id not in _OF_TARGET)
