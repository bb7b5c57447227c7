"""Whether a CA certificate leads to its root, and what is wrong on the way: pure, all faults at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from istio_mc.domain.hint import Advice
from istio_mc.domain.pem import basic_constraints, common_name, fingerprint, issued_by
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    Certificates = tuple[x509.Certificate, ...]

SOON = timedelta(days=30)
"""How long before its end verify warns of a CA certificate, and install renews an intermediate."""

MIN_RSA_BITS = 2048
"""Go (istiod) and BoringSSL (Envoy) refuse shorter RSA keys."""


def path_to_root(
    certificate: x509.Certificate, between: Iterable[x509.Certificate], roots: Sequence[x509.Certificate]
) -> Certificates:
    """The certificates from this one up to a root, each issued by the next.

    Args:
        certificate: Where the path starts; it may be a root itself.
        between: Candidates to stand between, in any order, with or without duplicates.
        roots: Trust anchors; the path ends at the first that is reached.

    Returns:
        The path, both ends included.

    Raises:
        ProblemError: `chain-broken`, naming the certificate whose issuer was not found.
    """
    candidates = [*roots, *between]
    highest: Certificates = (certificate,)

    def climb(path: Certificates) -> Certificates | None:
        nonlocal highest
        highest = max(highest, path, key=len)
        if path[-1] in roots:
            return path
        for candidate in candidates:
            if (
                candidate not in path
                and issued_by(path[-1], candidate)
                and (found := climb((*path, candidate)))
            ):
                return found
        return None

    found = climb((certificate,))
    if found is None:
        last = highest[-1]
        raise ProblemError(
            Problem(
                code="chain-broken",
                message=f"{common_name(certificate)} does not lead to the root",
                seen=f"no certificate at hand issued {common_name(last)}",
                expected=f"one of {last.issuer.rfc4514_string()}, up to a root with fingerprint "
                + " or ".join(fingerprint(root) for root in roots),
            )
        )
    return found


def path_faults(path: Sequence[x509.Certificate], now: datetime, *, below: int = 0) -> list[Problem]:
    """What keeps a path of CA certificates from being trusted.

    Args:
        path: CA certificates, lowest first, the root last.
        now: The moment to judge validity at, aware.
        below: CAs that are still to be issued under the first one.

    Returns:
        Every fault found: `ca-not-a-ca`, `ca-cannot-sign`, `ca-path-length`, `ca-expired`,
        `ca-not-yet-valid`, `ca-weak-key`, `ca-weak-signature`.
    """
    found: list[Problem] = []
    for certificate in path:
        found += _constraint_faults(certificate, below)
        found += _time_faults(certificate, now)
        found += _strength_faults(certificate)
        # RFC 5280 section 4.2.1.9: self-issued certificates do not count against a path length.
        below += certificate.subject != certificate.issuer
    return found


def path_warnings(path: Sequence[x509.Certificate], now: datetime, *, within: timedelta) -> list[Problem]:
    """What works now, but not for long, or not for every name.

    Args:
        path: CA certificates, lowest first, the root last.
        now: The moment to judge at, aware.
        within: How long before its end a certificate is warned about.

    Returns:
        `ca-expires-soon`, `ca-name-constraints` and `ca-extended-key-usage`.
    """
    found: list[Problem] = []
    for certificate in path:
        name = common_name(certificate)
        left = certificate.not_valid_after_utc - now
        if now < certificate.not_valid_after_utc and left <= within:
            found.append(
                Problem(
                    code="ca-expires-soon",
                    message=f"the certificate {name} ends in {left.days} days",
                    seen=f"valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
                    expected=f"more than {within.days} days left",
                )
            )
        found += _restriction_warnings(certificate)
    return found


def _constraint_faults(certificate: x509.Certificate, below: int) -> list[Problem]:
    found: list[Problem] = []
    name = common_name(certificate)
    constraints = basic_constraints(certificate)
    if not constraints.ca:
        found.append(
            Problem(
                code="ca-not-a-ca",
                message=f"the certificate {name} is not a CA's",
                seen="no basicConstraints CA:TRUE",
                expected="a certificate that may sign others",
            )
        )
    elif constraints.path_length is not None and constraints.path_length < below:
        found.append(
            Problem(
                code="ca-path-length",
                message=f"the certificate {name} does not allow the CAs below it",
                seen=f"basicConstraints pathlen:{constraints.path_length}",
                expected=f"pathlen of at least {below}, or none",
                hint=Advice(
                    "have it issued again with a greater path length: each cluster gets its own CA below it"
                ),
            )
        )
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return found
    if not usage.key_cert_sign:
        found.append(
            Problem(
                code="ca-cannot-sign",
                message=f"the certificate {name} may not sign certificates",
                seen="keyUsage without keyCertSign",
                expected="keyUsage with keyCertSign",
            )
        )
    return found


def _time_faults(certificate: x509.Certificate, now: datetime) -> list[Problem]:
    name = common_name(certificate)
    if now < certificate.not_valid_before_utc:
        return [
            Problem(
                code="ca-not-yet-valid",
                message=f"the certificate {name} is not valid yet",
                seen=f"valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
                expected=f"valid at {now:%Y-%m-%d %H:%M} UTC",
                hint=Advice("check the clock of this machine"),
            )
        ]
    if now > certificate.not_valid_after_utc:
        return [
            Problem(
                code="ca-expired",
                message=f"the certificate {name} has expired",
                seen=f"valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
                expected=f"valid at {now:%Y-%m-%d %H:%M} UTC",
            )
        ]
    return []


def _strength_faults(certificate: x509.Certificate) -> list[Problem]:
    found: list[Problem] = []
    name = common_name(certificate)
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        found.append(
            Problem(
                code="ca-weak-key",
                message=f"the certificate {name} has a key that istiod or its proxies do not take",
                seen=type(key).__name__,
                expected="RSA or EC",
            )
        )
    elif isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        found.append(
            Problem(
                code="ca-weak-key",
                message=f"the certificate {name} has too short a key",
                seen=f"RSA {key.key_size}",
                expected=f"RSA of at least {MIN_RSA_BITS} bits",
            )
        )
    # A root's signature on itself is never checked, so its hash does not matter.
    if certificate.subject != certificate.issuer and _signed_weakly(certificate):
        found.append(
            Problem(
                code="ca-weak-signature",
                message=f"the signature on the certificate {name} is of a kind that Go and Envoy refuse",
                seen=certificate.signature_algorithm_oid.dotted_string,
                expected="SHA-256 or stronger",
            )
        )
    return found


def _signed_weakly(certificate: x509.Certificate) -> bool:
    try:
        return isinstance(certificate.signature_hash_algorithm, hashes.SHA1 | hashes.MD5)
    except UnsupportedAlgorithm:
        return True


def _restriction_warnings(certificate: x509.Certificate) -> list[Problem]:
    found: list[Problem] = []
    name = common_name(certificate)
    extensions = certificate.extensions
    try:
        extensions.get_extension_for_class(x509.NameConstraints)
        found.append(
            Problem(
                code="ca-name-constraints",
                message=f"the certificate {name} limits the names that may stand below it",
                expected="names under istio.io and svc, and URIs of the mesh's trust domain, to be permitted",
                hint=Advice("proxies refuse every workload certificate that falls outside the limit"),
            )
        )
    except x509.ExtensionNotFound:
        pass
    try:
        usages = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return found
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usages and not both <= usages:
        found.append(
            Problem(
                code="ca-extended-key-usage",
                message=f"the certificate {name} limits what certificates below it may be used for",
                expected="extendedKeyUsage with serverAuth and clientAuth, or none",
                hint=Advice(
                    "workloads are both servers and clients: proxies refuse their certificates otherwise"
                ),
            )
        )
    return found
