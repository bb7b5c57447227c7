"""Services that can be reached through a cluster's east-west gateway: those with a pod that speaks mTLS.

The clusters of a gateway in router mode sni-dnat hold only endpoints with label `security.istio.io/tlsMode`
`istio`, which injection sets (seen on Istio 1.26.0; pilot/pkg/networking/core/cluster.go,
buildOutboundSniDnatClusters). A service without such a pod, istiod's own among them, is accepted on 15443
and then closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.objects import labels_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.objects import Object

TLS_MODE_LABEL = "security.istio.io/tlsMode"
MTLS = "istio"
_EXPORT_TO = "networking.istio.io/exportTo"


@dataclass(frozen=True, slots=True, order=True)
class Meshed:
    """A port of a Service with at least one ready pod that speaks mTLS.

    Attributes:
        namespace: Of the Service.
        service: Its name.
        port: The Service's port.
        http: Whether it is said to be HTTP/1.1, so that a request may be sent to it.
    """

    namespace: str
    service: str
    port: int
    http: bool = False

    @property
    def sni(self) -> str:
        """The name in the TLS handshake by which a gateway passes a connection through to it."""
        return f"outbound_.{self.port}_._.{self.service}.{self.namespace}.svc.cluster.local"

    @property
    def host(self) -> str:
        """The name it is called by within the mesh."""
        return f"{self.service}.{self.namespace}.svc.cluster.local"

    def __str__(self) -> str:
        return f"{self.service}.{self.namespace}:{self.port}"


@dataclass(frozen=True, slots=True)
class Services:
    """The Services of a cluster.

    Attributes:
        objects: All of them, of every namespace.
        meshed: What a gateway can pass a connection through to.
        endpoints: Ready endpoints of each, by namespace and name.
    """

    objects: tuple[Object, ...] = field(default=(), repr=False)
    meshed: tuple[Meshed, ...] = ()
    endpoints: Mapping[tuple[str, str], int] = field(default_factory=dict, repr=False)


def meshed(services: Iterable[Object], pods: Iterable[Object]) -> tuple[Meshed, ...]:
    """The ports of Services that a gateway can pass a connection through to, HTTP first.

    Args:
        services: Of any namespaces.
        pods: Likewise; those that are injected suffice.
    """
    ready: dict[str, list[Object]] = {}
    for pod in pods:
        if _speaks_mtls(pod):
            ready.setdefault(pod["metadata"]["namespace"], []).append(pod)
    found = {
        Meshed(service["metadata"]["namespace"], service["metadata"]["name"], port["port"], _is_http(port))
        for service in services
        if _is_offered(service)
        for port in service["spec"].get("ports") or []
        if port.get("protocol", "TCP") == "TCP"
        and any(_leads_to(service, port, pod) for pod in ready.get(service["metadata"]["namespace"], ()))
    }
    return tuple(sorted(found, key=lambda one: (not one.http, one)))


def _speaks_mtls(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return (
        labels_of(pod).get(TLS_MODE_LABEL) == MTLS
        and not pod["metadata"].get("deletionTimestamp")
        and any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    )


def _is_offered(service: Object) -> bool:
    """Whether the gateway, which stands in istio-system, is told of a Service."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName" or not spec.get("selector"):
        return False
    given = (service["metadata"].get("annotations") or {}).get(_EXPORT_TO)
    if given is None:
        return True
    return bool({"*", SYSTEM_NAMESPACE} & {name.strip() for name in given.split(",")})


def _leads_to(service: Object, port: Object, pod: Object) -> bool:
    if not service["spec"]["selector"].items() <= labels_of(pod).items():
        return False
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return True
    # A sidecar of its own kind is an init container that stays.
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    return any(named.get("name") == target for one in containers for named in one.get("ports") or [])


def _is_http(port: Object) -> bool:
    """As Istio takes the protocol: from `appProtocol`, else from the port's name up to a hyphen."""
    told = port.get("appProtocol") or port.get("name", "").partition("-")[0]
    return bool(told.lower() == "http")
