"""Which proxies hold what istiod sent them, from istiod's own debug endpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.domain.status_proxy import Proxy, proxy_of

if TYPE_CHECKING:
    from istio_mc.domain.objects import Object
    from istio_mc.gateways.kube import Kube

_MONITORING_PORT = 15014


def syncz(kube: Kube, pod: Object) -> tuple[Proxy, ...]:
    """The proxies connected to one istiod, through a port-forward: the endpoint answers localhost only.

    Raises:
        ProblemError: The forward failed, or the answer is not what istiod sends.
    """
    name = pod["metadata"]["name"]
    annotations = pod["metadata"].get("annotations") or {}
    port = int(annotations.get("prometheus.io/port") or _MONITORING_PORT)
    raw = kube.http_get(SYSTEM_NAMESPACE, name, port, "/debug/syncz")
    try:
        return tuple(proxy_of(row, name) for row in json.loads(raw) or [])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ProblemError(
            Problem(
                code="malformed-answer",
                cluster=kube.context,
                message=f"{name} answered /debug/syncz with something else than its proxies",
                seen=repr(raw[:80]),
                expected="a JSON list with proxy, and sent and acked nonces",
            )
        ) from None
