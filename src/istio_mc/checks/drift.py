"""Drift: nothing would change in an install, so that the mesh is what its settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    trust,
    versions,
    webhooks,
)
from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain import plan
from istio_mc.domain.listed import few
from istio_mc.domain.mesh import EAST_WEST_GATEWAY
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.plan import Step

_SHOWN = 6


def _ids(*groups: tuple[Check, ...]) -> frozenset[str]:
    return frozenset(check.id for checks in groups for check in checks)


_EXPLAINING = (
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
    *versions.CHECKS,
)
_NAMES = _ids(names.CHECKS)
_CA = _NAMES | _ids(clocks.CHECKS, cacerts.CHECKS, trust.CHECKS)
_GATEWAY = _NAMES | _ids(control_plane.CHECKS, gateway.CHECKS, data_path.CHECKS)
_ISTIO = _NAMES | _ids(control_plane.CHECKS, webhooks.CHECKS, reading.CHECKS, versions.CHECKS)
_LINK = _NAMES | _ids(link.CHECKS, reading.CHECKS)
_TOLD_ELSEWHERE = {
    plan.NAMESPACE: _NAMES,
    plan.CACERTS: _CA,
    plan.RESTART: _CA,
    plan.EXPOSE: _NAMES | _ids(gateway.CHECKS),
    plan.REMOTE_GATEWAYS: _GATEWAY,
    plan.LINK: _LINK,
}
"""The checks whose faults a step mends; those of what istioctl installs depend on the object."""


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
    parts = frozenset(part for step in drift.steps for part in _parts(step))
    return Finding(", ".join(step.name for step in drift.steps), problem, parts=parts)


def _parts(step: Step) -> Iterator[frozenset[str]]:
    if step.name != plan.ISTIO:
        yield _TOLD_ELSEWHERE.get(step.name, frozenset())
        return
    for reason in step.reasons:
        yield _GATEWAY if EAST_WEST_GATEWAY in reason else _ISTIO


CHECKS = (
    Check(
        id="drift.none",
        topic="drift",
        description="an install would change nothing",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_none,
        needs=(REACHABLE,),
        because=tuple(check.id for check in _EXPLAINING),
        reads=(Observation.DRIFT,),
        docs="troubleshooting.md#drift",
    ),
)
