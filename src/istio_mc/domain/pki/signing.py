"""Trust between clusters: the root that each cluster signs under, and the roots that it accepts. Pure.

While a root is replaced, clusters have two roots and sign under either. They need not have the same roots:
each has to accept the root that every other cluster signs under.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from istio_mc.domain.pki import cacerts
from istio_mc.domain.pki.cacerts import CA_CERT, CA_KEY, CERT_CHAIN, ROOT_CERT, CaCerts
from istio_mc.domain.pki.chain import path_faults, path_to_root
from istio_mc.domain.pki.pem import (
    NamedPem,
    fingerprint,
    load_certificates,
    load_first_certificate,
    load_roots,
    read_certificates,
    read_key,
)
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from cryptography import x509

    from istio_mc.domain.kube.objects import Object

    Certificates = tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class Signing:
    """A cluster's CA as its cacerts hold it, without the key.

    Attributes:
        between: What stands between that and a root, as far as it is at hand; in no order.
        path: From the certificate up to its root, the root included; empty where it leads to none.
    """

    certificate: x509.Certificate
    between: Certificates
    path: Certificates
    roots: Certificates

    @cached_property
    def root(self) -> str:
        """SHA-256 of the root it signs under; empty where it leads to none."""
        return fingerprint(self.path[-1]) if self.path else ""

    @cached_property
    def trusted(self) -> frozenset[str]:
        """SHA-256 of each root it trusts."""
        return frozenset(map(fingerprint, self.roots))


def signing(ca: CaCerts) -> Signing:
    """Reads a cluster's CA.

    Raises:
        ProblemError: A file holds no certificate.
    """
    return _read(ca.ca_cert, ca.cert_chain, ca.root_cert)


@lru_cache(maxsize=256)
def _read(ca_cert: bytes, cert_chain: bytes, root_cert: bytes) -> Signing:
    own = load_first_certificate(NamedPem(CA_CERT, ca_cert))
    between = load_certificates(NamedPem(CERT_CHAIN, cert_chain))
    roots = load_roots(NamedPem(ROOT_CERT, root_cert))
    try:
        return Signing(own, between, path_to_root(own, between, roots), roots)
    except ProblemError:
        return Signing(own, between, (), roots)


def leads_to(
    certificate: x509.Certificate, between: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """The root that a certificate leads to; None where it leads to none of these."""
    try:
        return path_to_root(certificate, between, roots)[-1]
    except ProblemError:
        return None


def untrusted_members(members: Mapping[str, Signing]) -> dict[str, tuple[str, ...]]:
    """The fewest clusters without which all would trust each other.

    Of two clusters that do not trust each other it is the one that trusts fewer roots, else the later one.

    Returns:
        For each, the clusters that do not trust the root it signs under; empty where only it rejects others.
    """
    order = list(members)
    trusted = {name: member.trusted for name, member in members.items()}
    left = {
        (signer, other)
        for signer, member in members.items()
        for other in order
        if signer != other and member.root not in trusted[other]
    }
    result: dict[str, tuple[str, ...]] = {}
    while left:
        often = {name: sum(name in pair for pair in left) for name in order}
        worst = max(order, key=lambda name: (often[name], -len(trusted[name]), order.index(name)))
        result[worst] = tuple(other for other in order if (worst, other) in left)
        left = {pair for pair in left if worst not in pair}
    return {name: result[name] for name in order if name in result}


def most_trust(members: Mapping[str, Signing], outside: Collection[str]) -> bool:
    """Whether more than half of all trust each other: then their root is the mesh's."""
    return 2 * (len(members) - len(outside)) > len(members)


@dataclass(frozen=True, slots=True)
class LiveCa:
    """A cluster's Secret `cacerts`.

    Attributes:
        contents: What it holds, decoded; values that are not base64 are left out.
        damage: Why istiod cannot use it, but for what is wrong with the root itself; empty where it can.
        root: SHA-256 of the root it stands under; None where nothing in it tells.
    """

    contents: Mapping[str, bytes] = field(repr=False)
    ca: CaCerts | None = field(repr=False)
    damage: tuple[Problem, ...]
    root: str | None
    foreign: bool

    @property
    def damage_text(self) -> str:
        """The damage in a few words."""
        return "; ".join(dict.fromkeys(fault.seen or fault.message for fault in self.damage))

    def holds_another_key(self, desired: CaCerts) -> bool:
        """Whether it holds a private key that is not the wanted CA's: one that could be lost."""
        held = self.contents.get(CA_KEY) or self.contents.get("tls.key")
        if not held or held.strip() == desired.ca_key.strip():
            return False
        try:
            own = read_key(NamedPem(CA_KEY, held)).value.public_key()
        except ProblemError:
            return True  # whatever it is, it is kept
        return own != read_key(NamedPem(CA_KEY, desired.ca_key)).value.public_key()


def contents_of(secret: Object) -> dict[str, bytes]:
    """What a Secret contains, decoded; values that are not base64 are left out."""
    contents: dict[str, bytes] = {}
    for name, value in (secret.get("data") or {}).items():
        try:
            contents[name] = base64.b64decode(value or "", validate=True)
        except (binascii.Error, ValueError):
            continue
    return contents


def live_ca(secret: Object, now: datetime, known: Certificates = ()) -> LiveCa:
    """Reads a cluster's Secret `cacerts`.

    Args:
        known: Roots at hand, under which its CA certificate may stand whatever the Secret says is its root.
    """
    data = secret.get("data") or {}
    contents = contents_of(secret)
    foreign = "tls.crt" in data
    try:
        ca = CaCerts.from_secret_data(data)
    except ProblemError as error:
        return LiveCa(contents, None, error.problems, _root(contents, known, foreign=foreign), foreign)
    root = _root(contents, known, foreign=foreign)
    return LiveCa(contents, ca, tuple(_faults(ca, now)), root, foreign)


def _faults(ca: CaCerts, now: datetime) -> list[Problem]:
    """What is wrong with a CA that another one under the same root would not have."""
    faults = cacerts.faults(ca, now)
    roots = _certificates(ca.root_cert)
    of_roots = [fault for root in roots for fault in path_faults((root,), now, below=1)]
    return [fault for fault in faults if fault not in of_roots]


def _root(contents: Mapping[str, bytes], known: Certificates, *, foreign: bool) -> str | None:
    """The root that its CA certificate leads to; else the first that it says it trusts."""
    cert, chain, root = ("tls.crt", "tls.crt", "ca.crt") if foreign else (CA_CERT, CERT_CHAIN, ROOT_CERT)
    own = _certificates(contents.get(cert, b""))
    roots = _certificates(contents.get(root, b""))
    between = (*own[1:], *_certificates(contents.get(chain, b"")))
    for anchors in (roots, known):
        if own and anchors and (anchor := leads_to(own[0], between, anchors)):
            return fingerprint(anchor)
    return fingerprint(roots[0]) if roots else None


def _certificates(data: bytes) -> Certificates:
    try:
        return read_certificates(NamedPem("cacerts", data), skip=True).value if data else ()
    except ProblemError:
        return ()
