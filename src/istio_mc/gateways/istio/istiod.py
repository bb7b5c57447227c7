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


class _Query(NamedTuple):
    path: str
    what: str
    form: str


MOST_BYTES = 64 * 2**20
"""Size limit in bytes of a response of istiod: about 100,000 endpoints."""


def read_view(kube: Kube, pod: Object) -> IstiodView:
    """Returns one istiod's gateways and endpoints of all clusters.

    Raises:
        ProblemError: The forward failed, or the response is not in istiod's format, or is too long.
    """
    view, _ = _read_view(kube, pod)
    return view


def read_view_and_regions(kube: Kube, pod: Object) -> tuple[IstiodView, dict[str, frozenset[str]]]:
    """Returns one istiod's view of all clusters, and the regions of their endpoints by cluster ID.

    Raises:
        ProblemError: As from `read_view`.
    """
    view, endpoints = _read_view(kube, pod)
    return view, _parsed(kube, pod, _ENDPOINTS, read_regions, endpoints)


_GATEWAYS = _Query("/debug/networkz", "its gateways", "a JSON list of Network, Addr and Port")
_ENDPOINTS = _Query("/debug/endpointShardz", "its endpoints", "JSON of services, namespaces and Shards")


def _read_view(kube: Kube, pod: Object) -> tuple[IstiodView, bytes]:
    """An istiod's view, and the page of endpoints that it was made of."""
    name = pod["metadata"]["name"]
    pages = {_GATEWAYS.path: None, _ENDPOINTS.path: MOST_BYTES + 1}
    raw = kube.http_pages(SYSTEM_NAMESPACE, name, _port(pod), pages)
    endpoints = raw[_ENDPOINTS.path]

    def bounded(page: bytes) -> Endpoints:
        if len(page) > MOST_BYTES:
            raise ProblemError(_too_long(kube.context, name, _ENDPOINTS.path))
        return read_endpoints(page)

    view = IstiodView(
        name,
        _parsed(kube, pod, _GATEWAYS, read_gateways, raw[_GATEWAYS.path]),
        _parsed(kube, pod, _ENDPOINTS, bounded, endpoints),
    )
    return view, endpoints


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


def _read(kube: Kube, pod: Object, query: _Query, read: Callable[[bytes], T]) -> T:
    raw = kube.http_get(SYSTEM_NAMESPACE, pod["metadata"]["name"], _port(pod), query.path)
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
