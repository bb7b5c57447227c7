"""Control plane checks: istiod and the east-west gateway run, and no NetworkPolicy blocks their ports."""

from __future__ import annotations

from dataclasses import replace

from istio_mc.checks import hints
from istio_mc.checks.access import CLOCK, NO_NAMESPACE
from istio_mc.checks.cacerts import CACERTS, ROOT_VALID, VALID
from istio_mc.checks.model import Check, Facts, Finding, Observation, Target
from istio_mc.domain.hint import Advice, Hint, kubectl
from istio_mc.domain.istio.istiod import unavailable
from istio_mc.domain.istio.pod_faults import problem_of
from istio_mc.domain.istio.revision import not_moved, revisions_of
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem

ISTIOD = "control-plane.istiod"
GATEWAY = "control-plane.gateway"


def _rolled_out(facts: Facts, target: Target, deployment: str) -> Finding:
    name = str(target.cluster)
    live = facts.observed[name].find(objects.DEPLOYMENT, deployment)
    seen = unavailable(live)
    if not seen:
        return Finding("")
    faults = facts.pod_faults.get(name, {}).get(deployment, ())
    if problem := problem_of(name, SYSTEM_NAMESPACE, faults):
        return Finding(f"{seen}; {faults[0].in_short}", replace(problem, seen=f"{seen}\n{problem.seen}"))
    if live is None and deployment != EAST_WEST_GATEWAY and facts.observed[name].istiods:
        present = revisions_of(facts.observed[name].istiods)
        problem = not_moved(name, present, facts.mesh_of(name).revision, facts.mesh.version)
        return Finding(f"{seen}; istiod of revision {', '.join(present)}", problem)
    hint: Hint = Advice(kubectl(name, "-n", SYSTEM_NAMESPACE, "describe", "deployment", deployment))
    if live is None:
        hint = hints.install(facts)
    elif live["spec"].get("replicas") == 0:
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
        title="istiod rollout",
        passes="istiod is available",
        looks_at="istiod's Deployment: replicas desired, updated and available",
        usual_cause=(
            "it was scaled to zero, its image cannot be pulled, or istiod does not start with this `cacerts`"
        ),
        fix=f"`{kubectl('CONTEXT', '-n', 'istio-system', 'describe', 'deployment', 'istiod')}`",
        evaluate=lambda facts, target: _rolled_out(facts, target, facts.mesh_of(str(target.cluster)).istiod),
        # istiod does not start with an unusable CA.
        because=(*NO_NAMESPACE, CLOCK, CACERTS, ROOT_VALID, VALID),
        reads=(Observation.PODS,),
        reports_failures=True,
        docs="troubleshooting.md#not-ready",
    ),
    Check(
        id=GATEWAY,
        title="east-west gateway rollout",
        passes="east-west gateway is available",
        looks_at="the gateway's Deployment: replicas desired, updated and available",
        usual_cause="it was scaled to zero, or it waits for istiod",
        fix=f"`{kubectl('CONTEXT', '-n', 'istio-system', 'describe', 'deployment', 'istio-ingressgateway')}`",
        evaluate=lambda facts, target: _rolled_out(facts, target, EAST_WEST_GATEWAY),
        because=NO_NAMESPACE,
        reads=(Observation.PODS,),
        reports_failures=True,
        docs="troubleshooting.md#not-ready",
    ),
)
