"""What was read of a cluster for all its services, from which the view of one of them is made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from istio_mc.domain.istio.proxies import ready
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import NETWORK_LABEL, SYSTEM_NAMESPACE
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
        bare: Running pods of the namespaces in which a Service has pods without a sidecar, as far as read.
        network_policies: Those of all namespaces; None: this user may not list them.
        enforcing: DaemonSets that enforce them; empty also if there are no NetworkPolicies.
        ingresses: Those of all namespaces; None: this user may not list them.
    """

    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    config: IstioConfig = field(default_factory=IstioConfig, repr=False)
    pods: tuple[Object, ...] = field(default=(), repr=False)
    bare: tuple[Object, ...] = field(default=(), repr=False)
    network_policies: tuple[Object, ...] | None = field(default=(), repr=False)
    enforcing: tuple[str, ...] = ()
    ingresses: tuple[Object, ...] | None = field(default=(), repr=False)


@dataclass(frozen=True)
class Sources:
    """All that was read of one cluster.

    Attributes:
        injectors: The webhooks that inject sidecars; None where they were not read.
    """

    cluster: Cluster
    istiod: str = "istiod"
    mesh_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    services: Services | None = field(default=None, repr=False)
    configuration: Configuration = field(default_factory=Configuration, repr=False)
    gateway_pods: tuple[Object, ...] = field(default=(), repr=False)
    injectors: tuple[Object, ...] | None = field(default=None, repr=False)
    discovery: Discovery | None = field(default=None, repr=False)

    @cached_property
    def _services(self) -> dict[tuple[str, str], Object]:
        items = self.services.objects if self.services else ()
        return {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in items}

    @cached_property
    def _of_network(self) -> tuple[Object, ...]:
        return tuple(one for one in self._services.values() if NETWORK_LABEL in labels_of(one))

    @cached_property
    def _slices(self) -> dict[tuple[str, str], list[Object]]:
        slices: dict[tuple[str, str], list[Object]] = {}
        for one in self.services.slices if self.services else ():
            if name := labels_of(one).get("kubernetes.io/service-name"):
                slices.setdefault((one["metadata"]["namespace"], name), []).append(one)
        return slices

    @cached_property
    def _configs(self) -> tuple[dict[str, IstioConfig], IstioConfig]:
        """What is about one host, by host, and what is about patterns of hosts or about namespaces."""
        configs: dict[str, dict[str, list[Object]]] = {}
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
                    configs.setdefault(host, {}).setdefault(kind, []).append(one)
            patterns[kind] = tuple(general)
        by_host = {
            host: IstioConfig(**{kind: tuple(items) for kind, items in kinds.items()})
            for host, kinds in configs.items()
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
        return _by_address((*self.configuration.bare, *self.configuration.pods))

    @cached_property
    def _clients(self) -> dict[str, list[Object]]:
        """Ready pods with a sidecar by namespace, without those of istio-system: these are gateways."""
        pods: dict[str, list[Object]] = {}
        for pod in ready(self.configuration.pods):
            if pod["metadata"]["namespace"] != SYSTEM_NAMESPACE:
                pods.setdefault(pod["metadata"]["namespace"], []).append(pod)
        return pods

    def service(self, name: ServiceName) -> Object | None:
        """The Service of that name."""
        return self._services.get(name.key)

    def slices(self, name: ServiceName) -> tuple[Object, ...]:
        """The EndpointSlices of a Service."""
        return tuple(self._slices.get(name.key, ()))

    def names(self) -> Iterable[ServiceName]:
        """The names of all Services."""
        return (ServiceName(*key) for key in self._services)

    def client(self, name: ServiceName, *, own: bool = True) -> Object | None:
        """A pod to call a service from: of its namespace before others, one that is none of its own first.

        Args:
            name: The service.
            own: Whether one of its own pods may be taken.
        """
        selector = (self.service(name) or {}).get("spec", {}).get("selector") or {}
        for namespace in dict.fromkeys((name.namespace, *sorted(self._clients))):
            best = min(self._clients.get(namespace, ()), key=lambda pod: _rank(pod, selector), default=None)
            if best and (own or namespace != name.namespace or not _rank(best, selector)[0]):
                return best
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
        other_pods: Collection[Object] = (),
        refused: str = "",
        envoy_filters: Iterable[Object] = (),
        client_endpoints: tuple[ProxyEndpoint, ...] | None = None,
        gateway_endpoints: Mapping[str, tuple[ProxyEndpoint, ...]] | None = None,
    ) -> ClusterView:
        """What the cluster has of one service.

        Args:
            client: The pod that calls; where none is given, one that fits best.
            other_pods: The other running pods of its namespace, where they were read.
            refused: A pod that refused a connection to the port of the service, if one did.
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
            other_pods=tuple(other_pods),
            injectors=self.injectors,
            config=self.config_of(name),
            network_policies=self.configuration.network_policies if self.configuration.enforcing else (),
            gateway_pods=self.gateway_pods,
            client=self.client(name) if client is _CHOSEN else client,
            discovery=self.discovery,
            client_endpoints=client_endpoints,
            gateway_endpoints=gateway_endpoints,
            refused=refused,
            envoy_filters=tuple(envoy_filters),
            of_network=self._of_network,
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
    endpoints: dict[str, Endpoint] = {}
    for item in slices:
        ports = _ports(item)
        for entry in item.get("endpoints") or []:
            if (entry.get("conditions") or {}).get("ready") is False:
                continue
            for address in entry.get("addresses") or []:
                pod, before = pods.get(address), endpoints.get(address)
                endpoints[address] = Endpoint(
                    address,
                    pod,
                    str(entry.get("zone") or ""),
                    pod is not None and is_meshed(pod),
                    {**(before.ports or {}), **(ports or {})} if before else ports,
                    str(entry.get("nodeName") or ""),
                )
    return tuple(endpoints.values())


def _ports(item: Object) -> dict[str, int] | None:
    """The ports of an EndpointSlice by name; one without numbers, which stands for all ports, is unknown.

    A pod in which no container has the target port is in a slice without ports.
    """
    if "ports" not in item:
        return None
    entries = [one for one in item["ports"] or [] if one.get("protocol", "TCP") == "TCP"]
    if any(one.get("port") is None for one in entries):
        return None
    return {str(one.get("name") or ""): int(one["port"]) for one in entries}
