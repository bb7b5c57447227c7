"""A control plane by revision beside the old one: tags, what belongs to a revision, and who uses it. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import annotations_of, kind_of, labels_of
from istio_mc.domain.mesh import COMPONENT_LABEL, REVISION_LABEL, SYSTEM_NAMESPACE, TAG_LABEL, revision_label
from istio_mc.domain.naming import is_label
from istio_mc.domain.problem import Code, InputError
from istio_mc.domain.upgrade.workloads import workload_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.kube.objects import Kind, Object

_CONTROL_PLANE = "Pilot"
_INJECTED = "sidecar.istio.io/status"
"""Annotation of a pod with a proxy: JSON with the revision of the istiod that injected it."""

_ADDED_BY_VALUES = (objects.ENVOY_FILTER, objects.PDB)
WEBHOOKS = (objects.MUTATING_WEBHOOK, objects.VALIDATING_WEBHOOK)


def parse_revision(text: str) -> str:
    """Reads the name of a new control plane.

    Raises:
        InputError: It is no DNS-1123 label, or `default`, which stands for the one without a name.
    """
    if not is_label(text) or text == "default":
        raise InputError.of(
            code=Code.OPTION_MALFORMED,
            message=f"--revision: {text!r} is not a DNS-1123 label such as 1-31, or it is default",
        )
    return text


def selector_of(revision: str) -> str:
    """The label selector of all that istioctl made of the control plane of a revision."""
    return f"{COMPONENT_LABEL}={_CONTROL_PLANE},{REVISION_LABEL}={revision_label(revision)}"


def kinds_of(manifest: Iterable[Object]) -> tuple[Kind, ...]:
    """The kinds of a control plane, webhooks first: without an istiod they would reject what follows."""
    kinds = dict.fromkeys((*WEBHOOKS, *(kind_of(item) for item in manifest), *_ADDED_BY_VALUES))
    return tuple(kind for kind in kinds if kind.kind != objects.CRD.kind)


def is_control_plane(item: Object) -> bool:
    """Whether it goes with its revision; so does what tags have left that were moved before."""
    return item["metadata"].get("namespace") in (None, SYSTEM_NAMESPACE)


def tags_of(webhooks: Iterable[Object], revision: str) -> list[str]:
    """The revision tags that point to a revision, in order."""
    return sorted(
        {
            labels_of(item)[TAG_LABEL]
            for item in webhooks
            if TAG_LABEL in labels_of(item)
            and labels_of(item).get(REVISION_LABEL) == revision_label(revision)
        }
    )


def users_of(pods: Iterable[Object], namespaces: Iterable[Object], revision: str) -> list[str]:
    """What needs a revision's istiod: workloads whose proxies it configures, and namespaces that name it."""
    workloads = {workload_of(pod) for pod in pods if _revision(pod) == revision_label(revision)}
    pinned = [f"Namespace {one['metadata']['name']}" for one in namespaces if is_pinned(one, revision)]
    return [*sorted(pinned), *map(str, sorted(workloads))]


def _revision(pod: Object) -> str | None:
    """The revision that injected a pod's proxy; None: it has none, or it has ended."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    text = annotations_of(pod).get(_INJECTED)
    if ended or not text or pod["metadata"].get("deletionTimestamp"):
        return None
    try:
        return str(json.loads(text).get("revision") or "default")
    except (ValueError, AttributeError):
        return None


def is_pinned(namespace: Object | None, revision: str) -> bool:
    """Whether a namespace names a revision itself, and no tag."""
    return bool(revision) and labels_of(namespace).get(REVISION_LABEL) == revision
