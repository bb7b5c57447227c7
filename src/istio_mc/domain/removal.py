"""What an uninstall takes away, and what it leaves and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain import lease
from istio_mc.domain.gateway import metallb
from istio_mc.domain.gateway.address import is_our_gateway
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.operator import operator_name
from istio_mc.domain.kube import objects
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
from istio_mc.domain.mesh import (
    COMPONENT_LABEL,
    CROSS_NETWORK_GATEWAY,
    OWNER_LABEL,
    OWNER_NAMESPACE_LABEL,
    READER_SERVICE_ACCOUNT,
    REVISION_LABEL,
    SYSTEM_NAMESPACE,
    TAG_LABEL,
    Mesh,
)
from istio_mc.domain.naming import remote_secret_name
from istio_mc.domain.text import few

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from istio_mc.domain.observed import Observed

FIELD_MANAGER = "istio-mc"
OF_ISTIOD = ("istio.io/config", "true")
"""Label of the ConfigMaps istiod writes into namespaces (pilot/pkg/.../namespacecontroller.go, 1.31.0)."""
_BASE = "Base"
"""The component that all revisions of a cluster share."""
_SHARED_BY_REVISIONS = frozenset({READER_SERVICE_ACCOUNT})
_READER_APP = "istio-reader"
"""Label `app` that the charts give the account."""
_GATEWAY_API_GROUP = "gateway.networking.k8s.io"
_OF_ITSELF = frozenset({"kube-root-ca.crt", "default"})
_DISTRIBUTED = frozenset({"root-cert.pem", "ca-crl.pem"})
_LEADER = "istio-"
_LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader"
_NAMED = 3
"""How many objects of others are named, of those that keep something."""


class Left(NamedTuple):
    """Something an uninstall does not take away."""

    what: str
    why: str


class Deletion(NamedTuple):
    """One object to delete."""

    kind: Kind
    namespace: str | None
    name: str

    def __str__(self) -> str:
        return str(Ref("", self.kind.kind, self.namespace, self.name))


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to go in one cluster, in this order, and what stays.

    Attributes:
        objects: Deleted first, all at once.
        other_revisions: Istiod Deployments of other revisions, which go on running there.
    """

    objects: tuple[Deletion, ...]
    crds: tuple[Deletion, ...]
    namespace: bool
    left: tuple[Left, ...]
    other_revisions: tuple[str, ...]


def deletion_of(document: Object) -> Deletion:
    """A live object, named for deletion."""
    metadata = document["metadata"]
    return Deletion(kind_of(document), metadata.get("namespace"), metadata["name"])


def is_managed(document: Object) -> bool:
    """Whether this tool set any of an object's fields, as the API server itself remembers."""
    entries = document["metadata"].get("managedFields") or []
    return any(entry.get("manager") == FIELD_MANAGER for entry in entries)


def is_distributed_by_istiod(config_map: Object) -> bool:
    """Whether istiod gave a namespace this: the roots and, since 1.27, what its CA revoked.

    Not by their names: values and environment variables of istiod change these.
    """
    name, value = OF_ISTIOD
    keys = {*(config_map.get("data") or {})}
    return labels_of(config_map).get(name) == value and bool(keys) and keys <= _DISTRIBUTED


def is_election(item: Object) -> bool:
    """Whether istiods elect one of them by this object of istio-system."""
    name = item["metadata"]["name"]
    if name == lease.NAME or not name.startswith(_LEADER):
        return False
    return kind_of(item) == objects.LEASE or _LEADER_ANNOTATION in annotations_of(item)


def other_revisions(mesh: Mesh, observed: Observed) -> list[str]:
    """Istiod Deployments of other revisions than the mesh's."""
    return [item["metadata"]["name"] for item in observed.istiods if item["metadata"]["name"] != mesh.istiod]


def plan(
    mesh: Mesh,
    observed: Observed,
    manifest: Iterable[Object],
    cluster_ids: Collection[str],
    users: Mapping[str, Collection[str]],
) -> Removal:
    """What goes and what stays in one cluster.

    Args:
        users: For each CRD, by name, the custom resources of others that are of its kind.
    """
    left: list[Left] = []
    others = other_revisions(mesh, observed)
    removed = [
        deletion_of(observed.objects[ref])
        for document in manifest
        if (ref := ref_of(document)) in observed.objects
        and ref.kind != objects.CRD.kind
        and not (others and ref.name in _SHARED_BY_REVISIONS)
        and not _is_reader_of_others(observed.objects[ref])
    ]
    removed += [deletion_of(item) for item in _of_other_versions(mesh, observed, removed, others)]
    removed += [deletion_of(item) for item in _tags(mesh, observed)]
    removed += _own_secrets(observed, cluster_ids, left, shared_with=others)
    if gateway := observed.find(objects.ISTIO_GATEWAY, CROSS_NETWORK_GATEWAY):
        removed.append(deletion_of(gateway))
    removed += [deletion_of(item) for item in observed.of(objects.KUBERNETES_GATEWAY) if is_our_gateway(item)]
    removed += [deletion_of(item) for kind in metallb.KINDS for item in observed.of(kind) if is_ours(item)]
    crds = _crds(observed, users, others, left)
    namespace = _removed_namespaces(observed, {(d.kind.kind, d.name) for d in removed}, others, left)
    left += [Left(f"Deployment {SYSTEM_NAMESPACE}/{other}", "another revision of Istio") for other in others]
    return Removal(tuple(dict.fromkeys(removed)), tuple(crds), namespace, tuple(left), tuple(others))


def _is_reader_of_others(item: Object) -> bool:
    """Whether it is the reader's account, made by others where values have the charts make none."""
    is_reader = (item["kind"], item["metadata"]["name"]) == ("ServiceAccount", READER_SERVICE_ACCOUNT)
    return is_reader and labels_of(item).get("app") != _READER_APP


