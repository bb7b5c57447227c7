"""Wanted against live: what a document sets and the cluster does not have so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import takewhile
from typing import Any, NamedTuple

from istio_mc.domain.kube.objects import Object, Ref, ref_of
from istio_mc.domain.mesh import OWNER_LABEL

_SUFFIXES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
# apimachinery pkg/api/resource/quantity.go, v0.32.3: a suffix or an exponent, not both.
_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?"
)
_QUANTITY_FIELDS = frozenset({"limits", "requests"})

# istiod and istioctl set these themselves after the install (seen on 1.26.0).
_WEBHOOK_FIELDS = frozenset({"failurePolicy", "caBundle"})
_INJECTOR = "istio-sidecar-injector"

_Path = tuple[str, ...]

_LENGTH, _BEFORE = 60, 20


class Difference(NamedTuple):
    """One thing a wanted document sets that lives otherwise.

    Attributes:
        path: Dotted path inside it; empty: the whole object is missing.
    """

    ref: Ref
    path: str
    desired: object
    live: object

    def __str__(self) -> str:
        if not self.path:
            return f"{self.ref} is missing"
        live, desired = _apart(_line(self.live), _line(self.desired))
        return f"{self.ref} {self.path} is {live}, desired {desired}"


def differences(desired: Iterable[Object], live: Mapping[Ref, Object]) -> list[Difference]:
    """The fields that the desired documents set, and that live objects lack or have with another value.

    Fields that a document does not set are not compared. Skipped are fields that others own by
    design: istiod's webhook fields, the replicas an HPA of the same documents governs, and the selectors
    of `istio-sidecar-injector`, which istioctl switches off when a revision tag takes over (1.26.0).
    """
    desired = list(desired)
    scaled = {
        (str(document["metadata"].get("namespace")), document["spec"]["scaleTargetRef"]["name"])
        for document in desired
        if document["kind"] == "HorizontalPodAutoscaler"
    }
    result = []
    for document in desired:
        ref = ref_of(document)
        existing = live.get(ref)
        if existing is None:
            result.append(Difference(ref, "", document, None))
            continue
        if ref.kind == "MutatingWebhookConfiguration" and ref.name.startswith(_INJECTOR):
            continue
        for path, value, have in _unequal(document, existing, ()):
            if path == ("spec", "replicas") and (str(ref.namespace), ref.name) in scaled:
                continue
            result.append(Difference(ref, ".".join(path), value, have))
    return result


def _unequal(desired: object, live: object, path: _Path) -> Iterator[tuple[_Path, object, object]]:
    # Most of what is compared is equal, and Python tells so of a whole CRD at once.
    # A null sets nothing: MetalLB, say, writes annotations where Istio's gateway Service has a null (1.31.0).
    if desired == live or desired is None or _ignored(path):
        return
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        for key, value in desired.items():
            yield from _unequal(value, live.get(key), (*path, str(key)))
    elif isinstance(desired, Mapping) and live is None:
        # One difference for all of it, unless what is in it is empty or not compared.
        if next(_unequal(desired, {}, path), None):
            yield path, desired, live
    elif isinstance(desired, list) and isinstance(live, list):
        yield from _unequal_lists(desired, live, path)
    elif not _same(desired, live, path):
        yield path, desired, live


def _unequal_lists(
    desired: Sequence[Any], live: Sequence[Any], path: _Path
) -> Iterator[tuple[_Path, object, object]]:
    if desired and len(_named(desired)) == len(desired):
        # Server-side apply merges lists of named items, so what others added beside ours may stay.
        by_name = _named(live)
        for item in desired:
            yield from _unequal(item, by_name.get(item["name"]), (*path, str(item["name"])))
    elif len(desired) != len(live):
        yield path, desired, live
    else:
        for index, (item, have) in enumerate(zip(desired, live, strict=True)):
            yield from _unequal(item, have, (*path, str(index)))


def _named(items: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    """The items that have a name, by it."""
    return {
        item["name"]: item
        for item in items
        if isinstance(item, Mapping) and isinstance(item.get("name"), str)
    }


def _ignored(path: _Path) -> bool:
    if not path:
        return False
    if path == ("apiVersion",):
        return True  # the same object, read in another version of its API
    return path[-1] == OWNER_LABEL or (path[0] == "webhooks" and path[-1] in _WEBHOOK_FIELDS)


def _same(desired: object, live: object, path: _Path) -> bool:
    if desired == live or (_empty(desired) and _empty(live)):
        return True
    if _QUANTITY_FIELDS.intersection(path):
        return quantity(desired) == quantity(live) is not None
    return False


def _empty(value: object) -> bool:
    """The API server drops nulls, empty strings, lists and mappings, and mappings of nothing but those."""
    if isinstance(value, Mapping):
        return all(_empty(item) for item in value.values())
    return value is None or value in ("", [])


def quantity(value: object) -> Decimal | None:
    """A Kubernetes quantity as a number: `2000m` and `2` are equal; None where it is not one."""
    match = _QUANTITY.fullmatch(str(value))
    if not match:
        return None
    number, suffix = Decimal(match[1] + (match[2] or "")), match[3] or ""
    if suffix in _BINARY:
        return number * Decimal(2) ** _BINARY[suffix]
    return number.scaleb(_SUFFIXES[suffix])


def _line(value: object) -> str:
    """A value on one line: what a ConfigMap holds is a page of YAML or JSON."""
    return "absent" if value is None else " ".join(str(value).split())


def _apart(one: str, other: str) -> tuple[str, str]:
    """Two texts, the long ones cut to where they begin to differ."""
    alike = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))
    begin = one.rfind(" ", 0, alike - _BEFORE) + 1 if alike > _LENGTH - _BEFORE else 0
    return _cut(one, begin), _cut(other, begin)


def _cut(text: str, begin: int) -> str:
    if begin == 0 and len(text) <= _LENGTH:
        return text
    shown = text[begin : begin + _LENGTH]
    return ("…" if begin else "") + shown + ("…" if begin + _LENGTH < len(text) else "")
