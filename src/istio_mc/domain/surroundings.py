"""What a mesh finds in a cluster: nodes, storage, metrics, CNI, rights, and Istio of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from istio_mc.domain.objects import annotations_of, labels_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from istio_mc.domain.calico import Calico
    from istio_mc.domain.objects import Object

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
HELM_RELEASE = "meta.helm.sh/release-name"
SAIL_KINDS = frozenset({"IstioRevision", "Istio"})


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """An istiod of whatever namespace and making.

    Attributes:
        namespace: Where it runs.
        revision: Its revision; `default` for the one without a name.
        manager: Who installed it: `istioctl`, `Helm` or `Sail`.
    """

    namespace: str
    revision: str
    manager: str

    def __str__(self) -> str:
        return f"istiod of revision {self.revision} in {self.namespace} ({self.manager})"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found around the mesh in one cluster.

    Attributes:
        storage_classes: Name of each StorageClass, and whether it is the default.
        metrics: Whether the Metrics API answers; None: no such API is registered.
        architectures: Nodes by architecture, without those whose taints keep Istio's pods away.
        cilium: The settings of Cilium's agents; None: no Cilium here.
        calico: Calico's settings; None: no Calico here.
        istio_cni: Whether Istio's CNI plugin runs.
        denied: Rights that are missing, such as `create deployments.apps in istio-system`.
        control_planes: Every istiod of the cluster.
        ambient: Whether ztunnel runs: a mesh in ambient mode.
        gateway_api: Bundle version of those CRDs of the Gateway API that not every istiod reads, by name;
            empty where a CRD names none.
    """

    storage_classes: Mapping[str, bool] = field(default_factory=dict)
    metrics: bool | None = None
    architectures: Mapping[str, int] = field(default_factory=dict)
    cilium: Mapping[str, str] | None = None
    calico: Calico | None = None
    istio_cni: bool = False
    denied: tuple[str, ...] = ()
    control_planes: tuple[ControlPlane, ...] = ()
    ambient: bool = False
    gateway_api: Mapping[str, str] = field(default_factory=dict)


BUNDLE_VERSION = "gateway.networking.k8s.io/bundle-version"


def bundle_versions(crds: Collection[Object]) -> dict[str, str]:
    """Bundle versions of CRDs of the Gateway API, by name; empty where one names none."""
    return {crd["metadata"]["name"]: annotations_of(crd).get(BUNDLE_VERSION, "") for crd in crds}


def storage_classes(found: Collection[Object]) -> dict[str, bool]:
    """StorageClasses by name, and whether each is the default."""
    return {
        item["metadata"]["name"]: (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
        for item in found
    }


def metrics(api_service: Object | None) -> bool | None:
    """Whether `v1beta1.metrics.k8s.io` is available; None where it is not registered."""
    if api_service is None:
        return None
    conditions = api_service.get("status", {}).get("conditions") or []
    return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)


_KEEP_AWAY = frozenset({"NoSchedule", "NoExecute"})


def architectures(nodes: Collection[Object]) -> dict[str, int]:
    """Number of nodes by architecture, without those whose taints keep Istio's pods away."""
    counted: dict[str, int] = {}
    for node in nodes:
        if {taint.get("effect") for taint in node.get("spec", {}).get("taints") or []} & _KEEP_AWAY:
            continue
        name = str(node.get("status", {}).get("nodeInfo", {}).get("architecture", "unknown"))
        counted[name] = counted.get(name, 0) + 1
    return counted


ISTIO_CNI = "istio-cni-node"
"""The DaemonSet of Istio's CNI plugin."""


def uses_istio_cni(values: Mapping[str, Any]) -> bool:
    """Whether IstioOperator values have sidecars injected for Istio's CNI plugin, under its old name too."""
    return any(_at(values, *path, "enabled") is True for path in (("pilot", "cni"), ("istio_cni",)))


def _at(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def control_plane(deployment: Object) -> ControlPlane:
    """What an istiod Deployment says of itself.

    istioctl's charts carry Helm's managed-by label too (1.26.0), so it is Helm's own annotation that
    tells; the Sail operator owns what it makes.
    """
    metadata = deployment["metadata"]
    owners = {owner.get("kind") for owner in metadata.get("ownerReferences") or []}
    if owners & SAIL_KINDS:
        manager = "Sail"
    elif HELM_RELEASE in (metadata.get("annotations") or {}):
        manager = "Helm"
    else:
        manager = "istioctl"
    revision = labels_of(deployment).get("istio.io/rev") or "default"
    return ControlPlane(metadata["namespace"], revision, manager)
