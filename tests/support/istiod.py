"""istiod in a stand-in cluster: what it writes, which CA it signs with, whom it sees, what it admits."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import socket
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from istio_mc.domain.pki.certificates import Authority, KeySpec, KeyType, new_root
from istio_mc.domain.pki.pem import PrivateKey, dump_certificates, dump_key
from tests.support import controllers, refusals, rights, selectors
from tests.support.store import By

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import Cluster
    from tests.support.kinds import Object, Served

SYSTEM = "istio-system"
ROOTS = "istio-ca-root-cert"
_REVOKED = "istio-ca-crl"
_REVOKED_SINCE = 27
_FOLDER = "PILOT_MULTICLUSTER_KUBECONFIG_PATH"
_FOLDER_SINCE = 30
PILOT = By("pilot-discovery")
_MULTI_CLUSTER = "istio/multiCluster"
_NETWORK = "topology.istio.io/network"
_WITHOUT_ROOTS = frozenset({"kube-public", "kube-node-lease", "local-path-storage"})
_GATEWAY_LEADER = "istio-gateway-status-leader"
_NO_GATEWAY_LEADER_SINCE = 31
"""istiod 1.26.0 has it, 1.31.0 has not (seen on the lab)."""
_LEADERS = (
    "istio-leader",
    "istio-namespace-controller-election",
    _GATEWAY_LEADER,
    "istio-ip-autoallocate",
)
_LEASE = "istio-gateway-deployment-default"
_CLASSES = {"istio": "istio.io/gateway-controller", "istio-remote": "istio.io/unmanaged-gateway"}
_REFUSED = frozenset(
    {"exec", "auth-provider", "authProvider", "tokenFile", "client-certificate", "client-key"}
)


class Remote(NamedTuple):
    """A cluster that an istiod learnt of from a remote secret.

    Attributes:
        secret: The Secret's name; of a kubeconfig in a file the cluster ID.
        digest: Of the kubeconfig it was opened with.
        status: As clusterz has it.
        namespace: The Secret's; of a kubeconfig in a file none.
        server: The API server that the kubeconfig names.
    """

    secret: str
    digest: str
    status: str
    namespace: str = SYSTEM
    server: str = ""

    @property
    def key(self) -> str:
        """As clusterz names it."""
        return f"{self.namespace}/{self.secret}"


@dataclass
class Istiod:
    """One running istiod.

    Attributes:
        pod: Its pod, as it was when it started.
        issuer: The CA it signs with.
        self_signed: Whether it made that CA itself, for want of a Secret cacerts.
        remotes: The clusters it learnt of, by cluster ID.
        blind: IDs of clusters of which it has no endpoints and no gateway, though it says `synced`.
        stale: What it has instead of a cluster's gateway addresses, by cluster ID.
        roots: Those that it distributes; none: that of its CA.
    """

    pod: Object
    issuer: Authority
    self_signed: bool
    remotes: dict[str, Remote] = field(default_factory=dict)
    blind: set[str] = field(default_factory=set)
    stale: dict[str, list[str]] = field(default_factory=dict)
    roots: tuple[x509.Certificate, ...] = ()

    @property
    def env(self) -> dict[str, str]:
        """What its container was given."""
        (container,) = self.pod["spec"]["containers"]
        return {one["name"]: one.get("value", "") for one in container.get("env") or []}

    @property
    def revision(self) -> str:
        """Its revision."""
        return self.env.get("REVISION") or "default"

    @property
    def tag(self) -> str:
        """The tag of its image."""
        (container,) = self.pod["spec"]["containers"]
        return str(container["image"]).rpartition(":")[2]

    @property
    def minor(self) -> int:
        """The minor version of its image; 0 where the tag is none of Istio's."""
        (container,) = self.pod["spec"]["containers"]
        found = re.search(r":1\.(\d+)\.", container["image"])
        return int(found[1]) if found else 0

    @property
    def cluster_id(self) -> str:
        """The ID of its own cluster."""
        return self.env.get("CLUSTER_ID") or "Kubernetes"


