"""CAs as a Secret cacerts may hold them: in order, odd, and of no use, by the hundred."""

from __future__ import annotations

import random
import textwrap
from base64 import b64encode
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from istio_mc.domain.pki.cacerts import CaCerts
from tests.support import forge
from tests.support.forge import (
    ANY_USE,
    CLIENT_AUTH,
    CODE_SIGNING,
    NULL,
    OCTETS,
    SEQUENCE,
    SERVER_AUTH,
    Extension,
    Forged,
    basic,
    below,
    der,
    integer,
    moment,
    name,
    name_limits,
    names,
    oid,
    root,
    usage,
    uses,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

FILES = ("ca_cert", "ca_key", "cert_chain", "root_cert")


@dataclass(frozen=True)
class Case:
    """A CA, and by whom it is refused where it is not by Go.

    Attributes:
        name: What is odd about it.
        files: The CA.
        stricter: Why it is refused although istiod starts with it; empty where Go decides.
    """

    name: str
    files: CaCerts = field(repr=False)
    stricter: str = ""


PROXIES = "Envoy refuses it (tried with 1.40)"
UNREAD = "cryptography does not read it"


@cache
def key(kind: str, at: int = 0) -> PrivateKeyTypes:
    """A key of a kind, the same for the same place."""
    del at
    if kind.startswith("RSA"):
        return rsa.generate_private_key(65_537, int(kind[3:]))
    curves: dict[str, ec.EllipticCurve] = {
        "P224": ec.SECP224R1(), "P256": ec.SECP256R1(), "P384": ec.SECP384R1(), "P521": ec.SECP521R1(),
        "K256": ec.SECP256K1(), "BP256": ec.BrainpoolP256R1(), "BP384": ec.BrainpoolP384R1(),
    }  # fmt: skip
    if kind in curves:
        return ec.generate_private_key(curves[kind])
    return dsa.generate_private_key(1024) if kind == "DSA" else ed25519.Ed25519PrivateKey.generate()  # noqa: S505 (it is to be refused)


def pem(content: bytes, kind: str = "CERTIFICATE", width: int = 64) -> bytes:
    """A PEM block."""
    lines = textwrap.wrap(b64encode(content).decode(), width)
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""]).encode()


