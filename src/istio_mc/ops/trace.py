"""trace: follows calls of a service from every cluster to every other one, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
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
from istio_mc.checks.paths import sources
from istio_mc.checks.runner import run, with_needs
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.proxies import gateway_pods
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import EAST_WEST_GATEWAY
from istio_mc.domain.problem import InputError, Problem
from istio_mc.domain.trace import hops
from istio_mc.domain.trace.model import Path, ServiceName
from istio_mc.domain.trace.proxies import outbound, read_endpoints, sni_dnat
from istio_mc.gateways.host.parallel import answered
from istio_mc.gateways.istio.proxies import read_clusters
from istio_mc.ops.verify.gather import gather

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from istio_mc.checks.model import Check, Facts, Result
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView, Trace
    from istio_mc.domain.trace.sources import Sources
    from istio_mc.ops.session.session import Session

_READ_S = 25.0
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
"""Checks of a cluster that matter to those who call it, and not to whom it calls."""


class Asked(NamedTuple):
    """What the user wants to be traced.

    Attributes:
        service: `NAMESPACE/SERVICE`, or the service alone.
        client: The context of the cluster that calls; None: all.
        target: The context of the cluster that is called; None: all.
        port: The port of the Service; None: its first one.
    """

    service: str
    client: str | None = None
    target: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class TraceResult:
    """What was seen on the path of each pair of clusters.

    Attributes:
        service: The service.
        port: The port that is called.
        clients: The pods that calls were traced from, as `namespace/pod`, by context; empty where none runs.
        traces: One for each pair.
        warnings: What the user should know though nothing failed.
    """

    service: ServiceName
    port: int
    clients: Mapping[str, str]
    traces: tuple[Trace, ...]
    warnings: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What breaks paths, each once, however many it breaks."""
        found = [one.broken.outcome.problem for one in self.traces if one.broken]
        return tuple(dict.fromkeys(problem for problem in found if problem))


def trace(session: Session, asked: Asked, now: datetime) -> TraceResult:
    """Reads the clusters, and follows the calls of a service.

    Raises:
        InputError: There is no such service, port or cluster.
    """
    _refuse_unknown_contexts(session, asked)
    checks = with_needs(EVERY, (*_LINK, *discovery.CHECKS, *_PATH))
    reads = {observation for check in checks for observation in check.reads}
    facts, _ = gather(session, now, reads | {Observation.CONFIGURATION, Observation.SERVICES})
    return follow(session, asked, facts, [one for one in run(checks, facts) if one.is_root_cause])


def follow(session: Session, asked: Asked, facts: Facts, results: Collection[Result]) -> TraceResult:
    """Follows the calls of a service, hop by hop; only proxies are read.

    Args:
        session: The run.
        asked: The service, and which clusters.
        facts: What was read, Services and configuration among it.
        results: The root causes that checks found.

    Raises:
        InputError: There is no such service or port.
    """
    found = sources(facts)
    service = _service(asked, found, facts)
    port = _port(asked, service, found)
    views, warnings = _views(session, facts, found, service, port)
    pairs = [
        (client, target)
        for client in facts.clusters
        for target in facts.clusters
        if asked.client in (None, client) and _is_target(asked, views, client, target)
    ]
    traces = tuple(
        hops.walk(Path(service, port, views[client], views[target], _checks(results, client, target)))
        for client, target in pairs
    )
    clients = {name: _pod_name(view.client) for name, view in views.items()}
    return TraceResult(service, port, clients, traces, (*session.warnings, *warnings))


def _is_target(asked: Asked, views: Mapping[str, ClusterView], client: str, target: str) -> bool:
    """Whether a cluster is traced to: one without the Service only where the user names it."""
    if asked.target is not None:
        return asked.target == target and (client != target or asked.client == client)
    return views[target].service is not None or not views[target].namespaces


def _pod_name(pod: Object | None) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" if pod else ""


def _refuse_unknown_contexts(session: Session, asked: Asked) -> None:
    given = {"--from": asked.client, "--to": asked.target}
    wrong = {option: name for option, name in given.items() if name and name not in session.clusters.names}
    if wrong:
        raise InputError(
            *(
                Problem(
                    code=Code.NOT_IN_THIS_RUN,
                    message=f"{option} {name} is not one of the clusters of this run",
                    seen=name,
                    expected=", ".join(session.clusters.names),
                    hint=Advice("name one of these contexts"),
                )
                for option, name in wrong.items()
            )
        )