class Istiods:
    """The control planes of one cluster.

    Attributes:
        born_blind: IDs of clusters that istiods which start from now on lack, as `Istiod.blind`.
        held: The roots of each proxy, and the CA of its certificate, by the UID of its pod.
        keeps: What the names of pods begin with whose proxies keep what they have.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._running: dict[str, Istiod] = {}
        self.born_blind: set[str] = set()
        self.held: dict[str, tuple[bytes, Authority]] = {}
        self.keeps: set[str] = set()

    def state(self) -> dict[str, Istiod]:
        """Those that run now, as they are."""
        return {uid: _copied(one) for uid, one in self._running.items()}

    def restore(self, state: dict[str, Istiod]) -> None:
        """Has those run that ran then; new ones see every cluster again."""
        self._running = {uid: _copied(one) for uid, one in state.items()}
        self.born_blind = set()
        self.held, self.keeps = {}, set()

    def roots(self, one: Istiod) -> list[x509.Certificate]:
        """The roots that an istiod distributes: those of its CA's Secret, once it has taken that up."""
        return list(one.roots) or [one.issuer.root]

    def proxy(self, pod: Object) -> tuple[list[x509.Certificate], Authority]:
        """The roots that a proxy trusts, and the CA of its certificate.

        It renews that when the bytes of the roots change, and not when the CA alone does.
        """
        one, name = self.running()[0], pod["metadata"]["name"]
        bundle = dump_certificates(self.roots(one))
        uid = pod["metadata"]["uid"]
        held = self.held.get(uid)
        if held is None or (held[0] != bundle and not any(name.startswith(each) for each in self.keeps)):
            held = self.held[uid] = (bundle, one.issuer)
        return x509.load_pem_x509_certificates(held[0]), held[1]

    def running(self) -> list[Istiod]:
        """Those that run and are ready."""
        return list(self._running.values())

    def of(self, pod: str) -> Istiod | None:
        """The one in a pod."""
        return next((one for one in self.running() if one.pod["metadata"]["name"] == pod), None)

    def update(self) -> None:
        """Starts and ends them with their pods."""
        pods = {
            pod["metadata"]["uid"]: pod
            for pod in self._cluster.store.of("Pod")
            if (pod["metadata"].get("labels") or {}).get("app") == "istiod"
            and controllers.is_ready(pod)
            and "deletionTimestamp" not in pod["metadata"]
        }
        for gone in self._running.keys() - pods.keys():
            del self._running[gone]
        for uid, pod in pods.items():
            if uid not in self._running:
                given = _given(self._cluster)
                one = Istiod(pod, given or self._own(), given is None)
                one.blind |= self.born_blind
                if given:
                    one.roots = _given_roots(self._cluster)
                self._running[uid] = one

    def _own(self) -> Authority:
        """The CA that an istiod makes itself, and keeps in a Secret."""
        made = _self_signed(self._cluster.name)
        if not self._cluster.has("Secret", "istio-ca-secret", SYSTEM):
            data = {
                "ca-cert.pem": dump_certificates([made.certificate]),
                "ca-key.pem": dump_key(made.key),
            }
            self._cluster.make(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": "istio-ca-secret", "namespace": SYSTEM},
                    "type": "istio.io/ca-root",
                    "data": {key: base64.b64encode(pem).decode() for key, pem in data.items()},
                },
                PILOT,
            )
        return made

    def reload(self, one: Istiod) -> None:
        """Takes another CA up while it runs: one of the same root, or of any where it may have several."""
        given = _given(self._cluster)
        if given is None or one.self_signed:
            return
        same = given.root == one.issuer.root
        if same or one.env.get("ISTIO_MULTIROOT_MESH") == "true":
            one.issuer, one.roots = given, _given_roots(self._cluster)

    def admit(self, served: Served, item: Object) -> None:
        """Has the validating webhooks look at a resource of Istio's; refuses where one cannot be asked.

        What they would say of it is not known here: they let it through.

        Raises:
            Refused: A webhook that must be asked has nobody behind it.
        """
        if not served.custom or not served.group.endswith(".istio.io"):
            return
        labels = item["metadata"].get("labels") or {}
        for configuration in self._cluster.store.of("ValidatingWebhookConfiguration"):
            for webhook in configuration.get("webhooks") or []:
                groups = [group for rule in webhook.get("rules") or [] for group in rule["apiGroups"]]
                if (
                    served.group in groups
                    and webhook.get("failurePolicy", "Fail") == "Fail"
                    and selectors.by_object(webhook.get("objectSelector"), labels)
                ):
                    self._call_webhook(webhook)

    def _call_webhook(self, webhook: Object) -> None:
        service = webhook["clientConfig"]["service"]
        name = service["name"]
        there = self._cluster.store.find("Service", name, service["namespace"])
        desired = ((there or {}).get("spec") or {}).get("selector") or {}
        behind = any(
            desired.items() <= (one.pod["metadata"].get("labels") or {}).items() for one in self.running()
        )
        if there and behind:
            return
        why = f'no endpoints available for service "{name}"' if there else f'service "{name}" not found'
        url = f"https://{name}.{service['namespace']}.svc:443{service.get('path', '')}?timeout=10s"
        raise refusals.internal(
            f'failed calling webhook "{webhook["name"]}": failed to call webhook: Post "{url}": {why}'
        )

    def clusterz(self, one: Istiod) -> list[Object]:
        """What an istiod answers to `/debug/clusterz`: its own cluster has no secret."""
        with self._cluster.store.lock:
            look_at_remotes(self._cluster, one)
            own = {"id": one.cluster_id, "secretName": "", "syncStatus": "synced"}
            return [
                own,
                *(
                    {"id": name, "secretName": remote.key, "syncStatus": remote.status}
                    for name, remote in sorted(one.remotes.items())
                ),
            ]


