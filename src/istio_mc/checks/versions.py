"""Version checks: skew of control planes, and known defects of the running or chosen Istio."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from istio_mc.checks import hints
from istio_mc.checks.model import REACHABLE, Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain.hint import istio_mc
from istio_mc.domain.istio import hazards
from istio_mc.domain.istio.istiod import images_of, running_tags
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.istio.releases import patch_of
from istio_mc.domain.kube import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from istio_mc.domain.hint import Command
    from istio_mc.domain.problem import Problem

from istio_mc.checks.control_plane import ISTIOD
from istio_mc.domain.istio.releases import minor_of
from istio_mc.domain.problem import Code, Problem

APART = "versions.apart"
_MOST_APART = 1
"""Istio supports control planes one minor apart (its docs, "Supported Releases": control plane/data plane
skew, and canary upgrades from one minor to the next)."""


def _apart(facts: Facts, _target: Target) -> Finding:
    tags = {name: sorted(running_tags(cluster.of(objects.POD))) for name, cluster in facts.observed.items()}
    minors = {name: {minor for tag in cluster if (minor := minor_of(tag))} for name, cluster in tags.items()}
    seen = ", ".join(f"{name}: {'/'.join(cluster) or 'unknown'}" for name, cluster in tags.items())
    every = {minor for cluster in minors.values() for minor in cluster}
    if not every:
        return Finding(seen, unknown=True)
    oldest, newest = min(every), max(every)
    if oldest[0] == newest[0] and newest[1] - oldest[1] <= _MOST_APART:
        return Finding(seen)
    desired = minor_of(facts.mesh.version)
    odd = next((name for name, cluster in minors.items() if cluster and cluster != {desired}), None)
    problem = Problem(
        code=Code.ISTIO_VERSIONS_APART,
        cluster=odd,
        message="control planes are more than one minor version apart",
        seen=seen,
        expected=f"Istio {facts.mesh.version}, or one minor version apart, in all clusters",
        hint=hints.install(facts),
    )
    return Finding(seen, problem)


CHECKS = (
    Check(
        id=APART,
        title="Istio version skew",
        passes="control planes are at most one minor version apart",
        looks_at="the image tags of the istiods",
        usual_cause="some clusters were upgraded, and others were not",
        fix=hints.INSTALL,
        scope=Scope.MESH,
        evaluate=_apart,
        needs=(REACHABLE, ISTIOD),
        docs="troubleshooting.md#istio-versions-apart",
    ),
)


DEFECTS, SECURITY, HUB = "hazards.defects", "hazards.security", "hazards.hub"
CRDS_TOO_NEW, CRDS_TOO_OLD = "hazards.gateway-api-new", "hazards.gateway-api-old"
PROGRAMS = "hazards.remote-secret-programs"
_INJECTOR = "istio-sidecar-injector"
"""The ConfigMap with the values that istiod injects sidecars with."""

_Versions = dict[str, "Collection[str]"]


def _running(facts: Facts) -> _Versions:
    """The versions of the running istiods, by context."""
    return {
        name: [tag for tag in running_tags(cluster.of(objects.POD)) if patch_of(tag)]
        for name, cluster in facts.observed.items()
    }


def _chosen(facts: Facts) -> _Versions:
    """The version that an install would write, by context: that of the image tag, if it has one."""
    tag = facts.mesh.tag or ""
    return dict.fromkeys(facts.observed, (tag if patch_of(tag) else facts.mesh.version,))


def _is_installed(facts: Facts) -> bool:
    """Whether an istiod runs in a cluster: then mesh.yaml does not decide on the version."""
    return any(_running(facts).values())


def _defects(facts: Facts, versions: _Versions, restart: Callable[[str], Command] | None = None) -> Finding:
    by_version = hazards.by_version(versions)
    problem = hazards.defects(facts.releases, by_version, restart, is_installed=_is_installed(facts))
    return _finding(versions, problem)


def _security(facts: Facts, versions: _Versions) -> Finding:
    return _finding(
        versions,
        hazards.security(facts.releases, hazards.by_version(versions), is_installed=_is_installed(facts)),
    )


def _finding(versions: _Versions, problem: Problem | None) -> Finding:
    shown = ", ".join(sorted({version for those in versions.values() for version in those}))
    if problem:
        return Finding(_seen_text(problem), problem)
    return Finding(shown) if shown else Finding("no istiod reports its version", unknown=True)


def _seen_text(problem: Problem) -> str:
    return "; ".join((problem.seen or "").split("\n"))


def _hub(facts: Facts, images: Mapping[str, Collection[str]]) -> Finding:
    problem = hazards.dying_hub(facts.releases, images)
    return Finding(_seen_text(problem), problem) if problem else Finding("")


def _images(facts: Facts) -> dict[str, set[str]]:
    """The images of Istio's pods, and the hub of injected sidecars, by context."""
    by_version = {}
    for name, observed in facts.observed.items():
        images = images_of(observed.of(objects.POD))
        if injected := _injected_hub(observed.find(objects.CONFIG_MAP, _INJECTOR)):
            images.add(injected)
        by_version[name] = images
    return by_version


