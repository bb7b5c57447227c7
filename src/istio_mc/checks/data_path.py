"""Data path: from here through every gateway to a workload behind it; with `--deep`, from pod to pod."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
    trust,
)
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.gateway import address
from istio_mc.domain.hint import Advice, Command, Hint, istio_mc, istioctl, kubectl
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem
from istio_mc.domain.traffic import data_path
from istio_mc.domain.traffic.data_path import DataPath, Judged, Outcome, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

TOPIC = "data-path"
RESOLVES, REACHABLE, READY = "data-path.resolves", "data-path.reachable", "data-path.ready"
HANDSHAKE, ACCEPTED = "data-path.handshake", "data-path.accepted"

_WELL = frozenset({Outcome.OK, Outcome.FORMER_CA})
"""A CA of the mesh that was replaced is trusted as long as its root is: that is trust's to tell."""

_UNTOLD = frozenset({Outcome.UNTOLD, Outcome.NOTHING_MESHED, Outcome.NO_KEY})


@dataclass(frozen=True)
class _Place:
    """Where a fault was seen, for what is said of it.

    Attributes:
        name: The cluster's context.
        port: The gateway's port for the other clusters.
        namespace: That of the workload that was called last.
    """

    name: str
    port: str
    namespace: str


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """A fault of the data path; in message and expected stand the attributes of a place in braces."""

    code: Code
    message: str
    expected: str
    hint: Callable[[_Place], Hint]


def _restart(at: _Place) -> Hint:
    return kubectl(at.name, "-n", at.namespace, "rollout", "restart", "deployment")


def _or_other_address(*parts: str | Command) -> Callable[[_Place], Hint]:
    """Advice for an address that is the gateway's, and the command for one that is not."""

    def advice(at: _Place) -> Hint:
        other = istio_mc("address", "--set", f"{at.name}=ADDRESS")
        told = (part.format(**asdict(at)) if isinstance(part, str) else part for part in parts)
        return Advice(*told, "; where this is not its address: ", other)

    return advice


def _gateway_pods(at: _Place) -> Hint:
    shown = kubectl(at.name, "-n", SYSTEM_NAMESPACE, "get", "pods", "-l", f"app={EAST_WEST_GATEWAY}")
    return Advice("see what the address leads to, and the gateway's own word: ", shown)


def _listeners(at: _Place) -> Hint:
    gateway_pod = f"deployment/{EAST_WEST_GATEWAY}.{SYSTEM_NAMESPACE}"
    shown = istioctl(at.name, "proxy-config", "listeners", gateway_pod, "--port", at.port)
    return Advice("see what the gateway knows: ", shown)


