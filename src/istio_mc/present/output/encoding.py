"""Documents on standard output in any encoding: characters that it lacks are escaped as the format has it."""

from __future__ import annotations

import codecs
import sys
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_UTF_8 = "utf-8"


class Texts(NamedTuple):
    """A document in two forms.

    Attributes:
        plain: With every character as it is.
        ascii: In ASCII alone, with the format's own escapes.
    """

    plain: Callable[[], str]
    ascii: Callable[[], str]


def is_unicode(stream: TextIO) -> bool:
    """Whether a stream can encode every character."""
    try:
        return codecs.lookup(stream.encoding or "ascii").name == _UTF_8
    except LookupError:
        return False


def write(document: Texts, to: TextIO | None = None) -> None:
    """Writes a document, escaped where the stream is not UTF-8, or where a text is not Unicode.

    A name can hold what no encoding has: a byte of a command line that is no text, or half of a character.
    """
    stream = to or sys.stdout
    text = document.plain() if is_unicode(stream) else document.ascii()
    try:
        text.encode()
    except UnicodeEncodeError:
        text = document.ascii()
    stream.write(text)


def references(text: str) -> str:
    """An XML document in ASCII alone."""
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
