"""Service checks: whether each cluster reaches the other clusters' endpoints of merged services."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target, cached
from istio_mc.domain.hint import Advice, Hint, istio_mc
from istio_mc.domain.istio.mesh_config import read_mesh_config
from istio_mc.domain.istio.proxies import gateway_pods
from istio_mc.domain.istio.services import merged
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import EAST_WEST_GATEWAY
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few, plural
from istio_mc.domain.trace.hops import HOPS, walk
from istio_mc.domain.trace.injection import injectors
from istio_mc.domain.trace.model import Path, ServiceName
from istio_mc.domain.trace.sources import Configuration, Sources
from istio_mc.domain.traffic.data_path import Outcome as DataPathOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istio_mc.checks.model import Facts
    from istio_mc.domain.trace.model import ClusterView, HopResult
    from istio_mc.domain.traffic.data_path import DataPath

REACHED = "services.reached"
_SHOWN = 3
_CONFIGURED = frozenset(
    {
        "sharing",
        "export",
        "selectors",
        "endpoints",
        "sidecar",
        "service-entry",
        "virtual-service",
        "destination-rule",
        "peer-authentication",
        "network-policy",
        "authorization",
    }
)
"""Hops that objects alone decide; the others are looked at by checks of their own, or by trace."""

_HOPS = tuple(hop for hop in HOPS if hop.id in _CONFIGURED)
_POLICY = tuple(hop for hop in HOPS if hop.id == "authorization")


@dataclass(slots=True)
class _Reason:
    """One cause, and what it concerns."""

    first: Problem
    ends_handshakes: bool = False
    services: dict[str, None] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        others = len(self.services) - 1
        more = f" and {plural(others, 'more service')}" if others else ""
        return f"{self.first.message} ({few(self.paths, _SHOWN)}){more}"


def _reached(facts: Facts, _target: Target) -> Finding:
    shared = [ServiceName(one.namespace, one.name) for one in merged(facts.services)]
    explained = explained_gateways(facts)
    reasons: dict[tuple[str, str | None, str], _Reason] = {}
    services: dict[str, None] = {}
    for name in shared:
        for path, hop in _broken(facts, name):
            problem = hop.outcome.problem
            if problem is None:
                continue
            services[str(name)] = None
            key = (problem.code, problem.cluster, problem.message.replace(str(name), "SERVICE"))
            reason = reasons.setdefault(key, _Reason(problem))
            # A rule also breaks calls of clients in its own cluster, with the same problem.
            reason.ends_handshakes |= _ends_handshakes(path, hop) and path.target.context in explained
            reason.services[str(name)] = None
            if next(iter(reason.services)) == str(name):
                reason.paths.append(f"{path.client.context} → {path.target.context}")
    if not reasons:
        return Finding(f"{len(shared)} in more than one cluster")
    # The cause of a failed data path first.
    in_order = sorted(reasons.values(), key=lambda one: not one.ends_handshakes)
    first = in_order[0]
    seen = few(map(str, in_order), _SHOWN, "; ")
    problem = Problem(
        code=Code.SERVICES_NOT_REACHED,
        message=f"{plural(len(services), 'service')} not reachable from all clusters, "
        f"{plural(len(reasons), 'root cause')}",
        seen=seen,
        expected="endpoints that are reachable from every other cluster",
        hint=_hint(first, len(reasons)),
    )
    is_raised = first.ends_handshakes
    return Finding(f"{len(services)} of {len(shared)} not reachable", problem, is_raised=is_raised)


def _hint(first: _Reason, reasons: int) -> Hint:
    if (reasons == 1 or first.ends_handshakes) and first.first.hint:
        return first.first.hint
    return Advice("check every hop of the first: ", istio_mc("trace", next(iter(first.services))))


@cached
def explained_gateways(facts: Facts) -> frozenset[str]:
    """The contexts whose gateway ends handshakes because of what is configured for the services behind it.

    All services that were requested through the gateway have such a problem in its own cluster.
    """
    shared = {ServiceName(one.namespace, one.name) for one in merged(facts.services)}
    requested = {name: _closed(way) for name, way in facts.data_path.items()}
    problems = {
        service: {path.target.context for path, hop in _broken(facts, service) if _ends_handshakes(path, hop)}
        for service in shared & {one for services in requested.values() for one in services}
    }
    return frozenset(
        name
        for name, services in requested.items()
        if services and all(name in problems.get(service, ()) for service in services)
    )


def _closed(way: DataPath) -> set[ServiceName]:
    """The services whose handshakes a gateway ended; empty if a workload presented a certificate."""
    handshakes = [one for trace in way.traces for one in trace.handshakes]
    if any(one.outcome is not DataPathOutcome.CLOSED for one in handshakes):
        return set()
    return {ServiceName(one.service.namespace, one.service.service) for one in handshakes}


def _ends_handshakes(path: Path, hop: HopResult) -> bool:
    """Whether a broken hop ends handshakes at the gateway: a policy for requests does not."""
    problem = hop.outcome.problem
    return problem is not None and problem.cluster == path.target.context and hop.hop not in _POLICY


def _broken(facts: Facts, name: ServiceName) -> Iterator[tuple[Path, HopResult]]:
    """The paths of a service that are broken by configuration, at their first hop."""
    views = {
        context: source.view(name, client=source.any_client(name.namespace))
        for context, source in sources(facts).items()
        if source.service(name)
    }
    if not any(view.meshed for view in views.values()):
        return  # a service outside the mesh
    for client, target in _pairs(views):
        port = _port(target)
        if port is None or not target.endpoints:
            continue
        path = Path(name, port, client, target)
        broken = walk(path, _HOPS).broken
        if broken and not (broken.hop in _POLICY and _is_refused_at_home(path)):
            yield path, broken


def _pairs(views: Mapping[str, ClusterView]) -> Iterator[tuple[ClusterView, ClusterView]]:
    return ((a, b) for a in views.values() for b in views.values() if a is not b)


def _port(view: ClusterView) -> int | None:
    ports = (view.service or {}).get("spec", {}).get("ports") or []
    return next((int(port["port"]) for port in ports if port.get("protocol", "TCP") == "TCP"), None)


def _is_refused_at_home(path: Path) -> bool:
    """Whether the same client is refused from the target's own cluster too: then it is intended."""
    at_home = replace(path.target, client=path.client.client)
    return walk(Path(path.service, path.port, at_home, at_home), _POLICY).broken is not None


