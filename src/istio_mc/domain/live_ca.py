"""The CA a cluster runs under as its Secret `cacerts` has it: whole, damaged, or under which root. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain import cacerts
from istio_mc.domain.cacerts import CA_CERT, CA_KEY, CERT_CHAIN, ROOT_CERT, CaCerts
from istio_mc.domain.chain import path_faults
from istio_mc.domain.pem import NamedPem, fingerprint, read_certificates, read_key
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.domain.signing import leads_to

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cryptography import x509

    from istio_mc.domain.objects import Object

    Certificates = tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class LiveCa:
    """A cluster's Secret `cacerts`.

    Attributes:
        contents: What it holds, decoded; values that are not base64 are left out.
        ca: Its files where all are there.
        damage: Why istiod cannot use it, but for what is wrong with the root itself; empty where it can.
        root: SHA-256 of the root it stands under; None where nothing in it tells.
        foreign: Whether it has a layout that istio-mc does not write: cert-manager's.
    """

    contents: Mapping[str, bytes] = field(repr=False)
    ca: CaCerts | None = field(repr=False)
    damage: tuple[Problem, ...]
    root: str | None
    foreign: bool

    @property
    def told(self) -> str:
        """The damage in a few words."""
        return "; ".join(dict.fromkeys(fault.seen or fault.message for fault in self.damage))

    def holds_another_key(self, wanted: CaCerts) -> bool:
        """Whether it holds a private key that is not the wanted CA's: one that could be lost."""
        held = self.contents.get(CA_KEY) or self.contents.get("tls.key")
        if not held or held.strip() == wanted.ca_key.strip():
            return False
        try:
            own = read_key(NamedPem(CA_KEY, held)).value.public_key()
        except ProblemError:
            return True  # whatever it is, it is kept
        return own != read_key(NamedPem(CA_KEY, wanted.ca_key)).value.public_key()


def live_ca(secret: Object, now: datetime, known: Certificates = ()) -> LiveCa:
    """Reads a cluster's Secret `cacerts`.

    Args:
        secret: The Secret.
        now: The moment to judge validity at, aware.
        known: Roots at hand, under which its CA certificate may stand whatever the Secret says is its root.
    """
    data = secret.get("data") or {}
    contents: dict[str, bytes] = {}
    for name, value in data.items():
        try:
            contents[name] = base64.b64decode(value or "", validate=True)
        except (binascii.Error, ValueError):
            continue
    foreign = "tls.crt" in data
    try:
        ca = CaCerts.from_secret_data(data)
    except ProblemError as error:
        return LiveCa(contents, None, error.problems, _root(contents, known, foreign=foreign), foreign)
    root = _root(contents, known, foreign=foreign)
    return LiveCa(contents, ca, tuple(_faults(ca, now)), root, foreign)


def _faults(ca: CaCerts, now: datetime) -> list[Problem]:
    """What is wrong with a CA that another one under the same root would not have."""
    found = cacerts.faults(ca, now)
    roots = _certificates(ca.root_cert)
    of_roots = [fault for root in roots for fault in path_faults((root,), now, below=1)]
    return [fault for fault in found if fault not in of_roots]


def _root(contents: Mapping[str, bytes], known: Certificates, *, foreign: bool) -> str | None:
    """The root that its CA certificate leads to; else the first that it says it trusts."""
    cert, chain, root = ("tls.crt", "tls.crt", "ca.crt") if foreign else (CA_CERT, CERT_CHAIN, ROOT_CERT)
    own = _certificates(contents.get(cert, b""))
    roots = _certificates(contents.get(root, b""))
    between = (*own[1:], *_certificates(contents.get(chain, b"")))
    for anchors in (roots, known):
        if own and anchors and (found := leads_to(own[0], between, anchors)):
            return fingerprint(found)
    return fingerprint(roots[0]) if roots else None


def _certificates(data: bytes) -> Certificates:
    try:
        return read_certificates(NamedPem("cacerts", data), skip=True).value if data else ()
    except ProblemError:
        return ()
