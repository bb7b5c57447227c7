"""What stands in the way of one version in one cluster, beside what an install checks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice
from istio_mc.domain.istio.releases import minor_of
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few
from istio_mc.domain.upgrade.rollout import least_ready
from istio_mc.domain.upgrade.workloads import MOST_BEHIND, too_far_behind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.upgrade.workloads import OldProxy

_SHOWN = 4
_CHANGED_VALUES = (
    ((1, 28), ("global", "networkPolicy", "enabled"), "makes NetworkPolicies that can block 15443 and 15012"),
    ((1, 27), ("global", "trustBundleName"), "renames ConfigMap istio-ca-root-cert in every namespace"),
    ((1, 30), ("global", "enableReaderRBAC"), "false makes no account and rights for the other clusters"),
    ((1, 31), ("global", "readerServiceAccount"), "has the rights of readers bound to this account"),
)
"""Minors from which on a value has an effect that it did not have before (release notes of these minors)."""


def never_empty(context: str, deployments: Iterable[Object | None]) -> Iterator[Problem]:
    """Deployments whose rollout would leave a moment without a ready pod."""
    for deployment in deployments:
        if deployment is None or int(deployment["spec"].get("replicas", 1)) == 0 or least_ready(deployment):
            continue
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        strategy = spec.get("strategy") or {}
        yield Problem(
            code=Code.UPGRADE_NO_SURGE,
            cluster=context,
            message=f"a rollout of Deployment {name} in {context} leaves no ready pod",
            seen=f"{spec.get('replicas', 1)} replicas, strategy {strategy.get('type', 'RollingUpdate')} "
            f"{strategy.get('rollingUpdate') or ''}".strip(),
            expected="a pod that stays ready: maxSurge above 0 and maxUnavailable below the replicas",
            hint=Advice(
                "set rollingMaxSurge: 100% and rollingMaxUnavailable: 0, or more replicas, and install"
            ),
        )


def proxies_behind(context: str, version: str, old: Iterable[OldProxy]) -> Problem | None:
    """Workloads whose proxies an istiod of this version does not support; None: there are none."""
    behind = too_far_behind(old, version)
    if not behind:
        return None
    return Problem(
        code=Code.UPGRADE_PROXIES_BEHIND,
        cluster=context,
        message=f"proxies of {context} are too old for Istio {version}",
        seen=few(map(str, behind), _SHOWN),
        expected=f"proxies at most {MOST_BEHIND} minors older than istiod",
        hint=Advice("restart these workloads first; --restart-workloads does it after each version"),
    )


def changed_values(context: str, values: Mapping[str, Any], before: str, after: str) -> Problem | None:
    """Values that mean something else, or something at all, in the new version; None: there are none."""
    old, new = minor_of(before), minor_of(after)
    if old is None or new is None:
        return None
    lines = [
        f"{'.'.join(path)}: {effect}"
        for since, path, effect in _CHANGED_VALUES
        if old < since <= new and _is_set(values, path)
    ]
    if not lines:
        return None
    return Problem(
        code=Code.UPGRADE_VALUES_CHANGED,
        cluster=context,
        message=f"values of {context} have another effect in Istio {after}",
        seen="; ".join(lines),
        expected="values that mean the same in both versions",
        hint=Advice("read the upgrade notes of that version, and change the values in mesh.yaml"),
    )


def _is_set(values: Any, path: Collection[str]) -> bool:  # noqa: ANN401 - any value of a user
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return values not in (None, "", {})


def images(context: str, manifest: Iterable[Object], nodes: Mapping[str, Collection[str]]) -> str:
    """Whether the nodes have a manifest's images already, in words; a node lists only some of its images."""
    needed = sorted(
        {
            str(container["image"])
            for item in manifest
            if item["kind"] == "Deployment"
            for container in item["spec"]["template"]["spec"].get("containers") or []
            if container.get("image") and container["image"] != "auto"
        }
    )
    absent = [name for name, there in nodes.items() if not set(needed) <= set(there)]
    if not needed or not nodes:
        return ""
    if not absent:
        return f"images {', '.join(needed)}: on every node of {context}"
    return f"images {', '.join(needed)}: pulled by {len(absent)} of {len(nodes)} nodes; availability unknown"


def node_images(nodes: Iterable[Object]) -> dict[str, frozenset[str]]:
    """The images that each node lists: the kubelet lists its 50 largest."""
    return {
        node["metadata"]["name"]: frozenset(
            name for one in (node.get("status") or {}).get("images") or [] for name in one.get("names") or []
        )
        for node in nodes
        if not (node.get("spec") or {}).get("unschedulable")
    }
