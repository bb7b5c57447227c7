"""PEM in and out, and what a certificate says of itself: pure, on top of `cryptography`.

PEM is read in two ways. `load_…` reads a file as istiod and the proxies do, and refuses what they refuse: for
what is in a cluster, or goes there unchanged. `read_…` also reads what a person would read, and says what is
odd: for files that are brought in, as their content is written again as plain PEM.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from istio_mc.domain.hint import Advice, on_this_machine
from istio_mc.domain.pki import go_x509
from istio_mc.domain.pki.der import GROUP, Der, RefusedError
from istio_mc.domain.pki.pem_blocks import UNFINISHED, Block, blocks_of_go, blocks_of_people
from istio_mc.domain.problem import Code, Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from istio_mc.domain.hint import Command

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
"""The kinds that istiod signs with and Envoy verifies (tried with Envoy 1.40)."""

KEY_KINDS = "RSA, EC on P-224, P-256, P-384 or P-521, or Ed25519"
_CURVES = (ec.SECP224R1, ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_CERTIFICATE, _TRUSTED = "CERTIFICATE", "TRUSTED CERTIFICATE"
_CERTIFICATES = (_CERTIFICATE, "X509 CERTIFICATE", _TRUSTED)
_KEY = "PRIVATE KEY"
_PLAIN = "PEM blocks only, each starting on its own line"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NamedPem:
    """The bytes of one PEM file with the name that errors call it by.

    Attributes:
        data: The bytes; kept out of `repr`, as they may be a private key.
        is_file: Whether the name is a path, for commands that look at the file.
    """

    name: str
    data: bytes = field(repr=False)
    is_file: bool = True


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """What a file contains, and what is odd about how.

    Attributes:
        value: What was read; kept out of `repr`, as it may be a private key.
    """

    value: T = field(repr=False)
    oddities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What people and reports want to know of one certificate: plain data only.

    Attributes:
        serial: Serial number in hexadecimal, as `openssl x509 -serial` prints it.
        fingerprint: SHA-256 of the DER form, as `openssl x509 -fingerprint -sha256` prints it.
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


# Certificates


@lru_cache(maxsize=256)  # clusters, proxies and webhooks have copies of the same
def load_certificates(pem: NamedPem, *, skip: bool = False) -> tuple[x509.Certificate, ...]:
    """Every certificate of a PEM bundle, in its order, as istiod and the proxies read it.

    Args:
        skip: Leave out certificates that Go does not read, but for the first: as with trusted roots.

    Raises:
        ProblemError: `pem-malformed` where it is not plain PEM; `certificate-unreadable` where there is none,
            or Go does not read one.
    """
    blocks, odd = blocks_of_people(pem.data)
    all_blocks = blocks_of_go(pem.data)
    plain = [block.der for block in all_blocks if block.kind == _CERTIFICATE and not block.headers]
    if any(block.kind in _CERTIFICATES for block in blocks):
        if all_blocks and all_blocks[0].kind != _CERTIFICATE:
            raise ProblemError(_malformed(pem, [f"PEM block {all_blocks[0].kind} first"]))
        all_of_them = [block.der for block in blocks if block.kind == _CERTIFICATE]
        if not plain or plain != all_of_them or UNFINISHED in odd:
            raise ProblemError(_malformed(pem, _reasons(blocks, odd)))
    if not plain:
        raise ProblemError(_no_certificate(pem, _reasons(blocks, odd)))
    loaded: list[x509.Certificate] = []
    for der in plain:
        try:
            loaded.append(_certificate(der or b""))
        except ValueError as error:
            if not loaded or not skip:
                raise ProblemError(_unreadable(pem, error)) from error
    return tuple(loaded)


def load_first_certificate(pem: NamedPem) -> x509.Certificate:
    """The certificate that a file begins with: istiod reads no more of ca-cert.pem, and proxies never see it.

    Raises:
        ProblemError: As `load_certificates`.
    """
    blocks = blocks_of_go(pem.data)
    if not blocks or blocks[0].kind != _CERTIFICATE:
        load_certificates(pem)  # says why
        raise ProblemError(_malformed(pem, _reasons(*blocks_of_people(pem.data))))
    try:
        return _certificate(blocks[0].der or b"")
    except ValueError as error:
        raise ProblemError(_unreadable(pem, error)) from error


def load_roots(pem: NamedPem) -> tuple[x509.Certificate, ...]:
    """The trusted roots of a bundle; one that Go does not read is left out, as by istiod, but for the first.

    Raises:
        ProblemError: As `load_certificates`.
    """
    return load_certificates(pem, skip=True)


def read_certificates(pem: NamedPem, *, skip: bool = False) -> Reading[tuple[x509.Certificate, ...]]:
    """Every certificate of a file, each once, in its order; the file may have other things too.

    Raises:
        ProblemError: `certificate-unreadable` where there is none, or one that Go does not read.
    """
    blocks, odd = blocks_of_people(pem.data)
    damaged = [block for block in blocks if block.kind in _CERTIFICATES and block.der is None]
    if damaged or UNFINISHED in odd:
        raise ProblemError(_no_certificate(pem, _reasons(blocks, odd)))
    loaded: list[x509.Certificate] = []
    for block in blocks:
        if block.kind != _CERTIFICATE:
            odd.append(f"PEM block {block.kind}")
        if block.kind not in _CERTIFICATES:
            continue
        try:
            certificate = _certificate(_untrusted(block))
        except ValueError as error:
            if not loaded or not skip:
                raise ProblemError(_unreadable(pem, error)) from error
            odd.append("a certificate that Go does not read")
            continue
        if certificate in loaded:
            odd.append("a certificate twice")
        else:
            loaded.append(certificate)
    if not loaded:
        raise ProblemError(_no_certificate(pem, odd))
    return Reading(tuple(loaded), tuple(dict.fromkeys(odd)))


def read_certificate(pem: NamedPem) -> Reading[x509.Certificate]:
    """The one certificate of a file.

    Raises:
        ProblemError: `certificate-unreadable`, or `certificate-not-alone` where the file has several.
    """
    reading = read_certificates(pem)
    if len(reading.value) > 1:
        raise ProblemError.of(
            code=Code.CERTIFICATE_NOT_ALONE,
            message=f"{pem.name} has {len(reading.value)} certificates, expected one",
            seen="; ".join(certificate.subject.rfc4514_string() for certificate in reading.value),
            hint=Advice("put the others in the chain file"),
        )
    return Reading(reading.value[0], reading.oddities)


@lru_cache(maxsize=1024)  # clusters, proxies and webhooks have copies of the same
def _certificate(der: bytes) -> x509.Certificate:
    """A certificate that Go reads, and `cryptography` to the last part.

    Raises:
        ValueError: One of them does not.
    """
    serial = go_x509.read_certificate(der).serial
    try:
        certificate = _load_without_warning(der) if serial == 0 else x509.load_der_x509_certificate(der)
        # `cryptography` parses these when they are first used; damage is to be found where the file is named.
        _ = (certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key())
    except (x509.DuplicateExtension, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    return certificate


def _load_without_warning(der: bytes) -> x509.Certificate:
    """Loads a certificate whose serial number is 0: `cryptography` warns of those, and Go reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return x509.load_der_x509_certificate(der)


