"""Base85 in its three spellings: five letters for four bytes, and most signs of ASCII are letters of it."""

from __future__ import annotations

import base64
import re
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SMALL, _LARGE, _DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
_RFC_1924 = _DIGITS + _LARGE + _SMALL + "!#$%&()*+-;<=>?@^_`{|}~"
_ZEROMQ = _DIGITS + _SMALL + _LARGE + ".-:+=^!/*?&<>()[]{}@%$#"
_FROM_ZEROMQ = str.maketrans(_ZEROMQ, _RFC_1924)
_LEAST = 40
_RUN = re.compile(rf"[!-~]{{{_LEAST},}}+")
_SIGN = re.compile(r"[!#$%&()*;<>?@^`{|}~\[\]]")
_A_SIGN_EACH = 14  # letters; of random ones each fourth is a sign
_BEGINNING = re.compile(r"""[:=,"'(\[{>]++""")
_MOST_BEGINNINGS = 3
_ESCAPED = re.compile(r"""\\([\\"'])""")
_GROUP = 5


def decoded(text: str) -> Iterator[tuple[int, int, bytes]]:
    """Every run of a text that may be base85, in one of its spellings: its place, and what it stands for."""
    for run in _RUN.finditer(text):
        if not _has_signs(run[0]):
            continue
        for letters, decode in _SPELLINGS:
            for part in letters.finditer(text, run.start(), run.end()):
                for start in _beginnings(part):
                    yield start, part.end(), decode(text[start : part.end()])


def _has_signs(letters: str) -> bool:
    return len(_SIGN.findall(letters)) * _A_SIGN_EACH >= len(letters)


def _beginnings(part: re.Match[str]) -> Iterator[int]:
    """Where a value may begin: with the run, or behind what stands between a name and a value."""
    if not _has_signs(part[0]):
        return
    yield part.start()
    for number, found in enumerate(_BEGINNING.finditer(part[0], 0, _LEAST)):
        if number < _MOST_BEGINNINGS and len(part[0]) - found.end() >= _LEAST:
            yield part.start() + found.end()


def _from_rfc_1924(text: str) -> bytes:
    return _decoded(base64.b85decode, text[: len(text) // _GROUP * _GROUP])


def _from_zeromq(text: str) -> bytes:
    return _from_rfc_1924(text.translate(_FROM_ZEROMQ))


def _from_ascii85(text: str) -> bytes:
    return _decoded(base64.a85decode, text)


def _decoded(decode: Callable[[str], bytes], text: str) -> bytes:
    for letters in (text, text[:-_GROUP]):  # what stands behind a value may have spoilt its last group
        try:
            return decode(letters)
        except ValueError:
            continue
    return b""


def _from_escaped(text: str) -> bytes:
    """Ascii85 has quotation marks and backslashes, which a quoted text escapes."""
    return _from_ascii85(_ESCAPED.sub(r"\1", text)) if "\\" in text else b""


def _letters(of: str) -> re.Pattern[str]:
    return re.compile(rf"[{of}]{{{_LEAST},}}+")


_SPELLINGS = (
    (_letters(re.escape(_RFC_1924)), _from_rfc_1924),
    (_letters(re.escape(_ZEROMQ)), _from_zeromq),
    (_letters("!-uz"), _from_ascii85),
    (_letters("!-uz"), _from_escaped),
)
