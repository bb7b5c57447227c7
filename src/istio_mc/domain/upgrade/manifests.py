"""What manifests of two versions show: fields and versions that go, rights that are new. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind
from istio_mc.domain.kube.rights import Right, is_granted
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from istio_mc.domain.kube.objects import Object

_READER_ROLE = "istio-reader-clusterrole"
_SHOWN = 4


def reader_roles(manifest: Iterable[Object]) -> list[Object]:
    """The ClusterRoles by which istiods of other clusters read this one."""
    return [
        item
        for item in manifest
        if item["kind"] == objects.CLUSTER_ROLE.kind and item["metadata"]["name"].startswith(_READER_ROLE)
    ]


def missing_reader_rules(manifest: Iterable[Object], live: Iterable[Object]) -> list[Object]:
    """The live ClusterRoles of readers, with the rules of a manifest that they lack."""
    there = {item["metadata"]["name"]: item for item in live}
    found = []
    for role in reader_roles(manifest):
        present = there.get(role["metadata"]["name"])
        if missing := missing_rules(role, present):
            rules = [*((present or {}).get("rules") or []), *missing]
            metadata = {"name": role["metadata"]["name"]}
            head = {"apiVersion": role["apiVersion"], "kind": role["kind"]}
            found.append({**head, "metadata": metadata, "rules": rules})
    return found


def missing_rules(desired: Object, live: Object | None) -> list[Object]:
    """The rules of a reader's ClusterRole that the live one does not grant."""
    granted = (live or {}).get("rules") or []
    return [
        rule
        for rule in desired.get("rules") or []
        if not rule.get("nonResourceURLs") and not all(is_granted(right, granted) for right in _rights(rule))
    ]


def _rights(rule: Object) -> Iterator[Right]:
    for group in rule.get("apiGroups") or []:
        for resource in rule.get("resources") or []:
            name, _, subresource = resource.partition("/")
            for verb in rule.get("verbs") or []:
                yield Right(verb, name, group, "", subresource)


def _crds(manifest: Iterable[Object]) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in manifest if item["kind"] == objects.CRD.kind}


def stored_kind(crd: Object) -> Kind:
    """The kind that a CRD defines, at its storage version."""
    spec = crd["spec"]
    version = next(one["name"] for one in spec["versions"] if one.get("storage"))
    return Kind(f"{spec['group']}/{version}", spec["names"]["kind"])


def _served(crd: Object) -> set[str]:
    return {one["name"] for one in crd["spec"].get("versions") or [] if one.get("served")}


def no_way_back(context: str, version: str, old: Iterable[Object], new: Iterable[Object]) -> Problem | None:
    """CRDs whose storage version an older Istio does not serve: what is stored then could not be read."""
    before = _crds(old)
    stored: dict[str, str] = {
        name: next((one["name"] for one in crd["spec"].get("versions") or [] if one.get("storage")), "")
        for name, crd in _crds(new).items()
        if name in before
    }
    lost = [f"{name}: {to}" for name, to in stored.items() if to and to not in _served(before[name])]
    return no_way_back_of(context, version, lost) if lost else None


def stored_beyond(old: Iterable[Object], live: Iterable[Object]) -> list[str]:
    """The versions in which a cluster stores objects and that an older Istio's CRDs do not serve."""
    before = _crds(old)
    return [
        f"{name}: {stored}"
        for crd in live
        if (name := crd["metadata"]["name"]) in before
        for stored in (crd.get("status") or {}).get("storedVersions") or []
        if stored not in _served(before[name])
    ]


def no_way_back_of(context: str, version: str, lost: Sequence[str]) -> Problem:
    """That an older Istio could not read what is stored."""
    return Problem(
        code=Code.UPGRADE_NO_WAY_BACK,
        cluster=context,
        message=f"{context} cannot return to Istio {version} once its CRDs are upgraded",
        seen=f"storage versions that {version} does not serve: {few(lost, _SHOWN)}",
        expected="storage versions that both serve",
        hint=Advice("back up the objects of these kinds before the upgrade"),
    )


def versions_dropped(old: Iterable[Object], new: Iterable[Object]) -> dict[str, list[str]]:
    """The versions of each CRD that are served before an upgrade and not after it."""
    after = _crds(new)
    return {
        name: gone
        for name, crd in _crds(old).items()
        if name in after and (gone := sorted(_served(crd) - _served(after[name])))
    }


def fields_dropped(old: Iterable[Object], new: Iterable[Object]) -> dict[str, frozenset[str]]:
    """The dotted fields below `spec` of each CRD that the new version's schema does not have any more."""
    after = _crds(new)
    found = {}
    for name, crd in _crds(old).items():
        if name in after and (gone := _fields(crd) - _fields(after[name])) and _fields(after[name]):
            found[name] = frozenset(gone)
    return found


def _fields(crd: Object) -> set[str]:
    versions: list[Object] = crd["spec"].get("versions") or []
    stored: Object = next((one for one in versions if one.get("storage")), {})
    schema = ((stored.get("schema") or {}).get("openAPIV3Schema") or {}).get("properties") or {}
    return set(_paths(schema.get("spec") or {}, ""))


def _paths(schema: Mapping[str, Any], at: str) -> Iterator[str]:
    if "items" in schema:
        yield from _paths(schema["items"], at)
    for name, inner in (schema.get("properties") or {}).items():
        path = f"{at}.{name}" if at else name
        yield path
        yield from _paths(inner, path)


def uses(item: Object, fields: Collection[str]) -> list[str]:
    """Those fields that an object sets."""
    return sorted(set(_set_in(item.get("spec"), "")) & set(fields))


def _set_in(value: object, at: str) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _set_in(one, at)
    elif isinstance(value, dict):
        for name, inner in value.items():
            path = f"{at}.{name}" if at else name
            yield path
            yield from _set_in(inner, path)


def dropped(context: str, version: str, lines: Sequence[str]) -> Problem | None:
    """Fields of live objects that the new version drops; None: there are none."""
    if not lines:
        return None
    return Problem(
        code=Code.UPGRADE_FIELDS_DROPPED,
        cluster=context,
        message=f"objects of {context} use what Istio {version} no longer has",
        seen=few(lines, _SHOWN, "; "),
        expected="objects that both versions understand",
        hint=Advice("change these objects first"),
    )
