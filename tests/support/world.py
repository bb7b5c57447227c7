"""A whole mesh of three clusters as a run finds it, to be spoilt one thing at a time."""

from __future__ import annotations

import base64
import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from istio_mc.checks.model import Facts, Observation
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.choice import IstioChoice
from istio_mc.domain.istio.discovery import Discovery, IstiodView, NetworkGateway
from istio_mc.domain.istio.istiod import RemoteCluster
from istio_mc.domain.istio.operator import GATEWAY_PORTS
from istio_mc.domain.istio.proxies import DistributedRoots, ProxiesHold, ProxyTrust, Serving
from istio_mc.domain.istio.releases import Defect
from istio_mc.domain.istio.services import Meshed
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.links.remote_secrets import AccessResult, Reading, remote_secrets_in
from istio_mc.domain.mesh import ApiServer, Cluster, Mesh
from istio_mc.domain.observed import Observed
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.certificates import Authority, KeySpec, KeyType, new_intermediate, new_root
from istio_mc.domain.pki.pem import fingerprint
from istio_mc.domain.plan import Drift
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.traffic.data_path import (
    Answer,
    DataPath,
    Handshake,
    Health,
    Judged,
    Outcome,
    Reach,
    Trace,
)
from istio_mc.gateways.istio.releases import release_table
from tests.support.leaves import istiod_leaf, workload_leaf
from tests.support.self_signed import self_signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

    from istio_mc.domain.istio.releases import ReleaseTable

HARMLESS = replace(
    release_table(),
    istio=tuple(replace(release, security=None) for release in release_table().istio),
    defects=(),
    analyze=Defect("analyze", "", (), ""),
    crds=(),
    hubs=(),
)
"""The table of releases, as if nothing were known to be wrong with any: tests/checks/test_hazards.py is about
that."""

CA = self_signed("api-server").certificate
"""That of every API server."""

EC = KeySpec(KeyType.EC, 256)
MESH = Mesh(mesh_id="mesh1", version="1.26.0")
CHOICE = IstioChoice("1.26.0", "set by istio.version in mesh.yaml", "1.26.0")
IDS = {"kt": "kt-k2p", "ncloud": "ncloud-nks", "nhn": "nhn-nks"}
CLUSTERS = {
    context: Cluster(context, cluster_id, f"network{number}", ApiServer(f"https://{context}:6443"))
    for number, (context, cluster_id) in enumerate(IDS.items(), 1)
}
UNREACHABLE = Problem(
    code=Code.CLUSTER_UNREACHABLE,
    message="API server is not reachable",
    seen="connection refused",
    cluster="nhn",
)


# Test modules take their "now" when they are loaded: certificates of another moment, minutes later in a long
# run, would not be valid yet by then.
MADE = datetime.now(UTC)


def cluster_id_of(context: str) -> str:
    """Of the three clusters, and of any other that a test makes up: `cluster1` is called as its context."""
    return IDS.get(context) or (context if context.startswith("cluster") else f"{context}-k")


@cache
def _root(name: str) -> Authority:
    assert name
    return new_root(MADE, key=EC)


def root(name: str = "mesh") -> Authority:
    """A root; another name is another root."""
    return _root(name)


@cache
def _authority(context: str, root_name: str) -> Authority:
    return new_intermediate(root(root_name), cluster_id_of(context), MADE, key=EC)


def authority(context: str, root_name: str = "mesh") -> Authority:
    """A cluster's CA, its key included."""
    return _authority(context, root_name)


def ca_certs(context: str, root_name: str = "mesh") -> CaCerts:
    return CaCerts.from_authority(authority(context, root_name))


def root_fingerprint(name: str = "mesh") -> str:
    return fingerprint(root(name).certificate)


def deployment(
    name: str, app: str, env: dict[str, str] | None = None, labels: dict[str, str] | None = None
) -> dict[str, Any]:
    container = {"env": [{"name": key, "value": value} for key, value in (env or {}).items()]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "istio-system", "labels": {"app": app}, "generation": 1},
        "spec": {
            "replicas": 1,
            "template": {"metadata": {"labels": labels or {}}, "spec": {"containers": [container]}},
        },
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    }


def istiod_deployment(context: str, tag: str = "1.26.0") -> dict[str, Any]:
    made = deployment("istiod", "istiod", {"CLUSTER_ID": cluster_id_of(context)})
    made["spec"]["template"]["spec"]["containers"][0]["image"] = f"registry:5000/istio/pilot:{tag}"
    return made


