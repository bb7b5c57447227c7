"""What istiod does with the Secret `cacerts` when it starts, by its version. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from istio_mc.domain.istio.choice import istiod_version
from istio_mc.domain.istio.releases import minor_of
from istio_mc.domain.kube.objects import environment
from istio_mc.domain.pki.cacerts import CA_KEY, CERT_CHAIN, FILES, TLS_CERT, TLS_FILES, TLS_KEY
from istio_mc.domain.pki.pem import NamedPem, common_name, load_certificates
from istio_mc.domain.pki.pem_blocks import blocks_of_go
from istio_mc.domain.problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes

    from istio_mc.domain.kube.objects import Object

CA_CRL = "ca-crl.pem"
"""Key of the lists; istio-mc never writes it and never removes it."""

_SINCE = (1, 27)
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
    if (minor_of(version) or _SINCE) >= _SINCE:
        return not any(name in keys for name in (TLS_FILES if is_tls else FILES))
    return (TLS_KEY if is_tls else CA_KEY) not in keys


def reads_crl(istiods: Iterable[Object], default_version: str = "") -> bool:
    """Whether one of some istiods, by their Deployments, reads the lists.

    Args:
        istiods: Their Deployments.
        default_version: Of one whose image has no version; one that cannot be read counts as new.
    """
    return any(
        (minor_of(istiod_version(istiod) or default_version) or _SINCE) >= _SINCE
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
