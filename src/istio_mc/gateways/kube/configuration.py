"""Istio configuration of users in a cluster: read once per run, all kinds at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.kube import objects
from istio_mc.domain.kube.network_policies import enforcing
from istio_mc.domain.kube.objects import Kind, labels_of
from istio_mc.domain.kube.policies import Policies
from istio_mc.domain.kube.refusal import Reason
from istio_mc.domain.trace.http_routes import as_virtual_services
from istio_mc.domain.trace.model import IstioConfig
from istio_mc.domain.trace.sources import Configuration
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.kube.errors import KubeError

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


def read_configuration(
    kube: Kube, injected: Callable[[], list[Object]], daemon_sets: Callable[[], list[Object]]
) -> Configuration:
    """Reads namespaces, policies, Ingresses, Istio's objects, and HTTPRoutes as VirtualServices: all at once.

    Args:
        injected: Returns the pods with a sidecar, which other parts of this run also use.
        daemon_sets: Returns the DaemonSets, which are read once; called only if NetworkPolicies exist.

    Raises:
        ProblemError: The API server refused, or did not respond.
    """
    calls: dict[str, Callable[[], list[Object] | None]] = {
        name: partial(kube.list, kind) for name, kind in _KINDS.items()
    }
    calls["routes"] = partial(kube.list, objects.HTTP_ROUTE)
    calls["namespaces"] = partial(kube.list, objects.NAMESPACE)
    calls["pods"] = injected
    calls["policies"] = partial(_readable, kube, objects.NETWORK_POLICY)
    calls["ingresses"] = partial(_readable, kube, objects.INGRESS)
    results = all_of(calls)
    pods, namespaces, policies, ingresses = (
        results.pop(name) for name in ("pods", "namespaces", "policies", "ingresses")
    )
    routes = [made for one in results.pop("routes") or () for made in as_virtual_services(one)]
    results["virtual_services"] = [*(results["virtual_services"] or ()), *routes]
    return Configuration(
        namespaces={one["metadata"]["name"]: labels_of(one) for one in namespaces or ()},
        config=IstioConfig(**{name: Policies(items or ()) for name, items in results.items()}),
        pods=tuple(pods or ()),
        network_policies=None if policies is None else Policies(policies),
        enforcing=enforcing(daemon_sets()) if policies else (),
        ingresses=None if ingresses is None else tuple(ingresses),
    )


def _readable(kube: Kube, kind: Kind) -> list[Object] | None:
    """The objects of a kind in all namespaces; None: this user may not list them."""
    try:
        return kube.list(kind)
    except KubeError as error:
        if error.reason is not Reason.FORBIDDEN:
            raise
        return None
