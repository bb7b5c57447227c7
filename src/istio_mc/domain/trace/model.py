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
        address: Its IP address.
        pod: The pod, where it is known.
        zone: The zone of its node; empty where it has none.
        meshed: Whether it has a sidecar.
    """

    address: str
    pod: Object | None = field(default=None, repr=False)
    zone: str = ""
    meshed: bool = False


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
        context: The cluster's context.
        cluster: Its ID, network and addresses.
        istiod: The name of the Deployment of its istiod.
        mesh_config: The MeshConfig that its istiod reads.
        namespaces: Labels of each namespace, by name.
        service: The Service; None where there is none.
        endpoints: Its ready endpoints.
        pods: The pods that it selects, ready or not, where they were read.
        config: What users wrote for Istio.
        gateway_labels: Labels of the pods of the east-west gateway.
        client: A running pod with a sidecar that calls are traced from; None where there is none.
        discovery: What its istiods have of all clusters; None where that was not read.
        client_endpoints: What the client's proxy has for the service; None where it was not read.
        gateway_endpoints: What the gateway's proxies have for the service, by pod; None where not read.
    """

    context: str
    cluster: Cluster
    istiod: str = "istiod"
    mesh_config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    service: Object | None = field(default=None, repr=False)
    endpoints: tuple[Endpoint, ...] = ()
    pods: tuple[Object, ...] | None = field(default=None, repr=False)
    config: IstioConfig = field(default_factory=IstioConfig, repr=False)
    gateway_labels: tuple[Mapping[str, str], ...] = ()
    client: Object | None = field(default=None, repr=False)
    discovery: Discovery | None = field(default=None, repr=False)
    client_endpoints: tuple[ProxyEndpoint, ...] | None = None
    gateway_endpoints: Mapping[str, tuple[ProxyEndpoint, ...]] | None = None

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
        seen: What was seen, in a few words.
        problem: What is wrong where it is broken.
    """

    state: State
    seen: str = ""
    problem: Problem | None = None


OK = Outcome(State.OK)


def broken(problem: Problem) -> Outcome:
    """A hop that ends calls."""
    return Outcome(State.BROKEN, problem.seen or problem.message, problem)


@dataclass(frozen=True)
class Path:
    """A call of a service, from a cluster to another one or to itself.

    Attributes:
        service: The service.
        port: The port of the Service that is called.
        client: The cluster that calls.
        target: The cluster whose endpoints are called.
        checks: The problem that a hop has by the checks of verify, by the hop's ID.
    """

    service: ServiceName
    port: int
    client: ClusterView
    target: ClusterView
    checks: Mapping[str, Problem] = field(default_factory=dict, repr=False)

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
    def target_port(self) -> int | None:
        """The port of the pods; None where it is a name that no pod's container has."""
        wanted = self.port_entry.get("targetPort", self.port)
        if isinstance(wanted, int):
            return wanted
        for endpoint in self.target.endpoints:
            spec = (endpoint.pod or {}).get("spec", {})
            for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
                for port in container.get("ports") or []:
                    if port.get("name") == wanted:
                        return int(port["containerPort"])
        return None


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop of a path.

    Attributes:
        id: A word; stable, part of the JSON contract.
        title: What it is about.
        look: Looks at it.
    """

    id: str
    title: str
    look: Callable[[Path], Outcome]


@dataclass(frozen=True, slots=True)
class HopResult:
    """A hop that was looked at."""

    hop: Hop
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Trace:
    """A path, hop by hop, up to the first that is broken.

    Attributes:
        client: The context of the cluster that calls.
        target: The context of the cluster that is called.
        hops: What was seen at each.
    """

    client: str
    target: str
    hops: tuple[HopResult, ...]

    @property
    def broken(self) -> HopResult | None:
        """The first hop that is broken."""
        return next((one for one in self.hops if one.outcome.state is State.BROKEN), None)

    @property
    def local(self) -> HopResult | None:
        """The first hop at which calls are kept in the client's cluster."""
        return next((one for one in self.hops if one.outcome.state is State.LOCAL), None)


def is_meshed(pod: Object) -> bool:
    """Whether a pod has a sidecar that accepts mTLS."""
    return labels_of(pod).get(TLS_MODE_LABEL) == MTLS
