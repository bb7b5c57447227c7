"""What was read of a cluster for all its services, from which the view of one of them is made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from istio_mc.domain.istio.proxies import ready
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.trace.matching import full_host
from istio_mc.domain.trace.model import ClusterView, Endpoint, IstioConfig, ServiceName, is_meshed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from istio_mc.domain.istio.discovery import Discovery
    from istio_mc.domain.istio.services import Services
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.trace.proxies import ProxyEndpoint


_CHOSEN: Object = {}
"""In the place of a client: it is chosen."""

_BY_HOST = ("virtual_services", "destination_rules", "service_entries")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What users write in a cluster, and the pods with a sidecar.

    Attributes:
        namespaces: Labels of each namespace, by name.
        config: Istio's objects of all namespaces.
        pods: The running pods with a sidecar.
    """

    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    config: IstioConfig = field(default_factory=IstioConfig, repr=False)
    pods: tuple[Object, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Sources:
    """All that was read of one cluster.

    Attributes:
        cluster: Its ID, network and addresses.
        istiod: The name of the Deployment of its istiod.
        mesh_config: The MeshConfig that its istiod reads.
        services: Its Services and EndpointSlices.
        configuration: What users wrote, and the pods with a sidecar.
        gateway_labels: Labels of the pods of the east-west gateway.
        discovery: What its istiods have of all clusters; None where that was not read.
    """

    cluster: Cluster
    istiod: str = "istiod"
    mesh_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    services: Services | None = field(default=None, repr=False)
    configuration: Configuration = field(default_factory=Configuration, repr=False)
    gateway_labels: tuple[Mapping[str, str], ...] = ()
    discovery: Discovery | None = field(default=None, repr=False)

    @cached_property
    def _services(self) -> dict[tuple[str, str], Object]:
        found = self.services.objects if self.services else ()
        return {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in found}

    @cached_property
    def _slices(self) -> dict[tuple[str, str], list[Object]]:
        found: dict[tuple[str, str], list[Object]] = {}
        for one in self.services.slices if self.services else ():
            if name := labels_of(one).get("kubernetes.io/service-name"):
                found.setdefault((one["metadata"]["namespace"], name), []).append(one)
        return found

    @cached_property
    def _configs(self) -> tuple[dict[str, IstioConfig], IstioConfig]:
        """What is about one host, by host, and what is about patterns of hosts or about namespaces."""
        found: dict[str, dict[str, list[Object]]] = {}
        whole = self.configuration.config
        patterns: dict[str, tuple[Object, ...]] = {}
        for kind in _BY_HOST:
            general = []
            for one in getattr(whole, kind):
                hosts = _hosts(one)
                if any("*" in host for host in hosts):
                    general.append(one)
                    continue
                for host in hosts:
                    found.setdefault(host, {}).setdefault(kind, []).append(one)
            patterns[kind] = tuple(general)
        by_host = {
            host: IstioConfig(**{kind: tuple(items) for kind, items in kinds.items()})
            for host, kinds in found.items()
        }
        return by_host, replace(whole, **patterns)

    def config_of(self, name: ServiceName) -> IstioConfig:
        """Istio's objects that can be about a service."""
        by_host, general = self._configs
        own = by_host.get(name.host)
        if own is None:
            return general
        return replace(general, **{kind: (*getattr(own, kind), *getattr(general, kind)) for kind in _BY_HOST})

    @cached_property
    def _pods(self) -> dict[str, Object]:
        return _by_address(self.configuration.pods)

    @cached_property
    def _clients(self) -> dict[str, list[Object]]:
        """Ready pods with a sidecar by namespace, without those of istio-system: these are gateways."""
        found: dict[str, list[Object]] = {}
        for pod in ready(self.configuration.pods):
            if pod["metadata"]["namespace"] != SYSTEM_NAMESPACE:
                found.setdefault(pod["metadata"]["namespace"], []).append(pod)
        return found

    def service(self, name: ServiceName) -> Object | None:
        """The Service of that name."""
        return self._services.get(name.key)

    def names(self) -> Iterable[ServiceName]:
        """The names of all Services."""
        return (ServiceName(*key) for key in self._services)

    def client(self, name: ServiceName) -> Object | None:
        """A pod to call a service from: of its namespace before others, one that is none of its own first."""
        selector = (self.service(name) or {}).get("spec", {}).get("selector") or {}
        namespaces = [name.namespace] if name.namespace in self._clients else sorted(self._clients)
        for namespace in namespaces:
            return min(self._clients[namespace], key=lambda pod: _rank(pod, selector))
        return None

    def any_client(self, namespace: str) -> Object | None:
        """A ready pod with a sidecar of a namespace; None where it has none."""
        return next(iter(self._clients.get(namespace, ())), None)

    def view(
        self,
        name: ServiceName,
        *,
        client: Object | None = _CHOSEN,
        pods: Collection[Object] | None = None,
        client_endpoints: tuple[ProxyEndpoint, ...] | None = None,
        gateway_endpoints: Mapping[str, tuple[ProxyEndpoint, ...]] | None = None,
    ) -> ClusterView:
        """What the cluster has of one service.

        Args:
            name: The service.
            client: The pod that calls; where none is given, one that fits best.
            pods: The pods that it selects, where they were read.
            client_endpoints: What the client's proxy has for it, where that was read.
            gateway_endpoints: What the gateway's proxies have for it, likewise.
        """
        known = self._pods if pods is None else {**_by_address(pods), **self._pods}
        return ClusterView(
            context=self.cluster.context,
            cluster=self.cluster,
            istiod=self.istiod,
            mesh_config=self.mesh_config,
            namespaces=self.configuration.namespaces,
            service=self.service(name),
            endpoints=_endpoints(self._slices.get(name.key, ()), known),
            pods=None if pods is None else tuple(pods),
            config=self.config_of(name),
            gateway_labels=self.gateway_labels,
            client=self.client(name) if client is _CHOSEN else client,
            discovery=self.discovery,
            client_endpoints=client_endpoints,
            gateway_endpoints=gateway_endpoints,
        )


def _hosts(item: Object) -> list[str]:
    """The hosts that a VirtualService, DestinationRule or ServiceEntry is about, in full."""
    spec = item.get("spec") or {}
    given = spec.get("hosts") or [spec.get("host") or ""]
    return list(dict.fromkeys(full_host(str(host), item["metadata"]["namespace"]) for host in given))


def _rank(pod: Object, selector: Mapping[str, str]) -> tuple[bool, str]:
    return bool(selector) and selector.items() <= labels_of(pod).items(), str(pod["metadata"]["name"])


def _by_address(pods: Iterable[Object]) -> dict[str, Object]:
    return {
        str(entry["ip"]): pod
        for pod in pods
        for entry in [
            *(pod.get("status", {}).get("podIPs") or []),
            {"ip": pod.get("status", {}).get("podIP") or ""},
        ]
    }


def _endpoints(slices: Iterable[Object], pods: Mapping[str, Object]) -> tuple[Endpoint, ...]:
    found: dict[str, Endpoint] = {}
    for item in slices:
        for entry in item.get("endpoints") or []:
            if (entry.get("conditions") or {}).get("ready") is False:
                continue
            for address in entry.get("addresses") or []:
                pod = pods.get(address)
                found[address] = Endpoint(
                    address, pod, str(entry.get("zone") or ""), pod is not None and is_meshed(pod)
                )
    return tuple(found.values())