def istiod_pod(tag: str = "1.26.0") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "istiod-1", "namespace": "istio-system", "labels": {"app": "istiod"}},
        "spec": {"containers": [{"image": f"registry:5000/istio/pilot:{tag}@sha256:{'0' * 64}"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def objects_of(context: str, clusters: Mapping[str, Cluster] = CLUSTERS) -> list[dict[str, Any]]:
    """What lives in a cluster of a mesh that works."""
    system = {"namespace": "istio-system"}
    return [
        documents.namespace(MESH, clusters[context], None),
        documents.cacerts(ca_certs(context).secret_data()),
        istiod_deployment(context),
        istiod_pod(),
        deployment(
            "istio-ingressgateway",
            "istio-ingressgateway",
            {"ISTIO_META_REQUESTED_NETWORK_VIEW": clusters[context].network},
            {"topology.istio.io/network": clusters[context].network},
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "istio-ingressgateway",
                **system,
                "labels": {"topology.istio.io/network": clusters[context].network},
            },
            "spec": {
                "externalIPs": [f"198.18.0.{21 + list(clusters).index(context)}"],
                "ports": [{"name": name, "port": port} for name, port, _ in GATEWAY_PORTS],
            },
        },
        documents.cross_network_gateway(),
        reader_token(),
        webhook("Mutating", "istio-sidecar-injector", ca_certs(context).root_cert),
        webhook("Validating", "istio-validator-istio-system", ca_certs(context).root_cert),
        *(
            documents.remote_secret(
                cluster.cluster_id,
                documents.remote_kubeconfig(cluster.cluster_id, cluster.api_server, "token", CA),
            )
            for name, cluster in clusters.items()
            if name != context
        ),
    ]


def reader_token() -> dict[str, Any]:
    """The Secret with the token that the others read a cluster with."""
    made = documents.reader_token_secret()
    made["metadata"]["creationTimestamp"] = MADE.isoformat()
    data = {"token": b"token", "ca.crt": CA}
    return {**made, "data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


def webhook(kind: str, name: str, roots: bytes) -> dict[str, Any]:
    """A configuration that has the API server call istiod, as istiod keeps it."""
    service = {"namespace": "istio-system", "name": "istiod", "path": "/"}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": name, "labels": {"istio.io/rev": "default"}},
        "webhooks": [
            {
                "name": f"{number}.{name}.istio.io",
                "clientConfig": {"service": service, "caBundle": base64.b64encode(roots).decode()},
            }
            for number in (1, 2)
        ],
    }


@cache
def _leaves(issuer: Authority) -> tuple[x509.Certificate, x509.Certificate]:
    return istiod_leaf(issuer, hours=10 * 365 * 24).certificate, workload_leaf(issuer).certificate


def serving(issuer: Authority, pod: str = "istiod-1") -> Serving:
    """What an istiod shows that signs with a CA."""
    return Serving(pod, _leaves(issuer)[0])


def proxy(
    issuer: Authority, *roots: Authority, pod: str = "sleep-1", namespace: str = "sample"
) -> ProxyTrust:
    """What a proxy holds whose certificate is of a CA; it trusts these roots, else that CA's."""
    trusted = tuple(one.certificate for one in roots) or (issuer.root,)
    chain = (_leaves(issuer)[1], *issuer.path)
    return ProxyTrust(namespace, pod, chain, trusted, f"deployment/{pod.rpartition('-')[0]}")


def way(context: str, *, ip: str = "") -> DataPath:
    """The way to a gateway that works, to a service with an injected pod."""
    ip = ip or f"198.18.0.{21 + list(CLUSTERS).index(context)}"
    service = Meshed("sample", "reviews", 9080, http=True)
    shown = Judged(Outcome.OK, f"{service}, certificate issued by {IDS[context]}.intermediate.istio.io")
    trace = Trace(
        ip,
        ip,
        mesh=Reach(15443, Outcome.OK),
        status=Reach(15021, Outcome.OK),
        health=Health(200),
        handshakes=(Handshake(service, Outcome.OK, leaf=b"der"),),
        answer=Answer(Outcome.OK, f"HTTP status 404 from {service}"),
        issuer=next(name for name in IDS if name != context),
    )
    return DataPath((trace,), (shown,))


ENDPOINTS = {("sample", "reviews"): 3, ("shop", "cart"): 2}
"""Services that every cluster has, and their endpoints in each."""


def endpoints(context: str) -> dict[tuple[str, str], frozenset[str]]:
    """The addresses of a cluster's endpoints."""
    number = list(CLUSTERS).index(context) + 1
    return {
        key: frozenset(f"10.20{number}.{place}.{last}" for last in range(count))
        for place, (key, count) in enumerate(ENDPOINTS.items())
    }


def view(pod: str = "istiod-1") -> IstiodView:
    """What an istiod has that lacks nothing."""
    gateways = tuple(
        NetworkGateway(cluster.network, f"198.18.0.{21 + number}", 15443)
        for number, cluster in enumerate(CLUSTERS.values())
    )
    return IstiodView(pod, gateways, {IDS[context]: endpoints(context) for context in CLUSTERS})


def discovery(context: str) -> Discovery:
    """What the one istiod of a cluster has, beside what the cluster has."""
    return Discovery({"istiod-1": view()}, endpoints(context))


@dataclass
class World:
    """The facts of a mesh that works, open to change."""

    objects: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {context: copy.deepcopy(objects_of(context)) for context in CLUSTERS}
    )
    seen: dict[str, dict[str, tuple[RemoteCluster, ...]]] = field(
        default_factory=lambda: {
            context: {
                "istiod-1": tuple(
                    RemoteCluster("istiod-1", other, f"istio-system/istio-remote-secret-{other}", "synced")
                    for name, other in IDS.items()
                    if name != context
                )
            }
            for context in CLUSTERS
        }
    )
    unreachable: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    access_results: dict[str, AccessResult] = field(default_factory=dict)
    identity_faults: tuple[Problem, ...] = ()
    drift: dict[str, Drift] = field(default_factory=dict)
    unseen: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    ways: dict[str, DataPath] = field(default_factory=lambda: {context: way(context) for context in CLUSTERS})
    serving: dict[str, tuple[Serving, ...]] = field(
        default_factory=lambda: {context: (serving(authority(context)),) for context in CLUSTERS}
    )
    proxies: dict[str, ProxiesHold] = field(
        default_factory=lambda: {
            context: ProxiesHold((proxy(authority(context)),), {}, 1) for context in CLUSTERS
        }
    )
    distributed_roots: dict[str, DistributedRoots] = field(
        default_factory=lambda: {
            context: DistributedRoots(
                dict.fromkeys(("sample", "default"), ca_certs(context).root_cert.decode())
            )
            for context in CLUSTERS
        }
    )
    discovery: dict[str, Discovery] = field(
        default_factory=lambda: {context: discovery(context) for context in CLUSTERS}
    )
    now: datetime | None = None
    releases: ReleaseTable = HARMLESS
    ahead_s: dict[str, float | None] = field(default_factory=dict)
    failures: dict[Observation, dict[str, tuple[Problem, ...]]] = field(default_factory=dict)

    def find(self, context: str, kind: str, name: str) -> dict[str, Any]:
        return next(
            item for item in self.objects[context] if (item["kind"], item["metadata"]["name"]) == (kind, name)
        )

    def remove(self, context: str, kind: str, name: str) -> None:
        self.objects[context].remove(self.find(context, kind, name))

    def silence(self, context: str) -> None:
        """The cluster does not answer."""
        self.unreachable[context] = (replace(UNREACHABLE, cluster=context),)
        read: tuple[dict[str, Any], ...] = (
            self.objects,
            self.seen,
            self.ways,
            self.serving,
            self.proxies,
            self.distributed_roots,
            self.discovery,
        )
        for found in read:
            del found[context]

    def status(self, context: str, peer: str, status: str, pod: str = "istiod-1") -> None:
        """What an istiod says of a peer; `absent`: nothing."""
        rows = [row for row in self.seen[context].get(pod, ()) if row.cluster_id != IDS[peer]]
        if status != "absent":
            rows.append(RemoteCluster(pod, IDS[peer], "s", status))
        self.seen[context][pod] = tuple(rows)

    def facts(self) -> Facts:
        remotes = {
            context: remote_secrets_in([item for item in items if item["kind"] == "Secret"])
            for context, items in self.objects.items()
        }
        return Facts(
            remotes=remotes,
            peers={
                context: {
                    remote.access: self.access_results.get(context, AccessResult(Reading.OK))
                    for held in remotes.values()
                    for remote in held
                    if remote.cluster_id == cluster_id and remote.access
                }
                for context, cluster_id in IDS.items()
            },
            identity_faults=self.identity_faults,
            drift={context: self.drift.get(context, Drift()) for context in self.objects},
            mesh=MESH,
            clusters=CLUSTERS,
            observed={
                context: Observed(
                    "v1.32.3",
                    {ref_of(item): item for item in items},
                    gateway_api=True,
                    ahead_s=self.ahead_s.get(context, 0.0),
                )
                for context, items in self.objects.items()
            },
            unreachable=self.unreachable,
            releases=self.releases,
            seen=self.seen,
            data_path=self.ways,
            serving=self.serving,
            proxies=self.proxies,
            distributed_roots=self.distributed_roots,
            discovery=self.discovery,
            now=self.now,
            failures={Observation.CLUSTERZ: self.unseen, **self.failures},
        )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
