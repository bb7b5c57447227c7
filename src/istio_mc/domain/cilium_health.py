"""Whether pods still reach the API server after Cilium's agents have been restarted with other settings.

`bpf-lb-sock-hostns-only` has cut that path for some (cilium issue 17738): pods whose work it is to speak to
the API server then lose their readiness, and so may nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain.pod_faults import is_ready, pod_fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.objects import Object


@dataclass(frozen=True, slots=True)
class Ready:
    """Nodes and pods that were ready at one moment; each by its uid, with the name people know it by."""

    nodes: dict[str, str]
    pods: dict[str, str]


def ready(nodes: Iterable[Object], pods: Iterable[Object]) -> Ready:
    """Those that are ready; pods that are leaving do not count."""
    return Ready(
        {node["metadata"]["uid"]: node["metadata"]["name"] for node in nodes if is_ready(node)},
        {
            pod["metadata"]["uid"]: f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            for pod in pods
            if is_ready(pod) and not pod["metadata"].get("deletionTimestamp")
        },
    )


def lost(before: Ready, nodes: Iterable[Object], pods: Iterable[Object]) -> list[str]:
    """What was ready before, is still there, and is not ready now."""
    nodes, pods = list(nodes), list(pods)
    now = ready(nodes, pods)
    here = {node["metadata"]["uid"] for node in nodes}
    # A pod that is gone or on its way out was taken away; one that has run to its end lost nothing.
    running = {
        pod["metadata"]["uid"]
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") in ("Running", "Pending")
    }
    return [
        *(f"node {name}" for uid, name in before.nodes.items() if uid in here and uid not in now.nodes),
        *(f"pod {name}" for uid, name in before.pods.items() if uid in running and uid not in now.pods),
    ]


def why_not_ready(pod: Object) -> str:
    """Why a pod does not run, in the kubelet's and the scheduler's own words; empty where it does."""
    if since := pod["metadata"].get("deletionTimestamp"):
        return f"Pod {pod['metadata']['name']}: on its way out, which was to end by {since}"
    fault = pod_fault(pod)
    return str(fault) if fault else ""
