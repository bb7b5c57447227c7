"""What each cluster's istiods have of the other clusters, beside the endpoints that these have."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.istio.discovery import Discovery, missing_endpoints, ready_addresses
from istio_mc.domain.istio.istiod import running_istiods
from istio_mc.domain.istio.mesh_config import read_mesh_config
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host.parallel import Failures, all_of, results_in_time
from istio_mc.gateways.istio.istiod import read_view

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.istio.discovery import IstiodView, ServiceKey
    from istio_mc.domain.istio.services import Services
    from istio_mc.ops.verify.snapshot import MeshSnapshot

_DEADLINE_S = 25.0
_AGAIN_S = 2.0
"""After how long a difference is looked at again: pods come and go, and istiod waits up to a second before
it takes endpoints up."""

Views = dict[str, "Mapping[str, IstiodView]"]
Expected = dict[str, dict["ServiceKey", frozenset[str]]]


def read(
    snapshot: MeshSnapshot, services: Mapping[str, Services], silent: Collection[str]
) -> tuple[dict[str, Discovery], Failures]:
    """Reads what all istiods have, and a second time where endpoints are missing.

    An endpoint is missing where no reading of the istiod has it, and both readings of its cluster do.

    Returns:
        What was read of each cluster, and why another was not.
    """
    names = [name for name in snapshot.observed if name not in silent]
    views, failures = _read_views(snapshot, names)
    expected = {name: of_cluster.meshed_addresses() for name, of_cluster in services.items()}
    pairs = _differing(snapshot, views, expected)
    if pairs:
        _wait(snapshot)
        views, expected = _read_again(snapshot, pairs, views, expected)
    namespaces = _read_namespaces(snapshot, names)
    return {
        name: Discovery(of_cluster, expected.get(name, {}), namespaces.get(name, {}))
        for name, of_cluster in views.items()
    }, failures


def _read_namespaces(
    snapshot: MeshSnapshot, names: Collection[str]
) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """The labels of each cluster's namespaces, where some istiod reads only those that it selects."""
    configs = (
        read_mesh_config(found, found.own(snapshot.mesh).revision) for found in snapshot.observed.values()
    )
    if not any(config.get("discoverySelectors") for config in configs):
        return {}
    kubes = snapshot.session.clusters.kubes
    found, _ = snapshot.session.clusters.each(
        lambda name: {one["metadata"]["name"]: labels_of(one) for one in kubes[name].list(objects.NAMESPACE)},
        names,
    )
    return found


def _wait(snapshot: MeshSnapshot) -> None:
    time.sleep(min(_AGAIN_S, snapshot.session.run.remaining_s))


def _read_views(snapshot: MeshSnapshot, names: Collection[str]) -> tuple[Views, Failures]:
    def read_cluster(name: str) -> Mapping[str, IstiodView]:
        kube = snapshot.session.clusters.kubes[name]
        pods = running_istiods(snapshot.observed[name].of(objects.POD))
        return all_of({pod["metadata"]["name"]: partial(read_view, kube, pod) for pod in pods})

    def within(name: str) -> Mapping[str, IstiodView]:
        calls = {"discovery": (_DEADLINE_S, partial(read_cluster, name))}
        results, late = results_in_time(calls, context=name, until=snapshot.session.run.overdue)
        if late:
            raise ProblemError(*late["discovery"])
        return results["discovery"]

    return snapshot.session.clusters.each(within, names)


def _differing(snapshot: MeshSnapshot, views: Views, expected: Expected) -> list[tuple[str, str]]:
    """The pairs of clusters in which an istiod of the first lacks endpoints of the second."""
    return [
        (name, peer)
        for name, istiod_view in views.items()
        for peer, endpoints in expected.items()
        if any(
            missing_endpoints(view, snapshot.clusters[peer].cluster_id, endpoints).services
            for view in istiod_view.values()
        )
    ]


def _read_again(
    snapshot: MeshSnapshot, pairs: Collection[tuple[str, str]], views: Views, expected: Expected
) -> tuple[Views, Expected]:
    again, _ = _read_views(snapshot, list(dict.fromkeys(name for name, _ in pairs)))
    slices, _ = snapshot.session.clusters.each(
        lambda name: ready_addresses(snapshot.session.clusters.kubes[name].list(objects.ENDPOINT_SLICE)),
        dict.fromkeys(peer for _, peer in pairs),
    )
    both: Views = {
        name: {
            pod: view.with_endpoints(again[name][pod]) if pod in again.get(name, {}) else view
            for pod, view in istiod_view.items()
        }
        for name, istiod_view in views.items()
    }
    still: Expected = {
        name: {key: addresses & slices[name].get(key, frozenset()) for key, addresses in endpoints.items()}
        if name in slices
        else endpoints
        for name, endpoints in expected.items()
    }
    return both, still
