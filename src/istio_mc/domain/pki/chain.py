"""Whether a CA certificate leads to its root, and what is wrong on the way: pure, all faults at once.

The rules are those of Go's crypto/x509 (verify.go, 1.24 to 1.26), which istiod verifies its CA and its own
certificate with, and, where Envoy is stricter, those of BoringSSL (tried with Envoy 1.40).
"""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from istio_mc.domain.hint import Advice
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki import go_x509
from istio_mc.domain.pki.name_constraints import Names
from istio_mc.domain.pki.pem import KEY_KINDS, common_name, fingerprint, is_root, issued_by
from istio_mc.domain.problem import Code, Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

    from istio_mc.domain.pki.go_x509 import GoCertificate

    Certificates = tuple[x509.Certificate, ...]


SOON = timedelta(days=30)
"""How long before its end verify warns of a CA certificate, and install renews an intermediate."""

MIN_RSA_BITS = 1024
"""Go refuses to sign and to verify with shorter RSA keys."""

SAFE_RSA_BITS = 2048
"""NIST SP 800-131A forbids to sign with shorter RSA keys; Go and Envoy still do."""

ISTIOD_NAMES = Names(dns=(f"istiod.{SYSTEM_NAMESPACE}.svc",))
"""What istiod's own certificate, which the cluster's CA signs, is verified for."""

_CERT_SIGN = 1 << 5
_MOST_PATHS = 100
_SERVER, _CLIENT, _ANY = (
    use.dotted_string
    for use in (
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    )
)


def path_to_root(
    certificate: x509.Certificate, between: Iterable[x509.Certificate], roots: Sequence[x509.Certificate]
) -> Certificates:
    """The certificates from this one up to a root, each issued by the next.

    Where several lead to a root, it is the one with the fewest faults, and of those the one that is valid
    longest: one that is in order is enough for Go and for Envoy.

    Args:
        certificate: Where the path starts; it may be a root itself.
        between: Candidates to stand between, in any order, with or without duplicates.

    Returns:
        The path, both ends included.

    Raises:
        ProblemError: `chain-broken`, naming the certificate whose issuer was not found.
    """
    candidates = list(dict.fromkeys((*roots, *between)))
    highest: Certificates = (certificate,)

    def climb(path: Certificates) -> Iterator[Certificates]:
        nonlocal highest
        highest = max(highest, path, key=len)
        if path[-1] in roots:
            yield path
            return
        for candidate in candidates:
            if candidate not in path and issued_by(path[-1], candidate):
                yield from climb((*path, candidate))

    paths = list(islice(climb((certificate,)), _MOST_PATHS))
    if paths:
        return paths[0] if len(paths) == 1 else min(paths, key=_rank)
    last = highest[-1]
    raise ProblemError.of(
        code=Code.CHAIN_BROKEN,
        message=f"{common_name(certificate)} does not chain to the root",
        seen=f"no certificate at hand issued {common_name(last)}",
        expected=f"one of {last.issuer.rfc4514_string()}, up to a root with fingerprint "
        + " or ".join(fingerprint(root) for root in roots),
    )


def _rank(path: Certificates) -> tuple[int, float]:
    ends = min(certificate.not_valid_after_utc for certificate in path)
    return len(_lasting_faults(path, 0)), -ends.timestamp()


def path_faults(
    path: Sequence[x509.Certificate], now: datetime, *, below: int = 0, names: Names = ISTIOD_NAMES
) -> list[Problem]:
    """What keeps a path of CA certificates from being trusted.

    Args:
        below: CAs that are still to be issued under the first one.
        names: Names that certificates below the first one are to have.

    Returns:
        Every fault found: `ca-not-a-ca`, `ca-cannot-sign`, `ca-path-length`, `ca-expired`,
        `ca-not-yet-valid`, `ca-weak-key`, `ca-weak-signature`, `ca-extension`, `ca-extended-key-usage`,
        `ca-key-id`, `ca-name-constraints`, `ca-policies`.
    """
    return _lasting_faults(path, below, names) + [
        fault for certificate in path for fault in time_faults(certificate, now)
    ]


def _lasting_faults(
    path: Sequence[x509.Certificate], below: int, names: Names = ISTIOD_NAMES
) -> list[Problem]:
    """The faults that time does not change."""
    problems: list[Problem] = []
    read = [as_go(certificate) for certificate in path]
    for at, (certificate, go) in enumerate(zip(path, read, strict=True)):
        problems += _constraint_faults(certificate, go, below + at)
        problems += _strength_faults(certificate, go)
        problems += _use_faults(certificate, go, is_anchor=at == len(path) - 1)
        problems += _key_id_faults(certificate, go, read[at + 1 : at + 2])
    return problems + _name_faults(path, read, names) + _policy_faults(path, read)


