"""Secrets by their own shape, however they are wrapped: private keys, tokens, and runs of random letters."""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from typing import TYPE_CHECKING

from istio_mc.domain.redaction.spans import Span, Squeezed, mixed

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "private key"
JWT = "token (JWT)"
CLOUD = "cloud credential"
BOOTSTRAP = "bootstrap token"
HASH = "hash of a password"
BASE64 = "base64"
OPAQUE = "opaque letters"
CERTIFICATE = "certificate"
"""Not a secret: what is found under this kind is left in."""

_MARK = "PRIVATE KEY-----"
_DEPTH = 3
_LEAST_OPAQUE = 40
_LEAST_ENTROPY = 4.4

# Squeezed: `-----BEGIN RSA PRIVATE KEY-----` has lost its blanks.
_HEAD = r"-{4,5}BEGIN[A-Z0-9+]*PRIVATE\+?KEY(?:BLOCK)?-{4,5}"
_FOOT = r"-{4,5}END[A-Z0-9+]*PRIVATE\+?KEY(?:BLOCK)?-{4,5}"
_BLOCK = re.compile(rf"{_HEAD}(?:(?!-{{4,5}}BEGIN).){{0,20000}}?{_FOOT}", re.DOTALL)
_HALF = re.compile(rf"(?P<head>{_HEAD})|{_FOOT}")
_PUBLIC = re.compile(
    r"-----BEGIN(?:TRUSTED|X509)?CERTIFICATE-----(?P<body>[A-Za-z0-9+/=]++)-----END(?:TRUSTED|X509)?CERTIFICATE-----"
)
_JWT = re.compile(r"eyJ(?:[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5}|hbGci|0eXAi|raWQi|jdHki)")
# The beginning of a DER private key in base64: PKCS#1, PKCS#8, PKCS#8 encrypted, SEC1 and Ed25519.
_DER = re.compile(
    r"MII[A-Za-z0-9+/]{3}IBA(?:A[Kk]C|DAN|DAL)[A-Za-z0-9+/]"
    r"|MI(?:GH|G2|Ht)AgEAM[A-Za-z0-9+/]{2}GByqGSM49|M(?:HcCAQEEI|IGkAgEBBD|IHcAgEBBE)"
    r"|M(?:II[A-Za-z0-9+/]{2}|IG|IH)[A-Za-z0-9+/]{1,8}BgkqhkiG9w0BBQ[0-9A-Z]|MC4CAQAwBQYDK2V[uw]"
)
_CLOUD = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|gl(?:pat|rt|dt|ptt|cbt|ft|soat|imt|agent|oas)-[\w-]{20,}|xox[abeprs]-[\w-]{10,}|xapp-[0-9]-[\w-]{20,}"
    r"|AIza[\w-]{35}|GOCSPX-[\w-]{20,}|ya29\.[\w-]{20,}|[sr]k_(?:live|test)_\w{16,}|hv[sbr]\.[\w-]{20,}"
    r"|s\.(?=[A-Za-z]*[0-9])(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{24}(?![\w.-])|npm_[A-Za-z0-9]{36}|hf_[A-Za-z0-9]{30,}"
    r"|do[opr]_v1_[0-9a-f]{64}|SK[0-9a-f]{32}(?!\w)|dckr_[a-z]+_[\w-]{20,}|[0-9]{8,10}:AA[\w-]{33}(?![\w-])"
    r"|pul-[0-9a-f]{40}|dapi[0-9a-f]{32}|K10[0-9a-f]{64}::\w+:\w+|v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}"
    r"|tskey-[a-z]+-[\w-]{16,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|AGE-SECRET-KEY-1[0-9A-Z]{50,})"
    r"|(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{20,}"
)
# Of kubeadm. The name of an event looks alike, but behind its dot all is hexadecimal.
_BOOTSTRAP = re.compile(
    r"(?<![\w.-])[a-z0-9]{6}\.(?=[a-z]*[0-9])(?=[0-9a-f]*[g-z])[a-z0-9]{16}(?![\w-]|\.\w)"
)
# crypt(3), as in htpasswd and shadow.
_HASH = re.compile(r"\$(?:apr1|2[abxy]|[1567y]|argon2\w*|scrypt)\$[A-Za-z0-9./$=,+]{16,}")
# A seed of one-time passwords, as authenticators are given it; hexadecimal has at most 4 bits a letter.
_BASE32 = re.compile(r"(?<![\w/+-])(?=(?:[A-Z]*[2-7]){3})[A-Z2-7]{32,}+={0,6}(?![\w/+-])")
_LEAST_BASE32_ENTROPY = 4.0
_OPAQUE = re.compile(rf"[A-Za-z0-9+/_=-]{{{_LEAST_OPAQUE},}}+")


