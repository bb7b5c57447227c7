"""What a cluster shows of the mesh at one moment: pods, addresses, scaling, links, proxies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from istio_mc.domain.identity import Part, sources_of
from istio_mc.domain.istio.documents import MULTI_CLUSTER_LABEL
from istio_mc.domain.istio.istiod import gateway_addresses, live_folder, unavailable
from istio_mc.domain.istio.pod_faults import refused_fault
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import deletion_blockers, is_terminating, labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from istio_mc.domain.istio.istiod import RemoteCluster
    from istio_mc.domain.istio.pod_faults import PodFault
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed


_NO_METRICS_API = (
    "could not find the requested resource",
    "the server is currently unable",
    "metrics.k8s.io",
)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of istio-system.

    Attributes:
        app: Its label `app`, else its name: what replicas have in common.
        phase: What it is at: its phase, or why a container waits or has ended.
    """

    name: str
    app: str
    ready: int
    containers: int
    phase: str
    restarts: int
    why: str = ""

    @property
    def is_healthy(self) -> bool:
        """Whether all of it runs and is ready, or it has done its work."""
        return self.phase == "Succeeded" or (self.phase == "Running" and self.ready == self.containers)


@dataclass(frozen=True, slots=True)
class Service:
    """A Service of istio-system; `addresses` are those the other clusters' istiods take for a gateway."""

    name: str
    type: str
    cluster_ip: str
    addresses: tuple[str, ...]
    ports: tuple[str, ...]

    @property
    def pending(self) -> bool:
        """Whether it waits for a load balancer's address."""
        return self.type == "LoadBalancer" and not self.addresses


@dataclass(frozen=True, slots=True)
class Deployment:
    """A Deployment of istio-system; `why` says in a few words what keeps it from being rolled out."""

    name: str
    available: int
    desired: int
    why: str