_FAULTS: Mapping[Outcome, _Fault] = {
    Outcome.UNRESOLVED: _Fault(
        code=Code.GATEWAY_UNRESOLVED,
        message="the address of the gateway of {name} does not resolve",
        expected="a name that this machine and the other clusters resolve",
        hint=_or_other_address("make the name resolve"),
    ),
    Outcome.REFUSED: _Fault(
        code=Code.GATEWAY_REFUSED,
        message="port {port} of the gateway of {name} is refused",
        expected="a connection from here, as from the other clusters",
        hint=_or_other_address(
            "have what stands before the cluster lead {port} to the gateway (",
            istio_mc("address"),
            " shows where to)",
        ),
    ),
    Outcome.TIMED_OUT: _Fault(
        code=Code.GATEWAY_TIMED_OUT,
        message="port {port} of the gateway of {name} gives no answer",
        expected="a connection from here, as from the other clusters",
        hint=_or_other_address(
            "let TCP {port} through the firewall (", istio_mc("address"), " lists the ports)"
        ),
    ),
    Outcome.UNREACHABLE: _Fault(
        code=Code.GATEWAY_UNREACHABLE,
        message="the gateway of {name} cannot be reached",
        expected="a connection from here, as from the other clusters",
        hint=_or_other_address("have the address routed"),
    ),
    Outcome.NOT_READY: _Fault(
        code=Code.GATEWAY_NOT_READY,
        message="what stands at the address of the gateway of {name} does not say that it is ready",
        expected="HTTP status 200 to GET /healthz/ready",
        hint=_gateway_pods,
    ),
}
_AT_THE_HANDSHAKE: Mapping[Outcome, _Fault] = {
    Outcome.CLOSED: _Fault(
        code=Code.NOT_PASSED_THROUGH,
        message="the gateway of {name} does not pass connections through to its workloads",
        expected="the certificate of a workload",
        hint=_listeners,
    ),
    Outcome.TIMED_OUT: _Fault(
        code=Code.GATEWAY_SILENT,
        message="what stands at the address of the gateway of {name} takes connections and is silent",
        expected="the certificate of a workload",
        hint=_or_other_address("see what the address leads to, and what stands before the gateway"),
    ),
    Outcome.NOT_TLS: _Fault(
        code=Code.NOT_A_GATEWAY,
        message="what stands at the address of the gateway of {name} is no gateway of the mesh",
        expected="a TLS 1.3 handshake",
        hint=_or_other_address("see what the address leads to"),
    ),
    Outcome.OTHER_CLUSTER: _Fault(
        code=Code.OTHER_CLUSTER_ANSWERED,
        message="the gateway of {name} leads to another cluster",
        expected="a certificate of the CA of {name}",
        hint=_or_other_address("see where the address leads: each cluster's gateway needs one of its own"),
    ),
    Outcome.OTHER_ROOT: _Fault(
        code=Code.FOREIGN_ROOT,
        message="the workloads behind the gateway of {name} do not run under the mesh's root",
        expected="a certificate of the CA of {name}, under the root that every cluster trusts",
        hint=_restart,
    ),
    Outcome.NOT_VALID: _Fault(
        code=Code.CERTIFICATE_NOT_VALID,
        message="the workloads behind the gateway of {name} show a certificate that is not valid now",
        expected="a certificate that the other clusters accept",
        hint=_restart,
    ),
}
_AT_THE_CALL = _Fault(
    code=Code.CALL_REFUSED,
    message="a workload behind the gateway of {name} does not take the mesh's certificates",
    expected="an answer",
    hint=_restart,
)


def _told(
    judge: Callable[[Trace], Judged],
    problems: Mapping[Outcome, _Fault],
    facts: Facts,
    target: Target,
) -> Finding:
    way = facts.data_path[str(target.cluster)]
    return _found(way, [judge(trace) for trace in way.traces], problems, target)


def _handshake(facts: Facts, target: Target) -> Finding:
    way = facts.data_path[str(target.cluster)]
    return _found(way, way.shown, {**_FAULTS, **_AT_THE_HANDSHAKE}, target)


def _accepted(facts: Facts, target: Target) -> Finding:
    return _told(data_path.accepted, dict.fromkeys(Outcome, _AT_THE_CALL), facts, target)


def _found(
    way: DataPath, judged: Iterable[Judged], problems: Mapping[Outcome, _Fault], target: Target
) -> Finding:
    """What all addresses of a gateway tell together: each must be well, as calls are spread over all."""
    tried = list(zip(way.traces, judged, strict=True))
    wrong = [(trace, one) for trace, one in tried if one.outcome not in _WELL | _UNTOLD]
    if wrong:
        trace, first = wrong[0]
        return Finding(_listed(tried), _filled(problems[first.outcome], trace, target, _listed(wrong)))
    if not any(one.outcome in _WELL for _, one in tried):
        return Finding(_listed(tried) or "the gateway has no address", unknown=True)
    return Finding(_listed(tried))


def _listed(tried: Iterable[tuple[Trace, Judged]]) -> str:
    return "; ".join(": ".join(filter(None, (trace.name, one.seen))) for trace, one in tried)


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
_cluster = partial(Check, topic=TOPIC, severity=Severity.ERROR, scope=Scope.CLUSTER)

