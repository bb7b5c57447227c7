"""Which groups and kinds an API server serves, as it tells clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.kinds import Object, Served

_VERBS = ["create", "delete", "get", "list", "patch", "update"]


def answer(kinds: Mapping[tuple[str, str], Served], path: str) -> Object | None:
    """The answer to a question about groups or kinds; None: the path is another one's."""
    parts = path.strip("/").split("/")
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"]}
    if parts == ["apis"]:
        groups = dict.fromkeys(one.group for one in kinds.values() if one.group)
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(kinds, name) for name in groups],
        }
    if len(parts) == 2 and parts[0] == "api":
        return _resources(kinds, "", parts[1])
    if len(parts) == 3 and parts[0] == "apis":
        return _resources(kinds, parts[1], parts[2])
    return None


def _group(kinds: Mapping[tuple[str, str], Served], name: str) -> Object:
    versions = dict.fromkeys(
        version for one in kinds.values() if one.group == name for version in one.versions
    )
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resources(kinds: Mapping[tuple[str, str], Served], group: str, version: str) -> Object | None:
    found = [one for one in kinds.values() if one.group == group and version in one.versions]
    if not found:
        return None
    resources = [
        {
            "name": one.plural,
            "kind": one.kind,
            "namespaced": one.namespaced,
            "verbs": _VERBS,
            "singularName": "",
        }
        for one in found
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version(version),
        "resources": resources,
    }
