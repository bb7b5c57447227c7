"""The four files of one cluster's CA, as Istio's Secret `cacerts` holds them: made, read back, judged."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.pki.chain import path_faults, path_to_root, path_warnings, time_faults
from istio_mc.domain.pki.pem import (
    NamedPem,
    PrivateKey,
    attempt,
    common_name,
    dump_certificates,
    dump_key,
    key_matches,
    load_certificates,
    load_first_certificate,
    load_key,
    load_roots,
)
from istio_mc.domain.problem import Code, Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from cryptography import x509

    from istio_mc.domain.pki.certificates import Authority

CA_CERT, CA_KEY, CERT_CHAIN, ROOT_CERT = "ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"
FILES = (CA_CERT, CA_KEY, CERT_CHAIN, ROOT_CERT)
TLS_CERT, TLS_KEY, TLS_ROOT = "tls.crt", "tls.key", "ca.crt"
TLS_FILES = (TLS_CERT, TLS_KEY, TLS_ROOT)
"""Those of cert-manager's layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaCerts:
    """One cluster's CA, each field PEM bytes.

    Attributes:
        cert_chain: What istiod sends along with every workload's certificate: the cluster's CA, whatever
            stands above it, the root.
        root_cert: The root, or while roots are exchanged all that are trusted.
    """

    ca_cert: bytes
    ca_key: bytes = field(repr=False)
    cert_chain: bytes
    root_cert: bytes

    @classmethod
    def from_authority(cls, authority: Authority) -> CaCerts:
        """The files for a cluster's authority."""
        return cls(
            ca_cert=dump_certificates([authority.certificate]),
            ca_key=dump_key(authority.key),
            cert_chain=dump_certificates(authority.path),
            root_cert=dump_certificates([authority.root]),
        )

    @classmethod
    def from_secret_data(cls, data: Mapping[str, str]) -> CaCerts:
        """Reads the `data` of a live Secret `cacerts`, in either of its layouts.

        Where `tls.crt` is present istiod reads tls.crt, tls.key and ca.crt (cert-manager's layout), and as
        chain tls.crt and ca.crt, one right behind the other; else the four files (Istio's security/pkg/pki
        and pilot/pkg/bootstrap/istio_ca.go).

        Raises:
            ProblemError: `cacerts-partial` naming the absent or empty keys, and `cacerts-not-base64`.
        """
        names = TLS_FILES if TLS_CERT in data else FILES
        problems: list[Problem] = []
        if absent := sorted({name for name in names if not data.get(name)}):
            problems.append(
                Problem(
                    code=Code.CACERTS_PARTIAL,
                    message="the Secret cacerts is not complete",
                    seen="without " + ", ".join(absent),
                    expected=", ".join(names),
                )
            )
        decoded: dict[str, bytes] = {}
        for name in names:
            try:
                decoded[name] = base64.b64decode(data.get(name) or "", validate=True)
            except (binascii.Error, ValueError):
                problems.append(
                    Problem(
                        code=Code.CACERTS_NOT_BASE64, message=f"{name} of the Secret cacerts is not base64"
                    )
                )
        if problems:
            raise ProblemError(*problems)
        if names is not FILES:
            cert, key, root = (decoded[name] for name in names)
            return cls(ca_cert=cert, ca_key=key, cert_chain=cert + root, root_cert=root)
        cert, key, chain, root = (decoded[name] for name in names)
        return cls(ca_cert=cert, ca_key=key, cert_chain=chain, root_cert=root)

    def files(self) -> dict[str, bytes]:
        """File name to content, in the order to write them: what another is worthless without comes first."""
        return {
            CA_KEY: self.ca_key,
            ROOT_CERT: self.root_cert,
            CERT_CHAIN: self.cert_chain,
            CA_CERT: self.ca_cert,
        }

    def secret_data(self) -> dict[str, str]:
        """The `data` of the Secret `cacerts`: four keys, base64."""
        return {name: base64.b64encode(content).decode("ascii") for name, content in self.files().items()}

    def same_as(self, other: CaCerts) -> bool:
        """Whether both hold the same certificates and key, whatever the white space or form of the key's PEM.

        Raises:
            ProblemError: Where one of them cannot be read.
        """
        return self._identity() == other._identity()

    def _identity(self) -> tuple[object, ...]:
        # The chain counts without order, and without the CA and its roots: cert-manager's layout leaves the
        # root out, and both work.
        own = _Parsed.of(self)
        if own.problems:
            raise ProblemError(*own.problems)
        between = frozenset(own.chain) - {own.ca} - frozenset(own.roots)
        return (own.ca, own.key and own.key.public_key(), between, frozenset(own.roots))


