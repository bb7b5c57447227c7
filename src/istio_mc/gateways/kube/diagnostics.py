"""Diagnostic data beyond the mesh's objects: logs, events, configuration, output of istiod and Envoy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.kube.objects import POD, Object
from istio_mc.domain.mesh import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.gateways.kube.client import Kube

MOST_LISTED = 500
"""Maximum number of objects of one kind."""

MOST_OF_AN_ANSWER = 4 << 20
"""Size limit in bytes of a log or a dump."""

ISTIOD_PORT, ADMIN_PORT = 15014, 15000

ISTIOD_PATHS = ("/debug/syncz", "/debug/networkz", "/debug/mesh", "/debug/endpointShardz", "/metrics")
"""Debug endpoints of istiod (pilot/pkg/xds/debug.go, Istio 1.26.0)."""

ENVOY_PATHS = ("/server_info", "/certs", "/clusters", "/listeners?format=json", "/config_dump")
"""Admin endpoints of a gateway's Envoy, which omit private keys (Envoy's admin interface)."""

_GROUPS = (".istio.io", "gateway.networking.k8s.io")


class Log(NamedTuple):
    """One container's log.

    Attributes:
        previous: Whether it is from before the last restart.
    """

    pod: str
    container: str
    previous: bool = False


class Listed(NamedTuple):
    """Objects of one kind.

    Attributes:
        items: The objects; each has its kind and version, which API servers omit in lists.
    """

    group: str
    plural: str
    items: list[Object]
    more: bool


def logs_of(pods: Iterable[Object]) -> list[Log]:
    """The logs of all containers of the pods; for restarted containers also the log before the restart."""
    return [
        Log(pod["metadata"]["name"], container["name"], previous)
        for pod in pods
        for kind in ("initContainers", "containers")
        for container in (pod.get("spec") or {}).get(kind) or []
        for previous in ((False, True) if container["name"] in _restarted(pod) else (False,))
    ]


def _restarted(pod: Object) -> set[str]:
    status = pod.get("status") or {}
    kinds = ("initContainerStatuses", "containerStatuses")
    return {entry["name"] for kind in kinds for entry in status.get(kind) or [] if entry.get("restartCount")}


def read_log(kube: Kube, log: Log, *, since_s: float, lines: int) -> str:
    """Reads the last lines of a log, unchanged: istiod and Envoy write a time into each line.

    Raises:
        ProblemError: The API server or the kubelet refused, or did not respond in time.
    """
    query = {
        "container": log.container,
        "tailLines": str(lines),
        "sinceSeconds": str(int(since_s)),
        # The API cuts off the newest lines, so its limit is far above the kept size, whose start is cut.
        "limitBytes": str(MOST_OF_AN_ANSWER),
    }
    if log.previous:
        query["previous"] = "true"
    return kube.text(f"{POD.path(SYSTEM_NAMESPACE, log.pod)}/log", query)


def some(kube: Kube, path: str, group: str = "", api_version: str = "v1", kind: str = "") -> Listed:
    """The objects under a path, up to the maximum number.

    Raises:
        ProblemError: The API server refused, or did not respond in time.
    """
    answer = kube.request("GET", path, query={"limit": str(MOST_LISTED)})
    head = {"apiVersion": api_version, "kind": kind or str(answer.get("kind", "")).removesuffix("List")}
    items = [head | item for item in answer.get("items") or []]
    more = bool((answer.get("metadata") or {}).get("continue"))
    return Listed(group, path.rpartition("/")[2], items, more)


def configuration_kinds(kube: Kube) -> list[tuple[str, str, str, str]]:
    """The kinds of Istio and of the Gateway API that this cluster serves: path, group, version and kind.

    Raises:
        ProblemError: The API server refused, or did not respond in time.
    """
    kinds: list[tuple[str, str, str, str]] = []
    for group in kube.request("GET", "/apis").get("groups") or []:
        name = str(group.get("name", ""))
        if name.endswith(_GROUPS):
            version = group["preferredVersion"]["groupVersion"]
            served = kube.request("GET", f"/apis/{version}").get("resources") or []
            kinds += [
                (f"/apis/{version}/{kind['name']}", name, version, kind["kind"])
                for kind in served
                if "/" not in kind["name"] and "list" in (kind.get("verbs") or [])
            ]
    return kinds


def http_get(kube: Kube, pod: Object, port: int, path: str) -> str:
    """The response of a pod's port that listens on localhost only, up to the size limit.

    Raises:
        ProblemError: The port-forward failed, or the response status is not 200.
    """
    name = pod["metadata"]["name"]
    raw = kube.http_get(SYSTEM_NAMESPACE, name, port, path, most=MOST_OF_AN_ANSWER)
    return raw.decode(errors="replace")
