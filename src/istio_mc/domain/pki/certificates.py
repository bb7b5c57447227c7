"""The mesh's certificate authorities: one root, and one intermediate for each cluster.

Names and validity are those of the K-PaaS guide; the extensions are RFC 5280's. Pure: the caller gives the
time and keeps the files.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from istio_mc.domain.hint import Advice
from istio_mc.domain.pki.chain import ISTIOD_NAMES, path_faults, path_to_root
from istio_mc.domain.pki.name_constraints import Names
from istio_mc.domain.pki.pem import (
    NamedPem,
    PrivateKey,
    attempt,
    common_name,
    is_root,
    key_matches,
    read_certificate,
    read_certificates,
    read_key,
    signing_hash,
)
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.pki.pem import Reading

T = TypeVar("T")

ROOT_NAME = "root.istio.io"
KEYLESS_ROOT_NAME = "without-key.root.istio.io"
INTERMEDIATE_SUFFIX = ".intermediate.istio.io"

DEFAULT_VALIDITY = timedelta(hours=87_600)
"""Ten years, as in the guide."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far in the past validity starts: a cluster's clock may be behind this machine's."""

ROOT_PATH_LENGTH = 2
"""Root, an issuing CA that may one day stand between, and the cluster's CA."""

_ANY_CLUSTER = "CLUSTER-ID"

MAX_COMMON_NAME = 64
"""RFC 5280 appendix A.1, ub-common-name."""

MAX_CLUSTER_ID = 200
"""So that a folder, and the name with its suffix (253 in DNS), can hold it."""

_HASH_DIGITS = 12
_MAX_DNS_LABEL = 63
_CLUSTER_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_VALIDITY = re.compile(r"([0-9]{1,7})([hd])")


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA at hand: its certificate, its key, and the certificates above it.

    Attributes:
        chain: The certificates above it, its issuer first and the root last; empty for a root.
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def root(self) -> x509.Certificate:
        """The root that this authority leads to."""
        return self.path[-1]

    @property
    def path(self) -> tuple[x509.Certificate, ...]:
        """From the authority's own certificate up to the root."""
        return (self.certificate, *self.chain)


@dataclass(frozen=True, slots=True)
class CaNames:
    """The names in a cluster's CA certificate.

    Attributes:
        common_name: At most 64 characters, different for every cluster id.
        dns: A DNS name: `<cluster id>.intermediate.istio.io`, or `common_name` where that is no DNS name.
        uri: The whole cluster id as a URI where `dns` cannot hold it, else None.
    """

    common_name: str
    dns: str
    uri: str | None = None


def parse_validity(text: str) -> timedelta:
    """A validity such as `87600h` or `3650d`.

    Raises:
        InputError: `validity` where it is neither, or not more than nothing.
    """
    match = _VALIDITY.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise InputError.of(
            code=Code.VALIDITY,
            message=f"no such validity: {text}",
            seen=text,
            expected="a whole number of hours or days, such as 87600h or 3650d",
        )
    return timedelta(hours=int(match[1])) if match[2] == "h" else timedelta(days=int(match[1]))


def cluster_id_faults(cluster_id: str) -> list[Problem]:
    """Why a cluster id can be neither a folder's nor a certificate's name; empty where it can."""
    if _CLUSTER_ID.fullmatch(cluster_id) and ".." not in cluster_id and len(cluster_id) <= MAX_CLUSTER_ID:
        return []
    return [
        Problem(
            code=Code.CLUSTER_ID,
            message=f"not a cluster id: {cluster_id!r}",
            seen=f"{len(cluster_id)} characters",
            expected=f"at most {MAX_CLUSTER_ID} letters, digits, '-', '_' and single '.', "
            "starting and ending with a letter or digit",
        )
    ]