def faults(ca: CaCerts, now: datetime, folder: str = "") -> list[Problem]:
    """What istiod or the proxies would refuse in a cluster's CA.

    Checks what istiod checks when it starts (Istio's security/pkg/pki/util and pilot/pkg/bootstrap: the files
    are PEM as Go reads it, the certificate leads to the root through the chain, the key is its own, it is a
    CA), and what only shows later: that what it signs is accepted by other istiods and by proxies.

    Returns:
        Every fault; none where the CA can be used.
    """
    own = _Parsed.of(ca, folder)
    problems = list(own.problems)
    if own.ca and own.key and not key_matches(own.ca, own.key):
        problems.append(
            Problem(
                code=Code.KEY_MISMATCH, message=f"{CA_KEY} is not the key of the certificate in {CA_CERT}"
            )
        )
    if own.ca and own.chain and own.ca not in own.chain and own.ca not in own.roots:
        problems.append(
            Problem(
                code=Code.CHAIN_WITHOUT_CA,
                message=f"{CERT_CHAIN} lacks the certificate in {CA_CERT}",
                seen=", ".join(map(common_name, own.chain)),
                expected=f"{common_name(own.ca)} first",
                hint=Advice("proxies in other clusters cannot follow the chain of workloads here otherwise"),
            )
        )
    path, broken = own.path()
    # istiod takes the end of the chain's first certificate for that of its own.
    stray = [link for link in own.chain[:1] if link not in path]
    return (
        problems
        + broken
        + path_faults(path, now)
        + [fault for link in stray for fault in time_faults(link, now)]
    )


def warnings(ca: CaCerts, now: datetime, *, within: timedelta) -> list[Problem]:
    """What is still in order but will not stay so; nothing where the files cannot be read (see `faults`)."""
    path, _ = _Parsed.of(ca).path()
    return path_warnings(path, now, within=within)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What could be read of the four files, and what could not."""

    ca: x509.Certificate | None
    key: PrivateKey | None = field(repr=False)
    chain: tuple[x509.Certificate, ...]
    roots: tuple[x509.Certificate, ...]
    problems: tuple[Problem, ...]

    @classmethod
    def of(cls, ca: CaCerts, folder: str = "") -> _Parsed:
        problems: list[Problem] = []

        def source(name: str, data: bytes) -> NamedPem:
            return NamedPem(f"{folder}/{name}" if folder else name, data, is_file=bool(folder))

        certificate = attempt(load_first_certificate, source(CA_CERT, ca.ca_cert), problems)
        key = attempt(load_key, source(CA_KEY, ca.ca_key), problems)
        chain = attempt(load_certificates, source(CERT_CHAIN, ca.cert_chain), problems)
        roots = attempt(load_roots, source(ROOT_CERT, ca.root_cert), problems)
        return cls(certificate, key, chain or (), roots or (), tuple(problems))

    def path(self) -> tuple[tuple[x509.Certificate, ...], list[Problem]]:
        """The path to the root, or as much as is known of it and why it ends there."""
        alone = (self.ca,) if self.ca else ()
        if not self.ca or not self.roots:
            return alone, []
        try:
            return path_to_root(self.ca, self.chain, self.roots), []
        except ProblemError as error:
            return alone, list(error.problems)
