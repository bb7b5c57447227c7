"""What is read of a service in each cluster, and a hop: a record with a function over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.istio.services import MTLS, TLS_MODE_LABEL
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki.workload import DEFAULT_TRUST_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from istio_mc.domain.istio.discovery import Discovery
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.problem import Problem
    from istio_mc.domain.trace.proxies import ProxyEndpoint


class ServiceName(NamedTuple):
    """Names a Service, whatever cluster it is in."""

    namespace: str
    name: str

    @property
    def host(self) -> str:
        """The name it is called by within the mesh."""
        return f"{self.name}.{self.namespace}.svc.cluster.local"

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A ready endpoint of a Service.

    Attributes:
        zone: The zone of its node; empty where it has none.
        ports: Its ports by the names of the Service's ports; None where they are unknown.
        node: The node that it runs on; empty where it is unknown.
    """

    address: str
    pod: Object | None = field(default=None, repr=False)
    zone: str = ""
    meshed: bool = False
    ports: Mapping[str, int] | None = None
    node: str = ""

    def has_port(self, name: str) -> bool:
        """Whether it has the port of that name in the Service."""
        return self.ports is None or name in self.ports


@dataclass(frozen=True, slots=True)
class IstioConfig:
    """What users write for Istio in a cluster, objects of all namespaces."""

    virtual_services: tuple[Object, ...] = ()
    destination_rules: tuple[Object, ...] = ()
    service_entries: tuple[Object, ...] = ()
    sidecars: tuple[Object, ...] = ()
    gateways: tuple[Object, ...] = ()
    peer_authentications: tuple[Object, ...] = ()
    authorization_policies: tuple[Object, ...] = ()


@dataclass(frozen=True)
class ClusterView:
    """What one cluster has of a service, and what applies to it there.

    Attributes:
        pods: The pods that it selects, ready or not, where they were read.
        network_policies: The NetworkPolicies of all namespaces, if they are enforced; None: not read.
        other_pods: The other running pods of its namespace, where they were read.
        injectors: The webhooks that inject sidecars; None where they were not read.
        client: A running pod with a sidecar that calls are traced from; None where there is none.
        client_endpoints: What the client's proxy has for the service; None where it was not read.
        gateway_endpoints: What the gateway's proxies have for the service, by pod; None where not read.
        refused: A pod that refused a connection to the port of the service; empty where none did.
        envoy_filters: The EnvoyFilters of all namespaces, where they were read.
        request_authentications: The RequestAuthentications of all namespaces; None where they were not read.
        of_network: The Services with the label of a network: istiods take these for east-west gateways.
    """

    context: str
    cluster: Cluster
    istiod: str = "istiod"
    mesh_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    service: Object | None = field(default=None, repr=False)
    endpoints: tuple[Endpoint, ...] = ()
    pods: tuple[Object, ...] | None = field(default=None, repr=False)
    other_pods: tuple[Object, ...] = field(default=(), repr=False)
    injectors: tuple[Object, ...] | None = field(default=None, repr=False)
    config: IstioConfig = field(default_factory=IstioConfig, repr=False)
    network_policies: tuple[Object, ...] | None = field(default=(), repr=False)
    gateway_pods: tuple[Object, ...] = field(default=(), repr=False)
    client: Object | None = field(default=None, repr=False)
    discovery: Discovery | None = field(default=None, repr=False)
    client_endpoints: tuple[ProxyEndpoint, ...] | None = None
    gateway_endpoints: Mapping[str, tuple[ProxyEndpoint, ...]] | None = None
    refused: str = ""
    envoy_filters: tuple[Object, ...] = field(default=(), repr=False)
    request_authentications: tuple[Object, ...] | None = field(default=None, repr=False)
    of_network: tuple[Object, ...] = field(default=(), repr=False)

    @property
    def root_namespace(self) -> str:
        """The namespace whose configuration applies to the whole cluster."""
        return str(self.mesh_config.get("rootNamespace") or SYSTEM_NAMESPACE)

    @property
    def trust_domain(self) -> str:
        """The trust domain of its workloads."""
        return str(self.mesh_config.get("trustDomain") or DEFAULT_TRUST_DOMAIN)

    @cached_property
    def meshed(self) -> tuple[Endpoint, ...]:
        """The endpoints with a sidecar."""
        return tuple(one for one in self.endpoints if one.meshed)