def ca_names(cluster_id: str) -> CaNames:
    """The names for a cluster's CA.

    A common name that would be longer than 64 characters is cut and ends in a hash of the whole. The DNS name
    is whole as long as DNS allows it (63 characters a label): Go's crypto/x509, and so istiod, calls a
    certificate with a longer label malformed in some releases. The whole id is then in a URI.

    Istio's own Makefile also puts `istiod.istio-system.svc` here. It is left out, as in the guide: istiod
    signs a serving certificate with that name for itself, and a CA has no use for it.

    Raises:
        InputError: `cluster-id`.
    """
    if faults := cluster_id_faults(cluster_id):
        raise InputError(*faults)
    whole = cluster_id + INTERMEDIATE_SUFFIX
    short = whole
    if len(whole) > MAX_COMMON_NAME:
        digest = hashlib.sha256(cluster_id.encode()).hexdigest()[:_HASH_DIGITS]
        room = MAX_COMMON_NAME - len(INTERMEDIATE_SUFFIX) - len(digest) - 1
        short = f"{cluster_id[:room].rstrip('._-')}-{digest}{INTERMEDIATE_SUFFIX}"
    if max(map(len, whole.split("."))) <= _MAX_DNS_LABEL:
        return CaNames(short, whole)
    return CaNames(short, short, f"urn:istio-mc:cluster:{cluster_id}")


def new_root(now: datetime, *, key: KeyMaker, validity: timedelta = DEFAULT_VALIDITY) -> Authority:
    """A new self-signed root, CN and SAN `root.istio.io`.

    Raises:
        InputError: `validity` where its end is past the year 9999.
    """
    private = key.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ROOT_NAME)])
    builder = _builder(name, [x509.DNSName(ROOT_NAME)], private, ROOT_PATH_LENGTH)
    builder = builder.issuer_name(name).not_valid_before(_start(now)).not_valid_after(_end(now, validity))
    return Authority(_sign(builder, private), private)


def twin(root: Authority) -> x509.Certificate:
    """A root's certificate with another serial number: whoever trusts one of them trusts the same key."""
    made = root.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(made.subject)
        .issuer_name(made.issuer)
        .public_key(root.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made.not_valid_before_utc)
        .not_valid_after(made.not_valid_after_utc)
    )
    for extension in made.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return _sign(builder, root.key)


def keyless_root(like: x509.Certificate) -> x509.Certificate:
    """A root whose key no one has, valid as long as another: whoever trusts it trusts nothing more."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, KEYLESS_ROOT_NAME)])
    builder = _builder(name, [x509.DNSName(KEYLESS_ROOT_NAME)], private, 0).issuer_name(name)
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(like.not_valid_after_utc)
    return _sign(builder, private)


def second_form(root: x509.Certificate, signer: Authority | None) -> x509.Certificate:
    """What makes proxies that trust a root renew their certificates, and adds no trust.

    Args:
        signer: Who signs below the root; the root itself where its key is at hand.
    """
    if signer and signer.certificate == root:
        return twin(signer)
    return keyless_root(root)


def request(cluster_id: str, private: PrivateKey) -> bytes:
    """A request for the CA of a cluster, PEM: with the names and extensions that `new_intermediate` gives it.

    Raises:
        InputError: `cluster-id`.
    """
    subject, alternatives = _names_of(cluster_id)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for value, critical in (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_CA_USAGE, True),
        (x509.SubjectAlternativeName(alternatives), False),
    ):
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(private, signing_hash(private)).public_bytes(Encoding.PEM)


def new_intermediate(
    issuer: Authority,
    cluster_id: str,
    now: datetime,
    *,
    key: KeyMaker,
    validity: timedelta = DEFAULT_VALIDITY,
    private: PrivateKey | None = None,
) -> Authority:
    """A new CA for one cluster.

    It may sign workloads but no further CA, and ends with its issuer at the latest.

    Args:
        validity: How long from now it is valid; cut to the end of everything above it.

    Raises:
        InputError: `cluster-id` or `validity`.
        ProblemError: Whatever `issuer_faults` finds.
    """
    subject, alternatives = _names_of(cluster_id)
    if faults := issuer_faults(issuer, cluster_id, now):
        raise ProblemError(*faults)
    private = private or key.generate()
    start = max(_start(now), *(above.not_valid_before_utc for above in issuer.path))
    end = min(_end(now, validity), *(above.not_valid_after_utc for above in issuer.path))
    builder = _builder(subject, alternatives, private, 0)
    builder = builder.issuer_name(issuer.certificate.subject).not_valid_before(start).not_valid_after(end)
    builder = builder.add_extension(_authority_key_id(issuer.certificate), critical=False)
    return Authority(_sign(builder, issuer.key), private, issuer.path)


def _names_of(cluster_id: str) -> tuple[x509.Name, list[x509.GeneralName]]:
    """Subject and alternative names of a cluster's CA."""
    names = ca_names(cluster_id)
    alternatives: list[x509.GeneralName] = [x509.DNSName(names.dns)]
    if names.uri:
        alternatives.append(x509.UniformResourceIdentifier(names.uri))
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names.common_name)]), alternatives


