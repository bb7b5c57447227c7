"""What Go's crypto/x509 reads of certificates and keys: istiod is a Go program. Pure.

OpenSSL, and so `cryptography`, reads more than Go: other curves, explicit curve parameters, negative serial
numbers. A CA made of such is read here without a fault, and istiod does not start with it. So the rules of Go
are here too (1.24 to 1.26; crypto/x509: parser.go, x509.go, sec1.go, pkcs8.go, pkcs1.go). A test compares
them with Go itself.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from istio_mc.domain.pki.der import (
    BOOLEAN,
    FIELD,
    GROUP,
    INTEGER,
    NULL,
    OCTETS,
    OID,
    SEQUENCE,
    SET,
    Der,
    RefusedError,
)
from istio_mc.domain.pki.name_constraints import NO_NAMES, NameConstraints, Names, is_domain, is_uri
from istio_mc.domain.pki.pem_blocks import blocks_of_go

if TYPE_CHECKING:
    from collections.abc import Callable

_UTF8, _NUMERIC, _PRINTABLE, _T61, _IA5, _BMP = 0x0C, 0x12, 0x13, 0x14, 0x16, 0x1E
_UTC_TIME, _TIME = 0x17, 0x18
_MAIL, _DNS, _URI, _IP = 1, 2, 6, 7

CURVES = {
    "1.3.132.0.33": ("P-224", 28),
    "1.2.840.10045.3.1.7": ("P-256", 32),
    "1.3.132.0.34": ("P-384", 48),
    "1.3.132.0.35": ("P-521", 66),
}
"""Curves that Go knows: object identifier to name and bytes of a coordinate."""

_RSA, _EC, _ED25519 = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.3.101.112"
_KEYS = {_RSA: "RSA", _EC: "EC", _ED25519: "Ed25519"}
_ED25519_BYTES = 32
_UNCOMPRESSED = 4
_RSA_PSS, _MGF1 = "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"
_PSS_SALTS = {"2.16.840.1.101.3.4.2.1": 32, "2.16.840.1.101.3.4.2.2": 48, "2.16.840.1.101.3.4.2.3": 64}
_SIGNATURES = frozenset(
    {
        *(f"1.2.840.113549.1.1.{digest}" for digest in (11, 12, 13)),  # RSA with SHA-256, SHA-384, SHA-512
        *(f"1.2.840.10045.4.3.{digest}" for digest in (2, 3, 4)),  # ECDSA with the same
    }
)
_VERSION_3 = 2
_KEY_USAGES = 9
_SUBJECT_KEY_ID, _AUTHORITY_KEY_ID, _AUTHORITY_ACCESS = "2.5.29.14", "2.5.29.35", "1.3.6.1.5.5.7.1.1"
_NEVER_CRITICAL = {
    _SUBJECT_KEY_ID: "its subject key identifier",
    _AUTHORITY_KEY_ID: "its authority key identifier",
    _AUTHORITY_ACCESS: "its authority information access",
}
_PRINTABLES = re.compile(rb"[A-Za-z0-9 '()+,./:=?*&-]*")
_NUMERICS = re.compile(rb"[0-9 ]*")
_DATES = {
    _UTC_TIME: (re.compile(r"\d{10}(\d\d)?(Z|[+-]\d{4})"), "%y%m%d%H%M%S", 12),
    _TIME: (re.compile(r"\d{14}(Z|[+-]\d{4})"), "%Y%m%d%H%M%S", 14),
}
"""Tag of a date to its form, and to that of its digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoCertificate:
    """What Go's verification looks at.

    Attributes:
        key: Kind of the public key: RSA, EC or Ed25519; empty for one that Go verifies nothing with.
        usage: keyUsage, its first bit lowest; None where there is none.
        explicit_policy: How many CAs further down every certificate must have a policy; None: none must.
    """

    serial: int
    key: str
    strong: bool
    is_ca: bool = False
    path_length: int | None = None
    usage: int | None = None
    uses: tuple[str, ...] = ()
    names: Names = NO_NAMES
    constraints: NameConstraints | None = None
    unknown: tuple[str, ...] = ()
    policies: bool = False
    explicit_policy: int | None = None
    key_id: bytes = b""
    issuer_key_id: bytes = b""


