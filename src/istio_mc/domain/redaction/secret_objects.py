"""Secrets, the Kubernetes objects, written out in a text: in a ConfigMap, an annotation or a log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from istio_mc.domain.redaction.context import end_of_entry, extent
from istio_mc.domain.redaction.names import may_be_secret
from istio_mc.domain.redaction.shapes import MARK, WORD, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET_DATA = "value of a Secret"  # noqa: S105 - what a span is called

_KIND = re.compile(rf"{WORD}{MARK}kind{MARK}[ \t]*+:[ \t]*+{MARK}Secret(?:List)?(?![\w-])")
_DOCUMENT = re.compile(r"(?:\A|\n|\\++n)---[ \t]*+(?=\n|\\++n)|\Z")
_DATA = re.compile(
    rf"(?P<break>\A|\n|\\++n)?(?P<indent>[ \t]*+(?:-[ \t]++)*+){WORD}{MARK}(?:data|stringData){MARK}"
    r"[ \t]*+:(?P<open>\s*+\{)?"
)
_ENTRY = re.compile(rf"(?:[\s,}}]|\\++[nrt])*+(?<![\w.\\-]){MARK}(?P<name>[\w.-]++){MARK}[ \t]*+:")
_CLOSED = re.compile(MARK)


def spans(text: str) -> Iterator[Span]:
    """Every value of a Secret that is written out as JSON or YAML, in whatever escapes.

    Of a document with a Secret in it, such as a list, the data of the other objects goes too.
    """
    begin = 0
    for end in _DOCUMENT.finditer(text) if _KIND.search(text) else ():
        if _KIND.search(text, begin, end.start()):
            for data in _DATA.finditer(text, begin, end.start()):
                yield from _values(text, data)
        begin = end.end()


def _values(text: str, data: re.Match[str]) -> Iterator[Span]:
    """The values of a mapping, one entry after the other."""
    at, until = data.end(), len(text)
    if not data["open"]:
        until = end_of_entry(text, at, data["break"] or "\n", len(data["indent"]), mapping=True)
    while entry := _ENTRY.match(text, at, until):
        begin, behind = extent(text, entry.start("name"), entry.end())
        behind = min(behind, until)
        if begin < behind and may_be_secret("", text[begin:behind]):
            yield Span(begin, behind, SECRET_DATA)
        at = _CLOSED.match(text, max(entry.end(), behind)).end()  # type: ignore[union-attr] # it may be nothing
