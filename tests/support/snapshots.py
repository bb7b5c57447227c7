"""All objects of a cluster, without what is different each time, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support import fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.cluster import Cluster
    from tests.support.kinds import Object

Snapshot = dict[str, Any]
"""Objects by `Kind namespace/name`."""


def name_of(item: Object) -> str:
    """What an object is called in a snapshot."""
    metadata = item["metadata"]
    group = item["apiVersion"].rpartition("/")[0]
    kind = f"{item['kind']}.{group}" if group else item["kind"]
    return f"{kind} {'/'.join(filter(None, (metadata.get('namespace'), metadata['name'])))}"


def snapshot(cluster: Cluster) -> Snapshot:
    """Every object of a cluster, uid and resourceVersion too: equal snapshots: nothing was touched."""
    return {name_of(item): item for item in cluster.store.everything().values()}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Names of what was made, changed or removed."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def owners(item: Object) -> dict[str, frozenset[fields.Path]]:
    """Which fields each manager owns."""
    found: dict[str, frozenset[fields.Path]] = {}
    for entry in item["metadata"].get("managedFields") or []:
        found[entry["manager"]] = found.get(entry["manager"], frozenset()) | fields.owned_paths(entry)
    return found
