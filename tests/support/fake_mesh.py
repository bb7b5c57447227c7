"""A mesh of any number of clusters that works: API servers, istiods and gateways that listen on 127.0.0.1.

What lives in the clusters is tests/support/world.py's. Every request is counted, so that it can be told how
many a cluster costs, and whether that depends on how many others there are.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.istio import documents
from istio_mc.domain.istio.operator import merged
from istio_mc.domain.istio.proxies import ROOT_CONFIG_MAP
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Ref, kind_of, ref_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE, ApiServer, Cluster
from istio_mc.domain.pki.pem import dump_certificates
from tests.support import many_services
from tests.support.fake_api import FakeApi, Reply, kubeconfig
from tests.support.leaves import istiod_leaf, secrets_dump, tls_server, workload_leaf
from tests.support.self_signed import SelfSigned, self_signed, server_context
from tests.support.tls_peer import Peer, Sidecar, listening, workload
from tests.support.world import authority, ca_certs, cluster_id_of, objects_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterable, Iterator

    from istio_mc.domain.kube.objects import Object

VERSION = "v1.32.3"
HOST = "127.1"
"""A name that leads to 127.0.0.1, but does not read as this machine, which no other cluster may call so."""
TO_THE_GATEWAY = "a connection to its gateway"
_ISTIOD, _GATEWAY, _WORKLOAD = "istiod-1", "gateway-1", "reviews"
_READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
_CONTEXT = re.compile(r"\bc\d+\b")


class FakeMesh:
    """The clusters c1, c2, …, while `serve` runs them.

    Attributes:
        servers: Their API servers, by context.
        gateways: Their gateways, with a workload behind each.
    """

    def __init__(
        self,
        count: int,
        own: Callable[[Cluster], Collection[Object]] = lambda _: (),
        *,
        services: int = 0,
        sidecars: int = 1,
    ) -> None:
        """Makes the clusters.

        Args:
            count: How many.
            own: What lives in one besides; where it is one of the world's objects, that is laid under it.
            services: How many Services each has beside the sample's.
            sidecars: How many pods of the sample each has.
        """
        workloads = [f"{_WORKLOAD}-{number}" for number in range(1, sidecars + 1)]
        names = [f"c{number}" for number in range(1, count + 1)]
        self.servers = {name: FakeApi(tls()) for name in names}
        self.gateways: dict[str, Peer] = {}
        self._istiods = {name: FakeApi() for name in names}
        self._envoys = {name: FakeApi() for name in names}
        self._urls = {name: f"https://{HOST}:{server.address[1]}" for name, server in self.servers.items()}
        self._live: dict[str, dict[Ref, Object]] = {}
        clusters = {
            name: Cluster(
                name,
                cluster_id_of(name),
                f"network{number}",
                ApiServer(self._urls[name], _certificate().certificate),
            )
            for number, name in enumerate(names, 1)
        }
        for name, server in self.servers.items():
            server.selects = True
            self._live[name] = {
                ref_of(item): item
                for item in [*objects_of(name, clusters), *_pods(workloads), _roots(name, "sample")]
            }
            for item in own(clusters[name]):
                found = self._live[name].get(ref_of(item), {})
                self._live[name][ref_of(item)] = merged(found, item)
            _trust_istiod(name, self._live[name].values())
            server.on_forward(SYSTEM_NAMESPACE, _ISTIOD, p15014=self._istiods[name].address)
            self._istiods[name].on("/debug/clusterz", _clusterz(name, clusters))
            self._istiods[name].on("/debug/networkz", _networkz(clusters))
            ids = [one.cluster_id for one in clusters.values()]
            self._istiods[name].on("/debug/endpointShardz", many_services.shards(ids, services))
            self._envoys[name].on("/config_dump", _secrets(name))
            if services:
                self._add_services(name, names.index(name) + 1, services)
            for namespace, pod in ((SYSTEM_NAMESPACE, _GATEWAY), *(("sample", one) for one in workloads)):
                server.on_forward(namespace, pod, p15000=self._envoys[name].address)

    def _add_services(self, name: str, place: int, count: int) -> None:
        for item in (*many_services.objects_of(place, count), _roots(name, many_services.NAMESPACE)):
            self._live[name][ref_of(item)] = item
            if item["kind"] == "Pod":
                pod = item["metadata"]["name"]
                self.servers[name].on_forward(many_services.NAMESPACE, pod, p15000=self._envoys[name].address)
        others = {other: "127.0.0.1:15443" for other in range(1, len(self.servers) + 1) if other != place}
        page = many_services.proxy_page(place, others, count)
        self._envoys[name].on("/clusters", Reply(page))

    @contextmanager
    def serve(self) -> Iterator[FakeMesh]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for name, server in self.servers.items():
                issuer = authority(name)
                sidecar = Sidecar(folder, (issuer,), issuer, shown=workload(issuer))
                self.gateways[name] = stack.enter_context(listening(sidecar))
                _lead_to(self._live[name], self.gateways[name].port)
                _fill(server, self._live[name].values())
                shown = tls_server(istiod_leaf(issuer), issuer, folder)
                server.on_forward(SYSTEM_NAMESPACE, _ISTIOD, p15012=stack.enter_context(shown))
            for server in (*self.servers.values(), *self._istiods.values(), *self._envoys.values()):
                stack.enter_context(server.serve())
            yield self

    def kubeconfig(self) -> Object:
        """A kubeconfig that leads to all of them."""
        ca = base64.b64encode(_certificate().certificate).decode()
        return kubeconfig(self._urls, {"certificate-authority-data": ca})

    def counts(self) -> dict[str, Counter[str]]:
        """What each cluster was asked, and how often; names of clusters read the same in all."""
        found: dict[str, Counter[str]] = {}
        for name, server in self.servers.items():
            counts = zip(server.calls, server.bodies, strict=True)
            found[name] = Counter(_shape(*call, body) for call, body in counts)
            found[name][TO_THE_GATEWAY] += self.gateways[name].served
        return found


def _shape(method: str, path: str, body: bytes) -> str:
    what = f"{method} {path}"
    if body:  # a review of rights: the question is in it
        what += f" {json.dumps(json.loads(body).get('spec'))}"
    return _CONTEXT.sub("CLUSTER", what)


def _pods(workloads: Iterable[str]) -> list[Object]:
    """The gateway, the reader's token, the Gateway API, and a service with workloads that speak mTLS."""
    labels = {"app": "reviews"}
    made = documents.reader_token_secret()
    made["metadata"]["creationTimestamp"] = "2026-11-01T00:00:00Z"
    meshed = {**labels, "security.istio.io/tlsMode": "istio"}
    return [
        {
            **made,
            "data": {
                "token": base64.b64encode(b"token").decode(),
                "ca.crt": base64.b64encode(_certificate().certificate).decode(),
            },
        },
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": objects.GATEWAY_API_SIGN},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": _GATEWAY,
                "namespace": SYSTEM_NAMESPACE,
                "labels": {"app": EAST_WEST_GATEWAY, "istio": "ingressgateway"},
            },
            "spec": {"containers": []},
            "status": _READY,
        },
        *(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "sample", "labels": meshed},
                "spec": {"containers": many_services.containers()},
                "status": _READY,
            }
            for name in workloads
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "reviews", "namespace": "sample"},
            "spec": {"selector": labels, "ports": [{"name": "http", "port": 9080}]},
        },
    ]


