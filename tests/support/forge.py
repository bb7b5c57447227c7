"""Certificates made from their DER parts, so that any part can be wrong: no library writes such."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

INTEGER, BITS, OCTETS, NULL, OID, UTF8, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x30, 0x31
UTC_TIME, GENERAL_TIME = 0x17, 0x18
SERVER_AUTH, CLIENT_AUTH, ANY_USE, CODE_SIGNING = (
    "1.3.6.1.5.5.7.3.1",
    "1.3.6.1.5.5.7.3.2",
    "2.5.29.37.0",
    "1.3.6.1.5.5.7.3.3",
)
CERT_SIGN, CRL_SIGN, DIGITAL_SIGNATURE = 0x04, 0x02, 0x80
_HASHES = {"sha1": hashes.SHA1(), "md5": hashes.MD5(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384()}  # noqa: S303 (they are to be refused)
_RSA = {
    "md5": "1.2.840.113549.1.1.4",
    "sha1": "1.2.840.113549.1.1.5",
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
}
_EC = {"sha1": "1.2.840.10045.4.1", "sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3"}
PSS = "1.2.840.113549.1.1.10"


def der(tag: int, *content: bytes) -> bytes:
    """A value of a tag."""
    body = b"".join(content)
    size = len(body)
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, size] if size < 0x80 else [tag, 0x80 | len(length), *length]) + body


def integer(number: int) -> bytes:
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return der(INTEGER, number.to_bytes(size, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = b""
    for part in (40 * first + second, *rest):
        digits = [part & 0x7F]
        while part := part >> 7:
            digits.append(0x80 | part & 0x7F)
        body += bytes(reversed(digits))
    return der(OID, body)


def bits(content: bytes, unused: int = 0) -> bytes:
    return der(BITS, bytes([unused]), content)


def name(common_name: str | bytes, tag: int = UTF8) -> bytes:
    """A distinguished name of a common name alone, its string of any type."""
    value = common_name if isinstance(common_name, bytes) else common_name.encode()
    return der(SEQUENCE, der(SET, der(SEQUENCE, oid("2.5.4.3"), der(tag, value))))


def moment(when: datetime | str) -> bytes:
    """A date as RFC 5280 wants it; or the text as it is, of the tag that its length tells."""
    text = when
    if isinstance(text, datetime):
        text = f"{text:%y%m%d%H%M%SZ}" if text.year < 2050 else f"{text:%Y%m%d%H%M%SZ}"
    return der(GENERAL_TIME if len(text.rstrip("Z")) >= 14 else UTC_TIME, text.encode())


@dataclass(frozen=True)
class Extension:
    """One extension of a certificate."""

    oid: str
    value: bytes
    critical: bool = False

    def der(self) -> bytes:
        return der(
            SEQUENCE, oid(self.oid), der(1, b"\xff") if self.critical else b"", der(OCTETS, self.value)
        )


def basic(*, ca: bool = True, path_length: int | None = None, critical: bool = True) -> Extension:
    length = b"" if path_length is None else integer(path_length)
    return Extension("2.5.29.19", der(SEQUENCE, der(1, b"\xff") if ca else b"", length), critical)


def usage(flags: int = CERT_SIGN | CRL_SIGN, *, critical: bool = True) -> Extension:
    return Extension("2.5.29.15", bits(bytes([flags]), 1 if flags else 0), critical)


def names(*given: tuple[int, bytes | str], critical: bool = False) -> Extension:
    """Subject alternative names: 1 mail, 2 DNS, 4 directory, 6 URI, 7 IP."""
    parts = (
        der((0xA0 if kind in {0, 4} else 0x80) | kind, value.encode() if isinstance(value, str) else value)
        for kind, value in given
    )
    return Extension("2.5.29.17", der(SEQUENCE, *parts), critical)


def uses(*oids: str, critical: bool = False) -> Extension:
    return Extension("2.5.29.37", der(SEQUENCE, *map(oid, oids)), critical)


def name_limits(
    permitted: list[tuple[int, bytes | str]] | None = None,
    excluded: list[tuple[int, bytes | str]] | None = None,
    *,
    critical: bool = True,
) -> Extension:
    def trees(tag: int, given: list[tuple[int, bytes | str]] | None) -> bytes:
        if given is None:
            return b""
        parts = (
            der(
                SEQUENCE,
                der((0xA0 if kind in {0, 4} else 0x80) | kind, v.encode() if isinstance(v, str) else v),
            )
            for kind, v in given
        )
        return der(tag, *parts)

    return Extension("2.5.29.30", der(SEQUENCE, trees(0xA0, permitted), trees(0xA1, excluded)), critical)


def public(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Forged:
    """A certificate to be: each part may be given as it is.

    `algorithm` is the whole AlgorithmIdentifier; `signer` the issuer's key.
    """

    key: PrivateKeyTypes = field(repr=False)
    subject: bytes
    issuer: bytes
    signer: PrivateKeyTypes = field(repr=False)
    serial: bytes = integer(77)
    version: bytes = der(0xA0, integer(2))
    begins: bytes = moment(datetime(2020, 1, 1, tzinfo=UTC))
    ends: bytes = moment(datetime(2045, 1, 1, tzinfo=UTC))
    spki: bytes = b""
    extensions: tuple[Extension, ...] | None = (basic(), usage())
    hash: str = "sha256"
    algorithm: bytes = b""
    outer: bytes = b""
    after: bytes = b""
    made: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)

    def but(self, **parts: Any) -> Forged:
        return replace(self, **parts)

    def der(self) -> bytes:
        """The certificate; the same one each time, though no two signatures of an EC key are alike."""
        if not self.made:
            self.made.append(self._signed())
        return self.made[0]

    def body(self) -> bytes:
        """What is signed."""
        extensions = b""
        if self.extensions is not None:
            extensions = der(0xA3, der(SEQUENCE, *(extension.der() for extension in self.extensions)))
        validity = der(SEQUENCE, self.begins, self.ends)
        spki = self.spki or public(self.key)
        numbered = self.version + self.serial
        return der(
            SEQUENCE, numbered, self._algorithm(), self.issuer, validity, self.subject, spki, extensions
        )

    def _algorithm(self) -> bytes:
        return self.algorithm or algorithm_of(self.signer, self.hash)

    def _signed(self) -> bytes:
        algorithm = self._algorithm()
        body = self.body()
        signature = sign(self.signer, body, self.hash, pss=oid(PSS) in algorithm)
        return der(SEQUENCE, body, self.outer or algorithm, bits(signature)) + self.after


def algorithm_of(key: PrivateKeyTypes, digest: str) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return der(SEQUENCE, oid(_RSA[digest]), der(NULL))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return der(SEQUENCE, oid("1.3.101.112"))
    if isinstance(key, dsa.DSAPrivateKey):
        return der(SEQUENCE, oid("2.16.840.1.101.3.4.3.2"))
    return der(SEQUENCE, oid(_EC[digest]))


def pss_algorithm(salt: int = 32) -> bytes:
    """RSASSA-PSS with SHA-256 and a length of salt."""
    sha256 = der(SEQUENCE, oid("2.16.840.1.101.3.4.2.1"), der(NULL))
    mgf = der(SEQUENCE, oid("1.2.840.113549.1.1.8"), sha256)
    return der(SEQUENCE, oid(PSS), der(SEQUENCE, der(0xA0, sha256), der(0xA1, mgf), der(0xA2, integer(salt))))


def sign(key: PrivateKeyTypes, body: bytes, digest: str, *, pss: bool = False) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        how: padding.PSS | padding.PKCS1v15 = padding.PKCS1v15()
        if pss:
            how = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return key.sign(body, how, _HASHES[digest])
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(body, ec.ECDSA(_HASHES[digest]))
    if isinstance(key, dsa.DSAPrivateKey):
        return key.sign(body, _HASHES[digest])
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.sign(body)


def root(key: PrivateKeyTypes, called: str = "Corp Root", **parts: object) -> Forged:
    """A root as a company may have it."""
    return Forged(key, name(called), name(called), key).but(**parts)


def below(issuer: Forged, key: PrivateKeyTypes, called: str, **parts: object) -> Forged:
    """A certificate that an issuer signed."""
    return Forged(key, name(called), issuer.subject, issuer.key).but(**parts)