def issuer_faults(issuer: Authority, cluster_id: str, now: datetime) -> list[Problem]:
    """Why an authority cannot issue the CA of a cluster: expired, no CA, path length, names not allowed."""
    names = ca_names(cluster_id)
    uris = (names.uri,) if names.uri else ()
    below = Names(dns=(names.dns, *ISTIOD_NAMES.dns), uris=uris)
    return path_faults(issuer.path, now, below=1, names=below)


def names_below(trust_domains: Iterable[str] = ()) -> Names:
    """The names of certificates below an issuer: clusters' CAs, istiod, workloads of these trust domains."""
    return Names(
        dns=(_ANY_CLUSTER + INTERMEDIATE_SUFFIX, *ISTIOD_NAMES.dns),
        uris=tuple(f"spiffe://{domain}/ns/NAMESPACE/sa/ACCOUNT" for domain in trust_domains),
    )


def load_signer(
    root_cert: NamedPem,
    now: datetime,
    *,
    root_key: NamedPem | None = None,
    issuer: tuple[NamedPem, NamedPem] | None = None,
    issuer_chain: NamedPem | None = None,
    names: Names | None = None,
) -> Authority:
    """The authority that signs the clusters' CAs, from PEM files: a root, or a CA somewhere below one.

    Args:
        issuer_chain: What stands between issuer and root, in any order; the issuer and the root may be in it.

    Returns:
        The issuer where there is one, else the root.

    Raises:
        ProblemError: Every fault found in any of the files, at once.
    """
    cert_pem, key_pem = issuer or (root_cert, root_key)
    if key_pem is None:
        raise ProblemError.of(
            code=Code.CA_NO_KEY,
            message=f"no private key for the CA in {root_cert.name}",
            expected="the root's key, or a CA below the root with its key",
        )
    problems: list[Problem] = []
    root = _value(attempt(read_certificate, root_cert, problems))
    certificate = root if cert_pem is root_cert else _value(attempt(read_certificate, cert_pem, problems))
    key = _value(attempt(read_key, key_pem, problems))
    between = _value(attempt(read_certificates, issuer_chain, problems)) if issuer_chain else ()
    if certificate and key and not key_matches(certificate, key):
        problems.append(
            Problem(
                code=Code.KEY_MISMATCH,
                message=f"the key in {key_pem.name} is not that of the certificate in {cert_pem.name}",
            )
        )
    path: tuple[x509.Certificate, ...] = ()
    if root and not is_root(root):
        problems.append(not_a_root(root_cert.name, root))
    elif root and certificate and between is not None:
        try:
            path = path_to_root(certificate, between, [root])
        except ProblemError as error:
            problems += error.problems
    whole = path or tuple(filter(None, (certificate,)))
    problems += path_faults(whole, now, below=1, names=names or names_below())
    if problems or certificate is None or key is None:
        raise ProblemError(*problems)
    return Authority(certificate, key, path[1:])


def not_a_root(file: str, certificate: x509.Certificate) -> Problem:
    """A certificate that another CA issued is given as a root."""
    return Problem(
        code=Code.ROOT_NOT_SELF_SIGNED,
        message=f"the certificate in {file} is not a root",
        seen=f"issued by {certificate.issuer.rfc4514_string()}",
        expected=f"a certificate that {common_name(certificate)} issued to itself",
        hint=Advice("use its issuer as the root CA, and this CA as the issuer"),
    )