CHECKS = (
    _cluster(
        id=RESOLVES,
        title="the gateway's address resolves here",
        looks_at="the gateway's address, looked up from here",
        usual_cause="the provider's DNS name is new, or was given up",
        fix="wait for the name, or give another address: " + hints.ADDRESS,
        ask=partial(_told, data_path.resolved, _FAULTS),
        needs=(gateway.ADDRESS,),
        reads=(Observation.DATA_PATH,),
        docs="troubleshooting.md#gateway-unresolved",
    ),
    _cluster(
        id=REACHABLE,
        title="TCP gets from here to the gateway's port for the other clusters",
        looks_at="a TCP connection to 15443",
        usual_cause="a firewall or security group; a NAT that leads elsewhere",
        fix=f"let 15443 through; `{istio_mc('address')}` lists the ports",
        ask=partial(_told, data_path.reached, _FAULTS),
        needs=(RESOLVES,),
        because=_THE_GATEWAY,
        reads=(Observation.DATA_PATH,),
        docs="troubleshooting.md#gateway-timed-out",
    ),
    _cluster(
        id=READY,
        title="the gateway says, at its address, that it is ready",
        looks_at="`/healthz/ready` on 15021",
        usual_cause="the gateway has not got its configuration from istiod",
        fix="look at the gateway's pods and their log",
        ask=partial(_told, data_path.ready, _FAULTS),
        needs=(RESOLVES,),
        because=(*_THE_GATEWAY, REACHABLE),
        reads=(Observation.DATA_PATH,),
        docs="troubleshooting.md#gateway-not-ready",
    ),
    _cluster(
        id=HANDSHAKE,
        title="a workload of the cluster answers through the gateway, under the mesh's root",
        looks_at="a TLS handshake through the gateway to a service with a sidecar; no key is needed for it",
        usual_cause=(
            "no Gateway with AUTO_PASSTHROUGH, another root, or an address that leads to another cluster"
        ),
        fix=hints.INSTALL,
        ask=_handshake,
        needs=(REACHABLE, cacerts.CACERTS),
        because=(*_THE_GATEWAY, *_TRUST, READY),
        reads=(Observation.DATA_PATH, Observation.SERVICES),
        docs="troubleshooting.md#not-passed-through",
    ),
    _cluster(
        id=ACCEPTED,
        title="that workload takes a certificate of the mesh's, valid for minutes, and answers",
        looks_at="a call with a certificate of the mesh's own CA, made for minutes and gone afterwards",
        usual_cause="the workload trusts another root",
        fix="what the checks of trust say",
        ask=_accepted,
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
    return Finding("called from there, and removed")


def _deep(facts: Facts, target: Target) -> Finding:
    name, peer = str(target.cluster), str(target.peer)
    reply = facts.deep[name][peer]
    cluster_id = facts.clusters[peer].cluster_id
    if reply.is_from(cluster_id):
        return Finding(f"answered by {cluster_id}" if reply.body == cluster_id else str(reply))
    addresses = address.seen_addresses(peer, facts.clusters[peer], facts.observed)
    problem = Problem(
        code=Code.NO_ANSWER_ACROSS,
        message=f"a pod in {name} gets no answer from {peer}",
        seen=str(reply),
        expected=f"an answer of {cluster_id}, through the gateway of {peer}",
        hint=Advice(
            f"let TCP 15443 through from the nodes of {name} to {', '.join(addresses)}; "
            "where that is not the gateway's address: ",
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
        topic=TOPIC,
        title="a pod with a sidecar can be run to call from (with --deep)",
        looks_at="a pod that is run in a namespace of its own, and removed afterwards",
        usual_cause="injection does not work, or the image cannot be pulled",
        fix=f"`{istio_mc('verify', '--deep', '--probe-image', 'IMAGE')}`",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_probe,
        needs=(access.REACHABLE,),
        because=tuple(check.id for check in control_plane.CHECKS),
        reads=(Observation.DEEP,),
        tells_failures=True,
        docs="troubleshooting.md#probe-not-running",
    ),
    Check(
        id=DEEP,
        topic=TOPIC,
        title="a pod in the one cluster gets an answer from the other (with --deep)",
        looks_at="a call of that pod to a service of each other cluster",
        usual_cause="a firewall between the clouds: what is reached from here need not be reached from there",
        fix="let 15443 through between the clusters",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_deep,
        needs=(PROBE,),
        because=(*_BEFORE, *(check.id for check in CHECKS)),
        reads=(Observation.DEEP,),
        docs="troubleshooting.md#no-answer-across",
    ),
)
"""What verify asks with `--deep` only."""
