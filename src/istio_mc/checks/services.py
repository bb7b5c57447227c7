"""Services: those that a mesh makes one of agree in what they offer."""

from __future__ import annotations

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.services import merged
from istio_mc.domain.problem import Problem
from istio_mc.domain.text import few

_SHOWN = 5


def _agree(facts: Facts, _target: Target) -> Finding:
    found = merged(facts.services)
    odd = [one for one in found if not one.agrees]
    if not odd:
        spread = sum(one.spreads for one in found)
        return Finding(f"{len(found)} in more than one cluster, {spread} with endpoints there")
    problem = Problem(
        code=Code.SERVICES_DISAGREE,
        message="Services of one name and namespace differ between clusters, and the mesh makes one of them: "
        "a call may reach a cluster where it is offered otherwise",
        seen=few((f"{one} ({one.disagreement})" for one in odd), _SHOWN, "; "),
        expected="the same ports and labels, or other names",
        hint=Advice(
            "make them alike, or rename one, or keep it in its cluster: serviceSettings with "
            "clusterLocal: true in meshConfig"
        ),
    )
    return Finding(f"{len(odd)} of {len(found)} differ", problem)


CHECKS = (
    Check(
        id="services.agree",
        topic="services",
        title="Services that the mesh makes one of have the same ports and labels everywhere",
        looks_at="the Services of equal name and namespace that have endpoints in several clusters",
        usual_cause="two teams use one name for two things",
        fix="rename one, or keep it in its cluster",
        severity=Severity.WARNING,
        scope=Scope.MESH,
        ask=_agree,
        reads=(Observation.SERVICES,),
        needs=(REACHABLE,),
        docs="troubleshooting.md#services-disagree",
    ),
)
