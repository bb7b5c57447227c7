"""How Deployments are rolled out one after another: held, freed, and never without a ready pod. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.istio.discovery import Endpoints, IstiodView
    from istio_mc.domain.kube.objects import Object

HELD_S = 86_400
"""`minReadySeconds` of an istiod that is held: its old pods stay although new ones are ready."""

HOLD_GATEWAY: Mapping[str, Any] = {"spec": {"paused": True}}
FREE_GATEWAY: Mapping[str, Any] = {"spec": {"paused": None}}
_PROGRESS_S = 600
"""Default of `progressDeadlineSeconds`, which Kubernetes requires to be greater than `minReadySeconds`."""


def hold(istiod: Object) -> Mapping[str, Any]:
    """The merge patch that holds an istiod's Deployment."""
    spec = istiod["spec"]
    if spec.get("minReadySeconds") == HELD_S:
        return {}
    deadline_s = int(spec.get("progressDeadlineSeconds", _PROGRESS_S)) + HELD_S
    return {"spec": {"minReadySeconds": HELD_S, "progressDeadlineSeconds": deadline_s}}


def free(istiod: Object) -> Mapping[str, Any]:
    """The merge patch that undoes `hold`."""
    spec = istiod["spec"]
    if spec.get("minReadySeconds") != HELD_S:
        return {}
    deadline_s = int(spec.get("progressDeadlineSeconds", _PROGRESS_S)) - HELD_S
    kept = deadline_s if deadline_s > 0 else _PROGRESS_S
    return {"spec": {"minReadySeconds": None, "progressDeadlineSeconds": kept}}


def is_held(deployment: Object | None) -> bool:
    """Whether a run of an upgrade holds a Deployment, or was killed while it did."""
    spec = (deployment or {}).get("spec") or {}
    name = ((deployment or {}).get("metadata") or {}).get("name")
    return spec.get("minReadySeconds") == HELD_S or (name == EAST_WEST_GATEWAY and bool(spec.get("paused")))


def least_ready(deployment: Object) -> int:
    """The number of pods that a rollout keeps ready; as the deployment controller computes it.

    maxSurge rounds up, maxUnavailable down; where both are 0, one pod may be unavailable
    (pkg/controller/deployment/util/deployment_util.go, ResolveFenceposts, Kubernetes 1.32.3).
    """
    spec = deployment["spec"]
    replicas = int(spec.get("replicas", 1))
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = _resolved(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    unavailable = _resolved(rolling.get("maxUnavailable", "25%"), replicas, math.floor)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return max(0, replicas - unavailable)


def _resolved(value: object, replicas: int, rounded: Any) -> int:  # noqa: ANN401 - math.ceil or math.floor
    text = str(value)
    if text.endswith("%"):
        return int(rounded(int(text[:-1]) * replicas / 100))
    return int(text)


def lacking(new: IstiodView, old: Iterable[IstiodView], live: Endpoints | None = None) -> str:
    """What a new istiod does not have yet of what the old ones have of all clusters; empty: nothing.

    Args:
        live: The ready endpoints that clusters have, by cluster ID: others of the old ones are outdated.
    """
    for view in old:
        has_networks = {one.network for one in new.gateways}
        if missing := sorted({one.network for one in view.gateways} - has_networks):
            return f"a gateway of {missing[0]}"
        for cluster_id, services in view.endpoints.items():
            has = new.endpoints.get(cluster_id, {})
            there = None if live is None else live.get(cluster_id)
            for key, addresses in services.items():
                expected = addresses if there is None else addresses & there.get(key, frozenset())
                if expected - has.get(key, frozenset()):
                    return f"endpoints of {'/'.join(key)} in {cluster_id}"
    return ""


def template_hash(pod: Object) -> str:
    """The hash of the template that a pod was made of."""
    return labels_of(pod).get("pod-template-hash", "")
