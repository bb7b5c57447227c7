"""PEM in and out, and what a certificate says of itself: pure, on top of `cryptography`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from istio_mc.domain.hint import Advice, on_this_machine
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

# istiod reads RSA and EC keys (FACTS, "cacerts"); Envoy's BoringSSL does not take Ed25519 by default.
_KEY_KINDS = "RSA or EC"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedPem:
    """The bytes of one PEM file with the name that errors call it by.

    Attributes:
        name: A path, or a key of a Secret.
        data: The bytes; kept out of `repr`, as they may be a private key.
    """

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What people and reports want to know of one certificate: plain data only.

    Attributes:
        subject: Distinguished name, RFC 4514 text.
        issuer: The issuer's distinguished name, RFC 4514 text.
        serial: Serial number in hexadecimal, as `openssl x509 -serial` prints it.
        not_before: Start of validity, in UTC.
        not_after: End of validity, in UTC.
        fingerprint: SHA-256 of the DER form, as `openssl x509 -fingerprint -sha256` prints it.
        key: Kind and size of the public key, such as `RSA 3072` or `EC secp256r1`.
        path_length: CAs that may stand below it; None where there is no limit.
        names: Subject alternative names (DNS names and URIs).
    """

    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    fingerprint: str
    key: str
    path_length: int | None
    names: tuple[str, ...]


def load_certificates(pem: NamedPem) -> tuple[x509.Certificate, ...]:
    """Every certificate of a PEM bundle, in its order.

    Raises:
        ProblemError: `certificate-unreadable` where there is none, or one does not parse.
    """
    try:
        found = x509.load_pem_x509_certificates(pem.data)
        for certificate in found:
            _touch(certificate)
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise ProblemError(
            Problem(
                code="certificate-unreadable",
                message=f"{pem.name} holds no readable PEM certificate",
                expected="one or more blocks -----BEGIN CERTIFICATE-----",
                hint=Advice(
                    "look at it with: ",
                    on_this_machine("openssl", "x509", "-noout", "-text", "-in", pem.name),
                ),
            )
        ) from error
    return tuple(found)


def load_certificate(pem: NamedPem) -> x509.Certificate:
    """The one certificate of a PEM file.

    Raises:
        ProblemError: `certificate-unreadable`, or `certificate-not-alone` where the file holds several.
    """
    found = load_certificates(pem)
    if len(found) > 1:
        raise ProblemError(
            Problem(
                code="certificate-not-alone",
                message=f"{pem.name} holds {len(found)} certificates where one is expected",
                seen="; ".join(certificate.subject.rfc4514_string() for certificate in found),
                hint=Advice("put the others in the chain file"),
            )
        )
    return found[0]