def _untrusted(block: Block) -> bytes:
    """The certificate of a block; openssl writes what it is trusted for behind one that it calls trusted."""
    der = block.der or b""
    return Der(der, "the certificate").value()[2] if block.kind == _TRUSTED else der


def _reasons(blocks: Sequence[Block], odd: Sequence[str]) -> list[str]:
    damaged = [f"PEM block {block.kind} that is not base64" for block in blocks if block.der is None]
    other = [f"PEM block {block.kind}" for block in blocks if block.kind not in {_CERTIFICATE, _KEY}]
    return list(dict.fromkeys([*damaged, *odd, *other])) or ["no PEM block"]


def _malformed(pem: NamedPem, reasons: Sequence[str]) -> Problem:
    return Problem(
        code=Code.PEM_MALFORMED,
        message=f"{pem.name} is not PEM that istiod and the proxies accept",
        seen=", ".join(reasons),
        expected=_PLAIN,
        hint=Advice("write it again as plain PEM"),
    )


def _no_certificate(pem: NamedPem, reasons: Sequence[str]) -> Problem:
    return Problem(
        code=Code.CERTIFICATE_UNREADABLE,
        message=f"{pem.name} has no readable PEM certificate",
        seen=", ".join(reasons),
        expected="one or more blocks -----BEGIN CERTIFICATE-----",
        hint=_inspect_hint(pem, on_this_machine("openssl", "x509", "-noout", "-text", "-in", pem.name)),
    )


