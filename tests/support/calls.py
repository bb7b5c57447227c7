"""Calls between the pods of stand-in clusters, and the commands in containers that make them.

A call by a service's name is answered by the ready pods behind it: those of the pod's own cluster, and those
of each cluster that its istiod has synced and whose gateway leads on to them.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tests.support import controllers, selectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.support.cluster import Cluster
    from tests.support.kinds import Object

_RANGE = re.compile(r"\[1-(\d+)\]")
_TLS_MODE = "security.istio.io/tlsMode"
_NOTHING, _TIMED_OUT, _NO_TLS = "000", 28, 35
_turn = itertools.count()


class Ran(NamedTuple):
    """What a command in a container left."""

    stdout: str = ""
    stderr: str = ""
    code: int = 0


def answering(caller: Cluster, name: str, namespace: str) -> Iterator[tuple[Cluster, Object]]:
    """The pods that answer calls of a service's name from within a cluster, and their clusters."""
    known = {remote for one in caller.istiods.running() for remote in _synced(one.remotes)}
    for cluster in caller.mesh.clusters.values():
        if cluster is not caller and (
            known.isdisjoint(_ids(cluster)) or not cluster.gateway.leads_to(name, namespace)
        ):
            continue
        service = cluster.store.find("Service", name, namespace)
        selector = ((service or {}).get("spec") or {}).get("selector")
        for pod in cluster.store.of("Pod", namespace) if selector else ():
            labels = pod["metadata"].get("labels") or {}
            meshed = cluster is caller or labels.get(_TLS_MODE) == "istio"
            if (
                meshed
                and controllers.is_ready(pod)
                and selectors.by_object({"matchLabels": selector}, labels)
            ):
                yield cluster, pod


def _synced(remotes: Mapping[str, object]) -> Iterator[str]:
    return (name for name, remote in remotes.items() if getattr(remote, "status", "") == "synced")


def _ids(cluster: Cluster) -> set[str]:
    """The IDs that its istiods have of a cluster: made of its name in the kubeconfig."""
    return {one.cluster_id for one in cluster.istiods.running()}


def execute(cluster: Cluster, command: Sequence[str]) -> Ran:
    """Runs what istio-mc runs in containers: curl to a service or to a gateway, and the probe's script."""
    if command[0] == "curl":
        url = command[-1]
        return _curl(cluster, url) if urlsplit(url).scheme == "http" else _knock(cluster, url)
    if list(command[:2]) == ["/bin/sh", "-c"]:
        namespace, *numbers = command[4:]
        return Ran("".join(f"{number} {_probed(cluster, namespace, number)}\n" for number in numbers))
    return Ran(stderr=f"{command[0]}: not found", code=127)


def _curl(cluster: Cluster, url: str) -> Ran:
    host = urlsplit(url).hostname or ""
    match = _RANGE.search(url)
    lines: list[str] = []
    for _ in range(int(match[1]) if match else 1):
        behind = list(answering(cluster, host, "sample"))
        found, pod = behind[next(_turn) % len(behind)] if behind else (None, None)
        if found is None or pod is None:
            return Ran("\n".join([*lines, "no healthy upstream", "503", ""]))
        if found.name in cluster.unreached:
            return Ran("\n".join([*lines, "", _NOTHING, ""]), "curl: (28) Operation timed out", _TIMED_OUT)
        lines += [json.dumps({"id": "1", "podname": pod["metadata"]["name"]}), "200"]
    return Ran("\n".join([*lines, ""]))


def _knock(cluster: Cluster, url: str) -> Ran:
    address = urlsplit(url).hostname
    swallowed = any(
        other.name in cluster.unreached and address in (other.balancer, other.gateway.address)
        for other in cluster.mesh.clusters.values()
    )
    return Ran(code=_TIMED_OUT if swallowed else _NO_TLS)


def _probed(cluster: Cluster, namespace: str, number: str) -> str:
    for found, _ in answering(cluster, f"probe-{number}", namespace):
        if found.name not in cluster.unreached:
            return f"{found.cluster} 200 0"
        return f" {_NOTHING} {_TIMED_OUT}"
    return "no healthy upstream 503 0"
