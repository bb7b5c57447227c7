"""istiod's own endpoints, through a port-forward: its remote clusters, its proxies, its metrics.

They respond on localhost only, so the API server's pod proxy cannot reach them (pilot/pkg/xds/debug.go,
Istio 1.26.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from istio_mc.domain import jsontext
from istio_mc.domain.hint import Advice, istioctl, kubectl
from istio_mc.domain.istio.discovery import IstiodView, read_endpoints, read_gateways, read_regions
from istio_mc.domain.istio.istiod import RemoteCluster, running_istiods
from istio_mc.domain.istio.proxies import DistributedRoots
from istio_mc.domain.istio.status import Proxy, proxy_of
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki.cacerts import ROOT_CERT
from istio_mc.domain.problem import Code, Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.istio.discovery import Endpoints
    from istio_mc.domain.kube.objects import Object
    from istio_mc.gateways.kube.client import Kube


T = TypeVar("T")

_MONITORING_PORT = 15014


def istiod_pods(kube: Kube) -> list[Object]:
    """The running istiod pods of a cluster.

    Raises:
        ProblemError: They cannot be listed.
    """
    return running_istiods(kube.list(objects.POD, SYSTEM_NAMESPACE, labels="app=istiod"))


def clusterz(kube: Kube, pod: Object) -> tuple[RemoteCluster, ...]:
    """The remote clusters of one istiod.

    Raises:
        ProblemError: The forward failed, or the response is not in istiod's format.
    """
    name = pod["metadata"]["name"]

    def read(raw: bytes) -> tuple[RemoteCluster, ...]:
        return tuple(
            RemoteCluster(name, row["id"], row.get("secretName") or "", row["syncStatus"])
            for row in _rows(raw)
        )

    query = _Query("/debug/clusterz", "its clusters", "a JSON list of id, secretName and syncStatus")
    return _read(kube, pod, query, read)


def syncz(kube: Kube, pod: Object) -> tuple[Proxy, ...]:
    """The proxies connected to one istiod.

    Raises:
        ProblemError: The forward failed, or the response is not in istiod's format.
    """
    name = pod["metadata"]["name"]

    def read(raw: bytes) -> tuple[Proxy, ...]:
        return tuple(proxy_of(row, name) for row in _rows(raw))

    query = _Query("/debug/syncz", "its proxies", "a JSON list with proxy, and sent and acked nonces")
    return _read(kube, pod, query, read)


MOST_BYTES = 64 * 2**20
"""Size limit in bytes of a response of istiod: about 100,000 endpoints."""


def read_view(kube: Kube, pod: Object) -> IstiodView:
    """Returns one istiod's gateways and endpoints of all clusters.

    Raises:
        ProblemError: The forward failed, or the response is not in istiod's format, or is too long.
    """
    name = pod["metadata"]["name"]
    gateways = _Query("/debug/networkz", "its gateways", "a JSON list of Network, Addr and Port")
    endpoints = _Query("/debug/endpointShardz", "its endpoints", "JSON of services, namespaces and Shards")

    def bounded(raw: bytes) -> Endpoints:
        if len(raw) > MOST_BYTES:
            raise ProblemError(_too_long(kube.context, name, endpoints.path))
        return read_endpoints(raw)

    pages = {gateways.path: None, endpoints.path: MOST_BYTES + 1}
    raw = kube.http_pages(SYSTEM_NAMESPACE, name, _port(pod), pages)
    return IstiodView(
        name,
        _parsed(kube, pod, gateways, read_gateways, raw[gateways.path]),
        _parsed(kube, pod, endpoints, bounded, raw[endpoints.path]),
    )


def read_regions_of_clusters(kube: Kube, pod: Object) -> dict[str, frozenset[str]]:
    """The regions of the endpoints that one istiod has, by cluster ID.

    Raises:
        ProblemError: The forward failed, or the answer is not what istiod sends, or is too long.
    """
    query = _Query("/debug/endpointShardz", "its endpoints", "JSON of services, namespaces and Shards")

    def bounded(raw: bytes) -> dict[str, frozenset[str]]:
        if len(raw) > MOST_BYTES:
            raise ProblemError(_too_long(kube.context, pod["metadata"]["name"], query.path))
        return read_regions(raw)

    return _read(kube, pod, query, bounded, MOST_BYTES + 1)


def _too_long(context: str, pod: str, path: str) -> Problem:
    return Problem(
        code=Code.MALFORMED_ANSWER,
        cluster=context,
        message=f"{path} of {pod} is too long to compare",
        seen=f"more than {MOST_BYTES // 2**20} MiB",
        expected="less",
        hint=Advice(
            "see what it has of one service: ", istioctl(context, "proxy-config", "endpoints", "POD")
        ),
    )


def _rows(raw: bytes) -> list[Any]:
    return jsontext.load(raw) or []


class _Query(NamedTuple):
    path: str
    what: str
    form: str


def _read(kube: Kube, pod: Object, query: _Query, read: Callable[[bytes], T], most: int | None = None) -> T:
    raw = kube.http_get(SYSTEM_NAMESPACE, pod["metadata"]["name"], _port(pod), query.path, most=most)
    return _parsed(kube, pod, query, read, raw)


def _port(pod: Object) -> int:
    """The port of an istiod's own pages."""
    annotations = pod["metadata"].get("annotations") or {}
    try:
        return int(annotations.get("prometheus.io/port") or _MONITORING_PORT)
    except ValueError:
        return _MONITORING_PORT


def _parsed(kube: Kube, pod: Object, query: _Query, read: Callable[[bytes], T], raw: bytes) -> T:
    name = pod["metadata"]["name"]
    try:
        return read(raw)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ProblemError.of(
            code=Code.MALFORMED_ANSWER,
            cluster=kube.context,
            message=f"{name} responded to {query.path} with data other than {query.what}",
            seen=repr(raw[:80]),
            expected=query.form,
            hint=Advice(kubectl(kube.context, "-n", SYSTEM_NAMESPACE, "logs", name)),
        ) from None


def distributed_roots(kube: Kube, config_map: str) -> DistributedRoots:
    """Reads the ConfigMaps of that name in all namespaces with one request.

    Raises:
        ProblemError: They cannot be listed.
    """
    config_maps = kube.list(objects.CONFIG_MAP, fields=f"metadata.name={config_map}")
    return DistributedRoots(
        {item["metadata"]["namespace"]: (item.get("data") or {}).get(ROOT_CERT, "") for item in config_maps},
        config_map,
    )