def path_warnings(path: Sequence[x509.Certificate], now: datetime, *, within: timedelta) -> list[Problem]:
    """What works now, but not for long, or not for every name.

    Returns:
        `ca-expires-soon`, `ca-short-key`, `ca-name-constraints` and `ca-extended-key-usage`.
    """
    problems: list[Problem] = []
    for certificate in path:
        name = common_name(certificate)
        left = certificate.not_valid_after_utc - now
        if now < certificate.not_valid_after_utc and left <= within:
            problems.append(
                Problem(
                    code=Code.CA_EXPIRES_SOON,
                    message=f"the certificate {name} expires in {left.days} days",
                    seen=f"valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
                    expected=f"more than {within.days} days left",
                )
            )
        problems += _short_key(certificate)
        problems += _restriction_warnings(certificate)
    # What is refused for sure is a fault, and no warning too.
    refused = {fault.message for fault in _lasting_faults(path, 0)}
    return [warning for warning in problems if warning.message not in refused]


def as_go(certificate: x509.Certificate) -> GoCertificate:
    """A certificate that was read before, as Go reads it."""
    return go_x509.read_certificate(certificate.public_bytes(Encoding.DER))


def _constraint_faults(certificate: x509.Certificate, go: GoCertificate, below: int) -> list[Problem]:
    problems: list[Problem] = []
    name = common_name(certificate)
    if not go.is_ca:
        problems.append(
            Problem(
                code=Code.CA_NOT_A_CA,
                message=f"the certificate {name} is not a CA's",
                seen="no basicConstraints CA:TRUE",
                expected="a certificate that may sign others",
            )
        )
    elif go.path_length is not None and go.path_length < below:
        problems.append(
            Problem(
                code=Code.CA_PATH_LENGTH,
                message=f"the certificate {name} does not allow the CAs below it",
                seen=f"basicConstraints pathlen:{go.path_length}",
                expected=f"pathlen of at least {below}, or none",
                hint=Advice(
                    "issue it again with a greater path length: each cluster gets its own CA below it"
                ),
            )
        )
    if go.usage is not None and not go.usage & _CERT_SIGN:
        problems.append(
            Problem(
                code=Code.CA_CANNOT_SIGN,
                message=f"the certificate {name} may not sign certificates",
                seen="keyUsage without keyCertSign",
                expected="keyUsage with keyCertSign",
            )
        )
    if go.unknown:
        problems.append(
            Problem(
                code=Code.CA_EXTENSION,
                message=f"the certificate {name} has a critical extension that istiod does not know",
                seen=", ".join(go.unknown),
                expected="no critical extension other than those of RFC 5280 that Go knows",
                hint=Advice("issue it again without this extension, or with it not critical"),
            )
        )
    return problems


def time_faults(certificate: x509.Certificate, now: datetime) -> list[Problem]:
    """Whether a certificate is valid at a moment: `ca-expired` or `ca-not-yet-valid`."""
    name = common_name(certificate)
    if now < certificate.not_valid_before_utc:
        return [
            Problem(
                code=Code.CA_NOT_YET_VALID,
                message=f"the certificate {name} is not valid yet",
                seen=f"valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
                expected=f"valid at {now:%Y-%m-%d %H:%M} UTC",
                hint=Advice("check the clock of this machine"),
            )
        ]
    if now > certificate.not_valid_after_utc:
        return [
            Problem(
                code=Code.CA_EXPIRED,
                message=f"the certificate {name} has expired",
                seen=f"valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
                expected=f"valid at {now:%Y-%m-%d %H:%M} UTC",
            )
        ]
    return []


def _strength_faults(certificate: x509.Certificate, go: GoCertificate) -> list[Problem]:
    problems: list[Problem] = []
    name = common_name(certificate)
    key = certificate.public_key()
    if not go.key:
        problems.append(
            Problem(
                code=Code.CA_WEAK_KEY,
                message=f"the certificate {name} has a key of a kind that istiod does not verify with",
                seen=certificate.public_key_algorithm_oid.dotted_string,
                expected=KEY_KINDS,
            )
        )
    elif isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        problems.append(
            Problem(
                code=Code.CA_WEAK_KEY,
                message=f"the certificate {name} has too short a key",
                seen=f"RSA {key.key_size}",
                expected=f"RSA of at least {SAFE_RSA_BITS} bits",
            )
        )
    # A root's signature on itself is never checked, so its hash does not matter.
    if not is_root(certificate) and not go.strong:
        problems.append(
            Problem(
                code=Code.CA_WEAK_SIGNATURE,
                message=f"the signature on the certificate {name} has an algorithm that istiod rejects",
                seen=certificate.signature_algorithm_oid.dotted_string,
                expected="SHA-256, SHA-384 or SHA-512, with RSA or ECDSA; or Ed25519",
            )
        )
    return problems


def _use_faults(certificate: x509.Certificate, go: GoCertificate, *, is_anchor: bool) -> list[Problem]:
    """Uses that what is below may not have.

    istiod asks for serverAuth, or any use, all the way up. Envoy asks for both uses by name, and not of the
    root.
    """
    uses = set(go.uses)
    enough = uses & {_SERVER, _ANY} if is_anchor else {_SERVER, _CLIENT} <= uses
    return [] if not uses or enough else [_limited_use(certificate)]


