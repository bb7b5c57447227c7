"""Certificates of workloads: how long they are valid, and one for minutes that a caller shows. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki.certificates import CLOCK_SKEW
from istio_mc.domain.pki.pem import alternative_names, dump_certificates, dump_key, signing_hash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from istio_mc.domain.pki.certificates import Authority


VALIDITY = timedelta(minutes=5)
DEFAULT_TRUST_DOMAIN = "cluster.local"
ACCOUNT = "istio-mc-verify"
"""The service account named in the certificate; there is none, so that no policy allows it more."""

_SPIFFE = "spiffe://"


@dataclass(frozen=True, slots=True)
class Identity:
    """A client certificate with its key."""

    chain: bytes
    key: bytes = field(repr=False)


def trust_domain_of(certificate: x509.Certificate) -> str:
    """The trust domain in a workload's certificate; Istio's default where it names none."""
    for name in alternative_names(certificate):
        if name.startswith(_SPIFFE):
            return name.removeprefix(_SPIFFE).partition("/")[0]
    return DEFAULT_TRUST_DOMAIN


def client_identity(issuer: Authority, trust_domain: str, now: datetime) -> Identity:
    """A certificate as istiod gives them to workloads, valid for five minutes, for calling only.

    Form: subject empty, the SPIFFE URI as the only name and critical (SPIFFE X509-SVID 2; Istio's
    security/pkg/pki/util/generate_cert.go, 1.26.0).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    uri = f"{_SPIFFE}{trust_domain}/ns/{SYSTEM_NAMESPACE}/sa/{ACCOUNT}"
    usage = x509.KeyUsage(
        digital_signature=True,
        key_encipherment=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    now = now.replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - CLOCK_SKEW, issuer.certificate.not_valid_before_utc))
        .not_valid_after(min(now + VALIDITY, issuer.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
        .sign(issuer.key, signing_hash(issuer.key))
    )
    # Without the root: who is called has its own, and trusts no other.
    return Identity(dump_certificates([certificate, *issuer.path[:-1]]), dump_key(key))


DEFAULT_TTL = timedelta(hours=24)
SETTING = "meshConfig.defaultConfig.proxyMetadata.SECRET_TTL"

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)"


def workload_ttl(values: Mapping[str, Any]) -> timedelta:
    """How long a cluster's workloads have their certificates made for; a day where the values say nothing."""
    value: Any = values
    for key in SETTING.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    text = str(value or "")
    if not re.fullmatch(f"(?:{_PART})+", text):
        return DEFAULT_TTL
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text)))
