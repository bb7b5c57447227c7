"""Control plane: istiod and the east-west gateway run, and no NetworkPolicy blocks their ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT, STATUS_PORT
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.network_policies import closed_ports
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

from dataclasses import replace

from istio_mc.checks import hints
from istio_mc.checks.access import CLOCK, NAMESPACE
from istio_mc.checks.cacerts import CACERTS, ROOT_VALID, VALID
from istio_mc.checks.model import Observation
from istio_mc.domain.hint import Hint
from istio_mc.domain.istio.istiod import unavailable
from istio_mc.domain.istio.pod_faults import problem_of

ISTIOD = "control-plane.istiod"
GATEWAY = "control-plane.gateway"


def _rolled_out(facts: Facts, target: Target, deployment: str) -> Finding:
    name = str(target.cluster)
    found = facts.observed[name].find(objects.DEPLOYMENT, deployment)
    seen = unavailable(found)
    if not seen:
        return Finding("")
    faults = facts.pod_faults.get(name, {}).get(deployment, ())
    if problem := problem_of(name, SYSTEM_NAMESPACE, faults):
        return Finding(f"{seen}; {faults[0].in_short}", replace(problem, seen=f"{seen}\n{problem.seen}"))
    hint: Hint = Advice(kubectl(name, "-n", SYSTEM_NAMESPACE, "describe", "deployment", deployment))
    if found is None:
        hint = hints.install(facts)
    elif found["spec"].get("replicas") == 0:
        hint = kubectl(name, "-n", SYSTEM_NAMESPACE, "scale", "deployment", deployment, "--replicas=1")
    problem = Problem(
        code=Code.NOT_READY,
        message=f"Deployment {SYSTEM_NAMESPACE}/{deployment} is not ready",
        seen=seen,
        expected="all replicas updated and available",
        hint=hint,
    )
    return Finding(seen, problem)


CHECKS = (
    Check(
        id=ISTIOD,
        topic="control-plane",
        title="istiod rollout",
        passes="istiod is available",
        looks_at="istiod's Deployment: replicas desired, updated and available",
        usual_cause=(
            "it was scaled to zero, its image cannot be pulled, or istiod does not start with this `cacerts`"
        ),
        fix=f"`{kubectl('CONTEXT', '-n', 'istio-system', 'describe', 'deployment', 'istiod')}`",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=lambda facts, target: _rolled_out(facts, target, facts.mesh.istiod),
        needs=(REACHABLE,),
        # istiod does not start with an unusable CA.
        because=(NAMESPACE, CLOCK, CACERTS, ROOT_VALID, VALID),
        reads=(Observation.PODS,),
        reports_failures=True,
        docs="troubleshooting.md#not-ready",
    ),
    Check(
        id=GATEWAY,
        topic="control-plane",
        title="east-west gateway rollout",
        passes="east-west gateway is available",
        looks_at="the gateway's Deployment: replicas desired, updated and available",
        usual_cause="it was scaled to zero, or it waits for istiod",
        fix=f"`{kubectl('CONTEXT', '-n', 'istio-system', 'describe', 'deployment', 'istio-ingressgateway')}`",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=lambda facts, target: _rolled_out(facts, target, EAST_WEST_GATEWAY),
        needs=(REACHABLE,),
        because=(NAMESPACE,),
        reads=(Observation.PODS,),
        reports_failures=True,
        docs="troubleshooting.md#not-ready",
    ),
)


POLICIES = "control-plane.network-policies"

_ISTIOD_PORTS = (15012, 15017)
"""Of istiod: for proxies, and for API servers."""


def _blocked(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    found = facts.observed[name]
    policies = found.of(objects.NETWORK_POLICY)
    called = {facts.mesh.istiod: _ISTIOD_PORTS, EAST_WEST_GATEWAY: (CROSS_NETWORK_PORT, STATUS_PORT)}
    closed = [
        f"{port} of Deployment {deployment}, blocked by {', '.join(f'NetworkPolicy {one}' for one in names)}"
        for deployment, ports in called.items()
        if (live := found.find(objects.DEPLOYMENT, deployment))
        for port, names in closed_ports(policies, _labels(live), ports).items()
    ]
    if not closed:
        return Finding("" if policies else "no NetworkPolicy")
    problem = Problem(
        code=Code.PORTS_CLOSED,
        message="NetworkPolicies block ports that the mesh requires",
        seen="; ".join(closed),
        expected="ports 15443 and 15021 of the gateway, 15012 and 15017 of istiod allowed",
        hint=Advice(
            "allow these ports, or remove the policy: ",
            kubectl(name, "-n", SYSTEM_NAMESPACE, "get", "networkpolicies", "-o", "yaml"),
        ),
    )
    return Finding("; ".join(closed), problem)


def _labels(deployment: objects.Object) -> Mapping[str, str]:
    return objects.labels_of(deployment["spec"].get("template"))


NETWORK_POLICIES = (
    Check(
        id=POLICIES,
        topic="control-plane",
        title="NetworkPolicies of istio-system",
        passes="no NetworkPolicy blocks a required port",
        looks_at=("the NetworkPolicies of `istio-system`, and the ports of istiod and the gateway"),
        usual_cause=(
            "a gateway's chart with `global.networkPolicy.enabled`, or a policy that denies by default"
        ),
        fix="allow the listed ports",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_blocked,
        needs=(REACHABLE,),
        docs="troubleshooting.md#ports-closed",
    ),
)