def key_pem(of: PrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return of.private_bytes(Encoding.PEM, form, NoEncryption())


def files_of(*path: Forged) -> CaCerts:
    """The files for a CA with what is above it; the root last."""
    blocks = [pem(one.der()) for one in path]
    return CaCerts(
        ca_cert=blocks[0], ca_key=key_pem(path[0].key), cert_chain=b"".join(blocks), root_cert=blocks[-1]
    )


def three(kinds: tuple[str, str, str] = ("P256", "P256", "P256")) -> tuple[Forged, Forged, Forged]:
    """A root, a CA below it, and a cluster's CA."""
    top = root(key(kinds[0], 0))
    middle = below(top, key(kinds[1], 1), "Corp Mesh CA")
    return top, middle, below(middle, key(kinds[2], 2), "c1-k", extensions=own_extensions())


def own_extensions() -> tuple[Extension, ...]:
    return (basic(path_length=0), usage(), names((2, "c1-k.intermediate.istio.io")))


# Texts: what is done to one of the files

TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "text before": lambda data: b"Bag Attributes\n    friendlyName: ca\n" + data,
    "text behind": lambda data: data + b"that was all\n",
    "text between": lambda data: data.replace(b"-----END", b"-----END", 1) + b"\n# next\n\n" + data,
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "CR": lambda data: data.replace(b"\n", b"\r"),
    "no last newline": bytes.rstrip,
    "empty lines": lambda data: b"\n\n" + data.replace(b"-----\n", b"-----\n\n"),
    "spaces at line ends": lambda data: data.replace(b"\n", b" \t\n"),
    "indented": lambda data: textwrap.indent(data.decode(), "  ").encode(),
    "first line indented": lambda data: b"  " + data,
    "spaces inside": lambda data: data.replace(b"M", b"M ", 9),
    "twice": lambda data: data + data,
    "joined": lambda data: data.rstrip() + data,
    "joined with a space": lambda data: data.rstrip() + b" " + data,
    "EC PARAMETERS before": lambda data: pem(oid("1.2.840.10045.3.1.7"), "EC PARAMETERS") + data,
    "EC PARAMETERS behind": lambda data: data + pem(oid("1.2.840.10045.3.1.7"), "EC PARAMETERS"),
    "DH PARAMETERS joined before": lambda data: pem(integer(2), "DH PARAMETERS").rstrip() + data,
    "another key before": lambda data: key_pem(key("P256", 9)) + data,
    "another key behind": lambda data: data + key_pem(key("P256", 9)),
    "another root before": lambda data: pem(root(key("P256", 9), "Other").der()) + data,
    "another root behind": lambda data: data + pem(root(key("P256", 9), "Other").der()),
    "unreadable certificate before": lambda data: pem(b"\x30\x03\x02\x01\x01") + data,
    "unreadable certificate behind": lambda data: data + pem(b"\x30\x03\x02\x01\x01"),
    "not base64 before": lambda data: pem(b"abc").replace(b"YWJj", b"!!!!") + data,
    "not base64 behind": lambda data: data + pem(b"abc").replace(b"YWJj", b"!!!!"),
    "cut off": lambda data: data[: len(data) * 2 // 3],
    "last line missing": lambda data: b"\n".join(data.split(b"\n")[:-2]) + b"\n",
    "first line missing": lambda data: data.partition(b"\n")[2],
    "begun again behind": lambda data: data + b"-----BEGIN CERTIFICATE-----\nMIIB\n",
    "begun twice": lambda data: data.partition(b"\n")[0] + b"\n" + data,
    "headers": lambda data: data.replace(b"-----\n", b"-----\nName: ca\nUse: signing\n\n", 1),
    "headers without an empty line": lambda data: data.replace(b"-----\n", b"-----\nName: ca\n", 1),
    "TRUSTED": lambda data: data.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
    "X509": lambda data: data.replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
    "called a key": lambda data: data.replace(b"CERTIFICATE", b"PRIVATE KEY"),
    "called RSA": lambda data: data.replace(b" PRIVATE", b" RSA PRIVATE"),
    "called EC": lambda data: data.replace(b" PRIVATE", b" EC PRIVATE"),
    "called encrypted": lambda data: data.replace(b" PRIVATE", b" ENCRYPTED PRIVATE"),
    "other name at the end": lambda data: data.replace(b"END ", b"END MY "),
    "small letters": lambda data: data.replace(b"BEGIN", b"begin").replace(b"END", b"end"),
    "more dashes": lambda data: data.replace(b"-----BEGIN", b"------BEGIN"),
    "fewer dashes": lambda data: data.replace(b"-----END", b"----END"),
    "without padding": lambda data: b"".join(map(_unpadded, _blocks(data))),
    "last block without padding": lambda data: b"".join(_changed_last(list(_blocks(data)), _unpadded)),
    "a letter changed": lambda data: data[:200] + (b"A" if data[200:201] != b"A" else b"B") + data[201:],
    "one line": lambda data: data.replace(b"-----", b"@").replace(b"\n", b"").replace(b"@", b"-----"),
    "wide lines": lambda data: b"".join(
        line if line.startswith(b"-") else line.rstrip(b"\n") for line in data.splitlines(keepends=True)
    ).replace(b"-----END", b"\n-----END"),
    "NUL behind": lambda data: data + b"\x00\x00",
    "nothing": lambda _data: b"",
    "rubbish": lambda _data: b"rubbish\n",
    "backwards": lambda data: b"".join(reversed(list(_blocks(data)))),
    "first block alone": lambda data: next(_blocks(data)),
    "last block alone": lambda data: list(_blocks(data))[-1],
}  # fmt: skip

# What istiod skips and Envoy's reader of PEM does not; of the key and of ca-cert.pem, Envoy sees nothing.
TEXTS_FOR_PROXIES = {
    *((text, file) for file in ("cert_chain", "root_cert") for text in (
        "not base64 behind", "not base64 before", "begun again behind", "begun twice",
    )),
    *(("cert_chain", text)[::-1] for text in (
        "headers", "headers without an empty line", "joined", "joined with a space", "last line missing",
        "last block without padding",
    )),
}  # fmt: skip


# The letter is in the copy of the public key, which Go makes anew and OpenSSL compares.
TEXTS_UNREAD = {("a letter changed", "ca_key")}


def _unpadded(block: bytes) -> bytes:
    """A block that lacks its padding; where it has none, its last letter, for which there would be some."""
    text, end, rest = block.partition(b"\n-----END")
    return (text.rstrip(b"=") if text.endswith(b"=") else text[:-1]) + end + rest


def _changed_last(blocks: list[bytes], change: Callable[[bytes], bytes]) -> list[bytes]:
    return [*blocks[:-1], *map(change, blocks[-1:])]


def _blocks(data: bytes) -> Iterator[bytes]:
    for part in data.split(b"-----BEGIN ")[1:]:
        yield b"-----BEGIN " + part


# Certificates: what is done to one of the three

UNKNOWN = "1.2.3.4.5"


def _limits(*permitted: tuple[int, bytes | str]) -> tuple[Extension, ...]:
    return (basic(), usage(), name_limits(list(permitted)))


def _excludes(*excluded: tuple[int, bytes | str]) -> tuple[Extension, ...]:
    return (basic(), usage(), name_limits(None, list(excluded)))


def _with(*more: Extension) -> tuple[Extension, ...]:
    return (basic(), usage(), *more)


CERTIFICATES: dict[str, dict[str, Any]] = {
    "critical unknown extension": {"extensions": _with(Extension(UNKNOWN, b"\x05\x00", critical=True))},
    "unknown extension": {"extensions": _with(Extension(UNKNOWN, b"\x05\x00"))},
    "unknown extension that is no DER": {"extensions": _with(Extension(UNKNOWN, b"rubbish"))},
    "negative serial": {"serial": integer(-5)},
    "serial of 0": {"serial": integer(0)},
    "serial of 30 bytes": {"serial": integer(1 << 232)},
    "serial with a leading zero": {"serial": der(2, b"\x00\x01")},
    "version 1": {"version": b"", "extensions": None},
    "version 1 with extensions": {"version": b""},
    "version 2": {"version": der(0xA0, integer(1)), "extensions": None},
    "version 4": {"version": der(0xA0, integer(3))},
    "no extensions": {"extensions": None},
    "no basicConstraints": {"extensions": (usage(),)},
    "no CA": {"extensions": (basic(ca=False), usage())},
    "basicConstraints not critical": {"extensions": (basic(critical=False), usage())},
    "basicConstraints twice": {"extensions": (basic(), basic(), usage())},
    "basicConstraints malformed": {"extensions": (Extension("2.5.29.19", b"\x04\x00"), usage())},
    "pathlen 0": {"extensions": (basic(path_length=0), usage())},
    "pathlen 1": {"extensions": (basic(path_length=1), usage())},
    "pathlen 2": {"extensions": (basic(path_length=2), usage())},
    "pathlen negative": {"extensions": (basic(path_length=-1), usage())},
    "no keyUsage": {"extensions": (basic(),)},
    "keyUsage digitalSignature": {"extensions": (basic(), usage(forge.DIGITAL_SIGNATURE))},
    "keyUsage all": {"extensions": (basic(), usage(0xFE))},
    "keyUsage none": {"extensions": (basic(), usage(0))},
    "keyUsage malformed": {"extensions": (basic(), Extension("2.5.29.15", b"\x03\x00"))},
    "use serverAuth": {"extensions": _with(uses(SERVER_AUTH))},
    "use clientAuth": {"extensions": _with(uses(CLIENT_AUTH))},
    "use both": {"extensions": _with(uses(SERVER_AUTH, CLIENT_AUTH))},
    "use any": {"extensions": _with(uses(ANY_USE))},
    "use codeSigning": {"extensions": _with(uses(CODE_SIGNING, critical=True))},
    "use of its own": {"extensions": _with(uses("1.2.3.4"))},
    "limited to corp.example": {"extensions": _limits((2, "corp.example"))},
    "limited to .io and .svc": {"extensions": _limits((2, "io"), (2, "svc"))},
    "limited to .io": {"extensions": _limits((2, "io"))},
    "limited to all DNS names": {"extensions": _limits((2, ""))},
    "limited in mail": {"extensions": _limits((1, "corp.example"))},
    "limited in addresses": {"extensions": _limits((7, bytes([10, 0, 0, 0, 255, 0, 0, 0])))},
    "limited in addresses, bad mask": {"extensions": _limits((7, bytes([10, 0, 0, 0, 255, 0, 255, 0])))},
    "limited in directory names": {"extensions": _limits((4, name("Corp")))},
    "limited in directory names, not critical": {
        "extensions": _with(name_limits([(4, name("Corp"))], critical=False))
    },
    "limited, domain malformed": {"extensions": _limits((2, "corp..example"))},
    "limited, domain with a last dot": {"extensions": _limits((2, "io."))},
    "limited to nothing": {"extensions": _with(name_limits([]))},
    "excludes istio.io": {"extensions": _excludes((2, "istio.io"))},
    "excludes .svc": {"extensions": _excludes((2, ".svc"))},
    "excludes svc.": {"extensions": _excludes((2, "svc."))},
    "excludes corp.example": {"extensions": _excludes((2, "corp.example"))},
    "excludes ISTIO.IO": {"extensions": _excludes((2, "ISTIO.IO"))},
    "named by mail": {"extensions": _with(names((1, "ca@corp.example")))},
    "named by address": {"extensions": _with(names((7, bytes([10, 0, 0, 1]))))},
    "named by an address of 5 bytes": {"extensions": _with(names((7, b"12345")))},
    "named by URI": {"extensions": _with(names((6, "urn:corp:mesh")))},
    "named by directory name": {"extensions": _with(names((4, name("Corp"))))},
    "named by directory name, critical": {"extensions": _with(names((4, name("Corp")), critical=True))},
    "named outside ASCII": {"extensions": _with(names((2, "é.example")))},
    "demands policies at once": {
        "extensions": _with(Extension("2.5.29.36", der(SEQUENCE, der(0x80, b"\x00")), critical=True))
    },
    "demands policies 1 below": {
        "extensions": _with(Extension("2.5.29.36", der(SEQUENCE, der(0x80, b"\x01")), critical=True))
    },
    "demands policies 3 below": {
        "extensions": _with(Extension("2.5.29.36", der(SEQUENCE, der(0x80, b"\x03")), critical=True))
    },
    "inhibits policy mapping": {
        "extensions": _with(Extension("2.5.29.36", der(SEQUENCE, der(0x81, b"\x00")), critical=True))
    },
    "has a policy": {
        "extensions": _with(Extension("2.5.29.32", der(SEQUENCE, der(SEQUENCE, oid("1.2.3.4")))))
    },
    "has a policy twice": {
        "extensions": _with(Extension("2.5.29.32", der(SEQUENCE, *2 * [der(SEQUENCE, oid("1.2.3.4"))])))
    },
    "subject key id critical": {
        "extensions": _with(Extension("2.5.29.14", der(OCTETS, b"id"), critical=True))
    },
    "authority key id critical": {
        "extensions": _with(Extension("2.5.29.35", der(SEQUENCE, der(0x80, b"id")), critical=True))
    },
    "information access critical": {
        "extensions": _with(
            Extension(
                "1.3.6.1.5.5.7.1.1",
                der(SEQUENCE, der(SEQUENCE, oid("1.3.6.1.5.5.7.48.1"), der(0x86, b"http://a"))),
                critical=True,
            )
        )
    },
    "issuer's other names critical": {
        "extensions": _with(
            Extension("2.5.29.18", der(SEQUENCE, der(0x82, b"corp.example")), critical=True)
        )
    },
    "extension number of 32 bits": {"extensions": _with(Extension("1.2.4294967296", b"\x05\x00"))},
    "SHA-384": {"hash": "sha384"},
    "signed with SHA-1": {"hash": "sha1"},
    "expired": {"ends": moment("210101000000Z")},
    "not yet valid": {"begins": moment("440101000000Z")},
    "ends in 2060": {"ends": moment("20600101000000Z")},
    "GeneralizedTime before 2050": {"begins": moment("20200101000000Z")},
    "dates with offsets": {"begins": der(forge.UTC_TIME, b"200101000000+0100")},
    "dates without seconds": {"begins": moment("2001010000Z")},
    "dates malformed": {"begins": moment("209901000000Z")},
    "February 30": {"begins": moment("200230000000Z")},
    "bytes behind": {"after": b"\x00"},
    "two algorithms": {"outer": der(SEQUENCE, oid("1.2.840.113549.1.1.5"), der(NULL))},
}  # fmt: skip

NAMES_OF_CERTIFICATES: dict[str, bytes] = {
    "printable": name("Corp Mesh CA", 0x13),
    "printable with @": name("Corp@Mesh", 0x13),
    "IA5": name("Corp Mesh CA", 0x16),
    "IA5 outside ASCII": name("Größe".encode("latin-1"), 0x16),
    "T61": name("Größe".encode("latin-1"), 0x14),
    "BMP": name("Größe".encode("utf-16-be"), 0x1E),
    "BMP surrogate": name(b"\xd8\x00", 0x1E),
    "BMP odd": name(b"abc", 0x1E),
    "UTF-8": name("Größe"),
    "UTF-8 broken": name(b"Gr\xf6sse"),
    "numeric": name("123 4", 0x12),
    "numeric with letters": name("123a", 0x12),
    "universal": name("Corp".encode("utf-32-be"), 0x1C),
    "visible": name("Corp", 0x1A),
    "empty": der(SEQUENCE),
}

# Not in Go's way, but in that of proxies: an anchor's uses and limits are not looked at by them.
CERTIFICATES_STRICTER = {
    ("keyUsage none", "root"): PROXIES,
    ("keyUsage none", "middle"): PROXIES,
    ("keyUsage none", "ca"): PROXIES,
    ("use any", "middle"): PROXIES,
    ("use any", "ca"): PROXIES,
    ("use serverAuth", "middle"): PROXIES,
    ("use serverAuth", "ca"): PROXIES,
    **{
        (what, where): UNREAD
        for what in ("dates with offsets", "dates without seconds")
        for where in ("root", "middle", "ca")
    },
}


def _positions(changed: Callable[[Forged], Forged], what: str) -> Iterator[Case]:
    """The change done to each of the three; of what is below, the signature follows."""
    top, middle, ca = three()
    odd_top = changed(top)
    yield Case(f"root: {what}", files_of(ca, middle, odd_top), CERTIFICATES_STRICTER.get((what, "root"), ""))
    odd_middle = changed(middle)
    yield Case(
        f"middle: {what}", files_of(ca, odd_middle, top), CERTIFICATES_STRICTER.get((what, "middle"), "")
    )
    odd_ca = changed(ca)
    yield Case(f"ca: {what}", files_of(odd_ca, middle, top), CERTIFICATES_STRICTER.get((what, "ca"), ""))


def certificates() -> Iterator[Case]:
    for what, parts in CERTIFICATES.items():
        yield from _positions(partial(forge.Forged.but, **parts), what)
    for what, called in NAMES_OF_CERTIFICATES.items():
        top = root(key("P256", 0), subject=called, issuer=called)
        ca = below(top, key("P256", 2), "c1-k", extensions=own_extensions())
        stricter = UNREAD if what == "T61" else ""
        yield Case(f"root's name: {what}", files_of(ca, top), stricter)
        named = below(root(key("P256", 0)), ca.key, "", subject=called, extensions=own_extensions())
        yield Case(f"ca's name: {what}", files_of(named, root(key("P256", 0))), stricter)
    top, _, ca = three()
    yield Case(
        "issuer's name of another string type",
        files_of(ca.but(signer=top.key, issuer=name("Corp Root", 0x13)), top),
    )
    yield Case("issuer's name in capitals", files_of(ca.but(signer=top.key, issuer=name("CORP ROOT")), top))
    ids = {
        "the same": (b"a" * 20, b"a" * 20), "others": (b"a" * 20, b"b" * 20),
        "the issuer's alone": (b"a" * 20, b""), "the other alone": (b"", b"b" * 20),
    }  # fmt: skip
    for what, (theirs, own) in ids.items():
        issuer = top.but(extensions=_with(*[Extension("2.5.29.14", der(OCTETS, theirs))] * bool(theirs)))
        inner = der(SEQUENCE, der(0x80, own) if own else b"")
        child = below(issuer, ca.key, "c1-k", extensions=_with(Extension("2.5.29.35", inner)))
        yield Case(f"key ids: {what}", files_of(child, issuer), PROXIES if what == "others" else "")


def algorithms() -> Iterator[Case]:
    """Kinds of keys and signatures, in each place."""
    for kind in (
        "P224",
        "P384",
        "P521",
        "K256",
        "BP256",
        "BP384",
        "RSA1024",
        "RSA2048",
        "RSA4096",
        "ED",
        "DSA",
    ):
        for at in range(3):
            kinds = ["P256", "P256", "P256"]
            kinds[at] = kind
            if at == 2 and kind == "DSA":
                continue  # cryptography writes such a key, and nothing signs with it
            top, middle, ca = three((kinds[0], kinds[1], kinds[2]))
            yield Case(f"{kind} in place {at}", files_of(ca, middle, top))
    yield from _rsa_signatures()
    short = _short_rsa()
    yield Case("RSA 512 root", files_of(*reversed((top := root(short), below(top, key("P256", 2), "c1-k")))))
    top = root(key("P256", 0), spki=explicit(key("P256", 0)))
    yield Case("explicit curve parameters in the root", files_of(below(top, key("P256", 2), "c1-k"), top))
    compressed = _compressed(key("P256", 0))
    top = root(key("P256", 0), spki=compressed)
    yield Case("compressed point in the root", files_of(below(top, key("P256", 2), "c1-k"), top))


def _rsa_signatures() -> Iterator[Case]:
    signer = key("RSA2048", 0)
    leaf = key("P256", 2)
    variants: dict[str, dict[str, Any]] = {
        "MD5": {"hash": "md5"},
        "SHA-1": {"hash": "sha1"},
        "PSS": {"algorithm": forge.pss_algorithm()},
        "PSS that says another salt": {"algorithm": forge.pss_algorithm(40)},
    }
    for what, parts in variants.items():
        top = root(signer, **parts)
        yield Case(f"RSA root signed with {what}", files_of(below(top, leaf, "c1-k"), top))
        top = root(signer)
        yield Case(f"RSA ca signed with {what}", files_of(below(top, leaf, "c1-k", **parts), top))
    rsa_oid = oid("1.2.840.113549.1.1.1")
    spki = forge.public(signer)
    top = root(signer, spki=_replaced(spki, der(SEQUENCE, rsa_oid, der(NULL)), der(SEQUENCE, rsa_oid)))
    yield Case("RSA key without NULL", files_of(below(top, leaf, "c1-k"), top))
    pss = der(SEQUENCE, oid(forge.PSS))
    top = root(signer, spki=_replaced(spki, der(SEQUENCE, rsa_oid, der(NULL)), pss))
    yield Case("RSA-PSS key", files_of(below(top, leaf, "c1-k"), top))


def _replaced(spki: bytes, old: bytes, new: bytes) -> bytes:
    start = spki.index(old)
    return der(SEQUENCE, new, spki[start + len(old) :])


def _short_rsa() -> rsa.RSAPrivateKey:
    """A key of 512 bits; `cryptography` makes none, so its primes are those of another's search."""
    p, q = 2**255 + 95, 2**256 - 189
    p = _next_prime(p)
    q = _next_prime(q - 2**200)
    d = pow(65_537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65_537, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _next_prime(number: int) -> int:
    number |= 1
    while pow(3, number - 1, number) != 1 or pow(2, number - 1, number) != 1 or number % 65_537 == 1:
        number += 2
    return number


def explicit(of: PrivateKeyTypes) -> bytes:
    """A public key on P-256 whose curve is written out instead of named."""
    return der(SEQUENCE, explicit_algorithm(), forge.bits(forge.public(of)[-65:]))


def explicit_algorithm() -> bytes:
    """What says that a key is on P-256 by writing the curve out (SEC 1, C.2)."""
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    x = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
    y = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    field_id = der(SEQUENCE, oid("1.2.840.10045.1.1"), integer(p))
    curve = der(SEQUENCE, der(OCTETS, (p - 3).to_bytes(32, "big")), der(OCTETS, b.to_bytes(32, "big")))
    base = der(OCTETS, b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big"))
    parameters = der(SEQUENCE, integer(1), field_id, curve, base, integer(n), integer(1))
    return der(SEQUENCE, oid("1.2.840.10045.2.1"), parameters)


def _compressed(of: PrivateKeyTypes) -> bytes:
    spki = forge.public(of)
    point = spki[-65:]
    algorithm = der(SEQUENCE, oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"))
    return der(SEQUENCE, algorithm, forge.bits(bytes([2 + point[-1] % 2]) + point[1:33]))


def keys() -> Iterator[Case]:
    """Forms of a private key."""
    for kind in ("P256", "P384", "P521", "P224", "RSA2048", "RSA1024", "ED"):
        top = root(key("P256", 0))
        ca = below(top, key(kind, 2), "c1-k")
        files = files_of(ca, top)
        own = key(kind, 2)
        forms = {"PKCS#8": PrivateFormat.PKCS8}
        if kind != "ED":
            forms["traditional"] = PrivateFormat.TraditionalOpenSSL
        for called, form in forms.items():
            yield Case(f"{kind} {called}", replace(files, ca_key=key_pem(own, form)))
            locked = own.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
            yield Case(f"{kind} {called}, encrypted", replace(files, ca_key=locked))
        openssh = (
            own.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()) if kind != "P224" else b""
        )
        yield Case(f"{kind} OpenSSH", replace(files, ca_key=openssh))
        yield Case(f"{kind}, another's key", replace(files, ca_key=key_pem(key(kind, 5))))
        yield Case(
            f"{kind}, another kind's key",
            replace(files, ca_key=key_pem(key("P256" if kind == "RSA2048" else "RSA2048", 6))),
        )
    top = root(key("P256", 0))
    ca = below(top, key("P256", 2), "c1-k")
    files = files_of(ca, top)
    other = x25519.X25519PrivateKey.generate()
    yield Case("X25519 key", replace(files, ca_key=key_pem(other)))
    yield Case(
        "bytes behind PKCS#8", replace(files, ca_key=pem(_der_of(ca.key) + b"\x00", "PRIVATE KEY")), UNREAD
    )
    nameless = sec1(ca.key, named=False)
    yield Case("SEC 1 without its curve", replace(files, ca_key=pem(nameless, "EC PRIVATE KEY")))
    yield Case("SEC 1", replace(files, ca_key=pem(sec1(ca.key), "EC PRIVATE KEY")))
    yield Case("SEC 1 called PKCS#8", replace(files, ca_key=pem(sec1(ca.key), "PRIVATE KEY")))
    yield Case("SEC 1 of version 2", replace(files, ca_key=pem(sec1(ca.key, version=2), "EC PRIVATE KEY")))
    algorithm = der(SEQUENCE, oid("1.2.840.10045.2.1"), oid("1.3.132.0.10"))
    wrong = der(SEQUENCE, integer(0), algorithm, der(OCTETS, sec1(ca.key, named=False)))
    yield Case("PKCS#8 of another curve", replace(files, ca_key=pem(wrong, "PRIVATE KEY")))


def _der_of(of: PrivateKeyTypes) -> bytes:
    return of.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def sec1(of: PrivateKeyTypes, version: int = 1, *, named: bool = True) -> bytes:
    """A private key on P-256 in the form of SEC 1."""
    assert isinstance(of, ec.EllipticCurvePrivateKey)
    secret = of.private_numbers().private_value.to_bytes(32, "big")
    curve = der(0xA0, oid("1.2.840.10045.3.1.7")) if named else b""
    public = der(0xA1, forge.bits(forge.public(of)[-65:]))
    return der(SEQUENCE, integer(version), der(OCTETS, secret), curve, public)


def paths() -> Iterator[Case]:
    """What is where in the files."""
    top, middle, ca = three()
    files = files_of(ca, middle, top)
    other = root(key("P256", 7), "Corp Root")
    yield Case("in order", files)
    yield Case("the root signs", files_of(root(key("P256", 0))))
    yield Case("two roots", replace(files, root_cert=pem(other.der()) + files.root_cert))
    yield Case("another root of the same name", replace(files, root_cert=pem(other.der())))
    yield Case("no root in the chain", replace(files, cert_chain=pem(ca.der()) + pem(middle.der())))
    yield Case("no CA in the chain", replace(files, cert_chain=pem(middle.der()) + pem(top.der())))
    yield Case("nothing between in the chain", replace(files, cert_chain=pem(ca.der()) + pem(top.der())))
    yield Case(
        "chain in ca-cert.pem alone", replace(files, ca_cert=files.cert_chain, cert_chain=pem(ca.der()))
    )
    yield Case("chain in both", replace(files, ca_cert=files.cert_chain))
    yield Case(
        "chain in the roots",
        replace(files, cert_chain=pem(ca.der()), root_cert=pem(top.der()) + pem(middle.der())),
    )
    yield Case("the CA between as root", replace(files, root_cert=pem(middle.der())))
    yield Case(
        "ca-cert.pem begins with the CA between", replace(files, ca_cert=pem(middle.der()) + pem(ca.der()))
    )
    expired = middle.but(ends=moment("210101000000Z"))
    both = pem(ca.der()) + pem(expired.der()) + pem(middle.der()) + pem(top.der())
    yield Case("an expired certificate of the CA between, and a valid one", replace(files, cert_chain=both))
    old = ca.but(ends=moment("210101000000Z"))
    yield Case(
        "an expired certificate of the CA first in the chain",
        replace(files, cert_chain=pem(old.der()) + files.cert_chain),
    )
    crossed = below(other, top.key, "Corp Root")
    yield Case(
        "cross-signed root",
        replace(files, cert_chain=files.cert_chain + pem(crossed.der()), root_cert=pem(other.der())),
    )
    odd = root(key("K256", 3), "Odd")
    yield Case(
        "a root on an unknown curve behind", replace(files, root_cert=files.root_cert + pem(odd.der()))
    )
    yield Case("a root on an unknown curve first", replace(files, root_cert=pem(odd.der()) + files.root_cert))
    yield Case(
        "a certificate on an unknown curve in the chain",
        replace(files, cert_chain=files.cert_chain + pem(odd.der())),
    )
    deep = [top]
    for at in range(4):
        deep.append(below(deep[-1], key("P256", 20 + at), f"level {at}"))
    yield Case("five CAs", files_of(*reversed(deep)))
    self_issued = below(top, key("P256", 30), "Corp Root")
    ca_below = below(self_issued, key("P256", 31), "c1-k")
    yield Case("a self-issued CA between", files_of(ca_below, self_issued, top))
    narrow = top.but(extensions=(basic(path_length=1), usage()))
    between = below(narrow, key("P256", 30), "Corp Root")
    yield Case(
        "a self-issued CA between, pathlen 1",
        files_of(below(between, key("P256", 31), "c1-k"), between, narrow),
    )


def texts() -> Iterator[Case]:
    """Each change of a text in each of the files, and some in two at once."""
    good = files_of(*reversed(three()))
    for what, change in TEXTS.items():
        for file in FILES:
            changed = replace(good, **{file: change(getattr(good, file))})
            stricter = PROXIES if (what, file) in TEXTS_FOR_PROXIES else ""
            stricter = UNREAD if (what, file) in TEXTS_UNREAD else stricter
            yield Case(f"{file}: {what}", changed, stricter)
    stricter_texts = {text for text, _ in (*TEXTS_FOR_PROXIES, *TEXTS_UNREAD)}
    plain = [what for what in TEXTS if what not in stricter_texts]
    drawn = random.Random(20261123)  # noqa: S311 (the same cases each time)
    for at in range(60):
        one, other = drawn.sample(plain, 2)
        file, second = drawn.choice(FILES), drawn.choice(FILES)
        first = replace(good, **{file: TEXTS[one](getattr(good, file))})
        changed = replace(first, **{second: TEXTS[other](getattr(first, second) or b"-----BEGIN ")})
        yield Case(f"{at}: {file}: {one}, {second}: {other}", changed)


def cases() -> list[Case]:
    return [*paths(), *keys(), *algorithms(), *certificates(), *texts()]