@lru_cache(maxsize=256)
def read_certificate(der: bytes) -> GoCertificate:
    """Reads a certificate as Go does.

    Raises:
        RefusedError: Go does not read it.
    """
    whole = Der(der, "the certificate")
    outer = whole.inside()
    if whole.rest:
        raise RefusedError("there are bytes behind the certificate")
    body = outer.inside()
    version = body.inside(GROUP).integer() if body.has(GROUP) else 0
    if version not in range(_VERSION_3 + 1):
        raise RefusedError("its version is unknown")
    serial = body.integer()
    if serial < 0:
        raise RefusedError("its serial number is negative")
    algorithm = body.read_value(SEQUENCE)
    if outer.read_value(SEQUENCE) != algorithm:
        raise RefusedError("it names two different signature algorithms")
    _check_name(body)
    dates = body.inside()
    _check_date(dates)
    _check_date(dates)
    _check_name(body)
    key = _public_key(body.inside())
    extensions = _extensions(body) if version == _VERSION_3 else {}
    outer.bits()
    strong = _is_strong(Der(algorithm, "its signature algorithm"))
    return GoCertificate(serial=serial, key=key, strong=strong, **extensions)


def _is_strong(algorithm: Der) -> bool:
    kind = algorithm.oid()
    parameters = algorithm.value()[2] if algorithm.rest else b""
    if kind == _RSA_PSS:
        try:
            return _is_known_pss(Der(parameters, algorithm.what).inside())
        except RefusedError:
            return False
    return kind in _SIGNATURES or (kind == _ED25519 and not parameters)


def _is_known_pss(given: Der) -> bool:
    """Whether RSASSA-PSS is used with one hash throughout, and a salt of its length."""
    digest = given.inside(GROUP).inside()
    mask = given.inside(GROUP | 1).inside()
    kind, mask_kind = digest.oid(), mask.oid()
    mask_digest = mask.inside()
    salt = given.inside(GROUP | 2).integer()
    trailer = given.inside(GROUP | 3).integer() if given.has(GROUP | 3) else 1
    same = mask_kind == _MGF1 and mask_digest.oid() == kind and {digest.rest, mask_digest.rest} <= {b"", NULL}
    return same and trailer == 1 and salt == _PSS_SALTS.get(kind)


def _check_name(body: Der) -> None:
    for part in Der(body.read_value(SEQUENCE), "a name in it").each():
        for attribute in part.inside(SET).each():
            pair = attribute.inside()
            pair.oid()
            tag, value, _ = pair.value()
            if not _is_text(tag, value):
                raise RefusedError("a name in it has a string type, or a character, that Go does not read")


def _is_text(tag: int, value: bytes) -> bool:
    if tag == _UTF8:
        return _is_utf8(value)
    if tag == _BMP:
        points = [int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2)]
        return not len(value) % 2 and not any(map(_is_reserved, points))
    if tag in {_PRINTABLE, _NUMERIC}:
        return (_PRINTABLES if tag == _PRINTABLE else _NUMERICS).fullmatch(value) is not None
    return tag == _T61 or (tag == _IA5 and value.isascii())


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_reserved(point: int) -> bool:
    """Whether a 16-bit number is no character: a surrogate, or one of Unicode's noncharacters."""
    return point in {0xFFFE, 0xFFFF} or 0xD800 <= point <= 0xDFFF or 0xFDD0 <= point <= 0xFDEF  # noqa: PLR2004


def _check_date(dates: Der) -> None:
    tag, content, _ = dates.value()
    form, digits, length = _DATES.get(tag, (re.compile("(?!)"), "", 0))
    text = content.decode("ascii", "replace")
    if form.fullmatch(text):
        try:
            datetime.strptime(re.split("[Z+-]", text)[0].ljust(length, "0"), digits)  # noqa: DTZ007 (only its form counts)
        except ValueError:
            pass
        else:
            return
    raise RefusedError("one of its dates is malformed")


def _public_key(key: Der) -> str:
    key.what = "its public key"
    algorithm = key.inside()
    kind = algorithm.oid()
    parameters = algorithm.value()[2] if algorithm.rest else b""
    content = key.bits()
    if kind == _RSA:
        numbers = Der(content, key.what).inside()
        if parameters != NULL or numbers.integer() <= 0 or numbers.integer() <= 0:
            raise RefusedError("its RSA key lacks the parameter NULL, or has a number that is not positive")
    elif kind == _EC:
        size = _curve(parameters)
        if len(content) != 1 + 2 * size or content[0] != _UNCOMPRESSED:
            raise RefusedError("its EC key is not an uncompressed point")
    elif kind == _ED25519 and (parameters or len(content) != _ED25519_BYTES):
        raise key.refused()
    return _KEYS.get(kind, "")