def load_key(pem: NamedPem) -> PrivateKey:
    """The private key of a PEM file: PKCS#8, PKCS#1 or SEC1, not encrypted.

    That the primes of an RSA key are primes is not proved: OpenSSL takes 0.3 s of a core for that with 4096
    bits, and a run reads each CA's key several times.

    Raises:
        ProblemError: `key-unreadable`, `key-encrypted` or `key-unsupported`. None of them quotes the file.
    """
    try:
        key = serialization.load_pem_private_key(
            _without_parameters(pem.data), password=None, unsafe_skip_rsa_key_validation=True
        )
        if isinstance(key, rsa.RSAPrivateKey):
            _check_parts(key.private_numbers())
    except TypeError as error:
        raise ProblemError(
            Problem(
                code="key-encrypted",
                message=f"the private key in {pem.name} is encrypted",
                expected="a key without a passphrase: istiod takes no other",
                hint=Advice(
                    "decrypt it into a private file: umask 077; ",
                    on_this_machine("openssl", "pkey", "-in", pem.name, "-out", "plain.key"),
                ),
            )
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ProblemError(
            Problem(
                code="key-unreadable",
                message=f"{pem.name} holds no readable PEM private key",
                expected=f"one {_KEY_KINDS} key",
                hint=Advice(
                    "look at it with: ",
                    on_this_machine("openssl", "pkey", "-noout", "-check", "-in", pem.name),
                ),
            )
        ) from error
    if not isinstance(key, PrivateKey):
        raise ProblemError(
            Problem(
                code="key-unsupported",
                message=f"{pem.name} holds a kind of key that istiod or its proxies do not take",
                seen=type(key).__name__,
                expected=_KEY_KINDS,
            )
        )
    return key


def _check_parts(key: rsa.RSAPrivateNumbers) -> None:
    """Refuses an RSA key whose numbers do not belong together, as istiod does.

    Source: Go 1.26, crypto/internal/fips140/rsa/rsa.go, checkPrivateKey.

    Raises:
        ValueError: They do not.
    """
    p, q, d = key.p, key.q, key.d
    n, e = key.public_numbers.n, key.public_numbers.e
    fits = (
        min(p, q) > 1
        and p * q == n
        and d * e % (p - 1) == 1
        and d * e % (q - 1) == 1
        and (key.dmp1, key.dmq1) == (d % (p - 1), d % (q - 1))
        and key.iqmp * q % p == 1
    )
    if not fits:
        raise ValueError("the parts of the RSA key do not belong together")


def attempt(load: Callable[[NamedPem], T], pem: NamedPem, problems: list[Problem]) -> T | None:
    """What `load` makes of the file; or None, its problems added to the list: so all are told at once."""
    try:
        return load(pem)
    except ProblemError as error:
        problems += error.problems
        return None


def dump_certificates(certificates: Iterable[x509.Certificate]) -> bytes:
    """The certificates as one PEM bundle, in the order given."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def dump_key(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS#8 PEM, a form that istiod reads for RSA and EC alike."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER form, upper-case hexadecimal with colons, as openssl prints it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def key_matches(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """Whether the certificate is for this private key."""
    return certificate.public_key() == key.public_key()


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's name and key made this certificate's signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def common_name(certificate: x509.Certificate) -> str:
    """The common name, or the whole subject where it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def key_id(certificate: x509.Certificate) -> str:
    """The subject key identifier in hexadecimal, as openssl prints it; derived where there is none."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        found = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    return found.digest.hex(":").upper()


def issuer_key_id(certificate: x509.Certificate) -> str:
    """The identifier of the key that signed it, as the certificate says; `unnamed` where it does not."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return "unnamed"
    return found.key_identifier.hex(":").upper() if found.key_identifier else "unnamed"


def alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """DNS names and URIs among the subject alternative names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *names.get_values_for_type(x509.UniformResourceIdentifier),
    )


def basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    """The basic constraints; those of an end entity where the extension is absent, as RFC 5280 has it."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return x509.BasicConstraints(ca=False, path_length=None)


def facts(certificate: x509.Certificate) -> CertificateFacts:
    """What is shown of a certificate."""
    return CertificateFacts(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        serial=_whole_bytes(f"{certificate.serial_number:X}"),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=fingerprint(certificate),
        key=_key_name(certificate),
        path_length=basic_constraints(certificate).path_length,
        names=alternative_names(certificate),
    )


def _whole_bytes(digits: str) -> str:
    """Two digits a byte, as openssl prints them: 0A and not A."""
    return digits.zfill(len(digits) + len(digits) % 2)


def _touch(certificate: x509.Certificate) -> None:
    """Parses what `cryptography` parses lazily, so that a damaged part is found where the file is named."""
    _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key())


def _without_parameters(data: bytes) -> bytes:
    """Drops the `EC PARAMETERS` block that `openssl ecparam -genkey` writes above the key itself."""
    before, end, after = data.partition(b"-----END EC PARAMETERS-----")
    return after if end and b"BEGIN EC PARAMETERS" in before else data


def _key_name(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__
