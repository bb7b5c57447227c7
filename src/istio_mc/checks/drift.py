"""Drift check: the mesh matches its settings, so an install would change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks import (
    access,
    cacerts,
    control_plane,
    data_path,
    gateway,
    hints,
    identity,
    remote_access,
    remote_secret,
    trust,
    versions,
    webhooks,
)
from istio_mc.checks.access import NO_NAMESPACE
from istio_mc.checks.model import Check, Facts, Finding, Observation, Target
from istio_mc.domain import plan
from istio_mc.domain.hint import istio_mc
from istio_mc.domain.istio.istiod import running_tags
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import EAST_WEST_GATEWAY
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Ref

_SHOWN = 6
_NO_SETTINGS = (
    "differs from the default settings; the settings of the install are unknown: "
    "./mesh.yaml does not exist; pass --config FILE"
)
"""An install without a mesh.yaml may have had other options; one with a mesh.yaml had its values."""


def _ids(*groups: tuple[Check, ...]) -> frozenset[str]:
    return frozenset(check.id for checks in groups for check in checks)


_EXPLAINING = (
    *identity.CHECKS,
    *access.CLOCKS,
    *cacerts.CHECKS,
    *control_plane.CHECKS,
    *trust.CHECKS,
    *webhooks.CHECKS,
    *gateway.CHECKS,
    *remote_secret.CHECKS,
    *remote_access.CHECKS,
    *data_path.CHECKS,
    *versions.CHECKS,
)
_NAMES = _ids(identity.CHECKS)
_VERSIONS = _ids(versions.CHECKS)
_CA = _ids(access.CLOCKS, cacerts.CHECKS, trust.CHECKS)
_GATEWAY = _ids(control_plane.CHECKS, gateway.CHECKS, data_path.CHECKS)
_ISTIO = _ids(control_plane.CHECKS, webhooks.CHECKS, remote_access.CHECKS)
_LINK = _ids(remote_secret.CHECKS, remote_access.CHECKS)
_CHECKS_OF_STEP = {
    plan.CACERTS: _CA,
    plan.RESTART: _CA,
    plan.EXPOSE: _ids(gateway.CHECKS),
    plan.REMOTE_GATEWAYS: _GATEWAY,
}
"""The checks whose faults a step repairs, in addition to those of names; for istioctl see `_parts`."""


def _none(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    drift = facts.drift[name]
    if not drift.steps:
        return Finding(drift.not_compared, unknown=bool(drift.not_compared))
    if not facts.has_settings:
        return Finding(_NO_SETTINGS, unknown=True)
    reasons = [f"{step.name}: {reason}" for step in drift.steps for reason in step.reasons]
    problem = Problem(
        code=Code.DRIFT,
        message=f"configuration drift: {len(reasons)} difference{'s' if len(reasons) > 1 else ''}",
        seen=few(reasons, _SHOWN, "\n"),
        expected="nothing to change",
        hint=hints.install(facts),
    )
    return Finding(", ".join(step.name for step in drift.steps), problem, parts=_parts(facts, name))


def _parts(facts: Facts, name: str) -> frozenset[frozenset[str]]:
    """The checks that may explain each part of the plan of this cluster."""
    conflicting = identity.conflicting_ids(facts)
    wrong = conflicting | identity.conflicting_networks(facts) | identity.mislabelled_meshes(facts)
    everywhere = _NAMES if name in wrong else _NAMES - {identity.IDENTITY}
    # A remote secret has the ID of another cluster.
    linked = _NAMES if conflicting else everywhere
    own = (
        frozenset()
        if running_tags(facts.observed[name].of(objects.POD)) == {facts.mesh.version}
        else _VERSIONS
    )
    parts = set()
    for step in facts.drift[name].steps:
        if step.name == plan.ISTIO:
            parts |= {everywhere | own | _of_object(ref) for ref in step.refs}
        elif step.name == plan.LINK:
            parts.add(linked | _LINK)
        else:
            parts.add(everywhere | _CHECKS_OF_STEP.get(step.name, frozenset()))
    return frozenset(part.union(NO_NAMESPACE) for part in parts)


def _of_object(ref: Ref) -> frozenset[str]:
    """The checks that may explain why an object that istioctl installs differs."""
    return _GATEWAY if ref.name.startswith(EAST_WEST_GATEWAY) else _ISTIO


CHECKS = (
    Check(
        id="drift.none",
        title="configuration drift",
        passes="no configuration drift",
        looks_at="the plan of an install",
        usual_cause="objects of the install, or mesh.yaml, were changed",
        fix=f"`{istio_mc('install', '--dry-run')}` shows the changes; `{istio_mc('install')}` makes them",
        evaluate=_none,
        because=(*NO_NAMESPACE, *(check.id for check in _EXPLAINING)),
        reads=(Observation.DRIFT,),
        docs="troubleshooting.md#drift",
    ),
)