def _value(reading: Reading[T] | None) -> T | None:
    return reading.value if reading else None


_CA_USAGE = x509.KeyUsage(
    # A CA signs certificates and revocation lists, nothing else. istiod asks for no further bit: it
    # serves with certificates that it signs for itself.
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _builder(
    subject: x509.Name, alternatives: list[x509.GeneralName], private: PrivateKey, path_length: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    )


def _sign(builder: x509.CertificateBuilder, key: PrivateKey) -> x509.Certificate:
    return builder.sign(key, signing_hash(key))


def _authority_key_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's own subject key id where it has one: others may have derived it in another way."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        own = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _start(now: datetime) -> datetime:
    return now.replace(microsecond=0) - CLOCK_SKEW


def _end(now: datetime, validity: timedelta) -> datetime:
    try:
        return now.replace(microsecond=0) + validity
    except OverflowError as error:
        raise InputError.of(
            code=Code.VALIDITY,
            message="validity ends after the year 9999",
            seen=f"{validity.days} days",
        ) from error


DEFAULT_RSA_BITS = 3072
"""Ten years of validity end after 2030, up to when NIST SP 800-57 part 1 accepts RSA 2048 (112 bits)."""

DEFAULT_EC_BITS = 256
RSA_BITS = (2048, 3072, 4096)
CURVES: dict[int, ec.EllipticCurve] = {256: ec.SECP256R1(), 384: ec.SECP384R1()}


class KeyType(StrEnum):
    """The kinds of key that istiod signs with."""

    RSA = "rsa"
    EC = "ec"


class KeyMaker(Protocol):
    """Whatever makes keys of one kind."""

    def generate(self) -> PrivateKey:
        """A new random key."""


@dataclass(frozen=True, slots=True)
class KeySpec:
    """What kind of key to make.

    Attributes:
        size: Bits: 2048, 3072 or 4096 for RSA, 256 or 384 (the NIST curves) for EC.

    Raises:
        InputError: `key-size` where the size does not belong to the type.
    """

    type: KeyType = KeyType.RSA
    size: int = DEFAULT_RSA_BITS

    def __post_init__(self) -> None:
        allowed = RSA_BITS if self.type is KeyType.RSA else tuple(CURVES)
        if self.size not in allowed:
            raise InputError.of(
                code=Code.KEY_SIZE,
                message=f"{self.type.upper()} keys of {self.size} bits are not supported",
                seen=str(self.size),
                expected=", ".join(map(str, allowed)),
                hint=Advice("use one of these for --key-size"),
            )

    @classmethod
    def of(cls, kind: KeyType | str, size: int | None = None) -> KeySpec:
        """The spec for a type, with that type's default size (RSA 3072, EC 256) where none is given.

        Raises:
            InputError: `key-size`, or `key-type` for a type other than rsa and ec.
        """
        try:
            kind = KeyType(kind)
        except ValueError as error:
            raise InputError.of(
                code=Code.KEY_TYPE,
                message=f"unknown key type: {kind}",
                seen=str(kind),
                expected="rsa, ec",
            ) from error
        default = DEFAULT_RSA_BITS if kind is KeyType.RSA else DEFAULT_EC_BITS
        return cls(kind, default if size is None else size)

    @classmethod
    def like(cls, key: object) -> KeySpec:
        """The spec nearest to a CA's public key: its kind, and its size where keys of that size are made."""
        if isinstance(key, rsa.RSAPublicKey):
            return cls(KeyType.RSA, key.key_size) if key.key_size in RSA_BITS else cls.of(KeyType.RSA)
        if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size in CURVES:
            return cls(KeyType.EC, key.key_size)
        return cls.of(KeyType.EC)

    def __str__(self) -> str:
        return f"{self.type.upper()} {self.size}"

    def generate(self) -> PrivateKey:
        """A new random key."""
        if self.type is KeyType.RSA:
            return rsa.generate_private_key(public_exponent=65_537, key_size=self.size)
        return ec.generate_private_key(CURVES[self.size])
