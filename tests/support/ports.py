"""What listens on the ports of a stand-in cluster's pods: istiod's endpoints, proxies' admin ports."""

from __future__ import annotations

import json
import ssl
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from istio_mc.domain.pki.pem import dump_certificates, dump_key
from tests.support import controllers, istiod, refusals
from tests.support.leaves import istiod_leaf, secrets_dump, workload_leaf

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from cryptography import x509

    from istio_mc.domain.pki.certificates import Authority
    from tests.support.cluster import Cluster
    from tests.support.istiod import Istiod
    from tests.support.kinds import Object

_PATIENCE_S = 5.0
_ENVOY_ADMIN, _XDS, _MONITORING = 15000, 15012, 15014
_TYPES = ("cluster", "listener", "endpoint", "route")


def of_pod(cluster: Cluster, namespace: str, name: str) -> Mapping[int, Callable[[socket.socket], None]]:
    """What answers on each port of a pod.

    Raises:
        Refused: There is no such pod, or it does not run.
    """
    pod = cluster.store.find("Pod", name, namespace)
    if pod is None:
        raise refusals.not_found(cluster.store.kinds["", "pods"], name)
    if (pod.get("status") or {}).get("phase") != "Running":
        raise refusals.bad_request(
            f"unable to forward port because pod is not running. Current status={pod['status']}"
        )
    if one := cluster.istiods.of(name):
        return {
            _MONITORING: lambda peer: _http(peer, _istiod_pages(cluster, one)),
            _XDS: lambda peer: _tls(peer, one.issuer),
        }
    if controllers.has_proxy(pod) and cluster.istiods.running():
        pages = {
            "/config_dump": lambda: _held(*cluster.istiods.proxy(pod)),
            "/clusters": lambda: istiod.envoy_clusters(cluster, pod).encode(),
        }
        return {_ENVOY_ADMIN: lambda peer: _http(peer, pages)}
    return {}


def _istiod_pages(cluster: Cluster, one: Istiod) -> dict[str, Callable[[], Any]]:
    return {
        "/debug/clusterz": lambda: cluster.istiods.clusterz(one),
        "/debug/networkz": lambda: istiod.networkz(cluster, one),
        "/debug/endpointShardz": lambda: istiod.endpoint_shards(cluster, one),
        "/debug/syncz": lambda: [_synced(cluster, one, pod) for pod in istiod.proxies(cluster)],
        "/metrics": lambda: _metrics(one),
        "/version": lambda: {"version": "1.26.0", "revision": "unknown", "tag": "1.26.0"},
    }


def _synced(cluster: Cluster, one: Istiod, pod: Object) -> Object:
    assert cluster
    nonces = {f"{kind}_{what}": "n1" for kind in _TYPES for what in ("sent", "acked")}
    name = f"{pod['metadata']['name']}.{pod['metadata']['namespace']}"
    return {"proxy": name, "cluster_id": one.cluster_id, "istio_version": "1.26.0", **nonces}


def _metrics(one: Istiod) -> bytes:
    roots = one.issuer.root.not_valid_after_utc.timestamp()
    chain = one.issuer.certificate.not_valid_after_utc.timestamp()
    lines = [
        'istiod_managed_clusters{cluster_type="local"} 1',
        f'istiod_managed_clusters{{cluster_type="remote"}} {len(one.remotes)}',
        f"citadel_server_root_cert_expiry_timestamp {roots}",
        f"citadel_server_cert_chain_expiry_timestamp {chain}",
    ]
    return ("\n".join(lines) + "\n").encode()


def _held(roots: list[x509.Certificate], issuer: Authority) -> Object:
    """What a proxy holds."""
    return secrets_dump([_leaf(issuer), *issuer.path], roots)


@cache
def _leaf(issuer: Authority) -> x509.Certificate:
    return workload_leaf(issuer).certificate


def _http(peer: socket.socket, pages: Mapping[str, Callable[[], Any]]) -> None:
    """Answers one GET, and closes."""
    peer.settimeout(_PATIENCE_S)
    head = b""
    while b"\r\n\r\n" not in head:
        data = peer.recv(4096)
        if not data:
            return
        head += data
    path = head.split(b" ", 2)[1].decode().partition("?")[0]
    page = pages.get(path)
    body: Any = page() if page else b"not found"
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    status = "200 OK" if page else "404 Not Found"
    answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\nConnection: close\r\n\r\n"
    peer.sendall(answer.encode() + raw)


def _tls(peer: socket.socket, issuer: Authority) -> None:
    """Shows the certificate that istiod has of its own CA."""
    peer.settimeout(_PATIENCE_S)
    with suppress(OSError), _shown(issuer).wrap_socket(peer, server_side=True) as tls:
        while tls.recv(4096):
            pass


@cache
def _shown(issuer: Authority) -> ssl.SSLContext:
    leaf = istiod_leaf(issuer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shown.pem"
        path.write_bytes(dump_key(leaf.key) + dump_certificates([leaf.certificate, issuer.certificate]))
        context.load_cert_chain(path)
    context.set_alpn_protocols(["h2"])
    return context
