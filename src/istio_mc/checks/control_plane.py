"""Control plane: istiod and the east-west gateway run."""

from __future__ import annotations

from istio_mc.checks import hints
from istio_mc.checks.access import NAMESPACE, REACHABLE
from istio_mc.checks.cacerts import CACERTS, ROOT_VALID, VALID
from istio_mc.checks.clocks import CLOCK
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain import objects
from istio_mc.domain.hint import Advice, Hint, kubectl
from istio_mc.domain.istiod import unavailable
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
    hint: Hint = Advice(kubectl(name, "-n", SYSTEM_NAMESPACE, "describe", "deployment", deployment))
    if found is None:
        hint = hints.install(facts)
    elif found["spec"].get("replicas") == 0:
        hint = kubectl(name, "-n", SYSTEM_NAMESPACE, "scale", "deployment", deployment, "--replicas=1")
    problem = Problem(
        code="not-ready",
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
        description="istiod is rolled out and available",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=lambda facts, target: _rolled_out(facts, target, facts.mesh.istiod),
        needs=(REACHABLE,),
        # istiod does not start where its CA is of no use.
        because=(NAMESPACE, CLOCK, CACERTS, ROOT_VALID, VALID),
        docs="troubleshooting.md#not-ready",
    ),
    Check(
        id=GATEWAY,
        topic="control-plane",
        description="the east-west gateway is rolled out and available",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=lambda facts, target: _rolled_out(facts, target, EAST_WEST_GATEWAY),
        needs=(REACHABLE,),
        because=(NAMESPACE,),
        docs="troubleshooting.md#not-ready",
    ),
)
