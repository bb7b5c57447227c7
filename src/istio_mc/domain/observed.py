"""One cluster as it was found: its objects, and nodes, storage, metrics, CNI and rights around them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, Object, Ref, annotations_of, labels_of
from istio_mc.domain.mesh import (
    MESH_LABEL,
    REVISION_LABEL,
    SYSTEM_NAMESPACE,
    UPGRADE_RECORD,
    revision_of_label,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from istio_mc.domain.calico import Calico
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Mesh


DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
HELM_RELEASE = "meta.helm.sh/release-name"
SAIL_KINDS = frozenset({"IstioRevision", "Istio"})


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """An istiod of any namespace, whoever installed it.

    Attributes:
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
        architectures: Nodes by architecture, without those whose taints keep Istio's pods away.
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


def storage_classes(classes: Collection[Object]) -> dict[str, bool]:
    """StorageClasses by name, and whether each is the default."""
    return {
        item["metadata"]["name"]: (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"
        for item in classes
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
    """The control plane that an istiod Deployment is.

    istioctl's charts carry Helm's managed-by label too (1.26.0), so Helm's own annotation
    decides; the Sail operator owns what it makes.
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


@dataclass(frozen=True, slots=True)
class Observed:
    """One cluster as it was found.

    Attributes:
        ahead_s: How many seconds its API server's clock is ahead of this machine's; None: it does not tell.
    """

    version: str
    objects: Mapping[Ref, Object] = field(repr=False)
    gateway_api: bool = False
    ahead_s: float | None = None
    _by_kind: dict[tuple[str, str], list[Object]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of(self, kind: Kind) -> list[Object]:
        """All objects of a kind that were found."""
        if not self._by_kind:
            for ref, item in self.objects.items():
                self._by_kind.setdefault((ref.group, ref.kind), []).append(item)
        return [*self._by_kind.get((kind.api_version.rpartition("/")[0], kind.kind), ())]

    def find(self, kind: Kind, name: str) -> Object | None:
        """One object of istio-system, or a cluster-wide one."""
        namespace = SYSTEM_NAMESPACE if kind.namespaced else None
        group = kind.api_version.rpartition("/")[0]
        return self.objects.get(Ref(group, kind.kind, namespace, name))

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of istio-system; none where there is no such namespace."""
        namespace = self.find(objects.NAMESPACE, SYSTEM_NAMESPACE)
        return labels_of(namespace)

    @property
    def mesh_id(self) -> str | None:
        """The mesh this cluster is a member of, as the label says."""
        return self.labels.get(MESH_LABEL)

    @property
    def istiods(self) -> list[Object]:
        """The control planes' Deployments, of all revisions."""
        return [item for item in self.of(objects.DEPLOYMENT) if labels_of(item).get("app") == "istiod"]

    def own(self, mesh: Mesh) -> Mesh:
        """The mesh as this cluster has it: after an upgrade by revision with another revision.

        The record of that upgrade names the revision; it counts as soon as an istiod of it is there.
        """
        record = self.find(objects.CONFIG_MAP, UPGRADE_RECORD) or {}
        label = str((record.get("data") or {}).get("revision") or "")
        if label and any(labels_of(item).get(REVISION_LABEL) == label for item in self.istiods):
            return replace(mesh, revision=revision_of_label(label))
        return mesh
