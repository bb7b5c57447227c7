"""Thousands of meshed Services, alike in all clusters, as API server, istiod and Envoy list them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.kube.objects import Object

NAMESPACE = "shop"
_PORT = 8080
_FILLER = [{"name": f"ISTIO_META_{number:02}", "value": "x" * 90} for number in range(40)]
"""What brings a pod to the size that one with a sidecar has on a real cluster, some 7 kB."""
_STATS = (
    *(
        "cx_active",
        "cx_connect_fail",
        "cx_total",
        "rq_active",
        "rq_error",
        "rq_success",
        "rq_timeout",
        "rq_total",
    ),
    *("hostname", "weight", "region", "zone", "sub_zone", "canary", "priority", "success_rate"),
)
"""What Envoy lists of an endpoint beside its health."""


def name_of(number: int) -> str:
    """The name of a Service."""
    return f"service-{number:04}"


def objects_of(place: int, count: int) -> Iterable[Object]:
    """The namespace, and the Services of the cluster at that place with their EndpointSlices and pods."""
    yield {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"istio-injection": "enabled"}},
    }
    for number in range(count):
        name, address = name_of(number), _address(place, number)
        yield _object("v1", "Service", name, spec={"selector": {"app": name}, "ports": [_port()]})
        entry = {"addresses": [address], "conditions": {"ready": True}, "nodeName": "node"}
        yield _object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            f"{name}-x",
            {"kubernetes.io/service-name": name},
            addressType="IPv4",
            endpoints=[entry],
            ports=[{"name": "http", "port": _PORT, "protocol": "TCP"}],
        )
        yield _object(
            "v1",
            "Pod",
            f"{name}-1",
            {"app": name, "security.istio.io/tlsMode": "istio"},
            spec={"containers": containers()},
            status={
                "phase": "Running",
                "podIP": address,
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        )

        yield from _written_by_users(name)


def containers() -> list[Object]:
    """Those of a pod with a sidecar."""
    return [
        {"name": "app", "ports": [{"containerPort": _PORT}]},
        {"name": "istio-proxy", "env": _FILLER},
    ]


def _written_by_users(name: str) -> Iterable[Object]:
    """A route, a rule and a policy of a Service, which let every other one of the namespace call it."""
    route = {"route": [{"destination": {"host": name}}]}
    yield _object("networking.istio.io/v1", "VirtualService", name, spec={"hosts": [name], "http": [route]})
    pool = {"connectionPool": {"tcp": {"maxConnections": 100}}}
    yield _object(
        "networking.istio.io/v1", "DestinationRule", name, spec={"host": name, "trafficPolicy": pool}
    )
    rule = {"from": [{"source": {"namespaces": [NAMESPACE]}}]}
    spec = {"selector": {"matchLabels": {"app": name}}, "rules": [rule]}
    yield _object("security.istio.io/v1", "AuthorizationPolicy", name, spec=spec)


def shards(clusters: Iterable[str], count: int) -> Object:
    """What istiods list at `/debug/endpointShardz`, of clusters by their IDs."""
    places = list(enumerate(clusters, 1))

    def endpoint(place: int, cluster: str, number: int) -> dict[str, Any]:
        return {
            "Addresses": [_address(place, number)],
            "ServicePortName": "http",
            "Labels": {"app": name_of(number), "topology.istio.io/cluster": cluster},
            "EndpointPort": _PORT,
            "ServiceAccount": f"spiffe://cluster.local/ns/{NAMESPACE}/sa/{name_of(number)}",
            "Network": f"network{place}",
            "TLSMode": "istio",
            "Namespace": NAMESPACE,
            "HealthStatus": 1,
        }

    return {
        f"{name_of(number)}.{NAMESPACE}.svc.cluster.local": {
            NAMESPACE: {
                "Shards": {
                    f"Kubernetes/{cluster}": [endpoint(place, cluster, number)] for place, cluster in places
                },
                "ServiceAccounts": {},
            }
        }
        for number in range(count)
    }


def proxy_page(place: int, gateways: Mapping[int, str], count: int) -> bytes:
    """What an Envoy of a cluster lists at `/clusters`, a sidecar's clusters and a gateway's.

    Args:
        place: That of the cluster.
        gateways: Address and port of the gateways of the others, by place.
    """
    lines: list[str] = []
    for number in range(count):
        host, own = f"{name_of(number)}.{NAMESPACE}.svc.cluster.local", f"{_address(place, number)}:{_PORT}"
        for cluster, endpoints in (
            (f"outbound|80||{host}", [own, *gateways.values()]),
            (f"outbound_.80_._.{host}", [own]),
        ):
            lines.append(f"{cluster}::default_priority::max_connections::4294967295")
            for endpoint in endpoints:
                lines += [f"{cluster}::{endpoint}::{stat}::0" for stat in _STATS]
                lines.append(f"{cluster}::{endpoint}::health_flags::healthy")
    return "\n".join(lines).encode()


def _object(
    api: str, kind: str, name: str, labels: Mapping[str, str] | None = None, **more: object
) -> Object:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(labels or {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def _port() -> dict[str, object]:
    return {"name": "http", "port": 80, "targetPort": _PORT, "protocol": "TCP"}


def _address(place: int, number: int) -> str:
    return f"10.{place}.{number // 250}.{number % 250 + 1}"