def _curve(parameters: bytes) -> int:
    """The bytes of a coordinate on the curve that parameters name.

    Raises:
        RefusedError: They name none, or one that Go does not know.
    """
    if parameters[:1] == bytes([SEQUENCE]):
        raise RefusedError("its EC key has explicit curve parameters instead of a named curve")
    if not parameters:
        raise RefusedError("its EC key names no curve")
    name, size = CURVES.get(Der(parameters, "its EC key").oid(), ("", 0))
    if not name:
        known = ", ".join(name for name, _ in CURVES.values())
        raise RefusedError(f"its EC key is on none of the curves {known}")
    return size


def _extensions(body: Der) -> dict[str, Any]:
    for unique_id in (FIELD | 1, FIELD | 2):
        if body.has(unique_id):
            body.value()
    if not body.has(GROUP | 3):
        return {}
    parts_of: dict[str, Any] = {}
    unknown: list[str] = []
    seen: set[str] = set()
    for part in body.inside(GROUP | 3).inside().each():
        extension = part.inside()
        name = extension.oid()
        critical = extension.boolean() if extension.has(BOOLEAN) else False
        value = Der(extension.read_value(OCTETS), f"its extension {name}")
        if name in seen:
            raise RefusedError(f"it has the extension {name} twice")
        seen.add(name)
        if critical and name in _NEVER_CRITICAL:
            raise RefusedError(f"{_NEVER_CRITICAL[name]} is marked critical")
        parts, known = _READERS.get(name, _unknown)(value)
        if critical and not known:
            unknown.append(name)
        parts_of |= parts
    return parts_of | {"unknown": tuple(unknown)}


# Each reads one extension: what GoCertificate has of it, and whether Go knows all that it says.
_Parts = tuple[dict[str, Any], bool]


def _unknown(_value: Der) -> _Parts:
    return {}, False


