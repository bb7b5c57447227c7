"""Clusters compared, real with stand-in: which objects there are, their labels, who owns which fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from istio_mc.domain.links.state import ROTATION
from tests.support import fields
from tests.support.snapshots import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.kinds import Object

Compared = dict[str, dict[str, Any]]
"""What is compared of each object, by its name."""

OURS = ("istio-mc", "istio-operator", "istioctl")
"""The field managers of istio-mc and istioctl: what they set is compared, field by field."""

_RANDOM = re.compile(r"(istio-remote-secret-token)-[0-9a-f]{8}$")
_NAMED_AT_RANDOM = frozenset({"Pod", "ReplicaSet", "EndpointSlice", "Endpoints"})
_RESTLESS = frozenset({"Event", "Lease", "ControllerRevision", "CertificateSigningRequest"})


def compared(items: Iterable[Object]) -> Compared:
    """What counts of a cluster's objects."""
    found: Compared = {}
    for item in items:
        if item["kind"] in _RESTLESS:
            continue
        name = _RANDOM.sub(r"\1-RANDOM", name_of(item))
        if item["kind"] in _NAMED_AT_RANDOM:
            app = (item["metadata"].get("labels") or {}).get("app")
            name = f"{item['kind']} {item['metadata']['namespace']} app={app}"
        if item["kind"] in _NAMED_AT_RANDOM - {"Pod"}:
            continue
        labels = dict(item["metadata"].get("labels") or {})
        labels.pop("pod-template-hash", None)
        found[name] = {"labels": labels, "finalizers": item["metadata"].get("finalizers") or []}
        found[name].update(_set_by_us(item))
    return found


def _set_by_us(item: Object) -> dict[str, Any]:
    rules = fields.Merging.of_kind(item["apiVersion"].rpartition("/")[0])
    there = fields.leaves(item, rules)
    found: dict[str, Any] = {}
    for entry in item["metadata"].get("managedFields") or []:
        if entry["manager"] not in OURS:
            continue
        who = f"{entry['manager']} {entry['operation']}"
        for path in fields.owned_paths(entry):
            hidden = (
                path[-1] in ("f:caBundle", f"f:{ROTATION}")  # the latter is when a rotation began
                or (item["kind"] == "Secret" and path[0] == "f:data")
            )
            found[f"{who} {'/'.join(path)}"] = "hidden" if hidden else there.get(path, "absent")
    return found


def differences(real: Compared, stand_in: Compared) -> list[str]:
    """What is different, a line each."""
    lines = []
    for name in sorted(real | stand_in):
        if name not in stand_in:
            lines.append(f"{name}: only in the real cluster")
        elif name not in real:
            lines.append(f"{name}: only in the stand-in")
        else:
            lines += [f"{name}: {line}" for line in _unequal(real[name], stand_in[name])]
    return lines


def _unequal(real: Mapping[str, Any], stand_in: Mapping[str, Any]) -> Iterable[str]:
    for key in sorted(real.keys() | stand_in.keys()):
        one, other = real.get(key, "nothing"), stand_in.get(key, "nothing")
        if one != other:
            yield f"{key}: real {one!r}, stand-in {other!r}"
