"""What each cluster's istiods have of the other clusters, beside the endpoints that these have."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.istio.discovery import Discovery, missing_endpoints, ready_addresses
from istio_mc.domain.istio.istiod import running_istiods
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host.parallel import Failures, all_of, answered
from istio_mc.gateways.istio.istiod import read_view

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.istio.discovery import IstiodView, ServiceKey
    from istio_mc.domain.istio.services import Services
    from istio_mc.ops.verify.snapshot import Ground

_DEADLINE_S = 25.0
_AGAIN_S = 2.0
"""After how long a difference is looked at again: pods come and go, and istiod waits up to a second before
it takes endpoints up."""

Views = dict[str, "Mapping[str, IstiodView]"]
Expected = dict[str, dict["ServiceKey", frozenset[str]]]


def read(
    ground: Ground, services: Mapping[str, Services], silent: Collection[str]
) -> tuple[dict[str, Discovery], Failures]:
    """Reads what all istiods have, and a second time where endpoints are missing.

    An endpoint is missing where no reading of the istiod has it, and both readings of its cluster do.

    Args:
        ground: The clusters' objects.
        services: The Services of each cluster, where they could be read.
        silent: Clusters whose istiods do not respond: they are not read.

    Returns:
        What was read of each cluster, and why another was not.
    """
    names = [name for name in ground.observed if name not in silent]
    views, failures = _read_views(ground, names)
    expected = {name: found.meshed_addresses() for name, found in services.items()}
    pairs = _differing(ground, views, expected)
    if pairs:
        _wait(ground)
        views, expected = _read_again(ground, pairs, views, expected)
    return {name: Discovery(found, expected.get(name, {})) for name, found in views.items()}, failures


def _wait(ground: Ground) -> None:
    time.sleep(min(_AGAIN_S, ground.session.run.remaining_s))


def _read_views(ground: Ground, names: Collection[str]) -> tuple[Views, Failures]:
    def look(name: str) -> Mapping[str, IstiodView]:
        kube = ground.session.clusters.kubes[name]
        pods = running_istiods(ground.observed[name].of(objects.POD))
        return all_of({pod["metadata"]["name"]: partial(read_view, kube, pod) for pod in pods})

    def within(name: str) -> Mapping[str, IstiodView]:
        calls = {"discovery": (_DEADLINE_S, partial(look, name))}
        found, late = answered(calls, context=name, until=ground.session.run.overdue)
        if late:
            raise ProblemError(*late["discovery"])
        return found["discovery"]

    return ground.session.clusters.each(within, names)


def _differing(ground: Ground, views: Views, expected: Expected) -> list[tuple[str, str]]:
    """The pairs of clusters in which an istiod of the first lacks endpoints of the second."""
    return [
        (name, peer)
        for name, found in views.items()
        for peer, endpoints in expected.items()
        if any(
            missing_endpoints(view, ground.clusters[peer].cluster_id, endpoints).services
            for view in found.values()
        )
    ]


def _read_again(
    ground: Ground, pairs: Collection[tuple[str, str]], views: Views, expected: Expected
) -> tuple[Views, Expected]:
    again, _ = _read_views(ground, list(dict.fromkeys(name for name, _ in pairs)))
    slices, _ = ground.session.clusters.each(
        lambda name: ready_addresses(ground.session.clusters.kubes[name].list(objects.ENDPOINT_SLICE)),
        dict.fromkeys(peer for _, peer in pairs),
    )
    both: Views = {
        name: {
            pod: view.with_endpoints(again[name][pod]) if pod in again.get(name, {}) else view
            for pod, view in found.items()
        }
        for name, found in views.items()
    }
    still: Expected = {
        name: {key: addresses & slices[name].get(key, frozenset()) for key, addresses in endpoints.items()}
        if name in slices
        else endpoints
        for name, endpoints in expected.items()
    }
    return both, still