def _of_other_versions(
    mesh: Mesh, observed: Observed, removed: Collection[Deletion], others: list[str]
) -> list[Object]:
    """What istioctl made of the same document in another version, and this one makes no more.

    istioctl itself prunes only what has the label of its own version (operator/pkg/install, `prune`), so that
    an upgrade leaves it: two PodDisruptionBudgets that 1.26 makes and 1.31 does not.
    """
    revision = mesh.revision or "default"
    named = {(item.kind.kind, item.name) for item in removed}
    owners = {
        owner
        for ref, item in observed.objects.items()
        if (ref.kind, ref.name) in named and (owner := _owner(item))
    }
    owners.add((operator_name(mesh), SYSTEM_NAMESPACE))
    return [
        item
        for ref, item in observed.objects.items()
        if _owner(item) in owners
        and labels_of(item).get(REVISION_LABEL) == revision
        and ref.kind != objects.CRD.kind
        and not (others and labels_of(item)[COMPONENT_LABEL] == _BASE)
    ]


def _owner(item: Object) -> tuple[str, str] | None:
    """Name and namespace of the document that istioctl made an object of."""
    labels = labels_of(item)
    name, namespace = labels.get(OWNER_LABEL), labels.get(OWNER_NAMESPACE_LABEL)
    return (name, namespace) if name and namespace and COMPONENT_LABEL in labels else None


def _tags(mesh: Mesh, observed: Observed) -> list[Object]:
    """What belongs to revision tags that point to the mesh's revision, and the default validator.

    Since 1.28 a tag has a Service beside its webhook.
    """
    revision = mesh.revision or "default"
    return [
        item
        for kind in (objects.MUTATING_WEBHOOK, objects.VALIDATING_WEBHOOK, objects.SERVICE)
        for item in observed.of(kind)
        if labels_of(item).get(TAG_LABEL) and labels_of(item).get(REVISION_LABEL) == revision
    ]


def _own_secrets(
    observed: Observed, cluster_ids: Collection[str], left: list[Left], *, shared_with: list[str]
) -> list[Deletion]:
    ours = {remote_secret_name(cluster_id) for cluster_id in cluster_ids}
    removed = []
    for secret in observed.of(objects.SECRET):
        name = secret["metadata"]["name"]
        labels = labels_of(secret)
        if labels.get(documents.MULTI_CLUSTER_LABEL) == "true":
            if name in ours or is_managed(secret):
                removed.append(deletion_of(secret))
            else:
                left.append(Left(f"Secret {SYSTEM_NAMESPACE}/{name}", "not written by istio-mc"))
        elif name == "cacerts" and shared_with:
            left.append(Left(f"Secret {SYSTEM_NAMESPACE}/{name}", "used by another revision of Istio"))
        elif (name == "cacerts" and is_ours(secret)) or (_is_own_token(secret) and not shared_with):
            removed.append(deletion_of(secret))
        elif name == "cacerts":
            left.append(Left(f"Secret {SYSTEM_NAMESPACE}/{name}", "not created by istio-mc"))
    return removed


def _is_own_token(secret: Object) -> bool:
    """Whether a Secret has a reader's token: the usual account's, or another's that this tool made."""
    name = secret["metadata"]["name"]
    return name.startswith(documents.READER_TOKEN_SECRET) or (
        documents.READER_TOKEN_SUFFIX in name and is_managed(secret)
    )


def _crds(
    observed: Observed, users: Mapping[str, Collection[str]], others: list[str], left: list[Left]
) -> list[Deletion]:
    removed = []
    for crd in observed.of(objects.CRD):
        name = crd["metadata"]["name"]
        what = f"CustomResourceDefinition {name}"
        if name.endswith("." + _GATEWAY_API_GROUP):
            if not is_ours(crd):
                left.append(Left(what, "not installed by istio-mc"))
                continue
        elif others:
            left.append(Left(what, "used by another revision of Istio"))
            continue
        if used := users.get(name):
            left.append(Left(what, f"in use: {few(sorted(used), _NAMED)}"))
        else:
            removed.append(deletion_of(crd))
    return removed


def _removed_namespaces(
    observed: Observed, removed: Collection[tuple[str, str]], others: list[str], left: list[Left]
) -> bool:
    namespace = observed.find(objects.NAMESPACE, SYSTEM_NAMESPACE)
    if namespace is None:
        return False
    what = f"Namespace {SYSTEM_NAMESPACE}"
    if others:
        left.append(Left(what, "used by another revision of Istio"))
        return False
    if not is_ours(namespace):
        left.append(Left(what, "not created by istio-mc"))
        return False
    foreign = [
        str(ref)
        for ref, item in observed.objects.items()
        if ref.namespace == SYSTEM_NAMESPACE
        and (ref.kind, ref.name) not in removed
        and not _is_generated(ref, item, removed)
    ]
    if foreign:
        left.append(Left(what, f"contains objects of others: {few(sorted(foreign), _NAMED)}"))
        return False
    return True


def _is_generated(ref: Ref, item: Object, removed: Collection[tuple[str, str]]) -> bool:
    """What Kubernetes and istiod keep in the namespace by themselves: it goes with it."""
    if item["metadata"].get("ownerReferences"):
        return True
    if ref.kind == "Pod":
        app = labels_of(item).get("app")
        return any(kind == "Deployment" and name.startswith(str(app)) for kind, name in removed)
    if ref.kind == "ConfigMap" and (ref.name.startswith(_LEADER) or is_distributed_by_istiod(item)):
        return True
    return ref.name in _OF_ITSELF or item.get("type") == "kubernetes.io/service-account-token"
