"""Services that can be reached through a cluster's east-west gateway: those with a pod that speaks mTLS.

The clusters of a gateway in router mode sni-dnat hold only endpoints with label `security.istio.io/tlsMode`
`istio`, which injection sets (seen on Istio 1.26.0; pilot/pkg/networking/core/cluster.go,
buildOutboundSniDnatClusters). A service without such a pod, istiod's own among them, is accepted on 15443
and then closed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from istio_mc.domain.kube.objects import Object


TLS_MODE_LABEL = "security.istio.io/tlsMode"
MTLS = "istio"
_EXPORT_TO = "networking.istio.io/exportTo"


@dataclass(frozen=True, slots=True, order=True)
class Meshed:
    """A port of a Service with at least one ready pod that speaks mTLS.

    Attributes:
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
        endpoints: Ready endpoints of each, by namespace and name.
    """

    objects: tuple[Object, ...] = field(default=(), repr=False)
    meshed: tuple[Meshed, ...] = ()
    endpoints: Mapping[tuple[str, str], int] = field(default_factory=dict, repr=False)
    addresses: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict, repr=False)
    slices: tuple[Object, ...] = field(default=(), repr=False)

    def meshed_addresses(self) -> dict[tuple[str, str], frozenset[str]]:
        """The addresses of ready endpoints of the services that a gateway passes connections through to."""
        keys = dict.fromkeys((one.namespace, one.service) for one in self.meshed)
        return {key: self.addresses[key] for key in keys if key in self.addresses}


def namespaces_without_sidecar(services: Mapping[str, Services]) -> dict[str, frozenset[str]]:
    """The namespaces, by context, of Services whose pods have a sidecar in another cluster only."""
    meshed_in = {
        context: {(one.namespace, one.service) for one in here.meshed} for context, here in services.items()
    }
    anywhere = {key for keys in meshed_in.values() for key in keys}
    return {
        context: namespaces
        for context, here in services.items()
        if (
            namespaces := frozenset(
                key[0] for key in anywhere - meshed_in[context] if here.endpoints.get(key)
            )
        )
    }


def meshed(services: Iterable[Object], pods: Iterable[Object]) -> tuple[Meshed, ...]:
    """The ports of Services that a gateway can pass a connection through to, HTTP first."""
    ready: dict[tuple[str, str, str], list[Object]] = {}
    for pod in pods:
        if _speaks_mtls(pod):
            for key, value in labels_of(pod).items():
                ready.setdefault((pod["metadata"]["namespace"], key, value), []).append(pod)
    by_name = {
        Meshed(service["metadata"]["namespace"], service["metadata"]["name"], port["port"], _is_http(port))
        for service in services
        if _is_offered(service)
        for port in service["spec"].get("ports") or []
        if port.get("protocol", "TCP") == "TCP"
        and any(_leads_to(service, port, pod) for pod in _with_rarest_label(service, ready))
    }
    return tuple(sorted(by_name, key=lambda one: (not one.http, one)))


def _with_rarest_label(
    service: Object, pods: Mapping[tuple[str, str, str], Sequence[Object]]
) -> Sequence[Object]:
    """The pods with the label of a selector that the fewest have: with thousands, not all are compared."""
    namespace = service["metadata"]["namespace"]
    return min((pods.get((namespace, *label), ()) for label in service["spec"]["selector"].items()), key=len)


def _speaks_mtls(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return (
        labels_of(pod).get(TLS_MODE_LABEL) == MTLS
        and not pod["metadata"].get("deletionTimestamp")
        and any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    )


def _is_offered(service: Object) -> bool:
    """Whether istiod gives a Service to the gateway, which is in istio-system."""
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
    protocol = port.get("appProtocol") or port.get("name", "").partition("-")[0]
    return bool(protocol.lower() == "http")


_OWN = frozenset({"kube-system", SYSTEM_NAMESPACE})
"""Namespaces left out: hosts of the first stay in their cluster by default (pilot/pkg/model/cluster_local.go,
Istio 1.26.0); in the second are the control planes, and gateways are called by address."""


@dataclass(frozen=True, slots=True)
class MergedService:
    """A service that has Services in more than one cluster."""

    namespace: str
    name: str
    endpoints: Mapping[str, int]
    ports: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, Mapping[str, str]]

    @property
    def spreads(self) -> bool:
        """Whether calls go to more than one cluster: more than one has endpoints."""
        return sum(count > 0 for count in self.endpoints.values()) > 1

    @property
    def agrees(self) -> bool:
        """Whether its ports and labels are the same everywhere."""
        return len(set(self.ports.values())) <= 1 and not self.labels

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def odd_cluster(self) -> str:
        """The context whose ports, or else labels, fewest others have; of several the last."""
        if len(set(self.ports.values())) > 1:
            values = dict(self.ports)
        else:
            values = {c: tuple(f"{k}={v}" for k, v in sorted(of.items())) for c, of in self.labels.items()}
        counts = Counter(values.values())
        return min(reversed(values), key=lambda context: counts[values[context]])

    @property
    def disagreement(self) -> str:
        """What is not the same everywhere, in a few words; empty where all is."""
        parts = []
        if len(set(self.ports.values())) > 1:
            parts.append(
                "; ".join(f"{c}: {', '.join(ports) or 'no port'}" for c, ports in self.ports.items())
            )
        if self.labels:
            each = (
                f"{c}: {', '.join(f'{k}={v}' for k, v in labels.items()) or 'none'}"
                for c, labels in self.labels.items()
            )
            parts.append("labels " + "; ".join(each))
        return "; ".join(parts)


def merged(services: Mapping[str, Services]) -> tuple[MergedService, ...]:
    """The services that more than one cluster has, by namespace and name.

    Left out are those that stay in their cluster by default, those of the control planes, and names that
    only point elsewhere.
    """
    by_name: dict[tuple[str, str], dict[str, Object]] = {}
    for context, here in services.items():
        for item in here.objects:
            namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
            if namespace in _OWN or (namespace, name) == ("default", "kubernetes"):
                continue
            if item["spec"].get("type") != "ExternalName":
                by_name.setdefault((namespace, name), {})[context] = item
    return tuple(_one(key, where, services) for key, where in sorted(by_name.items()) if len(where) > 1)


def _one(
    key: tuple[str, str], where: Mapping[str, Object], services: Mapping[str, Services]
) -> MergedService:
    labels = {context: _own_labels(item) for context, item in where.items()}
    shared = set.intersection(*(set(own.items()) for own in labels.values()))
    differing = {
        context: {k: v for k, v in own.items() if (k, v) not in shared} for context, own in labels.items()
    }
    return MergedService(
        *key,
        endpoints={context: services[context].endpoints.get(key, 0) for context in where},
        ports={context: _ports(item) for context, item in where.items()},
        labels=differing if any(differing.values()) else {},
    )


def _ports(service: Object) -> tuple[str, ...]:
    return tuple(
        f"{port.get('name', '')} {port['port']}/{port.get('protocol', 'TCP')}".strip()
        for port in sorted(service["spec"].get("ports") or [], key=lambda port: int(port["port"]))
    )


_OF_OTHERS = ("app.kubernetes.io/managed-by", "helm.sh/", "kustomize.", "argocd.", "objectset.")


def _own_labels(service: Object) -> dict[str, str]:
    """The labels that say something of the service, and not of what brought it there."""
    labels = service["metadata"].get("labels") or {}
    return {key: value for key, value in labels.items() if not key.startswith(_OF_OTHERS)}


def endpoints_of(slices: list[Object]) -> dict[tuple[str, str], int]:
    """Ready endpoints of each Service, by namespace and name, out of its EndpointSlices."""
    counted: dict[tuple[str, str], int] = {}
    for item in slices:
        name = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        if name:
            ready = sum(
                (endpoint.get("conditions") or {}).get("ready") is not False
                for endpoint in item.get("endpoints") or []
            )
            key = (item["metadata"]["namespace"], name)
            counted[key] = counted.get(key, 0) + ready
    return counted
