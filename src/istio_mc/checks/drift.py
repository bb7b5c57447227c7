"""Drift: nothing would change in an install, so that the mesh is what its settings say."""

from __future__ import annotations

from istio_mc.checks import (
    cacerts,
    clocks,
    control_plane,
    data_path,
    gateway,
    hints,
    link,
    names,
    reading,
    surroundings,
    trust,
    versions,
    webhooks,
)
from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain.listed import few
from istio_mc.domain.problem import Problem

_SHOWN = 6
_TOLD_ELSEWHERE = (
    *names.CHECKS,
    *clocks.CHECKS,
    *cacerts.CHECKS,
    *control_plane.CHECKS,
    *trust.CHECKS,
    *webhooks.CHECKS,
    *gateway.CHECKS,
    *link.CHECKS,
    *reading.CHECKS,
    *data_path.CHECKS,
    *surroundings.IN_A_MESH,
    *versions.CHECKS,
)


def _none(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    drift = facts.drift[name]
    if not drift.steps:
        return Finding(drift.not_compared or "nothing to change", unknown=bool(drift.not_compared))
    reasons = [f"{step.name}: {reason}" for step in drift.steps for reason in step.reasons]
    problem = Problem(
        code="drift",
        message=f"{name} is not as an install would make it",
        seen=few(reasons, _SHOWN, "; "),
        expected="nothing to change",
        hint=hints.install(facts),
    )
    return Finding(", ".join(step.name for step in drift.steps), problem)


CHECKS = (
    Check(
        id="drift.none",
        topic="drift",
        description="an install would change nothing",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_none,
        needs=(REACHABLE,),
        because=tuple(check.id for check in _TOLD_ELSEWHERE),
        reads=(Observation.DRIFT,),
        docs="troubleshooting.md#drift",
    ),
)