def _injected_hub(injector: objects.Object | None) -> str:
    with suppress(ValueError, AttributeError):
        values = json.loads(((injector or {}).get("data") or {}).get("values") or "{}")
        return str(values.get("global", {}).get("hub") or "")
    return ""


def _chosen_hubs(facts: Facts) -> dict[str, set[str]]:
    by_hub = {}
    for name in facts.observed:
        spec = istio_operator(facts.mesh, facts.clusters[name])["spec"]
        hubs = (spec.get("hub"), _at(spec["values"], "global", "hub"), _at(spec["values"], "pilot", "hub"))
        by_hub[name] = {str(hub) for hub in hubs if hub}
    return by_hub


def _at(values: Mapping[str, Any], *path: str) -> Any:  # noqa: ANN401 - any value of a user
    value: Any = values
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _running_environment(facts: Facts, name: str) -> Mapping[str, str]:
    return {
        key: value for one in facts.observed[name].istiods for key, value in objects.environment(one).items()
    }


def _chosen_environment(facts: Facts, name: str) -> Mapping[str, str]:
    values = istio_operator(facts.mesh, facts.clusters[name])["spec"]["values"]
    environment = _at(values, "pilot", "env")
    return {key: str(value) for key, value in environment.items()} if isinstance(environment, dict) else {}


def _crds(
    facts: Facts, versions: _Versions, environment: Callable[[Facts, str], Mapping[str, str]], *, blocks: bool
) -> Finding:
    crds = {name: around.gateway_api for name, around in facts.surroundings.items() if name in versions}
    by_cluster = {
        name: [
            hazard
            for version in versions[name]
            for hazard in hazards.crd_hazards(facts.releases, version, there, environment(facts, name))
            if hazard.blocks is blocks
        ]
        for name, there in crds.items()
    }
    problem = hazards.incompatible_crds(by_cluster, crds, versions)
    return Finding(_seen_text(problem), problem) if problem else Finding("")


def _analyze(facts: Facts, _target: Target) -> Finding:
    problem = hazards.analyze(facts.releases, facts.mesh.version)
    return Finding(facts.mesh.version, problem)


_hazard = partial(Check, severity=Severity.WARNING, scope=Scope.MESH)


def _programs(facts: Facts, _target: Target) -> Finding:
    by_cluster = {
        name: [one.secret for one in remotes if one.names_programs] for name, remotes in facts.remotes.items()
    }
    problem = hazards.remote_programs(facts.releases, by_cluster)
    return Finding(_seen_text(problem), problem) if problem else Finding("")