def _copied(one: Istiod) -> Istiod:
    return replace(one, remotes=dict(one.remotes), blind=set(one.blind), stale=dict(one.stale))


def seen_clusters(cluster: Cluster, one: Istiod) -> dict[str, Cluster]:
    """The clusters whose objects an istiod has, its own included, by the ID it knows them by."""
    with cluster.store.lock:
        look_at_remotes(cluster, one)
        synced = {name: remote for name, remote in one.remotes.items() if remote.status == "synced"}
    found = {one.cluster_id: cluster}
    for name in synced.keys() - one.blind:
        if (other := cluster.mesh.at(synced[name].server)) is not None:
            found[name] = other
    return found


def networkz(cluster: Cluster, one: Istiod) -> list[Object]:
    """What an istiod answers to `/debug/networkz`: the addresses that gateways' names resolve to."""
    found = []
    for name, other in seen_clusters(cluster, one).items():
        for service in other.store.of("Service"):
            network = (service["metadata"].get("labels") or {}).get(_NETWORK)
            if not network:
                continue
            ingress = (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or []
            given = [entry.get("ip") or entry["hostname"] for entry in ingress]
            given += service["spec"].get("externalIPs") or []
            found += [
                _network_gateway(network, name, address)
                for address in one.stale.get(name, dict.fromkeys(_resolved(entry) for entry in given))
            ]
    for gateway in cluster.store.of("Gateway", SYSTEM, "gateway.networking.k8s.io"):
        network = (gateway["metadata"].get("labels") or {}).get(_NETWORK)
        if network and gateway["spec"].get("gatewayClassName") == "istio-remote":
            found += [
                _network_gateway(network, one.cluster_id, _resolved(entry["value"]))
                for entry in gateway["spec"].get("addresses") or []
            ]
    return found


def _network_gateway(network: str, cluster_id: str, address: str) -> Object:
    no_service = {"Namespace": "", "Name": ""}
    where = {"Network": network, "Cluster": cluster_id, "Addr": address, "Port": 15443}
    return {**where, "HBONEPort": 0, "ServiceAccount": no_service}


def _resolved(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return socket.inet_ntoa(socket.inet_aton(name)) if name[:1].isdigit() else "192.0.2.1"


def endpoint_shards(cluster: Cluster, one: Istiod) -> Object:
    """What an istiod answers to `/debug/endpointShardz`."""
    found: Object = {}
    for name, other in seen_clusters(cluster, one).items():
        (node,) = other.store.of("Node")
        region = (node["metadata"].get("labels") or {}).get("topology.kubernetes.io/region", "")
        locality = {"Label": f"{region}/a" if region else "", "ClusterID": name}
        for item in other.store.of("EndpointSlice"):
            namespace = item["metadata"]["namespace"]
            service = item["metadata"]["labels"]["kubernetes.io/service-name"]
            host = f"{service}.{namespace}.svc.cluster.local"
            shards = found.setdefault(host, {}).setdefault(namespace, {"Shards": {}, "ServiceAccounts": {}})
            shards["Shards"].setdefault(f"Kubernetes/{name}", []).extend(
                {
                    "Addresses": entry["addresses"],
                    "ServicePortName": "http",
                    "Locality": locality,
                    "HealthStatus": 1,
                }
                for entry in item.get("endpoints") or []
            )
    return found


def envoy_clusters(cluster: Cluster, pod: Object) -> str:
    """What the proxy of a pod answers to `/clusters`: a sidecar's clusters, or a gateway's for SNI."""
    one = cluster.istiods.running()[0]
    is_gateway = (pod["metadata"].get("labels") or {}).get("istio") == "ingressgateway"
    seen = {one.cluster_id: cluster} if is_gateway else seen_clusters(cluster, one)
    lines = []
    services = {
        (service["metadata"]["namespace"], service["metadata"]["name"]): service
        for other in reversed([cluster, *seen.values()])
        for service in other.store.of("Service")
    }
    for (namespace, name), service in services.items():
        for entry in service["spec"].get("ports") or []:
            host, port = f"{name}.{namespace}.svc.cluster.local", entry["port"]
            of = f"outbound_.{port}_._.{host}" if is_gateway else f"outbound|{port}||{host}"
            lines.append(f"{of}::default_priority::max_connections::4294967295")
            for cluster_id, other in seen.items():
                meshed = is_gateway or other is not cluster
                addresses = _pod_addresses(other, namespace, name, meshed=meshed)
                if addresses and other is not cluster:
                    rows = [row for row in networkz(cluster, one) if row["Cluster"] == cluster_id]
                    addresses = [f"{row['Addr']}:{row['Port']}" for row in rows]
                lines += [f"{of}::{address}::health_flags::healthy" for address in addresses]
    return "\n".join(lines) + "\n"


def _pod_addresses(cluster: Cluster, namespace: str, name: str, *, meshed: bool) -> list[str]:
    service = cluster.store.find("Service", name, namespace)
    selector = ((service or {}).get("spec") or {}).get("selector")
    desired = {**(selector or {}), **({"security.istio.io/tlsMode": "istio"} if meshed else {})}
    return [
        f"{pod['status']['podIP']}:9080"
        for pod in cluster.store.of("Pod", namespace)
        if selector
        and controllers.is_ready(pod)
        and selectors.by_object({"matchLabels": desired}, pod["metadata"].get("labels") or {})
    ]


@cache
def _self_signed(name: str) -> Authority:
    assert name
    return new_root(datetime.now(UTC), key=KeySpec(KeyType.EC, 256))


def _given(cluster: Cluster) -> Authority | None:
    """The CA in the Secret cacerts; None where there is none that istiod can use."""
    secret = cluster.store.find("Secret", "cacerts", SYSTEM)
    data = (secret or {}).get("data") or {}
    return _authority(tuple(sorted(data.items())))


def _given_roots(cluster: Cluster) -> tuple[x509.Certificate, ...]:
    """The roots in the Secret cacerts."""
    data = (cluster.store.find("Secret", "cacerts", SYSTEM) or {}).get("data") or {}
    pem = base64.b64decode(data.get("root-cert.pem", ""))
    return tuple(x509.load_pem_x509_certificates(pem)) if pem else ()


@cache
def _authority(data: tuple[tuple[str, str], ...]) -> Authority | None:
    try:
        pem = {name: base64.b64decode(value) for name, value in data}
        certificate = x509.load_pem_x509_certificates(pem["ca-cert.pem"])[0]
        key = load_pem_private_key(pem["ca-key.pem"], None)
        roots = x509.load_pem_x509_certificates(pem["root-cert.pem"])
        between = x509.load_pem_x509_certificates(pem["cert-chain.pem"])
        if not isinstance(key, PrivateKey) or key.public_key() != certificate.public_key():
            return None
        chain = _led(certificate, [*between, *roots])
    except (KeyError, ValueError, TypeError):
        return None
    return Authority(certificate, key, tuple(chain)) if chain and chain[-1] in roots else None


def _led(certificate: x509.Certificate, others: list[x509.Certificate]) -> list[x509.Certificate]:
    """The certificates above one, up to one that signed itself."""
    chain: list[x509.Certificate] = []
    while certificate.subject != certificate.issuer:
        above = next((one for one in others if _issued(certificate, one)), None)
        if above is None or above in chain:
            return []
        chain.append(above)
        certificate = above
    return chain


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def istiods(cluster: Cluster) -> None:
    """What running istiods do, a moment after something was written."""
    cluster.istiods.update()
    for one in cluster.istiods.running():
        cluster.istiods.reload(one)
        _fill_webhooks(cluster, one)
        look_at_remotes(cluster, one)
    if running := cluster.istiods.running():
        _lead(cluster, running[0])
        roots = running[0].env.get("PILOT_CA_CERT_CONFIGMAP") or ROOTS
        bundle = dump_certificates(cluster.istiods.roots(running[0])).decode()
        _give_out(cluster, roots, {"root-cert.pem": bundle})
        if running[0].minor >= _REVOKED_SINCE:
            _give_out(cluster, _REVOKED, {"ca-crl.pem": ""})
        _classes(cluster)


def _fill_webhooks(cluster: Cluster, one: Istiod) -> None:
    bundle = base64.b64encode(dump_certificates(cluster.istiods.roots(one))).decode()
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for item in cluster.store.of(kind):
            if (item["metadata"].get("labels") or {}).get("istio.io/rev") != one.revision:
                continue
            desired = {"failurePolicy": "Fail"} if kind.startswith("Validating") else {}
            if all(
                hook["clientConfig"].get("caBundle") == bundle and desired.items() <= hook.items()
                for hook in item["webhooks"]
            ):
                continue

            def fill(copy: Object, desired: Object = desired) -> None:
                for hook in copy["webhooks"]:
                    hook["clientConfig"]["caBundle"] = bundle
                    hook.update(desired)

            cluster.edit(item, fill, PILOT)


def _lead(cluster: Cluster, one: Istiod) -> None:
    of_it = {*_LEADERS} - ({_GATEWAY_LEADER} if one.minor >= _NO_GATEWAY_LEADER_SINCE else set())
    for name in sorted(of_it):
        if not cluster.has("ConfigMap", name, SYSTEM) and _is_open(cluster, SYSTEM):
            leader = {"control-plane.alpha.kubernetes.io/leader": '{"holderIdentity":"istiod"}'}
            metadata = {"name": name, "namespace": SYSTEM, "annotations": leader}
            cluster.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, PILOT)
    if not cluster.has("Lease", _LEASE, SYSTEM) and _is_open(cluster, SYSTEM):
        metadata = {"name": _LEASE, "namespace": SYSTEM}
        cluster.make({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}, PILOT)


def _is_open(cluster: Cluster, namespace: str) -> bool:
    found = cluster.store.find("Namespace", namespace)
    return found is not None and "deletionTimestamp" not in found["metadata"]


def _give_out(cluster: Cluster, name: str, data: dict[str, str]) -> None:
    for namespace in cluster.names("Namespace"):
        if namespace in _WITHOUT_ROOTS or not _is_open(cluster, namespace):
            continue
        there = cluster.store.find("ConfigMap", name, namespace)
        if there is None:
            metadata = {"name": name, "namespace": namespace, "labels": {"istio.io/config": "true"}}
            document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            cluster.make(document, PILOT)
        elif there.get("data") != data:
            cluster.edit(there, lambda copy: copy.update(data=data), PILOT)


def _classes(cluster: Cluster) -> None:
    if ("gateway.networking.k8s.io", "gatewayclasses") not in cluster.store.kinds:
        return
    for name, controller in _CLASSES.items():
        if not cluster.has("GatewayClass", name):
            kind = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass"}
            cluster.make({**kind, "metadata": {"name": name}, "spec": {"controllerName": controller}}, PILOT)


def look_at_remotes(cluster: Cluster, one: Istiod) -> None:
    """Follows the remote secrets, as istiod 1.26.0 does.

    What is synced stays so until its Secret changes; what was closed stays closed until its Secret goes.
    """
    there: dict[str, dict[str, str]] = {}
    namespace = SYSTEM
    if (folder := one.env.get(_FOLDER)) and one.minor >= _FOLDER_SINCE:
        namespace = ""
        there = {name: {name: value} for name, value in _files(cluster, one, folder)}
    for secret in cluster.store.of("Secret", SYSTEM) if namespace else ():
        if (secret["metadata"].get("labels") or {}).get(_MULTI_CLUSTER) == "true":
            for cluster_id, value in (secret.get("data") or {}).items():
                there.setdefault(cluster_id, {})[secret["metadata"]["name"]] = value
    for gone in [name for name, remote in one.remotes.items() if remote.secret not in there.get(name, {})]:
        del one.remotes[gone]
    for cluster_id, secrets in there.items():
        if cluster_id == one.cluster_id:
            continue
        known = one.remotes.get(cluster_id)
        name = known.secret if known else next(iter(secrets))  # another Secret of the same ID is ignored
        digest = hashlib.sha256(secrets[name].encode()).hexdigest()
        if known and (known.status == "closed" or (known.status, known.digest) == ("synced", digest)):
            continue
        status = _opened(cluster, secrets[name])
        one.remotes[cluster_id] = Remote(name, digest, status, namespace, _server(secrets[name]))


def _files(cluster: Cluster, one: Istiod, folder: str) -> Iterator[tuple[str, str]]:
    """The kubeconfigs in a folder of an istiod, in base64, by the cluster ID that istiod takes from them."""
    spec = one.pod["spec"]
    (container,) = spec["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for volume in spec["volumes"]:
        if mounted.get(volume["name"]) == folder:
            secret = cluster.store.find("Secret", volume["secret"]["secretName"], SYSTEM)
            for name, value in ((secret or {}).get("data") or {}).items():
                if name.endswith((".yaml", ".yml")):
                    read = yaml.safe_load(base64.b64decode(value))
                    contexts = {entry["name"]: entry["context"]["cluster"] for entry in read["contexts"]}
                    yield contexts[read["current-context"]], value


def _server(value: str) -> str:
    """The API server of a kubeconfig in base64; nothing where it cannot be read."""
    try:
        return str(yaml.safe_load(base64.b64decode(value))["clusters"][0]["cluster"]["server"])
    except (ValueError, KeyError, IndexError, TypeError, yaml.YAMLError):
        return ""


def _opened(cluster: Cluster, value: str) -> str:
    """What becomes of a cluster that a remote secret names: `synced`, `timeout` or `closed`."""
    try:
        kubeconfig = yaml.safe_load(base64.b64decode(value))
        entry = kubeconfig["clusters"][0]["cluster"]
        user = kubeconfig["users"][0]["user"]
        bundle = base64.b64decode(entry.get("certificate-authority-data") or "")
        if _REFUSED & user.keys() or "certificate-authority" in entry:
            return "closed"
        certificates = x509.load_pem_x509_certificates(bundle) if bundle else []
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, yaml.YAMLError):
        return "closed"
    target = cluster.mesh.at(str(entry.get("server")))
    if target is None or target.faults.unreachable:
        return "timeout"
    shown = x509.load_pem_x509_certificate(target.ca_certificate)
    if not entry.get("insecure-skip-tls-verify") and shown not in certificates:
        return "timeout"
    account = target.tokens.get(str(user.get("token")))
    if account is None:
        return "timeout"
    may = rights.allowed(target, rights.account(*account), rights.Action("list", "", "pods"))
    return "synced" if may else "timeout"


def proxies(cluster: Cluster) -> Iterator[Object]:
    """The pods with a proxy that are ready: gateways, and those with a sidecar."""
    for pod in cluster.store.of("Pod"):
        if controllers.is_ready(pod) and controllers.has_proxy(pod):
            yield pod