class State(StrEnum):
    """What a hop is like."""

    OK = "ok"
    BROKEN = "broken"
    LOCAL = "local"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is seen at a hop.

    Attributes:
        state: What it is like; `local`: calls stay in the client's cluster, because somebody set it so.
        is_open: Whether it depends on the single request, such as its path or its token.
    """

    state: State
    seen: str = ""
    problem: Problem | None = None
    is_open: bool = False


OK = Outcome(State.OK)


def broken(problem: Problem) -> Outcome:
    """A hop that ends calls."""
    return Outcome(State.BROKEN, problem.seen or problem.message, problem)


@dataclass(frozen=True)
class Path:
    """A call of a service, from a cluster to another one or to itself.

    Attributes:
        checks: The problem that a hop has by the checks of verify, by the hop's ID.
        services: The Services of this name in all clusters that have one, by context.
    """

    service: ServiceName
    port: int
    client: ClusterView
    target: ClusterView
    checks: Mapping[str, Problem] = field(default_factory=dict, repr=False)
    services: Mapping[str, Object] = field(default_factory=dict, repr=False)

    @property
    def crosses(self) -> bool:
        """Whether it goes from one cluster to another one."""
        return self.client.context != self.target.context

    @property
    def through_gateway(self) -> bool:
        """Whether it goes through the gateway of the other cluster."""
        return self.crosses and self.client.cluster.network != self.target.cluster.network

    @property
    def client_namespace(self) -> str:
        """The namespace that is called from: that of the client's pod, else that of the service."""
        pod = self.client.client
        return str(pod["metadata"]["namespace"]) if pod else self.service.namespace

    @property
    def client_account(self) -> str:
        """The service account that is called as."""
        pod = self.client.client
        return str((pod or {}).get("spec", {}).get("serviceAccountName") or "default")

    @property
    def port_entry(self) -> Object:
        """The port in the target's Service, else in the client's; empty where neither has it."""
        for view in (self.target, self.client):
            for entry in (view.service or {}).get("spec", {}).get("ports") or []:
                if entry["port"] == self.port:
                    return dict(entry)
        return {}

    @property
    def called(self) -> tuple[Endpoint, ...]:
        """The ready endpoints of the target that have the port."""
        name = str(self.port_entry.get("name") or "")
        return tuple(one for one in self.target.endpoints if one.has_port(name))

    @property
    def target_port(self) -> int | None:
        """The port of the pods; None where it is a name that no pod's container has."""
        name = str(self.port_entry.get("name") or "")
        for one in self.called:
            if one.ports is not None:
                return one.ports[name]
        desired = self.port_entry.get("targetPort", self.port)
        if isinstance(desired, int):
            return desired
        for endpoint in self.target.endpoints:
            spec = (endpoint.pod or {}).get("spec", {})
            for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
                for port in container.get("ports") or []:
                    if port.get("name") == desired:
                        return int(port["containerPort"])
        return None


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop of a path.

    Attributes:
        id: A word; stable, part of the JSON contract.
    """

    id: str
    title: str
    evaluate: Callable[[Path], Outcome]


@dataclass(frozen=True, slots=True)
class HopResult:
    """A hop that was looked at."""

    hop: Hop
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Trace:
    """A path, hop by hop, up to the first that is broken."""

    client: str
    target: str
    hops: tuple[HopResult, ...]

    @property
    def broken(self) -> HopResult | None:
        """The first hop that is broken."""
        return next((one for one in self.hops if one.outcome.state is State.BROKEN), None)

    @property
    def open(self) -> tuple[HopResult, ...]:
        """The hops that depend on the single request."""
        return tuple(one for one in self.hops if one.outcome.is_open)

    @property
    def local(self) -> HopResult | None:
        """The first hop at which calls are kept in the client's cluster."""
        return next((one for one in self.hops if one.outcome.state is State.LOCAL), None)


def is_meshed(pod: Object) -> bool:
    """Whether a pod has a sidecar that accepts mTLS."""
    return labels_of(pod).get(TLS_MODE_LABEL) == MTLS


_SIDECAR = "istio-proxy"


def declared_ports(pod: Object) -> dict[int, str]:
    """The TCP ports that a pod's containers declare, without those of the sidecar: number to name."""
    return {
        int(port["containerPort"]): str(port.get("name") or "")
        for container in pod.get("spec", {}).get("containers") or []
        for port in container.get("ports") or []
        if container["name"] != _SIDECAR and port.get("protocol", "TCP") == "TCP"
    }