def _limited_use(certificate: x509.Certificate) -> Problem:
    return Problem(
        code=Code.CA_EXTENDED_KEY_USAGE,
        message=f"the certificate {common_name(certificate)} limits what certificates below it are used for",
        expected="extendedKeyUsage with serverAuth and clientAuth, or none",
        hint=Advice("issue it again without extendedKeyUsage: workloads are both servers and clients"),
    )


def _key_id_faults(
    certificate: x509.Certificate, go: GoCertificate, issuer: Sequence[GoCertificate]
) -> list[Problem]:
    """An issuer is found by its key id in Envoy, while Go takes that as a mere preference."""
    theirs = issuer[0].key_id if issuer else b""
    if not theirs or not go.issuer_key_id or theirs == go.issuer_key_id:
        return []
    return [
        Problem(
            code=Code.CA_KEY_ID,
            message=f"the certificate {common_name(certificate)} names another key as its issuer's",
            seen=f"authority key identifier {go.issuer_key_id.hex(':').upper()}",
            expected=f"the issuer's subject key identifier {theirs.hex(':').upper()}",
            hint=Advice("issue it again by the certificate above it: proxies do not follow it otherwise"),
        )
    ]


def _name_faults(
    path: Sequence[x509.Certificate], read: Sequence[GoCertificate], names: Names
) -> list[Problem]:
    """Names that a CA above does not allow: those of the CAs below it, and those that are to be."""
    problems: list[Problem] = []
    for at, (certificate, go) in enumerate(zip(path, read, strict=True)):
        if go.constraints is None:
            continue
        below = (names, *(lower.names for lower in read[:at]))
        refused = [name for each in below for name in go.constraints.refused(each)]
        if refused:
            problems.append(
                Problem(
                    code=Code.CA_NAME_CONSTRAINTS,
                    message=_limited_names(certificate),
                    seen=f"name constraints that exclude {', '.join(dict.fromkeys(refused))}",
                    expected="DNS names under istio.io and svc, and URIs of the mesh's trust domain, allowed",
                    hint=Advice("issue it again without name constraints, or with these names permitted"),
                )
            )
    return problems


def _limited_names(certificate: x509.Certificate) -> str:
    return f"the certificate {common_name(certificate)} limits the names of certificates below it"


def _policy_faults(path: Sequence[x509.Certificate], read: Sequence[GoCertificate]) -> list[Problem]:
    """A CA that demands a certificate policy of all below it: istiod gives workloads none.

    RFC 5280 section 6.1, as far as it concerns a lowest certificate without policies. The root is left out.
    """
    left = len(path) + 1 if path else 2
    any_policy = True
    for certificate, go in reversed([*zip(path, read, strict=True)][:-1]):
        any_policy = any_policy and go.policies
        if not left and not any_policy:
            break
        left -= bool(left) and not is_root(certificate)
        if go.explicit_policy is not None:
            left = min(left, go.explicit_policy)
    if left > 1:
        return []
    return [
        Problem(
            code=Code.CA_POLICIES,
            message="a CA above demands a certificate policy, and workloads' certificates have none",
            seen="policyConstraints with requireExplicitPolicy",
            expected="no such constraint below the root",
            hint=Advice("issue the CA again without it"),
        )
    ]


def _short_key(certificate: x509.Certificate) -> list[Problem]:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or not MIN_RSA_BITS <= key.key_size < SAFE_RSA_BITS:
        return []
    return [
        Problem(
            code=Code.CA_SHORT_KEY,
            message=f"the certificate {common_name(certificate)} has a key that can be broken",
            seen=f"RSA {key.key_size}",
            expected=f"RSA of at least {SAFE_RSA_BITS} bits, or EC",
            hint=Advice(
                "replace it: anyone who breaks it can issue certificates that every workload accepts"
            ),
        )
    ]


def _restriction_warnings(certificate: x509.Certificate) -> list[Problem]:
    """Limits that some names or uses fit within: what does not is a fault."""
    problems: list[Problem] = []
    go = as_go(certificate)
    if go.constraints is not None:
        problems.append(
            Problem(
                code=Code.CA_NAME_CONSTRAINTS,
                message=_limited_names(certificate),
                expected="DNS names under istio.io and svc, and URIs of the mesh's trust domain, allowed",
                hint=Advice("proxies reject workload certificates outside the limit"),
            )
        )
    if is_root(certificate) and go.uses and _ANY not in go.uses and not {_SERVER, _CLIENT} <= set(go.uses):
        problems.append(_limited_use(certificate))
    return problems


def ahead_s(date: str | None, now: datetime) -> float | None:
    """How many seconds a server's clock is ahead of this machine's; None where the header does not tell.

    Right to a second and the time the answer took.
    """
    try:
        server_time = parsedate_to_datetime(date or "")
        return (server_time - now).total_seconds()
    except (TypeError, ValueError):
        return None
