"""Versions: the control planes of a mesh are near enough to each other."""

from __future__ import annotations

from istio_mc.checks import hints
from istio_mc.checks.access import REACHABLE
from istio_mc.checks.control_plane import ISTIOD
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.istio.istiod import running_tags
from istio_mc.domain.istio.versions import minor_of
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import Problem

APART = "versions.apart"
_MOST_APART = 1
"""Istio supports control planes one minor apart (its docs, "Supported Releases": control plane/data plane
skew, and canary upgrades from one minor to the next)."""


def _apart(facts: Facts, _target: Target) -> Finding:
    tags = {name: sorted(running_tags(found.of(objects.POD))) for name, found in facts.observed.items()}
    minors = {name: {minor for tag in found if (minor := minor_of(tag))} for name, found in tags.items()}
    told = ", ".join(f"{name}: {'/'.join(found) or 'untold'}" for name, found in tags.items())
    every = {minor for found in minors.values() for minor in found}
    if not every:
        return Finding(told, unknown=True)
    oldest, newest = min(every), max(every)
    if oldest[0] == newest[0] and newest[1] - oldest[1] <= _MOST_APART:
        return Finding(told)
    wanted = minor_of(facts.mesh.version)
    odd = next((name for name, found in minors.items() if found and found != {wanted}), None)
    problem = Problem(
        code=Code.ISTIO_VERSIONS_APART,
        cluster=odd,
        message="the control planes of the mesh are more than one minor version apart",
        seen=told,
        expected=f"Istio {facts.mesh.version}, or one minor beside it, everywhere",
        hint=hints.install(facts),
    )
    return Finding(told, problem)


CHECKS = (
    Check(
        id=APART,
        topic="versions",
        title="the control planes are at most one minor version apart",
        looks_at="the tags of the images that istiods run",
        usual_cause="one cluster was upgraded, and the others were not",
        fix=hints.INSTALL,
        severity=Severity.ERROR,
        scope=Scope.MESH,
        ask=_apart,
        needs=(REACHABLE, ISTIOD),
        docs="troubleshooting.md#istio-versions-apart",
    ),
)