def _key_usage(value: Der) -> _Parts:
    content = value.bits()
    bits = range(min(_KEY_USAGES, 8 * len(content)))
    return {"usage": sum(1 << at for at in bits if content[at // 8] << at % 8 & 0x80)}, True


def _basic_constraints(value: Der) -> _Parts:
    inner = value.inside()
    is_ca = inner.boolean() if inner.has(BOOLEAN) else False
    length = inner.integer() if inner.has(INTEGER) else None
    if length is not None and length < 0:
        raise value.refused()
    return {"is_ca": is_ca, "path_length": length}, True


def _alternative_names(value: Der) -> _Parts:
    by_kind: dict[int, list[bytes]] = {kind: [] for kind in (_MAIL, _DNS, _URI, _IP)}
    for part in value.inside().each():
        tag, content, _ = part.value()
        by_kind.get(tag ^ FIELD, []).append(content)
    names = _names(value, by_kind)
    if not all(map(is_uri, names.uris)):
        raise value.refused()
    if any(len(address) not in {4, 16} for address in names.ips):
        raise value.refused()
    return {"names": names}, names != NO_NAMES


def _name_constraints(value: Der) -> _Parts:
    inner = value.inside()
    trees = [inner.read_value(tag) if inner.has(tag) else b"" for tag in (GROUP, GROUP | 1)]
    if value.rest or inner.rest or not any(trees):
        raise value.refused()
    (permitted, known), (excluded, all_known) = (_subtrees(Der(tree, value.what)) for tree in trees)
    return {"constraints": NameConstraints(permitted, excluded)}, known and all_known


def _subtrees(trees: Der) -> tuple[Names, bool]:
    """The names of subtrees, and whether Go knows their kinds."""
    by_kind: dict[int, list[bytes]] = {kind: [] for kind in (_MAIL, _DNS, _URI, _IP)}
    known = True
    for tree in trees.each():
        tag, content, _ = tree.inside().value()
        known = known and tag ^ FIELD in by_kind
        by_kind.get(tag ^ FIELD, []).append(content)
    names = _names(trees, by_kind)
    domains = (*names.dns, *names.uris, *(mail.rpartition("@")[2] for mail in names.mails))
    if not all(is_domain(domain, constraint=True) for domain in domains):
        raise trees.refused()
    if any(len(network) not in {8, 32} or not _is_mask(network) for network in names.ips):
        raise trees.refused()
    return names, known


def _names(value: Der, names: dict[int, list[bytes]]) -> Names:
    if not all(name.isascii() for kind in (_MAIL, _DNS, _URI) for name in names[kind]):
        raise value.refused()
    dns, mails, uris = (tuple(name.decode() for name in names[kind]) for kind in (_DNS, _MAIL, _URI))
    return Names(dns, mails, uris, tuple(names[_IP]))


def _is_mask(network: bytes) -> bool:
    return "01" not in "".join(f"{byte:08b}" for byte in network[len(network) // 2 :])


def _subject_key_id(value: Der) -> _Parts:
    return {"key_id": value.read_value(OCTETS)}, True


def _authority_key_id(value: Der) -> _Parts:
    inner = value.inside()
    return {"issuer_key_id": inner.read_value(FIELD) if inner.has(FIELD) else b""}, True


def _extended_key_usage(value: Der) -> _Parts:
    return {"uses": tuple(part.oid() for part in value.inside().each())}, True


def _policies(value: Der) -> _Parts:
    oids = [part.inside().read_value(OID) for part in value.inside().each()]
    if len(set(oids)) < len(oids):
        raise value.refused()
    return {"policies": bool(oids)}, True


def _policy_mappings(value: Der) -> _Parts:
    for part in value.inside().each():
        pair = part.inside()
        pair.read_value(OID)
        pair.read_value(OID)
    return {}, True


def _policy_constraints(value: Der) -> _Parts:
    inner = value.inside()
    explicit = inner.integer(FIELD) if inner.has(FIELD) else None
    if inner.has(FIELD | 1):
        inner.integer(FIELD | 1)
    return {"explicit_policy": explicit}, True


def _inhibit_any_policy(value: Der) -> _Parts:
    value.integer()
    return {}, True


def _distribution_points(value: Der) -> _Parts:
    for part in value.inside().each():
        point = part.inside()
        if point.has(GROUP):
            point.inside(GROUP).inside(GROUP)
    return {}, True


def _authority_access(value: Der) -> _Parts:
    for part in value.inside().each():
        part.inside().oid()
    return {}, True


_READERS: dict[str, Callable[[Der], _Parts]] = {
    _SUBJECT_KEY_ID: _subject_key_id,
    "2.5.29.15": _key_usage,
    "2.5.29.17": _alternative_names,
    "2.5.29.19": _basic_constraints,
    "2.5.29.30": _name_constraints,
    "2.5.29.31": _distribution_points,
    "2.5.29.32": _policies,
    "2.5.29.33": _policy_mappings,
    _AUTHORITY_KEY_ID: _authority_key_id,
    "2.5.29.36": _policy_constraints,
    "2.5.29.37": _extended_key_usage,
    "2.5.29.54": _inhibit_any_policy,
    _AUTHORITY_ACCESS: _authority_access,
}


def read_pool(bundle: bytes) -> list[bytes]:
    """The certificates of a PEM bundle that Go takes for anchors, in DER: what it does not read is skipped.

    As CertPool.AppendCertsFromPEM does; a bundle without any is an error to client-go.
    """
    pool = []
    for block in blocks_of_go(bundle):
        if block.kind == "CERTIFICATE" and not block.headers and block.der is not None:
            with suppress(RefusedError):
                read_certificate(block.der)
                pool.append(block.der)
    return pool


def check_key(kind: str, der: bytes) -> None:
    """Refuses a private key that istiod does not read.

    Args:
        kind: What its PEM block is called: that decides how istiod reads it.

    Raises:
        RefusedError: istiod does not read it.
    """
    forms = {"EC PRIVATE KEY": _check_sec1, "RSA PRIVATE KEY": _check_pkcs1, "PRIVATE KEY": _check_pkcs8}
    if kind not in forms:
        raise RefusedError(f"istiod reads no PEM block {kind}")
    forms[kind](der)


def _check_pkcs8(der: bytes) -> None:
    key = Der(der, "the key").inside()
    key.integer()
    algorithm = key.inside()
    kind = algorithm.oid()
    parameters = algorithm.value()[2] if algorithm.rest else b""
    content = key.read_value(OCTETS)
    if kind == _RSA:
        _check_pkcs1(content)
    elif kind == _EC:
        _check_sec1(content, parameters if parameters[:1] == bytes([OID]) else b"")
    elif kind != _ED25519 or parameters:
        raise RefusedError("it is not an RSA, EC or Ed25519 key")


def _check_sec1(der: bytes, parameters: bytes = b"") -> None:
    key = Der(der, "the key").inside()
    if key.integer() != 1:
        raise RefusedError("its version is unknown")
    key.read_value(OCTETS)
    own = key.inside(GROUP).value()[2] if key.has(GROUP) else b""
    _curve(parameters or own)


def _check_pkcs1(der: bytes) -> None:
    whole = Der(der, "the key")
    key = whole.inside()
    numbers = []
    while key.has(INTEGER):
        numbers.append(key.integer())
    if whole.rest or numbers[:1] not in ([0], [1]) or min(numbers[1:], default=0) <= 0:
        raise whole.refused()
