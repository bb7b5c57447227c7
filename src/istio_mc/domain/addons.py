"""Add-ons: the objects of each, whose they are in a cluster, and what install and remove do. Pure."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.kube.diff import Difference, differences
from istio_mc.domain.kube.objects import (
    Kind,
    Object,
    Ref,
    annotations_of,
    is_ours,
    kind_of,
    labels_of,
    ref_of,
)
from istio_mc.domain.mesh import MANAGED_BY
from istio_mc.domain.observed import DEFAULT_CLASS, HELM_RELEASE
from istio_mc.domain.removal import is_distributed_by_istiod
from istio_mc.domain.text import few, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ADDON_LABEL = "istio-mc/addon"
_SHOWN = 3
_INSECURE = "--kubelet-insecure-tls"
_FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "Secret", "ConfigMap")


class AddonName(StrEnum):
    """The add-ons that this tool installs."""

    METRICS_SERVER = "metrics-server"
    METALLB = "metallb"


@dataclass(frozen=True, slots=True)
class Addon:
    """An add-on at its pinned version.

    Attributes:
        summary: What it is for, in a few words.
        registry: The registry of its images.
        documents: Its manifest, in the order in which it is applied.
    """

    name: AddonName
    version: str
    summary: str
    registry: str
    documents: tuple[Object, ...] = field(repr=False)

    @property
    def refs(self) -> dict[Ref, Kind]:
        """Its objects, and the kind of each."""
        return {ref_of(one): kind_of(one) for one in self.documents}

    @property
    def images(self) -> tuple[str, ...]:
        """The images of its workloads."""
        return tuple(container["image"] for one in self.workloads for container in _containers(one))

    @property
    def workloads(self) -> tuple[Object, ...]:
        """Its Deployments and DaemonSets."""
        return tuple(one for one in self.documents if one["kind"] in ("Deployment", "DaemonSet"))

    @property
    def custom_kinds(self) -> tuple[Kind, ...]:
        """The kinds that its CRDs define, at the version that is stored."""
        crds = (one["spec"] for one in self.documents if one["kind"] == "CustomResourceDefinition")
        return tuple(Kind(f"{spec['group']}/{_stored(spec)}", spec["names"]["kind"]) for spec in crds)


def _stored(spec: Object) -> str:
    return next(str(one["name"]) for one in spec["versions"] if one["storage"])


def _containers(workload: Object) -> list[Object]:
    return list(workload["spec"]["template"]["spec"]["containers"])


class AddonOptions(NamedTuple):
    """What the user chooses for an add-on.

    Attributes:
        registry: The registry to take the images from; empty: the publisher's.
        insecure_kubelet_tls: Whether Metrics Server accepts any certificate of a kubelet.
    """

    registry: str = ""
    insecure_kubelet_tls: bool = False


def addon_of(name: AddonName, version: str, manifest: Iterable[Object], options: AddonOptions) -> Addon:
    """The add-on with these options, each object labelled as this tool's."""
    summary, registry = _KNOWN[name]
    documents = []
    for one in manifest:
        document = deepcopy(one)
        labels = document["metadata"].setdefault("labels", {})
        labels |= {**MANAGED_BY, ADDON_LABEL: name.value}
        if document["kind"] in ("Deployment", "DaemonSet"):
            for container in _containers(document):
                if options.registry:
                    container["image"] = container["image"].replace(registry, options.registry.rstrip("/"), 1)
                if name is AddonName.METRICS_SERVER and options.insecure_kubelet_tls:
                    container["args"].append(_INSECURE)
        documents.append(document)
    documents.sort(key=lambda one: _FIRST.index(one["kind"]) if one["kind"] in _FIRST else len(_FIRST))
    return Addon(name, version, summary, registry, tuple(documents))


_KNOWN = {
    AddonName.METRICS_SERVER: (
        "CPU and memory of pods: kubectl top, the HPA",
        "registry.k8s.io",
    ),
    AddonName.METALLB: ("addresses for Services of type LoadBalancer", "quay.io"),
}


