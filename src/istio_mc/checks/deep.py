"""Deep: a pod in every cluster calls every other cluster. Asked with `verify --deep` only."""

from __future__ import annotations

from istio_mc.checks import (
    access,
    control_plane,
    data_path,
    gateway,
    identity,
    remote_access,
    remote_secret,
    trust,
)
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.gateway import address
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.problem import Problem

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


_BEFORE = (access, identity, trust, control_plane, gateway, remote_secret, remote_access, data_path)

CHECKS = (
    Check(
        id=PROBE,
        topic=data_path.TOPIC,
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
        topic=data_path.TOPIC,
        title="a pod in the one cluster gets an answer from the other (with --deep)",
        looks_at="a call of that pod to a service of each other cluster",
        usual_cause="a firewall between the clouds: what is reached from here need not be reached from there",
        fix="let 15443 through between the clusters",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_deep,
        needs=(PROBE,),
        because=tuple(check.id for module in _BEFORE for check in module.CHECKS),
        reads=(Observation.DEEP,),
        docs="troubleshooting.md#no-answer-across",
    ),
)