def _unreadable(pem: NamedPem, error: ValueError) -> Problem:
    refused = isinstance(error, RefusedError)
    return Problem(
        code=Code.CERTIFICATE_UNREADABLE,
        message=f"{pem.name} has a certificate that {'istiod' if refused else 'istio-mc'} does not read",
        seen=str(error) if refused else "a part of it is malformed",
        expected="a certificate that Go's crypto/x509 reads",
        hint=_inspect_hint(pem, on_this_machine("openssl", "x509", "-noout", "-text", "-in", pem.name)),
    )


def _inspect_hint(pem: NamedPem, command: Command) -> Advice | None:
    return Advice("inspect it with: ", command) if pem.is_file else None


# Keys


def load_key(pem: NamedPem) -> PrivateKey:
    """The private key of a PEM file, as istiod reads it: the first block alone counts.

    That the primes of an RSA key are primes is not proved: OpenSSL takes 0.3 s of a core for that with 4096
    bits, and a run reads each CA's key several times.

    Raises:
        ProblemError: `pem-malformed`, or as `read_key`. None of them quotes the file.
    """
    reading = read_key(pem)
    blocks = blocks_of_go(pem.data)
    if not blocks:
        raise ProblemError(_malformed(pem, reading.oddities))
    first = blocks[0]
    try:
        go_x509.check_key(first.kind, first.der or b"")
    except RefusedError as error:
        of_block = f"PEM block {first.kind} first"
        raise ProblemError(
            _malformed(pem, [str(error) if first.kind.endswith(_KEY) else of_block])
        ) from error
    return reading.value


def read_key(pem: NamedPem) -> Reading[PrivateKey]:
    """The first private key of a file, which may have other things too: PKCS#8, PKCS#1 or SEC 1, unencrypted.

    Raises:
        ProblemError: `key-unreadable`, `key-encrypted` or `key-unsupported`. None of them quotes the file.
    """
    blocks, odd = blocks_of_people(pem.data)
    keys = [block for block in blocks if block.kind.endswith(_KEY)]
    odd += [f"PEM block {block.kind}" for block in blocks if not block.kind.endswith(_KEY)]
    if not keys or keys[0].der is None:
        raise ProblemError(_no_key(pem, _reasons(blocks, odd)))
    if keys[0].kind == f"ENCRYPTED {_KEY}" or b"ENCRYPTED" in keys[0].headers:
        raise ProblemError.of(
            code=Code.KEY_ENCRYPTED,
            message=f"the private key in {pem.name} is encrypted",
            expected="a key without a passphrase",
            hint=Advice(
                "decrypt it into a private file: umask 077; ",
                on_this_machine("openssl", "pkey", "-in", pem.name, "-out", "plain.key"),
            )
            if pem.is_file
            else None,
        )
    if len({block.der for block in keys}) > 1:
        odd.append("another private key behind the first")
    try:
        go_x509.check_key(keys[0].kind, keys[0].der)
    except RefusedError as error:
        odd.append(str(error))
    return Reading(_private_key(pem, keys[0].der), tuple(dict.fromkeys(odd)))


def _private_key(pem: NamedPem, der: bytes) -> PrivateKey:
    try:
        key = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        if isinstance(key, rsa.RSAPrivateKey):
            _check_parts(key.private_numbers())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ProblemError(_no_key(pem, ["a private key that is damaged, or of an unknown kind"])) from error
    other_curve = isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, _CURVES)
    if not isinstance(key, PrivateKey) or other_curve:
        raise ProblemError.of(
            code=Code.KEY_UNSUPPORTED,
            message=f"the private key in {pem.name} has a type that istiod does not support",
            seen=f"EC {key.curve.name}"
            if isinstance(key, ec.EllipticCurvePrivateKey)
            else type(key).__name__,
            expected=KEY_KINDS,
        )
    return key


def _no_key(pem: NamedPem, reasons: Sequence[str]) -> Problem:
    return Problem(
        code=Code.KEY_UNREADABLE,
        message=f"{pem.name} has no readable PEM private key",
        seen=", ".join(reasons),
        expected=f"one key: {KEY_KINDS}",
        hint=_inspect_hint(pem, on_this_machine("openssl", "pkey", "-noout", "-check", "-in", pem.name)),
    )