def encoded_forms(text: str, depth: int = _DEPTH) -> frozenset[str]:
    """What is always to be found in base64 of any text that holds this one, and in base64 of that, and so on.

    A byte's letters depend on where it stands among three: so there are three forms at each depth, without
    the letters at both ends that its neighbours change.
    """
    if not depth:
        return frozenset()
    found = set()
    for shift in range(3):
        raw = base64.b64encode(b"\0" * shift + text.encode())
        whole = (len(text) + shift) // 3 * 4
        core = raw[(0, 2, 3)[shift] : whole].decode()
        found |= {core, core.replace("+", "-").replace("/", "_")} | encoded_forms(core, depth - 1)
    return frozenset(found)


_ENCODED = re.compile(
    "|".join(
        sorted(
            form
            for text in (_MARK, "eyJhbGciOi", "eyJ0eXAiOi", "eyJraWQiOi")
            for form in (*encoded_forms(text), text.encode().hex(), text.encode().hex().upper())
        )
    )
)


def spans(squeezed: Squeezed) -> Iterator[Span]:
    """Every secret that its own shape gives away, and every certificate."""
    text = squeezed.text
    for match in _PUBLIC.finditer(text):
        if is_certificate(match["body"]):
            yield squeezed.span(*match.span(), CERTIFICATE)
    yield from _pem(squeezed)
    for pattern, kind, back in ((_DER, KEY, False), (_JWT, JWT, False), (_ENCODED, BASE64, True)):
        for match in pattern.finditer(text):
            yield squeezed.grown(*match.span(), kind, back=back)
    for pattern, kind in ((_CLOUD, CLOUD), (_HASH, HASH), (_BOOTSTRAP, BOOTSTRAP)):
        for match in pattern.finditer(squeezed.original):
            yield Span(*match.span(), kind)
    yield from _random(squeezed.original)


def _random(text: str) -> Iterator[Span]:
    """Runs of letters that are no words."""
    for match in _OPAQUE.finditer(text):
        if is_random(match[0]):
            yield Span(*match.span(), OPAQUE)
    for match in _BASE32.finditer(text):
        if _entropy(match[0]) > _LEAST_BASE32_ENTROPY:
            yield Span(*match.span(), OPAQUE)


def _pem(squeezed: Squeezed) -> Iterator[Span]:
    """Private keys in PEM, whole, or from their first line on, or up to their last."""
    whole = [match.span() for match in _BLOCK.finditer(squeezed.text)]
    for start, end in whole:
        yield squeezed.span(start, end, KEY)
    for match in _HALF.finditer(squeezed.text):
        if not any(start <= match.start() < end for start, end in whole):
            yield squeezed.grown(*match.span(), KEY, back=not match["head"], on=bool(match["head"]))


def is_certificate(body: str) -> bool:
    """Whether base64 is a certificate's DER: a sequence of a sequence of a version or serial and more."""
    try:
        der = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except ValueError:
        return False
    inner = _inside(der)
    return inner[:1] == b"\x30" and _inside(inner)[:1] in (b"\xa0", b"\x02")


def is_key(der: bytes) -> bool:
    """Whether bytes begin as the DER of a private key or a PKCS#12 store: a sequence of a number and more."""
    return der[:1] == b"\x30" and _inside(der)[:3] in (b"\x02\x01\0", b"\x02\x01\1", b"\x02\x01\3")


def is_random(text: str) -> bool:
    """Whether letters are too well mixed to be words: a path or a name has less than 4.4 bits a letter."""
    return mixed(text) and _entropy(text) >= _LEAST_ENTROPY


def _entropy(text: str) -> float:
    """Bits a letter."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _inside(der: bytes) -> bytes:
    """What a DER value holds, without its tag and length."""
    length = der[1:2]
    if not length:
        return b""
    return der[2 + (length[0] & 0x7F if length[0] & 0x80 else 0) :]