def _roots(name: str, namespace: str) -> Object:
    """The ConfigMap in which istiod gives a namespace the roots."""
    metadata = {"name": ROOT_CONFIG_MAP, "namespace": namespace}
    data = {"root-cert.pem": ca_certs(name).root_cert.decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _trust_istiod(name: str, live: Iterable[Object]) -> None:
    """Fills in the webhooks' caBundle, as istiod does."""
    bundle = base64.b64encode(dump_certificates([authority(name).root])).decode()
    for item in live:
        for webhook in item.get("webhooks") or ():
            webhook["clientConfig"]["caBundle"] = bundle


def _secrets(name: str) -> Object:
    """What the proxies of a cluster hold."""
    issuer = authority(name)
    return secrets_dump([workload_leaf(issuer).certificate, *issuer.path], [issuer.root])


def _lead_to(live: dict[Ref, Object], port: int) -> None:
    """Has the gateway's Service name an address and port at which something answers."""
    service = live[Ref("", "Service", SYSTEM_NAMESPACE, EAST_WEST_GATEWAY)]
    service["spec"].pop("externalIPs")
    service["status"] = {"loadBalancer": {"ingress": [{"hostname": HOST}]}}
    service["metadata"].setdefault("labels", {})["networking.istio.io/gatewayPort"] = str(port)


def _clusterz(name: str, clusters: dict[str, Cluster]) -> list[dict[str, str]]:
    """As istiod 1.26.0 answers: its own cluster has no secret."""
    return [
        {
            "id": cluster.cluster_id,
            "secretName": ""
            if other == name
            else f"{SYSTEM_NAMESPACE}/istio-remote-secret-{cluster.cluster_id}",
            "syncStatus": "synced",
        }
        for other, cluster in clusters.items()
    ]


def _networkz(clusters: dict[str, Cluster]) -> list[Object]:
    """As istiod 1.26.0 answers: names are resolved."""
    return [
        {"Network": one.network, "Cluster": one.cluster_id, "Addr": "127.0.0.1", "Port": 15443}
        for one in clusters.values()
    ]


def _fill(server: FakeApi, found: Iterable[Object]) -> None:
    lists: dict[str, dict[str, Object]] = {}
    for item in found:
        kind, metadata = kind_of(item), item["metadata"]
        namespace = metadata.get("namespace")
        path = kind.path(namespace, metadata["name"])
        server.on(path, item)
        for listed in {kind.path(namespace), kind.path()}:
            lists.setdefault(listed, {})[path] = item
    for path, items in lists.items():
        server.on(path, {"items": list(items.values())})
    server.on("/version", {"gitVersion": VERSION})
    server.on(objects.STORAGE_CLASS.path(), {"items": [_STORAGE]})
    server.on(objects.NODE.path(), {"items": [_NODE]})
    server.on(objects.API_SERVICE.path(name="v1beta1.metrics.k8s.io"), _METRICS)
    server.on("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"status": {"allowed": True}})
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    rules = {"status": {"resourceRules": [everything], "nonResourceRules": [], "incomplete": False}}
    server.on("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", rules)


_STORAGE = {
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    }
}
_NODE = {"metadata": {"name": "node"}, "status": {"nodeInfo": {"architecture": "amd64"}}}
_METRICS = {
    "metadata": {"name": "v1beta1.metrics.k8s.io"},
    "status": {"conditions": [{"type": "Available", "status": "True"}]},
}


@cache
def _certificate() -> SelfSigned:
    """What the API servers show who they are with."""
    return self_signed(HOST)


@cache
def tls() -> ssl.SSLContext:
    """What the API servers show who they are with."""
    with tempfile.TemporaryDirectory() as folder:
        return server_context(_certificate().write(Path(folder) / "both.pem"))
