"""What users write for Istio in a cluster: read once a run, all kinds at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, labels_of
from istio_mc.domain.trace.model import IstioConfig
from istio_mc.domain.trace.sources import Configuration
from istio_mc.gateways.host.parallel import all_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.kube.objects import Object
    from istio_mc.gateways.kube.client import Kube

_NETWORKING, _SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
_KINDS = {
    "virtual_services": Kind(_NETWORKING, "VirtualService"),
    "destination_rules": Kind(_NETWORKING, "DestinationRule"),
    "service_entries": Kind(_NETWORKING, "ServiceEntry"),
    "sidecars": Kind(_NETWORKING, "Sidecar"),
    "gateways": Kind(_NETWORKING, "Gateway"),
    "peer_authentications": Kind(_SECURITY, "PeerAuthentication"),
    "authorization_policies": Kind(_SECURITY, "AuthorizationPolicy"),
}


def read_configuration(kube: Kube, injected: Callable[[], list[Object]]) -> Configuration:
    """Reads namespaces and Istio's objects: eight requests at once.

    Args:
        kube: The cluster's API server.
        injected: Returns the pods with a sidecar, which others of this run read too.

    Raises:
        ProblemError: The API server refused, or did not respond.
    """
    calls: dict[str, Callable[[], list[Object]]] = {
        name: partial(kube.list, kind) for name, kind in _KINDS.items()
    }
    calls["namespaces"] = partial(kube.list, objects.NAMESPACE)
    calls["pods"] = injected
    found = all_of(calls)
    pods, namespaces = found.pop("pods"), found.pop("namespaces")
    return Configuration(
        {one["metadata"]["name"]: labels_of(one) for one in namespaces},
        IstioConfig(**{name: tuple(items) for name, items in found.items()}),
        tuple(pods),
    )
