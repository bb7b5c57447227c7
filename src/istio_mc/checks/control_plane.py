"""Control plane: istiod and the east-west gateway run."""

from __future__ import annotations

from dataclasses import replace

from istio_mc.checks import hints
from istio_mc.checks.access import NAMESPACE, REACHABLE
from istio_mc.checks.cacerts import CACERTS, ROOT_VALID, VALID
from istio_mc.checks.clocks import CLOCK
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, Hint, kubectl
from istio_mc.domain.istio.istiod import unavailable
from istio_mc.domain.istio.pod_faults import problem_of
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem

ISTIOD = "control-plane.istiod"
GATEWAY = "control-plane.gateway"


def _rolled_out(facts: Facts, target: Target, deployment: str) -> Finding:
    name = str(target.cluster)
    found = facts.observed[name].find(objects.DEPLOYMENT, deployment)
    seen = unavailable(found)
    if not seen:
        return Finding("available")
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
        message=f"Deployment {deployment} of {name} is not ready",
        seen=seen,
        expected="all replicas updated and available",
        hint=hint,
    )
    return Finding(seen, problem)


CHECKS = (
    Check(
        id=ISTIOD,
        topic="control-plane",
        title="istiod is rolled out and available",
        looks_at="istiod's Deployment: replicas wanted, updated and available",
        usual_cause=(
            "it was scaled to zero, its image cannot be pulled, or it does not start with this `cacerts`"
        ),
        fix=f"`{kubectl('CONTEXT', '-n', 'istio-system', 'describe', 'deployment', 'istiod')}`",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=lambda facts, target: _rolled_out(facts, target, facts.mesh.istiod),
        needs=(REACHABLE,),
        # istiod does not start where its CA is of no use.
        because=(NAMESPACE, CLOCK, CACERTS, ROOT_VALID, VALID),
        reads=(Observation.PODS,),
        tells_failures=True,
        docs="troubleshooting.md#not-ready",
    ),
    Check(
        id=GATEWAY,
        topic="control-plane",
        title="the east-west gateway is rolled out and available",
        looks_at="the gateway's Deployment likewise",
        usual_cause="it was scaled to zero, or it waits for istiod",
        fix=f"`{kubectl('CONTEXT', '-n', 'istio-system', 'describe', 'deployment', 'istio-ingressgateway')}`",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=lambda facts, target: _rolled_out(facts, target, EAST_WEST_GATEWAY),
        needs=(REACHABLE,),
        because=(NAMESPACE,),
        reads=(Observation.PODS,),
        tells_failures=True,
        docs="troubleshooting.md#not-ready",
    ),
)