class Owner(StrEnum):
    """Whose an add-on is in a cluster."""

    ABSENT = "absent"
    OURS = "istio-mc"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class AddonState:
    """An add-on as it is in a cluster.

    Attributes:
        live: Its objects, by reference.
        unready: Why it does not work; empty if it does, or is absent.
        custom: Objects of the kinds that its CRDs define.
        neighbours: Objects in its own namespace that are no part of it.
    """

    addon: Addon
    live: Mapping[Ref, Object] = field(default_factory=dict, repr=False)
    unready: str = ""
    custom: tuple[Object, ...] = field(default=(), repr=False)
    foreign_objects: tuple[Object, ...] = field(default=(), repr=False)

    @property
    def foreign(self) -> tuple[Object, ...]:
        """Objects that others made; a namespace alone does not count."""
        return tuple(one for ref, one in self.live.items() if ref.kind != "Namespace" and not is_ours(one))

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        if self.foreign:
            return Owner.OTHERS
        return Owner.OURS if any(map(is_ours, self.live.values())) else Owner.ABSENT

    @property
    def made_by(self) -> str:
        """Who installed it, as far as its objects tell."""
        release = next((annotations_of(one).get(HELM_RELEASE) for one in self.foreign), None)
        refs = few((str(ref_of(one)) for one in self.foreign), _SHOWN)
        return f"Helm release {release}: {refs}" if release else refs

    @property
    def version(self) -> str:
        """The version that runs, by the tag of an image; empty if unknown."""
        for one in self.live.values():
            if one["kind"] in ("Deployment", "DaemonSet"):
                for container in _containers(one):
                    return str(container["image"]).partition("@")[0].rpartition(":")[2].removeprefix("v")
        return ""

    def steps(self) -> tuple[Object, ...]:
        """The documents to apply: those that are missing or differ; none where the add-on is others'."""
        if self.owner is Owner.OTHERS:
            return ()
        wrong = {one.ref for one in self.differences}
        return tuple(_kept_namespace(one, self.live) for one in self.addon.documents if ref_of(one) in wrong)

    @property
    def differences(self) -> list[Difference]:
        """What is missing or differs."""
        return differences([_kept_namespace(one, self.live) for one in self.addon.documents], self.live)

    @property
    def reason(self) -> str:
        """Why it is installed, in a few words."""
        if self.owner is Owner.ABSENT:
            return f"{self.addon.name} {self.addon.version} is not installed"
        changes = self.differences
        count = plural(len({one.ref for one in changes}), "object")
        return f"{count} missing or changed: {few(map(str, changes), _SHOWN, '; ')}"

    def removable(self) -> Removal:
        """What a removal deletes, and what remains, with the reason."""
        of_others = tuple(one for one in self.custom if not is_ours(one))
        lost = {"CustomResourceDefinition": of_others, "Namespace": (*of_others, *self.foreign_objects)}
        remaining: dict[Ref, str] = {}
        going = []
        for ref in reversed(self.addon.refs):
            live = self.live.get(ref)
            if live is None:
                continue
            if not is_ours(live):
                remaining[ref] = "others made it"
            elif with_it := lost.get(ref.kind):
                named = few((str(ref_of(one)) for one in with_it), _SHOWN)
                remaining[ref] = f"{named} would be deleted with it"
            else:
                going.append(live)
        return Removal(tuple(one for one in self.custom if is_ours(one)), tuple(going), remaining)


class Removal(NamedTuple):
    """What a removal does.

    Attributes:
        custom: Objects of the add-on's own kinds that this tool made.
        objects: The add-on's objects, in the order in which they are deleted.
        remaining: What remains, and why.
    """

    custom: tuple[Object, ...]
    objects: tuple[Object, ...]
    remaining: Mapping[Ref, str]


_OF_CONTROLLERS = frozenset({"kube-root-ca.crt", "memberlist"})
"""What Kubernetes' own controllers and MetalLB's (0.15.2) put into a namespace."""


def foreign_objects(addon: Addon, live: Iterable[Object]) -> tuple[Object, ...]:
    """Of the objects of an add-on's namespace those that are no part of it and that nothing writes again."""
    known = addon.refs
    return tuple(
        one
        for one in live
        if ref_of(one) not in known
        and one["metadata"]["name"] not in _OF_CONTROLLERS
        and not (one["kind"] == "ConfigMap" and is_distributed_by_istiod(one))
    )


def _kept_namespace(document: Object, live: Mapping[Ref, Object]) -> Object:
    """The document; of a namespace that others made, without the labels that would make it this tool's."""
    namespace = live.get(ref_of(document))
    if document["kind"] != "Namespace" or namespace is None or is_ours(namespace):
        return document
    labels = {
        key: value for key, value in labels_of(document).items() if key not in {*MANAGED_BY, ADDON_LABEL}
    }
    return {**document, "metadata": {**document["metadata"], "labels": labels}}


def unready(workloads: Iterable[Object | None], names: Sequence[str], *, available: bool | None) -> str:
    """Why an add-on does not work yet: which workload is not ready; empty if it works.

    Args:
        workloads: Its live Deployments and DaemonSets; None where one is missing.
        names: What each is called.
        available: Whether its APIService is available; None: it has none.
    """
    for one, name in zip(workloads, names, strict=True):
        if one is None:
            return f"{name} is missing"
        if text := _unready(one):
            return f"{name}: {text}"
    return "its API is not available" if available is False else ""


def _unready(workload: Object) -> str:
    status, generation = workload.get("status") or {}, workload["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return "its controller has not processed the last change"
    if workload["kind"] == "DaemonSet":
        desired = status.get("desiredNumberScheduled", 0)
        ready, updated = status.get("numberReady", 0), status.get("updatedNumberScheduled", 0)
    else:
        desired = workload["spec"].get("replicas", 1)
        ready, updated = status.get("availableReplicas", 0), status.get("updatedReplicas", 0)
    return "" if min(ready, updated) >= desired else f"{ready} of {desired} pods ready, {updated} updated"


@dataclass(frozen=True, slots=True)
class DefaultClass:
    """What makes a StorageClass the default one.

    Attributes:
        name: The StorageClass.
        known: All StorageClasses of the cluster.
        before: Those that are marked as default now.
    """

    name: str
    known: tuple[str, ...]
    before: tuple[str, ...]

    @property
    def to_mark(self) -> bool:
        """Whether it is not marked yet."""
        return self.name not in self.before

    @property
    def to_unmark(self) -> tuple[str, ...]:
        """Others that are marked."""
        return tuple(one for one in self.before if one != self.name)


def default_patch(*, is_default: bool) -> Object:
    """A merge patch that marks or unmarks a StorageClass."""
    return {"metadata": {"annotations": {DEFAULT_CLASS: "true" if is_default else "false"}}}
