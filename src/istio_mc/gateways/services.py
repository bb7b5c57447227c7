"""The Services of a cluster, and which of them a gateway can pass a connection through to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import objects
from istio_mc.domain.merged import endpoints_of
from istio_mc.domain.meshed import Services, meshed
from istio_mc.gateways.fanout import all_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.objects import Object
    from istio_mc.gateways.kube import Kube


def read_services(kube: Kube, injected: Callable[[], list[Object]]) -> Services:
    """Reads the Services of all namespaces and their endpoints, in two calls.

    Args:
        kube: The cluster's API server.
        injected: Gives the pods that speak mTLS, which others of this run look at too.

    Raises:
        ProblemError: The API server refused, or did not answer.
    """
    calls: dict[str, Callable[[], list[Object]]] = {
        "services": partial(kube.list, objects.SERVICE),
        "slices": partial(kube.list, objects.ENDPOINT_SLICE),
        "pods": injected,
    }
    found = all_of(calls)
    offered = meshed(found["services"], found["pods"])
    return Services(tuple(found["services"]), offered, endpoints_of(found["slices"]))
