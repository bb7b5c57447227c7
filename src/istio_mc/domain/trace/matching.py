"""How Istio's objects name what they apply to, and the commands that change them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube.objects import labels_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from istio_mc.domain.hint import Command
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView


_TOP = 2
"""So many keys of a path at least are left: `spec` and the field."""


def full_host(host: str, namespace: str) -> str:
    """A host as an object of a namespace means it: a short name is a Service of that namespace."""
    if host.startswith("*") or "." in host:
        return host
    return f"{host}.{namespace}.svc.cluster.local"


def matches_host(pattern: str, host: str) -> bool:
    """Whether a host is one that a pattern such as `*.sample.svc.cluster.local` means."""
    if pattern.startswith("*"):
        return host.endswith(pattern[1:])
    return pattern == host


def is_visible(item: Object, field: Iterable[str] | None, to: str) -> bool:
    """Whether an object is exported to a namespace; without exportTo it is exported to all."""
    given = {str(entry).strip() for entry in field or ()}
    if not given or "*" in given or to in given:
        return True
    return "." in given and item["metadata"]["namespace"] == to


def applies_to(policy: Object, namespace: str, root_namespace: str, pods: Collection[Object]) -> bool:
    """Whether a policy with `selector.matchLabels` applies to one of a namespace's pods.

    One with targetRefs is for gateways and waypoints, and not for sidecars.
    """
    spec = policy.get("spec") or {}
    if spec.get("targetRefs") or spec.get("targetRef"):
        return False
    if policy["metadata"]["namespace"] not in (namespace, root_namespace):
        return False
    desired = (spec.get("selector") or {}).get("matchLabels") or {}
    return not desired or any(desired.items() <= labels_of(pod).items() for pod in pods)


def ref(item: Object) -> str:
    """An object as messages name it: `Kind namespace/name`."""
    metadata = item["metadata"]
    return f"{item['kind']} {metadata['namespace']}/{metadata['name']}"


def pod_name(pod: Object | None) -> str:
    """A pod as messages name it: `namespace/name`; empty for none."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" if pod else ""


def edit(view: ClusterView, item: Object, before: str) -> Advice:
    """Advice that ends in the command with which an object is edited."""
    metadata = item["metadata"]
    kind = str(item["kind"]).lower()
    return Advice(before, kubectl(view.context, "-n", metadata["namespace"], "edit", kind, metadata["name"]))


def _with_emptied(item: Object, operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """A removal that leaves no empty policy: Istio's webhook refuses one, also one of a port.

    Validation of DestinationRules: pkg/config/validation/validation.go of istio/istio 1.31.
    """
    if operation["op"] != "remove":
        return operation
    keys = str(operation["path"]).split("/")[1:]
    while len(keys) > _TOP and _is_last(_at(item, keys[:-1]), keys[-1]):
        keys.pop()
    return {**operation, "path": "/".join(("", *keys))}


def _at(item: Object, keys: Sequence[str]) -> list[Any] | dict[str, Any]:
    """The list or mapping at a path of an object."""
    found: Any = item
    for key in keys:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return cast("list[Any] | dict[str, Any]", found)


def _is_last(holder: list[Any] | dict[str, Any], key: str) -> bool:
    """Whether nothing is left of a list or mapping without an entry, except the port that it is for."""
    return len(holder) == 1 if isinstance(holder, list) else not holder.keys() - {key, "port"}


def patched(view: ClusterView, item: Object, operations: Sequence[Mapping[str, Any]]) -> Command:
    """The command that changes an object by a JSON patch; what a removal leaves empty is removed too."""
    operations = [_with_emptied(item, operation) for operation in operations]
    metadata = item["metadata"]
    words = (
        "patch",
        str(item["kind"]).lower(),
        metadata["name"],
        "--type",
        "json",
        "-p",
        json.dumps(operations),
    )
    return kubectl(view.context, "-n", metadata["namespace"], *words)