def _service(asked: Asked, found: Mapping[str, Sources], facts: Facts) -> ServiceName:
    namespace, _, name = asked.service.rpartition("/")
    every = dict.fromkeys(one for cluster in found.values() for one in cluster.names())
    matching = [one for one in every if one.name == name and namespace in ("", one.namespace)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise InputError(
            Problem(
                code=Code.SERVICE_UNKNOWN,
                message=f"several namespaces have a Service {name}",
                seen=", ".join(map(str, matching)),
                expected="NAMESPACE/SERVICE",
                hint=Advice("name the namespace too"),
            )
        )
    first = next(iter(facts.observed), next(iter(facts.clusters)))
    raise InputError(
        Problem(
            code=Code.SERVICE_UNKNOWN,
            message=f"no cluster that responds has a Service {asked.service}",
            seen=f"{len(every)} Services in {', '.join(facts.services) or 'no cluster'}",
            expected="NAMESPACE/SERVICE of one of them",
            hint=Advice("see which there are: ", kubectl(first, "get", "services", "-A")),
        )
    )


def _port(asked: Asked, service: ServiceName, found: Mapping[str, Sources]) -> int:
    specs = [one["spec"] for cluster in found.values() if (one := cluster.service(service))]
    ports = list(
        dict.fromkeys(
            int(port["port"])
            for spec in specs
            for port in spec.get("ports") or []
            if port.get("protocol", "TCP") == "TCP"
        )
    )
    if asked.port is None and ports:
        return ports[0]
    if asked.port in ports:
        return int(asked.port or 0)
    raise InputError(
        Problem(
            code=Code.SERVICE_UNKNOWN,
            message=f"Service {service} has no TCP port {asked.port or ''}".rstrip(),
            seen=f"TCP ports {', '.join(map(str, ports)) or 'none'}",
            expected="one of its TCP ports",
            hint=Advice("give one with --port") if ports else Advice("the mesh routes TCP only"),
        )
    )


def _views(
    session: Session, facts: Facts, found: Mapping[str, Sources], service: ServiceName, port: int
) -> tuple[dict[str, ClusterView], list[Problem]]:
    """What each cluster has of the service, and what of it could not be read."""

    def read(name: str) -> tuple[ClusterView, list[Problem]]:
        with session.run.step(name, _STEP, f"reading the proxies for {service}"):
            return _view(session, facts, found[name], service, port)

    came, failed = session.clusters.each(read, facts.observed)
    views = {name: came[name][0] if name in came else found[name].view(service) for name in facts.clusters}
    unread = [problem for _, problems in came.values() for problem in problems]
    return views, [*unread, *(problem for problems in failed.values() for problem in problems)]


def _view(
    session: Session, facts: Facts, source: Sources, service: ServiceName, port: int
) -> tuple[ClusterView, list[Problem]]:
    """Reads what proxies have; what cannot be read is unknown at its hop, and a warning."""
    name = source.cluster.context
    kube = session.clusters.kubes[name]
    client = source.client(service)
    selector = (source.service(service) or {}).get("spec", {}).get("selector") or {}
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    gateways = gateway_pods(facts.observed[name].of(objects.POD), EAST_WEST_GATEWAY)
    by_pod = {f"gateway {pod['metadata']['name']}": pod for pod in gateways}
    calls = {what: (_READ_S, partial(read_clusters, kube, pod)) for what, pod in by_pod.items()}
    if client is not None:
        calls["client"] = (_READ_S, partial(read_clusters, kube, client))
    pages, missed = answered(calls, context=name, until=session.run.overdue)
    pods, unlisted = answered(
        {"pods": (_READ_S, partial(kube.list, objects.POD, service.namespace, labels=labels))}
        if labels
        else {},
        context=name,
        until=session.run.overdue,
    )
    view = source.view(
        service,
        pods=pods.get("pods"),
        client_endpoints=read_endpoints(pages["client"], outbound(port, service.host))
        if "client" in pages
        else None,
        gateway_endpoints={
            pod["metadata"]["name"]: read_endpoints(pages[what], sni_dnat(port, service.host))
            for what, pod in by_pod.items()
            if what in pages
        }
        or None,
    )
    return view, [problem for problems in (missed | unlisted).values() for problem in problems]


def _checks(results: Collection[Result], client: str, target: str) -> dict[str, Problem]:
    """The first problem that checks of verify found on a path, for each hop that they look at."""
    found: dict[str, Problem] = {}
    for result in results:
        if result.problem and _concerns(result, client, target):
            for hop, ids in _GROUPS.items():
                if result.check.id in ids:
                    found.setdefault(hop, result.problem)
    return found


def _concerns(result: Result, client: str, target: str) -> bool:
    of = result.target
    if client == target:  # a call within a cluster needs that alone
        return of.cluster == client and result.check.id in _ACCESS
    if of.peer:
        return (of.cluster, of.peer) == (client, target)
    return of.cluster in (None, target) or (of.cluster == client and result.check.id not in _OF_TARGET)
