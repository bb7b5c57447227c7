"""What istiod, its pods and its gateway's Service report, and what it reads of the cluster. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from istio_mc.domain.istio.choice import istiod_version
from istio_mc.domain.istio.releases import minor_of
from istio_mc.domain.kube.objects import environment, labels_of
from istio_mc.domain.pki.cacerts import CA_KEY, CERT_CHAIN, FILES, TLS_CERT, TLS_FILES, TLS_KEY
from istio_mc.domain.pki.pem import NamedPem, common_name, load_certificates
from istio_mc.domain.pki.pem_blocks import blocks_of_go
from istio_mc.domain.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed


@dataclass(frozen=True, slots=True)
class RemoteCluster:
    """One row of an istiod's `/debug/clusterz`.

    Attributes:
        secret: The remote secret it knows it by, as namespace/name; empty for its own cluster.
        status: `synced`, `syncing`, `timeout` or `closed`; `synced` means the initial sync only.
    """

    pod: str
    cluster_id: str
    secret: str
    status: str


def gateway_addresses(service: Object | None) -> tuple[str, ...]:
    """The addresses the other clusters' istiods take for a gateway Service.

    LoadBalancer IPs or hostnames, and `spec.externalIPs`
    (pilot/pkg/serviceregistry/kube/conversion.go, Istio 1.26.0).
    """
    if service is None:
        return ()
    ingress = (service.get("status") or {}).get("loadBalancer", {}).get("ingress") or []
    given = [entry.get("ip") or entry.get("hostname") for entry in ingress]
    return tuple(dict.fromkeys([*filter(None, given), *(service["spec"].get("externalIPs") or [])]))


def running_istiods(pods: Collection[Object]) -> list[Object]:
    """The istiod pods that run; those on their way out do not count."""
    return [
        pod
        for pod in pods
        if labels_of(pod).get("app") == "istiod"
        and pod.get("status", {}).get("phase") == "Running"
        and not pod["metadata"].get("deletionTimestamp")
    ]


def images_of(pods: Iterable[Object]) -> set[str]:
    """The images of pods' containers, also of those that start before the others."""
    return {
        str(container["image"])
        for pod in pods
        for kind in ("initContainers", "containers")
        for container in (pod.get("spec") or {}).get(kind) or []
        if container.get("image")
    }


def running_tags(pods: Collection[Object]) -> set[str]:
    """The tags of the images that istiods run, among a cluster's pods; one pinned by digest may have none."""
    images = (image.partition("@")[0] for image in images_of(running_istiods(pods)))
    return {image.rpartition(":")[2] for image in images if ":" in image.rpartition("/")[2]}


def unavailable(deployment: Object | None) -> str:
    """Why a Deployment does not do its work, in a few words; empty where it is rolled out and runs."""
    if deployment is None:
        return "no such Deployment"
    status = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return "its controller has not seen the last change"
    if wanted == 0:
        return "scaled to 0 replicas"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    total = status.get("replicas", 0)
    if updated < wanted or available < wanted or total > updated:
        return f"{available} of {wanted} replicas available, {updated} updated"
    return ""


_MANAGED = "istiod_managed_clusters"
_TIMEOUTS = "remote_cluster_sync_timeouts_total"
_ROOT_END = "citadel_server_root_cert_expiry_timestamp"
_CHAIN_END = "citadel_server_cert_chain_expiry_timestamp"
_SIGN_ERRORS = "citadel_server_csr_sign_err_count"
_WEBHOOK_FAILURES = "webhook_patch_failures_total"

_SERIES = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One line of Prometheus text."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class IstiodMetrics:
    """What one istiod counts since it started.

    Attributes:
        remote_clusters: How many remote clusters it watches: one for each remote secret that it took.
        sync_timeouts: How often a cluster, by its ID, was not synced in time (30 s where nobody set another).
        root_expires: When the root it signs under ends; None where it signs nothing.
        chain_expires: When the CA it signs with ends; None where it signs nothing.
        sign_errors: Certificates it failed to sign, by its own word for the reason.
        webhook_failures: Webhook configurations whose caBundle it could not keep right: how often, by name
            and its own word for the reason.
    """

    pod: str
    remote_clusters: int
    sync_timeouts: Mapping[str, int]
    root_expires: datetime | None = None
    chain_expires: datetime | None = None
    sign_errors: Mapping[str, int] | None = None
    webhook_failures: Mapping[tuple[str, str], int] | None = None


def metrics_of(pod: str, text: str) -> IstiodMetrics:
    """Reads an istiod's `/metrics`.

    Raises:
        ValueError: It is no Prometheus text, or not an istiod's.
    """
    found = [sample for sample in samples(text) if sample.name in _NAMES]
    managed = {s.labels.get("cluster_type"): int(s.value) for s in found if s.name == _MANAGED}
    if "local" not in managed and "remote" not in managed:
        raise ValueError(_MANAGED)
    return IstiodMetrics(
        pod=pod,
        remote_clusters=managed.get("remote", 0),
        sync_timeouts=_counted(found, _TIMEOUTS, "cluster"),
        root_expires=_moment(found, _ROOT_END),
        chain_expires=_moment(found, _CHAIN_END),
        sign_errors=_counted(found, _SIGN_ERRORS, "error"),
        webhook_failures={
            (s.labels.get("name", ""), s.labels.get("reason", "")): int(s.value)
            for s in found
            if s.name == _WEBHOOK_FAILURES and s.value
        },
    )