HAZARDS = (
    _hazard(
        id=DEFECTS,
        title="known istiod defects",
        passes="no known defect of istiod with remote secrets",
        evaluate=lambda facts, _: _defects(facts, _running(facts), partial(hints.restart_istiod, facts)),
        looks_at="the versions of the istiods, and their known defects",
        usual_cause="a patch version with a defect that a later one repairs",
        fix=f"`{istio_mc('upgrade', '--to', 'VERSION')}` with the version in `expected`",
        docs="troubleshooting.md#hazards-defects",
    ),
    _hazard(
        id=SECURITY,
        title="security fixes",
        passes="no published security fix is missing",
        evaluate=lambda facts, _: _security(facts, _running(facts)),
        looks_at="the same versions, and the first patch of each minor with the published fixes",
        usual_cause="security fixes were published after this patch version",
        fix=f"`{istio_mc('upgrade', '--to', 'VERSION')}` with a newer patch version",
        docs="troubleshooting.md#hazards-security",
    ),
    _hazard(
        id=HUB,
        title="image registries",
        passes="no image is from a discontinued registry",
        evaluate=lambda facts, _: _hub(facts, _images(facts)),
        looks_at="the images of the pods in `istio-system`, and the hub of injected sidecars",
        usual_cause="Istio was installed from `gcr.io/istio-release` or `registry.istio.io`",
        fix="set `istio.hub: docker.io/istio` in mesh.yaml, install, and restart the workloads",
        docs="troubleshooting.md#hazards-hub",
    ),
    _hazard(
        id=PROGRAMS,
        title="exec in remote secrets",
        passes="no remote secret runs a program",
        evaluate=_programs,
        looks_at="the kubeconfigs in remote secrets, without running anything in them",
        usual_cause="a remote secret was written with a credential plugin (`exec`) in it",
        fix=f"{hints.LINK}; until then, do not run `analyze` of istioctl before 1.30.5 or of 1.31.0",
        docs="troubleshooting.md#hazards-istioctl",
    ),
    _hazard(
        id=CRDS_TOO_NEW,
        title="newest supported CRD versions",
        passes="istiod starts with the installed Gateway API CRDs",
        evaluate=lambda facts, _: _crds(facts, _running(facts), _running_environment, blocks=True),
        reads=(Observation.SURROUNDINGS,),
        looks_at=(
            "bundle versions of the Gateway API CRDs, istiod's version and `PILOT_ENABLE_ALPHA_GATEWAY_API`"
        ),
        usual_cause=("newer CRDs were installed, which no longer serve the API versions that istiod reads"),
        fix="set `istio.version` to the version in `expected`",
        docs="troubleshooting.md#hazards-gateway-api",
    ),
    _hazard(
        id=CRDS_TOO_OLD,
        title="oldest supported CRD versions",
        passes="istiod reads all installed Gateway API CRDs",
        evaluate=lambda facts, _: _crds(facts, _running(facts), _running_environment, blocks=False),
        reads=(Observation.SURROUNDINGS,),
        looks_at="the same, and the oldest bundle version that istiod reads of each CRD",
        usual_cause="Istio was upgraded, and the CRDs were not",
        fix="update them with the tool that installed them",
        docs="troubleshooting.md#hazards-gateway-api",
    ),
)
"""Checks of `verify`, on the running versions."""

_OF_CHOSEN: dict[str, Callable[[Facts, Target], Finding]] = {
    DEFECTS: lambda facts, _: _defects(facts, _chosen(facts)),
    SECURITY: lambda facts, _: _security(facts, _chosen(facts)),
    HUB: lambda facts, _: _hub(facts, _chosen_hubs(facts)),
    CRDS_TOO_NEW: lambda facts, _: _crds(facts, _chosen(facts), _chosen_environment, blocks=True),
    CRDS_TOO_OLD: lambda facts, _: _crds(facts, _chosen(facts), _chosen_environment, blocks=False),
}

BEFORE_AN_INSTALL = (
    *(
        # An install stops if istiod would never become ready.
        replace(
            check,
            evaluate=_OF_CHOSEN[check.id],
            severity=Severity.ERROR if check.id == CRDS_TOO_NEW else check.severity,
        )
        for check in HAZARDS
        if check.id in _OF_CHOSEN
    ),
    _hazard(
        id="hazards.istioctl",
        title="istioctl analyze",
        passes="istioctl analyze runs no program from remote secrets",
        evaluate=_analyze,
        looks_at="the version of istioctl for this mesh",
        usual_cause="`analyze` of that version runs programs from remote secrets of the cluster",
        fix="run its `analyze` with `--remote-contexts`, or use a newer istioctl",
        docs="troubleshooting.md#hazards-istioctl",
    ),
)
"""Checks of `install`, on the versions that it would write."""
