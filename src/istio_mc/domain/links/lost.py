"""A cluster that is gone: what the others still have of it, and how they remember that it is gone. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.kube.objects import annotations_of, labels_of, ref_of
from istio_mc.domain.mesh import CLUSTER_LABEL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from istio_mc.domain.istio.discovery import IstiodView
    from istio_mc.domain.kube.objects import Object

LOST = "istio-mc/lost"
"""Annotation of istio-system: IDs of clusters that this one has forgotten, separated by commas.

One of them is no member, whatever its own label says, until it is linked again.
"""


def lost_ids(namespace: Object | None) -> frozenset[str]:
    """The IDs of the clusters that a cluster has forgotten, by its istio-system."""
    return frozenset(filter(None, annotations_of(namespace).get(LOST, "").split(",")))


def with_lost(
    namespace: Object | None, more: Collection[str], less: Collection[str] = ()
) -> Mapping[str, Any]:
    """The merge patch of istio-system that adds IDs, and removes others; empty where nothing changes."""
    before = lost_ids(namespace)
    after = (before | {*more}) - {*less}
    if after == before:
        return {}
    return {"metadata": {"annotations": {LOST: ",".join(sorted(after)) or None}}}


def forgotten_by(namespaces: Mapping[str, Object | None]) -> dict[str, tuple[str, ...]]:
    """The contexts that others have forgotten, each with those others.

    Args:
        namespaces: istio-system of each context.
    """
    ids = {name: labels_of(namespace).get(CLUSTER_LABEL, "") for name, namespace in namespaces.items()}
    found: dict[str, tuple[str, ...]] = {}
    for name, cluster_id in ids.items():
        by = [other for other, one in namespaces.items() if other != name and cluster_id in lost_ids(one)]
        if cluster_id and by:
            found[name] = tuple(by)
    return found


def mentions(items: Iterable[Object], names: Collection[str]) -> tuple[str, ...]:
    """The objects with a value that is one of these names, or `label=name` as in failoverPriority."""
    return tuple(
        f"{ref_of(item)} ({', '.join(found)})"
        for item in items
        if (found := sorted({one for value in _texts(item.get("spec")) if (one := _named(value, names))}))
    )


def in_regions(items: Iterable[Object], regions: Collection[str]) -> tuple[str, ...]:
    """The objects whose settings of locality name one of these regions, or a zone of one."""
    return tuple(
        f"{ref_of(item)} ({', '.join(found)})"
        for item in items
        if (found := sorted({one for one in _localities(item.get("spec")) if _region_of(one) in regions}))
    )


_LOCALITY_KEYS = frozenset({"localityLbSetting", "locality"})
_REGION_LABEL = "topology.kubernetes.io/region"


def _localities(value: object) -> Iterator[str]:
    """The localities in a specification: of failover and distribution, of endpoints, of a label."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in _LOCALITY_KEYS:
                yield from _texts(inner, with_keys=True)
            elif key == _REGION_LABEL and isinstance(inner, str):
                yield inner
            else:
                yield from _localities(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _localities(inner)


def _texts(value: object, *, with_keys: bool = False) -> Iterator[str]:
    """The texts in a value, and those that are keys: a distribution maps localities to percentages."""
    if isinstance(value, dict):
        if with_keys:
            yield from value
        for inner in value.values():
            yield from _texts(inner, with_keys=with_keys)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, with_keys=with_keys)
    elif isinstance(value, str):
        yield value


def _region_of(locality: str) -> str:
    return locality.rpartition("=")[2].split("/")[0]


def _named(value: str, names: Collection[str]) -> str:
    return value if value in names or value.rpartition("=")[2] in names else ""


def only_in(view: IstiodView, cluster_id: str) -> tuple[str, ...]:
    """The services that have endpoints in one cluster and in no other, as an istiod has them."""
    elsewhere = {
        key
        for other, services in view.endpoints.items()
        if other != cluster_id
        for key, addresses in services.items()
        if addresses
    }
    own = view.endpoints.get(cluster_id, {})
    return tuple(
        f"{namespace}/{name}"
        for (namespace, name), addresses in sorted(own.items())
        if addresses and (namespace, name) not in elsewhere
    )
