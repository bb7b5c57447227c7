"""What istiod, its pods and its gateway's Service tell, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain.objects import labels_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from istio_mc.domain.objects import Object


@dataclass(frozen=True, slots=True)
class RemoteCluster:
    """One row of an istiod's `/debug/clusterz`.

    Attributes:
        pod: The istiod that says so.
        cluster_id: Whom it speaks of.
        secret: The remote secret it knows it by, as namespace/name; empty for its own cluster.
        status: `synced`, `syncing`, `timeout` or `closed`; `synced` means the initial sync only.
    """

    pod: str
    cluster_id: str
    secret: str
    status: str


def gateway_addresses(service: Object | None) -> tuple[str, ...]:
    """The addresses the other clusters' istiods take for a gateway Service.

    LoadBalancer IPs or hostnames, and `spec.externalIPs`
    (pilot/pkg/serviceregistry/kube/conversion.go, Istio 1.26.0).
    """
    if service is None:
        return ()
    ingress = (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or []
    given = [entry.get("ip") or entry.get("hostname") for entry in ingress]
    return tuple(dict.fromkeys([*filter(None, given), *(service["spec"].get("externalIPs") or [])]))


def running_istiods(pods: Collection[Object]) -> list[Object]:
    """The istiod pods that run; those on their way out do not count."""
    return [
        pod
        for pod in pods
        if labels_of(pod).get("app") == "istiod"
        and pod.get("status", {}).get("phase") == "Running"
        and not pod["metadata"].get("deletionTimestamp")
    ]


def images_of(pods: Iterable[Object]) -> set[str]:
    """The images of pods' containers, also of those that start before the others."""
    return {
        str(container["image"])
        for pod in pods
        for kind in ("initContainers", "containers")
        for container in (pod.get("spec") or {}).get(kind) or []
        if container.get("image")
    }


def running_tags(pods: Collection[Object]) -> set[str]:
    """The tags of the images that istiods run, among a cluster's pods; one pinned by digest may have none."""
    images = (image.partition("@")[0] for image in images_of(running_istiods(pods)))
    return {image.rpartition(":")[2] for image in images if ":" in image.rpartition("/")[2]}


def unavailable(deployment: Object | None) -> str:
    """Why a Deployment does not do its work, in a few words; empty where it is rolled out and runs."""
    if deployment is None:
        return "no such Deployment"
    status = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return "its controller has not seen the last change"
    if wanted == 0:
        return "scaled to 0 replicas"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    total = status.get("replicas", 0)
    if updated < wanted or available < wanted or total > updated:
        return f"{available} of {wanted} replicas available, {updated} updated"
    return ""