@dataclass(frozen=True, slots=True)
class Hpa:
    """An autoscaler of istio-system."""

    name: str
    target: str
    metrics: tuple[str, ...]
    replicas: int
    least: int
    most: int
    why: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Gateway of istio-system: Istio's own kind, or the Gateway API's."""

    kind: str
    name: str
    of_class: str
    ports: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoteSecret:
    """A remote secret, and what istiod says of its cluster: `synced`, …, or `unknown` where none says.

    Where istiod reads kubeconfigs from files, the name is that of their folder.
    """

    name: str
    cluster_id: str
    status: str


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """One cluster at one moment.

    Attributes:
        notes: What keeps the cluster from running pods at all.
    """

    version: str
    cluster_id: str | None
    network: str | None
    mesh_id: str | None
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    hpas: tuple[Hpa, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    remote_secrets: tuple[RemoteSecret, ...] = ()
    proxies: tuple[Proxy, ...] = ()
    notes: tuple[str, ...] = ()


def status_of(
    observed: Observed,
    clusterz: Iterable[RemoteCluster],
    proxies: Iterable[Proxy],
    faults: Iterable[PodFault] = (),
) -> ClusterStatus:
    """What a cluster shows."""
    why = {fault.pod: str(fault) for fault in faults}
    services = _named(observed, objects.SERVICE)
    return ClusterStatus(
        version=observed.version,
        cluster_id=sources_of(observed, Part.CLUSTER_ID).likely,
        network=sources_of(observed, Part.NETWORK).likely,
        mesh_id=observed.mesh_id,
        pods=tuple(
            replace(pod, why=why.get(pod.name, "")) for pod in map(pod_of, _named(observed, objects.POD))
        ),
        services=tuple(service_of(item) for item in services),
        deployments=tuple(deployment_of(item) for item in _named(observed, objects.DEPLOYMENT)),
        hpas=tuple(hpa_of(item) for item in _named(observed, objects.HPA)),
        gateways=(
            *(_istio_gateway(item, services) for item in _named(observed, objects.ISTIO_GATEWAY)),
            *(_api_gateway(item) for item in _named(observed, objects.KUBERNETES_GATEWAY)),
        ),
        remote_secrets=_remote_secrets(observed, list(clusterz)),
        proxies=tuple(sorted(proxies, key=lambda proxy: (proxy.name, proxy.istiod))),
        notes=tuple(_notes(observed)),
    )


def _notes(observed: Observed) -> Iterator[str]:
    """What keeps the cluster from running pods at all."""
    namespace = observed.find(objects.NAMESPACE, SYSTEM_NAMESPACE)
    if namespace and is_terminating(namespace):
        yield "; ".join(
            filter(None, (f"namespace {SYSTEM_NAMESPACE} is being deleted", deletion_blockers(namespace)))
        )
    for deployment in _named(observed, objects.DEPLOYMENT):
        if fault := refused_fault(deployment):
            yield str(fault)


def pod_of(pod: Object) -> Pod:
    """A pod, in the words kubectl uses."""
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    # A sidecar that is an init container (restartPolicy Always) counts as a container, as in kubectl.
    always = {
        container["name"]
        for container in pod["spec"].get("initContainers") or []
        if container.get("restartPolicy") == "Always"
    }
    inits = status.get("initContainerStatuses") or []
    counted = [*containers, *(one for one in inits if one["name"] in always)]
    return Pod(
        name=_name(pod),
        app=labels_of(pod).get("app") or _name(pod),
        ready=sum(bool(one.get("ready")) for one in counted),
        containers=len(pod["spec"].get("containers") or []) + len(always),
        phase=_phase(pod, [*inits, *containers]),
        restarts=sum(one.get("restartCount", 0) for one in counted),
    )


def _phase(pod: Object, containers: Iterable[Mapping[str, Any]]) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    phase = str((pod.get("status") or {}).get("phase") or "Unknown")
    for container in containers:
        state = container.get("state") or {}
        if reason := (state.get("waiting") or {}).get("reason"):
            return str(reason)
        ended = state.get("terminated") or {}
        if ended.get("exitCode") and phase != "Succeeded":
            return str(ended.get("reason") or "Error")
    return phase


def service_of(service: Object) -> Service:
    """A Service, its ports as kubectl prints them."""
    spec = service["spec"]
    return Service(
        name=_name(service),
        type=spec.get("type", "ClusterIP"),
        cluster_ip=spec.get("clusterIP") or "",
        addresses=gateway_addresses(service),
        ports=tuple(_port(port) for port in spec.get("ports") or []),
    )


def _port(port: Mapping[str, Any]) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"


def deployment_of(deployment: Object) -> Deployment:
    """A Deployment."""
    return Deployment(
        name=_name(deployment),
        available=(deployment.get("status") or {}).get("availableReplicas", 0),
        desired=deployment["spec"].get("replicas", 1),
        why=unavailable(deployment),
    )


def hpa_of(hpa: Object) -> Hpa:
    """An autoscaler, its metrics as kubectl prints them."""
    spec, status = hpa["spec"], hpa.get("status") or {}
    current = {
        metric["resource"]["name"]: metric["resource"].get("current") or {}
        for metric in status.get("currentMetrics") or []
        if metric.get("type") == "Resource" and "name" in (metric.get("resource") or {})
    }
    metrics = [_metric(metric, current) for metric in spec.get("metrics") or []]
    unknown = any("<unknown>" in metric for metric in metrics)
    reference = spec.get("scaleTargetRef") or {}
    return Hpa(
        name=_name(hpa),
        target=f"{reference.get('kind', '?')}/{reference.get('name', '?')}",
        metrics=tuple(metrics),
        replicas=status.get("currentReplicas", 0),
        least=spec.get("minReplicas", 1),
        most=spec.get("maxReplicas", 1),
        why=_why_unknown(status) if unknown else "",
    )


def _metric(metric: Mapping[str, Any], current: Mapping[str, Mapping[str, Any]]) -> str:
    if metric.get("type") != "Resource":
        return f"{metric.get('type')}: not shown"
    name = metric["resource"]["name"]
    target = metric["resource"].get("target") or {}
    now = current.get(name) or {}
    if target.get("type") == "Utilization":
        used = now.get("averageUtilization")
        return f"{name}: {'<unknown>' if used is None else f'{used}%'}/{target.get('averageUtilization')}%"
    used = now.get("averageValue")
    return (
        f"{name}: {'<unknown>' if used is None else used}/{target.get('averageValue') or target.get('value')}"
    )


def _why_unknown(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "ScalingActive" and condition.get("status") == "False":
            message = str(condition.get("message") or condition.get("reason") or "")
            if any(words in message for words in _NO_METRICS_API):
                return "no Metrics API in this cluster: install Metrics Server"
            return message
    return "nothing was measured yet"


def _istio_gateway(gateway: Object, services: Iterable[Object]) -> Gateway:
    spec = gateway.get("spec") or {}
    selector = spec.get("selector") or {}
    # Istio's Gateway is what the pods under its selector listen to; their Service has the address.
    addresses = [
        address
        for service in services
        if selector and selector.items() <= (service["spec"].get("selector") or {}).items()
        for address in gateway_addresses(service)
    ]
    return Gateway(
        kind="networking.istio.io",
        name=_name(gateway),
        of_class="",
        ports=tuple(
            f"{one['port']['number']}/{(one.get('tls') or {}).get('mode') or one['port']['protocol']}"
            for one in spec.get("servers") or []
        ),
        addresses=tuple(dict.fromkeys(addresses)),
    )


def _api_gateway(gateway: Object) -> Gateway:
    spec, status = gateway.get("spec") or {}, gateway.get("status") or {}
    given = status.get("addresses") or spec.get("addresses") or []
    return Gateway(
        kind="gateway.networking.k8s.io",
        name=_name(gateway),
        of_class=str(spec.get("gatewayClassName") or ""),
        ports=tuple(f"{one['port']}/{one['protocol']}" for one in spec.get("listeners") or []),
        addresses=tuple(str(address.get("value")) for address in given),
    )


def _remote_secrets(observed: Observed, clusterz: list[RemoteCluster]) -> tuple[RemoteSecret, ...]:
    if folder := live_folder(observed):  # istiod ignores remote secrets
        ids = sorted({row.cluster_id for row in clusterz if row.secret})
        return tuple(RemoteSecret(folder, one, _sync_status(one, clusterz)) for one in ids)
    return tuple(
        RemoteSecret(_name(secret), cluster_id, _sync_status(cluster_id, clusterz))
        for secret in _named(observed, objects.SECRET)
        if labels_of(secret).get(MULTI_CLUSTER_LABEL) == "true"
        for cluster_id in secret.get("data") or {}
    )


def _sync_status(cluster_id: str, clusterz: Iterable[RemoteCluster]) -> str:
    """What the istiods of a cluster report of another."""
    states = dict.fromkeys(row.status for row in clusterz if row.cluster_id == cluster_id)
    return ", ".join(states) or "unknown"


def _named(observed: Observed, kind: objects.Kind) -> list[Object]:
    return sorted(observed.of(kind), key=_name)


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


_XDS = (
    ("cds", "cluster"),
    ("lds", "listener"),
    ("eds", "endpoint"),
    ("rds", "route"),
    ("ecds", "extensionconfig"),
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy as an istiod knows it.

    Attributes:
        xds: For cds, lds, eds, rds and ecds: `SYNCED`, `NOT SENT`, `STALE`.
    """

    name: str
    cluster_id: str
    version: str
    istiod: str
    xds: Mapping[str, str]
    errors: tuple[str, ...] = ()

    @property
    def synced(self) -> bool:
        """Whether it holds all that was sent to it."""
        return not self.errors and "STALE" not in self.xds.values()


def proxy_of(row: Mapping[str, Any], istiod: str) -> Proxy:
    """One row of `/debug/syncz`.

    A type is as `istioctl proxy-status` has it (istioctl/pkg/writer/pilot/status.go, 1.26.0): synced where
    the last nonce sent is the last acknowledged.

    Raises:
        KeyError: It names no proxy.
    """
    return Proxy(
        name=row["proxy"],
        cluster_id=row.get("cluster_id") or "",
        version=row.get("istio_version") or "",
        istiod=istiod,
        xds={
            short: _xds(row.get(f"{long}_sent") or "", row.get(f"{long}_acked") or "") for short, long in _XDS
        },
        errors=tuple(
            f"{kind.rpartition('.')[2]}: {resource['lastError']}"
            for kind, resource in sorted((row.get("resources") or {}).items())
            if resource.get("lastError")
        ),
    )


def _xds(sent: str, acked: str) -> str:
    if not sent:
        return "NOT SENT"
    return "SYNCED" if sent == acked else "STALE"
