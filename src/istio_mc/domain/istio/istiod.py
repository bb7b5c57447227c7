"""What istiod, its pods and its gateway's Service report, and what it reads of the cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.choice import istiod_version
from istio_mc.domain.istio.releases import minor_of
from istio_mc.domain.kube.objects import environment, labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki.cacerts import CA_KEY, CERT_CHAIN, FILES, TLS_CERT, TLS_FILES, TLS_KEY
from istio_mc.domain.pki.pem import NamedPem, common_name, load_certificates
from istio_mc.domain.pki.pem_blocks import blocks_of_go
from istio_mc.domain.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes

    from istio_mc.domain.hint import Command
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed


def list_istiods(context: str) -> Advice:
    """The command that lists a cluster's istiod pods."""
    return Advice(kubectl(context, "-n", SYSTEM_NAMESPACE, "get", "pods", "-l", "app=istiod"))


def restart_istiod(context: str, deployment: str) -> Command:
    """The command that restarts a cluster's istiods."""
    return kubectl(context, "-n", SYSTEM_NAMESPACE, "rollout", "restart", "deployment", deployment)


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
    desired = deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return "its controller has not processed the last change"
    if desired == 0:
        return "scaled to 0 replicas"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    total = status.get("replicas", 0)
    if updated < desired or available < desired or total > updated:
        return f"{available} of {desired} replicas available, {updated} updated"
    return ""


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
    folder = env.get(VARIABLE) if isinstance(env, Mapping) else None
    return str(folder) if folder and _knows(version) else ""


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
        version: Istio's; one that cannot be read counts as new.
    """
    is_tls = TLS_CERT in keys
    if (minor_of(version) or _FILES_SINCE) >= _FILES_SINCE:
        return not any(name in keys for name in (TLS_FILES if is_tls else FILES))
    return (TLS_KEY if is_tls else CA_KEY) not in keys


def reads_crl(istiods: Iterable[Object], default_version: str = "") -> bool:
    """Whether one of some istiods, by their Deployments, reads the lists.

    Args:
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
        chain: The chain that it is to have; None: its own.
    """
    lists = b"" if TLS_CERT in contents else contents.get(CA_CRL, b"")
    if not lists:
        return ""
    try:
        signers = load_certificates(NamedPem(CERT_CHAIN, chain or contents.get(CERT_CHAIN, b"")))
        parsed = [x509.load_der_x509_crl(block.der or b"") for block in blocks_of_go(lists)]
    except ProblemError:
        return ""  # a fault of the chain itself
    except ValueError:
        return f"{CA_CRL} contains a block that is not a revocation list"
    missing = [signer for signer in signers if not any(_has_signed(signer, one) for one in parsed)]
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
