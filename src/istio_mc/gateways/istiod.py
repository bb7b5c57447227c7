"""istiod's own debug endpoints, through a port-forward."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from istio_mc.domain.istiod import RemoteCluster
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from istio_mc.domain.objects import Object
    from istio_mc.gateways.kube import Kube

_MONITORING_PORT = 15014


def clusterz(kube: Kube, pod: Object) -> tuple[RemoteCluster, ...]:
    """Whom one istiod sees, from its debug endpoint through a port-forward.

    The endpoint answers localhost only, so the API server's pod proxy does not do
    (pilot/pkg/xds/debug.go, Istio 1.26.0).

    Raises:
        ProblemError: The forward failed, or the answer is not what istiod sends.
    """
    name = pod["metadata"]["name"]
    annotations = pod["metadata"].get("annotations") or {}
    port = int(annotations.get("prometheus.io/port") or _MONITORING_PORT)
    raw = kube.http_get(SYSTEM_NAMESPACE, name, port, "/debug/clusterz")
    try:
        rows = json.loads(raw)
        return tuple(
            RemoteCluster(name, row["id"], row.get("secretName") or "", row["syncStatus"])
            for row in rows or []
        )
    except (ValueError, KeyError, TypeError):
        raise ProblemError(
            Problem(
                code="malformed-answer",
                cluster=kube.context,
                message=f"{name} answered /debug/clusterz with something else than its clusters",
                seen=repr(raw[:80]),
                expected="a JSON list of id, secretName and syncStatus",
            )
        ) from None