_NAMES = frozenset({_MANAGED, _TIMEOUTS, _ROOT_END, _CHAIN_END, _SIGN_ERRORS, _WEBHOOK_FAILURES})


def samples(text: str) -> Iterator[Sample]:
    """The samples of Prometheus' text format, comments left out.

    Raises:
        ValueError: A line is neither a comment nor a sample.
    """
    for line in text.splitlines():
        line = line.strip()  # noqa: PLW2901 - the same line
        if not line or line.startswith("#"):
            continue
        match = _SERIES.fullmatch(line)
        if match is None:
            raise ValueError(line)
        labels = {
            name: _ESCAPE.sub(_unescaped, value) for name, value in _LABEL.findall(match["labels"] or "")
        }
        yield Sample(match["name"], labels, float(match["value"]))


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _counted(found: Iterable[Sample], name: str, label: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in found:
        if sample.name == name and sample.value:
            key = sample.labels.get(label, "")
            counts[key] = counts.get(key, 0) + int(sample.value)
    return counts


def _moment(found: Iterable[Sample], name: str) -> datetime | None:
    values = [sample.value for sample in found if sample.name == name and sample.value > 0]
    return datetime.fromtimestamp(min(values), UTC) if values else None


VARIABLE = "PILOT_MULTICLUSTER_KUBECONFIG_PATH"
"""Variable of istiod that names the folder; it then ignores remote secrets (pkg/kube/multicluster/
secretcontroller.go, NewController, Istio 1.31.0)."""

_SINCE = (1, 30)


def live_folder(observed: Observed) -> str:
    """The folder that the istiods of a cluster read; empty where one of them reads remote secrets."""
    return folder_of(observed.istiods)


def folder_of(istiods: Iterable[Object]) -> str:
    """The folder that istiods, by their Deployments, read; empty where one of them reads remote secrets."""
    folders = {_folder(istiod) for istiod in istiods}
    return ", ".join(sorted(folders)) if folders and "" not in folders else ""


def folder_of_values(values: Mapping[str, Any], version: str) -> str:
    """The folder that an istiod of these values reads; empty: it reads remote secrets."""
    pilot = values.get("pilot")
    env = pilot.get("env") if isinstance(pilot, Mapping) else None
    found = env.get(VARIABLE) if isinstance(env, Mapping) else None
    return str(found) if found and _knows(version) else ""


def _folder(istiod: Object) -> str:
    return environment(istiod).get(VARIABLE, "") if _knows(istiod_version(istiod) or "") else ""


def _knows(version: str) -> bool:
    minor = minor_of(version)
    return minor is None or minor >= _SINCE


CA_CRL = "ca-crl.pem"
"""Key of the lists; istio-mc never writes it and never removes it."""

_FILES_SINCE = (1, 27)
"""Istio's first minor that does not start with some of the files, and that reads the lists
(pilot/pkg/bootstrap/istio_ca.go, checkCABundleCompleteness and detectSigningCABundleAndCRL); before, only the
key counts."""

_SWITCH = "PILOT_ENABLE_CA_CRL"
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""What Go's strconv.ParseBool reads as false."""


def signs_for_itself(keys: Collection[str], version: str) -> bool:
    """Whether an istiod that starts with a partial cacerts makes a root of its own; else it does not start.

    Args:
        keys: The keys that the Secret has.
        version: Istio's; one that cannot be read counts as new.
    """
    is_tls = TLS_CERT in keys
    if (minor_of(version) or _FILES_SINCE) >= _FILES_SINCE:
        return not any(name in keys for name in (TLS_FILES if is_tls else FILES))
    return (TLS_KEY if is_tls else CA_KEY) not in keys


def reads_crl(istiods: Iterable[Object], default_version: str = "") -> bool:
    """Whether one of some istiods, by their Deployments, reads the lists.

    Args:
        istiods: Their Deployments.
        default_version: Of one whose image has no version; one that cannot be read counts as new.
    """
    return any(
        (minor_of(istiod_version(istiod) or default_version) or _FILES_SINCE) >= _FILES_SINCE
        and environment(istiod).get(_SWITCH) not in _FALSE
        for istiod in istiods
    )


def crl_fault(contents: Mapping[str, bytes], chain: bytes | None = None) -> str:
    """Why an istiod that reads the lists of a Secret `cacerts` does not start; empty where it does.

    Every certificate of the chain must have signed one of the lists, where there are any
    (security/pkg/pki/util/keycertbundle.go, Verify, Istio 1.31.0). cert-manager's layout has no lists.

    Args:
        contents: The Secret's, decoded.
        chain: The chain that it is to have; None: its own.
    """
    lists = b"" if TLS_CERT in contents else contents.get(CA_CRL, b"")
    if not lists:
        return ""
    try:
        signers = load_certificates(NamedPem(CERT_CHAIN, chain or contents.get(CERT_CHAIN, b"")))
        found = [x509.load_der_x509_crl(block.der or b"") for block in blocks_of_go(lists)]
    except ProblemError:
        return ""  # a fault of the chain itself
    except ValueError:
        return f"{CA_CRL} contains a block that is no revocation list"
    missing = [signer for signer in signers if not any(_has_signed(signer, one) for one in found)]
    names = ", ".join(dict.fromkeys(map(common_name, missing)))
    return f"{CA_CRL} contains no revocation list signed by {names}" if missing else ""


def _has_signed(signer: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    try:
        usage = signer.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.crl_sign:
            return False
    except x509.ExtensionNotFound:
        pass
    try:
        return crl.is_signature_valid(cast("CertificateIssuerPublicKeyTypes", signer.public_key()))
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
