"""Which workloads run a proxy of another version, and which of them a rollout may restart now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.istio.choice import version_in
from istio_mc.domain.istio.releases import minor_of
from istio_mc.domain.kube.objects import Kind, selects
from istio_mc.domain.upgrade.rollout import least_ready

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.kube.objects import Object

PROXY = "istio-proxy"
MOST_BEHIND = 2
"""Minors by which a proxy may be older than its istiod (Istio's docs, "Supported Releases")."""

RESTARTABLE = {kind: Kind("apps/v1", kind) for kind in ("Deployment", "StatefulSet", "DaemonSet")}


class Workload(NamedTuple):
    """What owns pods: a Deployment, say; a pod without an owner is its own."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class OldProxy:
    """A workload with pods whose proxy is of another version than the control plane."""

    workload: Workload
    versions: tuple[str, ...]
    pods: int

    def __str__(self) -> str:
        return f"{self.workload} ({', '.join(self.versions)})"


def proxy_version(pod: Object) -> str | None:
    """The version of a pod's sidecar, by its image's tag; None: it has none, or the tag names none."""
    spec = pod.get("spec") or {}
    for container in (*(spec.get("initContainers") or []), *(spec.get("containers") or [])):
        if container.get("name") == PROXY:
            image = str(container.get("image", "")).partition("@")[0]
            return version_in(image.rpartition(":")[2])
    return None


def workload_of(pod: Object) -> Workload:
    """What owns a pod; of a ReplicaSet its Deployment, by the name that the Deployment's controller gives."""
    metadata = pod["metadata"]
    owner = next((one for one in metadata.get("ownerReferences") or [] if one.get("controller")), None)
    if owner is None:
        return Workload(metadata["namespace"], "Pod", metadata["name"])
    digest = (metadata.get("labels") or {}).get("pod-template-hash")
    if owner["kind"] == "ReplicaSet" and digest and owner["name"].endswith(f"-{digest}"):
        return Workload(metadata["namespace"], "Deployment", owner["name"].removesuffix(f"-{digest}"))
    return Workload(metadata["namespace"], owner["kind"], owner["name"])


def old_proxies(pods: Iterable[Object], version: str) -> tuple[OldProxy, ...]:
    """The workloads with a proxy of another version, in order; pods on their way out do not count."""
    found: dict[Workload, list[str]] = {}
    for pod in pods:
        proxy = proxy_version(pod)
        if proxy and proxy != version and not pod["metadata"].get("deletionTimestamp"):
            found.setdefault(workload_of(pod), []).append(proxy)
    return tuple(
        OldProxy(workload, tuple(sorted(set(versions))), len(versions))
        for workload, versions in sorted(found.items())
    )


def too_far_behind(old: Iterable[OldProxy], version: str) -> list[OldProxy]:
    """Those with a proxy that an istiod of this version does not support."""
    target = minor_of(version)
    return [
        one
        for one in old
        if target
        and any(
            minor and minor[0] == target[0] and target[1] - minor[1] > MOST_BEHIND
            for minor in map(minor_of, one.versions)
        )
    ]


def why_not_now(workload: Object, budgets: Iterable[Object]) -> str:
    """Why a workload is not restarted now; empty where its rollout breaks no PodDisruptionBudget.

    A rollout is no eviction, so that Kubernetes itself does not hold it to a PodDisruptionBudget.
    """
    if workload["kind"] == "Deployment" and int(workload["spec"].get("replicas", 1)) == 0:
        return ""
    labels = ((workload["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
    keeps_all = workload["kind"] == "Deployment" and least_ready(workload) >= int(
        workload["spec"].get("replicas", 1)
    )
    for budget in budgets:
        selected = budget["metadata"]["namespace"] == workload["metadata"]["namespace"] and selects(
            budget["spec"].get("selector"), labels
        )
        if selected and not keeps_all and (budget.get("status") or {}).get("disruptionsAllowed", 0) < 1:
            return f"PodDisruptionBudget {budget['metadata']['name']} allows no disruption"
    return ""


def leaves_none_ready(workload: Object) -> bool:
    """Whether a rollout of a workload that runs would leave a moment without a ready pod."""
    runs = int(workload["spec"].get("replicas", 1)) > 0
    return workload["kind"] == "Deployment" and runs and least_ready(workload) < 1


def rolled_out(workload: Object) -> bool:
    """Whether the last change of a workload is rolled out and all its pods are ready."""
    status, spec = workload.get("status") or {}, workload["spec"]
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return False
    if workload["kind"] == "DaemonSet":
        desired = status.get("desiredNumberScheduled", 0)
        return bool(status.get("updatedNumberScheduled", 0) >= desired <= status.get("numberAvailable", 0))
    desired = int(spec.get("replicas", 1))
    ready = status.get("availableReplicas", status.get("readyReplicas", 0))
    updated, total = int(status.get("updatedReplicas", 0)), int(status.get("replicas", 0))
    return updated >= desired and int(ready) >= desired and total <= max(desired, updated)
