"""What a cluster's CA, istiod and proxies really hold, as certificates: no file says so, they do."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from istio_mc.domain import jsontext
from istio_mc.domain.hint import Advice, Hint, in_order, kubectl
from istio_mc.domain.kube.objects import environment, labels_of
from istio_mc.domain.pki.pem import NamedPem, load_certificates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cryptography import x509

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.problem import Problem

    Certificates = tuple[x509.Certificate, ...]

ROOT_CONFIG_MAP = "istio-ca-root-cert"
"""The ConfigMap in which istiod gives every namespace the roots it trusts (Istio 1.26.0,
pilot/pkg/serviceregistry/kube/controller/namespacecontroller.go)."""

_ROOT_CONFIG_MAP_VARIABLE = "PILOT_CA_CERT_CONFIGMAP"
"""Variable of istiod that names another; since 1.27 its chart sets it from `global.trustBundleName`."""

_LEAF, _ROOTS = "default", "ROOTCA"


@dataclass(frozen=True, slots=True)
class Serving:
    """What one istiod shows to whoever connects to it."""

    pod: str
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class ProxyTrust:
    """What one proxy holds; its private key is never read.

    Attributes:
        chain: Its own certificate, and what it sends along with it; none where it has none yet.
        workload: What runs it, as `kubectl rollout restart` takes it (`deployment/sleep`); empty where it
            is nothing that can be restarted so.
    """

    namespace: str
    pod: str
    chain: Certificates
    roots: Certificates
    workload: str = ""

    @property
    def name(self) -> str:
        """`namespace/pod`."""
        return f"{self.namespace}/{self.pod}"


@dataclass(frozen=True, slots=True)
class ProxiesHold:
    """What the proxies of a cluster hold, as far as they were asked.

    Attributes:
        silent: Those that were asked and did not, as `namespace/pod`, and why.
    """

    proxies: tuple[ProxyTrust, ...]
    silent: Mapping[str, Problem]
    running: int

    @property
    def queried(self) -> int:
        """How many were asked."""
        return len(self.proxies) + len(self.silent)

    @property
    def coverage(self) -> str:
        """How many were read, in words: `20 of 310 proxies read`."""
        silent = f", {len(self.silent)} without a response" if self.silent else ""
        return f"{self.queried} of {self.running} proxies read{silent}"


@dataclass(frozen=True, slots=True)
class DistributedRoots:
    """The roots that istiod gave out to namespaces."""

    bundles: Mapping[str, str] = field(repr=False)
    config_map: str = ROOT_CONFIG_MAP

    def by_bundle(self) -> dict[str, list[str]]:
        """The namespaces that have each text: where all is well, one."""
        namespaces: dict[str, list[str]] = {}
        for namespace, bundle in self.bundles.items():
            namespaces.setdefault(bundle, []).append(namespace)
        return namespaces


def root_config_map(istiod: Object | None) -> str:
    """The name of the ConfigMap in which an istiod, by its Deployment, gives namespaces the roots."""
    return environment(istiod).get(_ROOT_CONFIG_MAP_VARIABLE) or ROOT_CONFIG_MAP


_BULK = frozenset({"env", "envFrom", "volumeMounts", "args", "command", "livenessProbe", "readinessProbe"})


def abridged(pod: Object) -> Object:
    """A pod without what no check looks at: with a sidecar that is most of it, some 7 kB of each."""
    metadata = {key: value for key, value in pod["metadata"].items() if key != "managedFields"}
    spec = {key: value for key, value in pod.get("spec", {}).items() if key != "volumes"}
    for containers in ("containers", "initContainers"):
        if entries := spec.get(containers):
            kept = [{key: value for key, value in one.items() if key not in _BULK} for one in entries]
            spec[containers] = kept
    return {**pod, "metadata": metadata, "spec": spec}


def oldest(pods: Iterable[Object], most: int) -> list[Object]:
    """The oldest pods, at most so many: who runs longest is likeliest to hold what others no longer do."""
    return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""))[:most]


def gateway_pods(pods: Iterable[Object], app: str) -> list[Object]:
    """The running pods of a gateway, by the label `app`; those on their way out do not count."""
    return [
        pod
        for pod in pods
        if labels_of(pod).get("app") == app
        and pod.get("status", {}).get("phase") == "Running"
        and not pod["metadata"].get("deletionTimestamp")
    ]


def ready(pods: Iterable[Object]) -> list[Object]:
    """The pods that are ready; one whose container ends again and again runs too, but does not answer."""
    return [
        pod
        for pod in pods
        if any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in pod.get("status", {}).get("conditions") or []
        )
    ]


def workload_of(pod: Object) -> str:
    """What runs a pod, as `kubectl rollout restart` takes it: `deployment/sleep`; empty where nothing does.

    A Deployment is known by its ReplicaSet, which it names after itself and the hash that it also puts on
    the pods (kubernetes' pkg/controller/deployment/sync.go, 1.32).
    """
    for owner in pod["metadata"].get("ownerReferences") or []:
        kind, name = owner["kind"], owner["name"]
        if kind in ("StatefulSet", "DaemonSet"):
            return f"{kind.lower()}/{name}"
        hashed = labels_of(pod).get("pod-template-hash")
        if kind == "ReplicaSet" and hashed and name.endswith(f"-{hashed}"):
            return f"deployment/{name.removesuffix(f'-{hashed}')}"
    return ""


def restart_command(context: str, proxies: Iterable[ProxyTrust]) -> Hint:
    """What restarts the workloads of proxies; for a person where one cannot be restarted so."""
    restarts: dict[str, dict[str, None]] = {}
    alone: list[str] = []
    for proxy in proxies:
        if proxy.workload:
            restarts.setdefault(proxy.namespace, {})[proxy.workload] = None
        else:
            alone.append(proxy.name)
    together = in_order(
        kubectl(context, "-n", namespace, "rollout", "restart", *names)
        for namespace, names in restarts.items()
    )
    if together and not alone:
        return together
    advice = f"create these Pods again: {', '.join(alone)}"
    return Advice(advice, "; then ", together) if together else Advice(advice)


def proxy_trust(pod: Object, dump: bytes) -> ProxyTrust:
    """Reads a proxy's `/config_dump?resource=dynamic_active_secrets`.

    Envoy itself leaves out private keys ("[redacted]"), and nothing but certificates is taken from it. A
    proxy that serves nothing yet has neither certificate nor roots.

    Raises:
        ValueError: It is no such dump.
    """
    chain: Certificates = ()
    roots: Certificates = ()
    for name, secret in _secrets(dump):
        if name == _LEAF:
            chain = _certificates(name, (secret.get("tls_certificate") or {}).get("certificate_chain"))
        elif name == _ROOTS:
            roots = _certificates(name, (secret.get("validation_context") or {}).get("trusted_ca"))
    metadata = pod["metadata"]
    return ProxyTrust(metadata["namespace"], metadata["name"], chain, roots, workload_of(pod))


def _secrets(dump: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    document = jsontext.load(dump)
    if not isinstance(document, dict) or not isinstance(document.get("configs", []), list):
        raise ValueError("no configs")  # noqa: TRY004 - told apart by nobody
    for entry in document.get("configs", []):
        if not isinstance(entry, dict) or not isinstance(entry.get("secret"), dict):
            raise ValueError("no secret")  # noqa: TRY004 - told apart by nobody
        yield str(entry.get("name")), entry["secret"]


def _certificates(name: str, source: object) -> Certificates:
    """The certificates of an Envoy DataSource: PEM, as text or in base64."""
    if not isinstance(source, dict):
        return ()
    if text := source.get("inline_string"):
        data = str(text).encode()
    else:
        try:
            data = base64.b64decode(str(source.get("inline_bytes") or ""), validate=True)
        except binascii.Error as error:
            raise ValueError(name) from error
    return load_certificates(NamedPem(name, data)) if data else ()
