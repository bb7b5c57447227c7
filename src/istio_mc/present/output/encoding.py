"""Documents on standard output in any encoding: missing characters are escaped in the format's own way."""

from __future__ import annotations

import codecs
import sys
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_UTF_8 = "utf-8"


class Texts(NamedTuple):
    """A document in two forms, each in the same number of pieces.

    Attributes:
        ascii: In ASCII alone, with the format's own escapes.
    """

    plain: Callable[[], Iterable[str]]
    ascii: Callable[[], Iterable[str]]

    @classmethod
    def of_document(cls, plain: Callable[[], str], ascii_only: Callable[[], str]) -> Texts:
        """A document in one piece."""
        return cls(lambda: (plain(),), lambda: (ascii_only(),))


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
    rest: Iterator[str]
    if is_unicode(stream):
        for number, piece in enumerate(document.plain()):
            try:
                piece.encode()
            except UnicodeEncodeError:
                rest = islice(document.ascii(), number, None)
                break
            stream.write(piece)
        else:
            return
    else:
        rest = iter(document.ascii())
    for piece in rest:
        stream.write(piece)


def references(text: str) -> str:
    """An XML document in ASCII alone."""
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
