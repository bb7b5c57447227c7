"""Secrets by their own shape (keys, tokens, random letters, also in base64), and stretches of texts."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

GAP = r"""(?:\s|\\++(?:[nrt]|u000[9aAdD])?|%0[aAdD9]|["'])"""
"""White space, also written as `\\n`, a quotation mark or a backslash: a piece of patterns."""

BREAK = r"[ \t]*+(?:\r?\n|(?:\\++r)?\\++n|(?:%0[dD])?%0[aA])[ \t]*+"
"""A line break and the blanks around it."""

MARK = r"""(?:\\*+["'])?"""
"""A quotation mark or none."""

WORD = r"(?:(?<=\\[nrt])|(?<![\w.\\-]))"
"""Where a word begins, which may be behind a line break written as `\\n`."""


class Span(NamedTuple):
    """A stretch of a text that is taken out."""

    start: int
    end: int
    kind: str


def merged(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that overlap as one; it is of the kind of the longest."""
    done: list[Span] = []
    widest = 0
    for span in sorted(span for span in spans if span.start < span.end):
        width = span.end - span.start
        if done and span.start < done[-1].end:
            last = done[-1]
            kind = span.kind if width > widest else last.kind
            done[-1] = Span(last.start, max(last.end, span.end), kind)
            widest = max(width, widest)
        else:
            done.append(span)
            widest = width
    return done


KEY = "private key"
JWT = "token (JWT)"
BASE64 = "base64"
OPAQUE = "opaque letters"

_LEAST = 16
_LEAST_OPAQUE = 40
_LEAST_ENTROPY = 4.4
_LEAST_TOKEN = 20
_LEAST_CHANGES = 0.45  # of random letters and digits, 0.62 of the neighbours are of different classes
_MOST_OF_A_DIGEST = 128

_END_OF_LINE = r"(?=[ \t]*+(?:[\r\n\"']|\\++(?:[nr\"']|\Z)|%0|\Z))"
_LAST = rf"{{{_LEAST},}}+=?=?(?=[ \t,;<>)}}\]])"  # of several lines, with other words behind it
_PEM_GAP = rf"(?:{GAP}|\+)*+"  # a form has + for a blank
_LABEL = (
    rf"{_PEM_GAP}(?:[A-Z0-9]++{_PEM_GAP}){{0,3}}?PRIVATE{_PEM_GAP}KEY{_PEM_GAP}(?:BLOCK{_PEM_GAP})?-{{4,5}}"
)
_PEM_LINES = rf"[A-Za-z0-9+/=%]*+(?:{BREAK}[A-Za-z0-9+/=%]++{_END_OF_LINE})*+"
_PEM_HEADERS = rf"(?:{BREAK}[A-Z][\w-]++:[^\n\\\"]*+)*+"
_PEM = re.compile(
    rf"-{{4,5}}BEGIN{_LABEL}(?:(?:(?!-{{4,5}}BEGIN).){{0,20000}}?-{{4,5}}END{_LABEL}"
    rf"|(?:{_PEM_HEADERS}{BREAK}{_PEM_LINES})?+)"
    rf"|(?P<end>-{{4,5}}END{_LABEL})",
    re.DOTALL,
)
_LINE_BEFORE = re.compile(rf"[A-Za-z0-9+/=%]++{BREAK}\Z")
_LONGEST_LINE = 200
_PUBLIC = re.compile(
    rf"-----BEGIN{GAP}*+(?:TRUSTED|X509)?{GAP}*+CERTIFICATE-----(?P<body>(?:[A-Za-z0-9+/=]|{GAP})*+)"
    rf"-----END{GAP}*+(?:TRUSTED|X509)?{GAP}*+CERTIFICATE-----"
)
_JWT = re.compile(
    r"eyJ(?:[\w-]{5,}+\.[\w-]{5}|hbGci|0eXAi|raWQi|jdHki)[\w.=-]*+"
    rf"(?:{BREAK}[\w.=-]++{_END_OF_LINE})*+(?:{BREAK}[\w.=-]{_LAST})?+"
)
_RUN = rf"(?:(?<=\\[nrt])|(?<![A-Za-z0-9+/_\\-]))[A-Za-z0-9+/_-]{{{_LEAST},}}+"
_BLOB = re.compile(
    rf"{_RUN}(?:={{1,2}}|(?:{BREAK}[A-Za-z0-9+/_-]++(?:==?)?(?<!-){_END_OF_LINE})*+"
    rf"(?:{BREAK}[A-Za-z0-9+/_-]{_LAST})?+)"
)
_GAPS = re.compile(rf"{GAP}++")
_HEX = re.compile(r"[0-9a-fA-F]*+")


def spans(text: str, look: Callable[[str], object] | None) -> Iterator[Span]:
    """Every secret that its own shape gives away.

    Args:
        look: Finds secrets in what base64 stands for; None: nothing is decoded.
    """
    at = 0
    judged: dict[str, str | None] = {}
    if "PRIVATE" in text:
        yield from _pem(text)
    yield from (Span(*match.span(), JWT) for match in _JWT.finditer(text))
    # A certificate is random letters too, and no secret.
    public = [match.span() for match in _PUBLIC.finditer(text) if is_certificate(_decoded(match["body"]))]
    for start, end in [*public, (len(text), len(text))]:
        for match in _BLOB.finditer(text, at, start):
            letters = match[0]
            if letters not in judged:
                judged[letters] = _kind(letters, look)
            if kind := judged[letters]:
                yield Span(*match.span(), kind)
        at = end


def _pem(text: str) -> Iterator[Span]:
    """Private keys in PEM, whole, or from their first line on, or up to their last."""
    for match in _PEM.finditer(text):
        start = match.start()
        while match["end"] and (line := _LINE_BEFORE.search(text, max(0, start - _LONGEST_LINE), start)):
            start = line.start()
        yield Span(start, match.end(), KEY)


def _kind(letters: str, look: Callable[[str], object] | None) -> str | None:
    """What a run of letters of base64 is; None: no secret."""
    letters = _GAPS.sub("", letters)
    if letters.islower():  # most names are; base64 of a text has capitals
        return OPAQUE if len(letters) > _MOST_OF_A_DIGEST and _HEX.fullmatch(letters) else None
    data = _decoded(letters)
    if is_key(data):
        return KEY
    if is_certificate(data):
        return None
    if look and (inner := _readable(data)):
        if look(inner):
            return BASE64
        if _PUBLIC.search(inner):
            return None
    return OPAQUE if is_random(letters) else None


def _decoded(letters: str) -> bytes:
    letters = _GAPS.sub("", letters).rstrip("=").replace("-", "+").replace("_", "/")
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4))
    except binascii.Error:
        return b""


def _readable(data: bytes) -> str:
    """The text that bytes are, without a letter that was cut off at their end; "" where they are none."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3:
            return ""
        text = data[: error.start].decode()
    return "" if re.search(r"[\x00-\x08\x0e-\x1a]", text) else text


def is_certificate(der: bytes) -> bool:
    """Whether bytes are a certificate's DER: a sequence of a sequence of a version or serial and more."""
    inner = _inside(der)
    return inner[:1] == b"\x30" and _inside(inner)[:1] in (b"\xa0", b"\x02")


def is_key(der: bytes) -> bool:
    """Whether bytes begin as the DER of a private key or a PKCS#12 store: a sequence of a number and more."""
    return der[:1] == b"\x30" and _inside(der)[:3] in (b"\x02\x01\0", b"\x02\x01\1", b"\x02\x01\3")


def is_random(letters: str) -> bool:
    """Whether letters are too well mixed to be words: capitals, small letters and digits in one.

    40 and more by their entropy: a path or a name has less than 4.4 bits a letter. Fewer by how often
    capitals, small letters and digits follow each other.
    """
    if not all(re.search(kind, letters) for kind in ("[A-Z]", "[a-z]", "[0-9]")):
        return len(letters) > _MOST_OF_A_DIGEST and _HEX.fullmatch(letters) is not None
    if len(letters) >= _LEAST_OPAQUE and _entropy(letters) >= _LEAST_ENTROPY:
        return True
    parts = [*re.split("[/+=]", letters), *re.split("[/+=_-]", letters)]
    return any(_changes_often(re.sub("[-_]", "", part)) for part in parts)


def _changes_often(letters: str) -> bool:
    classes = [letter.isupper() - letter.isdigit() for letter in letters]
    changes = sum(one != other for one, other in pairwise(classes))
    few = len(letters) * 0.15  # of a hexadecimal number in small letters and a word, hardly any is a capital
    return (
        len(letters) >= _LEAST_TOKEN
        and changes >= len(letters) * _LEAST_CHANGES
        and classes.count(1) >= few
        and classes.count(0) >= few
    )


def _entropy(text: str) -> float:
    """Bits a letter."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _inside(der: bytes) -> bytes:
    """What a DER value holds, without its tag and length."""
    length = der[1:2]
    if not length:
        return b""
    return der[2 + (length[0] & 0x7F if length[0] & 0x80 else 0) :]
