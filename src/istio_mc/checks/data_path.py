"""Data path checks: from this machine through every gateway to a workload; with `--deep`, from pod to pod."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.checks import (
    access,
    cacerts,
    control_plane,
    gateway,
    hints,
    identity,
    remote_access,
    remote_secret,
    services,
    trust,
)
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Target
from istio_mc.domain.gateway import address
from istio_mc.domain.hint import Advice, Command, Hint, istio_mc, istioctl, kubectl
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.traffic import data_path
from istio_mc.domain.traffic.data_path import DataPath, Judged, Outcome, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

TOPIC = "data-path"
RESOLVES, REACHABLE, READY = "data-path.resolves", "data-path.reachable", "data-path.ready"
HANDSHAKE, ACCEPTED = "data-path.handshake", "data-path.accepted"

_WELL = frozenset({Outcome.OK, Outcome.FORMER_CA})
"""A former CA of the mesh is trusted as long as its root is; the topic `trust` reports it."""

_SAMPLE = istio_mc("sample", "deploy")

_NOT_KNOWN = frozenset({Outcome.UNKNOWN, Outcome.NOTHING_MESHED, Outcome.NO_KEY})


@dataclass(frozen=True)
class _Place:
    """Values for the texts of a fault: context, gateway port, namespace of the last workload called."""

    name: str
    port: str
    namespace: str


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """A fault of the data path; message and expected are format strings with the fields of a place."""

    code: Code
    message: str
    expected: str
    hint: Callable[[_Place], Hint]


def _restart(at: _Place) -> Hint:
    return kubectl(at.name, "-n", at.namespace, "rollout", "restart", "deployment")


def _or_other_address(*parts: str | Command) -> Callable[[_Place], Hint]:
    """Advice for a correct gateway address, and the command for a wrong one."""

    def advice(at: _Place) -> Hint:
        other = istio_mc("address", "--set", f"{at.name}=ADDRESS")
        texts = (part.format(**asdict(at)) if isinstance(part, str) else part for part in parts)
        return Advice(*texts, "; if this is not its address: ", other)

    return advice


def _gateway_pods(at: _Place) -> Hint:
    shown = kubectl(at.name, "-n", SYSTEM_NAMESPACE, "get", "pods", "-l", f"app={EAST_WEST_GATEWAY}")
    return Advice("check where the address routes to, and the gateway pods: ", shown)


def _listeners(at: _Place) -> Hint:
    gateway_pod = f"deployment/{EAST_WEST_GATEWAY}.{SYSTEM_NAMESPACE}"
    shown = istioctl(at.name, "proxy-config", "listeners", gateway_pod, "--port", at.port)
    return Advice("check the listeners of the gateway: ", shown)


_FAULTS: Mapping[Outcome, _Fault] = {
    Outcome.UNRESOLVED: _Fault(
        code=Code.GATEWAY_UNRESOLVED,
        message="gateway address does not resolve",
        expected="a name that resolves on this machine and in the other clusters",
        hint=_or_other_address("make the name resolve"),
    ),
    Outcome.REFUSED: _Fault(
        code=Code.GATEWAY_REFUSED,
        message="connection to gateway port {port} is refused",
        expected="a connection from here and from the other clusters",
        hint=_or_other_address(
            "forward port {port} to the gateway (",
            istio_mc("address"),
            " shows the target)",
        ),
    ),
    Outcome.TIMED_OUT: _Fault(
        code=Code.GATEWAY_TIMED_OUT,
        message="connection to gateway port {port} timed out",
        expected="a connection from here and from the other clusters",
        hint=_or_other_address(
            "allow TCP {port} in the firewall (", istio_mc("address"), " lists the ports)"
        ),
    ),
    Outcome.UNREACHABLE: _Fault(
        code=Code.GATEWAY_UNREACHABLE,
        message="gateway is not reachable",
        expected="a connection from here and from the other clusters",
        hint=_or_other_address("add a route to the address"),
    ),
    Outcome.NOT_READY: _Fault(
        code=Code.GATEWAY_NOT_READY,
        message="gateway readiness endpoint does not report ready",
        expected="HTTP status 200 for GET /healthz/ready",
        hint=_gateway_pods,
    ),
}
_AT_THE_HANDSHAKE: Mapping[Outcome, _Fault] = {
    Outcome.CLOSED: _Fault(
        code=Code.NOT_PASSED_THROUGH,
        message="gateway does not forward connections to its workloads",
        expected="the certificate of a workload",
        hint=_listeners,
    ),
    Outcome.TIMED_OUT: _Fault(
        code=Code.GATEWAY_SILENT,
        message="gateway address accepts connections but sends no response",
        expected="the certificate of a workload",
        hint=_or_other_address("check where the address routes to, and proxies in front of the gateway"),
    ),
    Outcome.NOT_TLS: _Fault(
        code=Code.NOT_A_GATEWAY,
        message="gateway address does not belong to a gateway of the mesh",
        expected="a TLS 1.3 handshake",
        hint=_or_other_address("check where the address routes to"),
    ),
    Outcome.OTHER_CLUSTER: _Fault(
        code=Code.OTHER_CLUSTER_ANSWERED,
        message="gateway address routes to another cluster",
        expected="a certificate issued by the CA of {name}",
        hint=_or_other_address(
            "check where the address routes to: each cluster's gateway needs its own address"
        ),
    ),
    Outcome.OTHER_ROOT: _Fault(
        code=Code.FOREIGN_ROOT,
        message="workloads behind the gateway do not use the mesh's root CA",
        expected="a certificate issued by the CA of {name}, under a root that every cluster trusts",
        hint=_restart,
    ),
    Outcome.NOT_VALID: _Fault(
        code=Code.CERTIFICATE_NOT_VALID,
        message="workloads behind the gateway present an expired or not yet valid certificate",
        expected="a valid certificate",
        hint=_restart,
    ),
}
_AT_THE_CALL = _Fault(
    code=Code.CALL_REFUSED,
    message="a workload behind the gateway rejects certificates of the mesh",
    expected="a response",
    hint=_restart,
)


def _judged(
    judge: Callable[[Trace], Judged],
    problems: Mapping[Outcome, _Fault],
    facts: Facts,
    target: Target,
) -> Finding:
    way = facts.data_path[str(target.cluster)]
    return _combine(way, [judge(trace) for trace in way.traces], problems, target)


def _handshake(facts: Facts, target: Target) -> Finding:
    way = facts.data_path[str(target.cluster)]
    finding = _combine(way, way.shown, {**_FAULTS, **_AT_THE_HANDSHAKE}, target)
    if target.cluster in services.explained_gateways(facts):
        return finding
    return replace(finding, parts=frozenset({frozenset(_BEFORE_HANDSHAKE)}))


def _accepted(facts: Facts, target: Target) -> Finding:
    return _judged(data_path.accepted, dict.fromkeys(Outcome, _AT_THE_CALL), facts, target)


def _combine(
    way: DataPath, judged: Iterable[Judged], problems: Mapping[Outcome, _Fault], target: Target
) -> Finding:
    """The Finding for all addresses of a gateway: each must work, as requests are spread over all."""
    tests = list(zip(way.traces, judged, strict=True))
    wrong = [(trace, one) for trace, one in tests if one.outcome not in _WELL | _NOT_KNOWN]
    if wrong:
        trace, first = wrong[0]
        return Finding(_listed(tests), _filled(problems[first.outcome], trace, target, _listed(wrong)))
    if not any(one.outcome in _WELL for _, one in tests):
        seen = _listed(tests) or "the gateway has no address"
        nothing_meshed = any(one.outcome is Outcome.NOTHING_MESHED for _, one in tests)
        return Finding(seen, unknown=True, clears=_SAMPLE if nothing_meshed else None)
    return Finding(_listed(tests))


def _listed(tests: Iterable[tuple[Trace, Judged]]) -> str:
    return "; ".join(": ".join(filter(None, (trace.name, one.seen))) for trace, one in tests)


def _filled(fault: _Fault, trace: Trace, target: Target, seen: str) -> Problem:
    at = _Place(
        name=str(target.cluster),
        port=str(trace.mesh.port) if trace.mesh else "",
        namespace=trace.handshakes[-1].service.namespace if trace.handshakes else SYSTEM_NAMESPACE,
    )
    return Problem(
        code=fault.code,
        message=fault.message.format(**asdict(at)),
        seen=seen,
        expected=fault.expected.format(**asdict(at)),
        hint=fault.hint(at),
    )


_THE_GATEWAY = (control_plane.ISTIOD, control_plane.GATEWAY, *(check.id for check in gateway.CHECKS))
_TRUST = tuple(check.id for check in (*access.CLOCKS, *cacerts.CHECKS, *trust.CHECKS))
_BEFORE_HANDSHAKE = (*_THE_GATEWAY, *_TRUST, READY)

CHECKS = (
    Check(
        id=RESOLVES,
        title="gateway DNS name",
        passes="gateway address resolves",
        looks_at="the gateway's address, looked up from here",
        usual_cause="the provider's DNS name is new, or was released",
        fix="wait for the DNS record, or set another address: " + hints.ADDRESS,
        evaluate=partial(_judged, data_path.resolved, _FAULTS),
        needs=(gateway.ADDRESS,),
        reads=(Observation.DATA_PATH,),
        docs="troubleshooting.md#gateway-unresolved",
    ),
    Check(
        id=REACHABLE,
        title="gateway TCP connection",
        passes="gateway port is reachable from here",
        looks_at="a TCP connection to 15443",
        usual_cause="a firewall or security group; NAT to another target",
        fix=f"allow TCP 15443; `{istio_mc('address')}` lists the ports",
        evaluate=partial(_judged, data_path.reached, _FAULTS),
        needs=(RESOLVES,),
        because=_THE_GATEWAY,
        reads=(Observation.DATA_PATH,),
        docs="troubleshooting.md#gateway-timed-out",
    ),
    Check(
        id=READY,
        title="gateway readiness",
        passes="gateway readiness endpoint responds",
        looks_at="`/healthz/ready` on 15021",
        usual_cause="the gateway has received no configuration from istiod",
        fix="check the gateway's pods and their logs",
        evaluate=partial(_judged, data_path.ready, _FAULTS),
        needs=(RESOLVES,),
        because=(*_THE_GATEWAY, REACHABLE),
        reads=(Observation.DATA_PATH,),
        docs="troubleshooting.md#gateway-not-ready",
    ),
    Check(
        id=HANDSHAKE,
        title="TLS handshake through gateway",
        passes="a workload presents a certificate of the mesh",
        looks_at="a TLS handshake through the gateway to a service with a sidecar, without a client key",
        usual_cause=("no Gateway with AUTO_PASSTHROUGH, another root, or an address of another cluster"),
        fix=hints.INSTALL,
        evaluate=_handshake,
        needs=(REACHABLE, cacerts.CACERTS),
        because=(*_BEFORE_HANDSHAKE, services.REACHED),
        reads=(Observation.DATA_PATH, Observation.SERVICES),
        docs="troubleshooting.md#not-passed-through",
    ),
    Check(
        id=ACCEPTED,
        title="request through gateway",
        passes="a workload accepts a certificate of the mesh and responds",
        looks_at="a request with a client certificate from the mesh's CA, valid for minutes and not stored",
        usual_cause="the workload trusts another root",
        fix="see the checks of the topic `trust`",
        evaluate=_accepted,
        needs=(HANDSHAKE,),
        because=_TRUST,
        reads=(Observation.DATA_PATH, Observation.SERVICES),
        docs="troubleshooting.md#call-refused",
    ),
)


PROBE, DEEP = "data-path.probe", "data-path.deep"


def _probe(facts: Facts, target: Target) -> Finding:
    problems = facts.failed(Observation.DEEP, str(target.cluster))
    if problems:
        return Finding(problems[0].seen or problems[0].message, problems[0])
    return Finding("")


def _deep(facts: Facts, target: Target) -> Finding:
    name, peer = str(target.cluster), str(target.peer)
    reply = facts.deep[name][peer]
    cluster_id = facts.clusters[peer].cluster_id
    if reply.is_from(cluster_id):
        return Finding(f"response from {cluster_id}" if reply.body == cluster_id else str(reply))
    addresses = address.used_addresses(peer, facts.clusters[peer], facts.observed)
    problem = Problem(
        code=Code.NO_ANSWER_ACROSS,
        message=f"probe pod gets no response from {peer}",
        seen=str(reply),
        expected=f"a response from {cluster_id} through the gateway of {peer}",
        hint=Advice(
            f"allow TCP 15443 from the nodes of {name} to {', '.join(addresses)}; "
            "if that is not the gateway's address: ",
            istio_mc("address", "--set", f"{peer}=ADDRESS"),
        ),
    )
    return Finding(str(reply), problem)


_BEFORE = tuple(
    check.id
    for module in (access, identity, trust, control_plane, gateway, remote_secret, remote_access)
    for check in module.CHECKS
)

WITH_DEEP = (
    Check(
        id=PROBE,
        title="probe pod",
        passes="probe pod with a sidecar runs",
        looks_at="a pod that runs in its own namespace and is removed afterwards (with `--deep`)",
        usual_cause="injection does not work, or the image cannot be pulled",
        fix=f"`{istio_mc('verify', '--deep', '--probe-image', 'IMAGE')}`",
        evaluate=_probe,
        because=tuple(check.id for check in control_plane.CHECKS),
        reads=(Observation.DEEP,),
        reports_failures=True,
        docs="troubleshooting.md#probe-not-running",
    ),
    Check(
        id=DEEP,
        title="request between clusters",
        passes="probe pod gets a response from the other cluster",
        looks_at="a request of that pod to a service of each other cluster (with `--deep`)",
        usual_cause="a firewall between the clouds: this machine and the clusters have different networks",
        fix="allow TCP 15443 between the clusters",
        scope=Scope.PAIR,
        evaluate=_deep,
        needs=(PROBE,),
        because=(*_BEFORE, *(check.id for check in CHECKS)),
        reads=(Observation.DEEP,),
        docs="troubleshooting.md#no-answer-across",
    ),
)
"""The checks that verify runs with `--deep` only."""