def _check_parts(key: rsa.RSAPrivateNumbers) -> None:
    """Refuses an RSA key whose numbers do not belong together, as istiod does.

    Source: Go 1.26, crypto/internal/fips140/rsa/rsa.go, checkPrivateKey and checkPublicKey.

    Raises:
        ValueError: They do not.
    """
    p, q, d = key.p, key.q, key.d
    n, e = key.public_numbers.n, key.public_numbers.e
    fits = (
        min(p, q) > 1
        and p * q == n
        and n % 2 == 1
        and e % 2 == 1
        and 1 < e < 1 << 31
        and d * e % (p - 1) == 1
        and d * e % (q - 1) == 1
        and (key.dmp1, key.dmq1) == (d % (p - 1), d % (q - 1))
        and key.iqmp * q % p == 1
    )
    half = n.bit_length() // 2
    if not fits or abs(p - q).bit_length() <= half - 100 or d.bit_length() <= half:
        raise ValueError("the parts of the RSA key do not belong together")


def attempt(load: Callable[[NamedPem], T], pem: NamedPem, problems: list[Problem]) -> T | None:
    """What `load` makes of the file; None where it has problems: these are added, and reported together."""
    try:
        return load(pem)
    except ProblemError as error:
        problems += error.problems
        return None


def rewritten(pem: NamedPem, oddities: Sequence[str]) -> list[Problem]:
    """The notice that a file is used, and written where it goes, as plain PEM; none where nothing is odd."""
    if not oddities:
        return []
    return [
        Problem(
            code=Code.PEM_REWRITTEN,
            message=f"{pem.name} was read, and will be written as plain PEM",
            seen=", ".join(oddities),
            expected=_PLAIN,
        )
    ]


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


@lru_cache(maxsize=4096)  # the same few CAs issued the certificates of all clusters
def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's name and key made this certificate's signature, with whatever hash."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return _signed_with_an_old_hash(certificate, issuer)
    except InvalidSignature:
        return False
    return True


def _signed_with_an_old_hash(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether it is signed so with SHA-1 or MD5, which `cryptography` does not verify in certificates."""
    try:
        digest = certificate.signature_hash_algorithm
        if not isinstance(digest, hashes.SHA1 | hashes.MD5):
            return False
        key = issuer.public_key()
        if certificate.issuer.public_bytes() != issuer.subject.public_bytes():
            return False
        signature, signed = certificate.signature, certificate.tbs_certificate_bytes
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(digest))
        else:
            return False
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_root(certificate: x509.Certificate) -> bool:
    """Whether it names itself as its issuer; the signature of a root on itself is not checked."""
    return certificate.issuer.public_bytes() == certificate.subject.public_bytes()


def signing_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """The hash to sign a certificate with, of the key's own strength; None where its kind has its own."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    strong = isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256  # noqa: PLR2004 (bits of P-256)
    return hashes.SHA384() if strong else hashes.SHA256()


def common_name(certificate: x509.Certificate) -> str:
    """The common name, or the whole subject where it has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def key_id(certificate: x509.Certificate) -> str:
    """The subject key identifier in hexadecimal, as openssl prints it; derived where there is none."""
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        identifier = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
    return identifier.digest.hex(":").upper()


def issuer_key_id(certificate: x509.Certificate) -> str:
    """The identifier of the key that signed it, as the certificate says; `unnamed` where it does not."""
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return "unnamed"
    return identifier.key_identifier.hex(":").upper() if identifier.key_identifier else "unnamed"


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
        serial=_padded_bytes(f"{_serial(certificate):X}"),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=fingerprint(certificate),
        key=_key_name(certificate),
        path_length=basic_constraints(certificate).path_length,
        names=alternative_names(certificate),
    )


def _serial(certificate: x509.Certificate) -> int:
    """The serial number, from the bytes: `cryptography` warns of one that is 0 each time it is read."""
    body = Der(certificate.tbs_certificate_bytes, "the certificate").inside()
    if body.has(GROUP):
        body.value()  # the version
    return body.integer()


def _padded_bytes(digits: str) -> str:
    """Two digits a byte, as openssl prints them: 0A and not A."""
    return digits.zfill(len(digits) + len(digits) % 2)


def _key_name(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else type(key).__name__
