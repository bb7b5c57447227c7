"""What a CA that has to be made is made like: kind of key, size, validity, or a root of the user's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from istio_mc.domain.pki import pem
from istio_mc.domain.pki.certificates import (
    CLOCK_SKEW,
    DEFAULT_RSA_BITS,
    DEFAULT_VALIDITY,
    KeyMaker,
    KeySpec,
    KeyType,
    parse_validity,
)
from istio_mc.domain.pki.workload import DEFAULT_TRUST_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from istio_mc.domain.settings.model import CaSettings, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCa:
    """Files of a root of the user's own, PEM.

    Either the root's key is at hand, or a CA below the root is, with its key.
    """

    root_cert: Path | None = None
    root_key: Path | None = None
    issuer_cert: Path | None = None
    issuer_key: Path | None = None
    issuer_chain: Path | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """An option that a certificate does not fit: the option, what the certificate has, what it would have."""

    option: str
    seen: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What options of the command line say of a CA; None for each that is not given."""

    key_type: KeyType | None = None
    key_size: int | None = None
    validity: timedelta | None = None

    def differences(self, certificate: x509.Certificate, latest: datetime | None = None) -> list[Difference]:
        """In what a certificate is otherwise than these options would make it.

        Args:
            latest: When the first of those above it ends, which is its end at the latest.
        """
        key = certificate.public_key()
        own = pem.facts(certificate).key
        differences: list[Difference] = []
        if self.key_type and self.key_type is not _type_of(key):
            differences.append(Difference(f"--key-type {self.key_type}", own, self.key_type.upper()))
        elif self.key_size and self.key_size != getattr(key, "key_size", None):
            differences.append(
                Difference(f"--key-size {self.key_size}", own, f"a key of {self.key_size} bits")
            )
        if self.validity and not _lasts(certificate, self.validity, latest):
            span = certificate.not_valid_after_utc - certificate.not_valid_before_utc
            validity = _hours(self.validity)
            differences.append(
                Difference(f"--validity {validity}", f"valid for {_hours(span)}", f"valid for {validity}")
            )
        return differences


def _type_of(key: object) -> KeyType | None:
    if isinstance(key, rsa.RSAPublicKey):
        return KeyType.RSA
    return KeyType.EC if isinstance(key, ec.EllipticCurvePublicKey) else None


def _lasts(certificate: x509.Certificate, validity: timedelta, latest: datetime | None) -> bool:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if latest is not None and ends >= latest and ends - begins <= validity:
        return True
    return timedelta(0) <= ends - begins - validity <= CLOCK_SKEW


def _hours(validity: timedelta) -> str:
    return f"{validity // timedelta(hours=1)}h"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaOptions:
    """What to make where something has to be made.

    Attributes:
        key: Makes keys, of `spec`.
        spec: The kind of key of a new root; and of what is below one, where the user chose it.
        is_chosen: Whether the user chose it, by option or in mesh.yaml.
        validity: How long from now; a cluster's CA expires no later than its issuer.
        trust_domains: Those of the mesh's workloads, which a root of the user's own must allow.
    """

    key: KeyMaker = field(default_factory=KeySpec)
    spec: KeySpec | None = None
    is_chosen: bool = False
    validity: timedelta = DEFAULT_VALIDITY
    flags: Flags = Flags()
    own: OwnCa | None = None
    trust_domains: tuple[str, ...] = (DEFAULT_TRUST_DOMAIN,)

    def key_below(self, issuer: x509.Certificate) -> KeyMaker:
        """What makes the keys of the CAs below another: of its kind, unless the user chose one."""
        like = KeySpec.like(issuer.public_key())
        return self.key if self.is_chosen or like == (self.spec or self.key) else like


def options_of(
    settings: CaSettings,
    key_type: str | None = None,
    key_size: int | None = None,
    validity: str | None = None,
    *,
    own: OwnCa | None = None,
    trust_domains: Iterable[str] = (DEFAULT_TRUST_DOMAIN,),
) -> CaOptions:
    """What to make: what flags say, else the settings.

    Args:
        key_type: `rsa` or `ec`. Another one than the settings' has the default size of its own.

    Raises:
        InputError: The size does not go with the kind of key, or the validity is none.
    """
    default_type, _, bits = (settings.key or _DEFAULT_KEY).partition("-")
    kind = KeyType(key_type or default_type)
    size = key_size or (int(bits) if kind == default_type else None)
    spec = KeySpec.of(kind, size)
    return CaOptions(
        key=spec,
        spec=spec,
        is_chosen=bool(key_type or key_size or settings.key),
        validity=parse_validity(validity or settings.validity),
        flags=Flags(
            key_type=KeyType(key_type) if key_type else None,
            key_size=key_size,
            validity=parse_validity(validity) if validity else None,
        ),
        own=own,
        trust_domains=tuple(trust_domains),
    )


_DEFAULT_KEY = f"rsa-{DEFAULT_RSA_BITS}"


def trust_domains(settings: Settings) -> tuple[str, ...]:
    """The trust domains of the clusters' workloads, as the values for istioctl set them."""
    of_mesh = _trust_domain(settings.values) or DEFAULT_TRUST_DOMAIN
    domains = [_trust_domain(cluster.values) or of_mesh for cluster in settings.clusters]
    return tuple(dict.fromkeys(domains or [of_mesh]))


def _trust_domain(values: Mapping[str, Any]) -> str:
    for part in ("meshConfig", "global"):
        inner = values.get(part)
        if isinstance(inner, dict) and inner.get("trustDomain"):
            return str(inner["trustDomain"])
    return ""