CHECKS = (
    Check(
        id=REACHED,
        title="reachability of services",
        passes="services are reachable from all clusters",
        looks_at="Services, EndpointSlices, sidecars and Istio configuration, by the hops of `trace`",
        usual_cause="a policy or a route that was written for one cluster; pods without a sidecar",
        fix=f"`{istio_mc('trace', 'NAMESPACE/SERVICE')}` shows the hop and its repair",
        severity=Severity.WARNING,
        scope=Scope.MESH,
        evaluate=_reached,
        reads=(Observation.SERVICES, Observation.CONFIGURATION),
        docs="troubleshooting.md#services-not-reached",
    ),
)


@cached
def sources(facts: Facts) -> dict[str, Sources]:
    """What was read of each cluster, for the traces of its services; clusters that did not respond too."""
    return {name: _sources(facts, name) for name in facts.clusters}


def _sources(facts: Facts, name: str) -> Sources:
    observed = facts.observed.get(name)
    pods = gateway_pods(observed.of(objects.POD), EAST_WEST_GATEWAY) if observed else []
    return Sources(
        cluster=facts.clusters[name],
        istiod=facts.mesh_of(name).istiod,
        mesh_config=read_mesh_config(observed, facts.mesh_of(name).revision) if observed else {},
        services=facts.services.get(name),
        configuration=facts.configuration.get(name, Configuration()),
        gateway_pods=tuple(pods),
        injectors=injectors(observed.of(objects.MUTATING_WEBHOOK)) if observed else None,
        discovery=facts.discovery.get(name),
    )
