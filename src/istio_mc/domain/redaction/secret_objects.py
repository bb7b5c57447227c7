"""Secrets, the Kubernetes objects, written out in a text: in a ConfigMap, an annotation or a log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.redaction.context import extent
from istio_mc.domain.redaction.names import may_be_secret
from istio_mc.domain.redaction.spans import MARK, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET_DATA = "value of a Secret"  # noqa: S105 - what a span is called

_WORD = r"(?:(?<=\\[nrt])|(?<![\w-]))"
_KIND = rf"{_WORD}kind{MARK}[ \t]*+:[ \t]*+{MARK}Secret(?![\w-])"
_ANY = re.compile(_KIND)
_FLOW = re.compile(rf"{_WORD}(?:data|stringData){MARK}[ \t]*+:\s*+(?P<open>\{{)")
_BLOCK = re.compile(rf"[ \t]*+(?:-[ \t]++)?{MARK}(?:data|stringData){MARK}[ \t]*+:[ \t]*+")
_LINE = re.compile(r"(?:[^\n\\]|\\(?!\\*n))*+(?P<break>\n|\\++n|\Z)")
_INDENT = re.compile(r"[ \t]*+(?:-[ \t]++)*+")
_ENTRY = re.compile(rf"(?<![\w.\\-]){MARK}(?P<name>[\w.-]++){MARK}[ \t]*+:")
_BRACE = re.compile(r"[{}]")
_FARTHEST, _MOST_LINES = 20_000, 300


class _Line(NamedTuple):
    start: int
    end: int
    text: str
    indent: int
    begins_item: bool


def spans(text: str) -> Iterator[Span]:
    """Every value of a Secret that is written out as JSON or YAML, in whatever escapes."""
    if _ANY.search(text):
        yield from _in_json(text)
        yield from _in_yaml(text)


def _in_json(text: str) -> Iterator[Span]:
    around = braces(text)
    done = 0
    for match in _FLOW.finditer(text):
        if match.start() < done:
            continue  # within what is taken out already
        end, outer = around[match.start("open")]
        begin, last = (outer, around[outer][0]) if outer >= 0 else (0, len(text))
        own = (
            text[max(begin, match.start() - _FARTHEST) : match.start()]
            + text[end : min(last, end + _FARTHEST)]
        )
        if _ANY.search(own):
            yield from _values(text, match.end(), end)
            done = end


def braces(text: str) -> dict[int, tuple[int, int]]:
    """For each opening brace: where it is closed, and the one around it; the text's end, and -1, without."""
    open_: list[int] = []
    found: dict[int, tuple[int, int]] = {}
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            found[brace.start()] = (len(text), open_[-1] if open_ else -1)
            open_.append(brace.start())
        elif open_:
            begun = open_.pop()
            found[begun] = (brace.start(), found[begun][1])
    return found


def _in_yaml(text: str) -> Iterator[Span]:
    lines = [_line(match) for match in _LINE.finditer(text)]
    for number, line in enumerate(lines):
        if not _BLOCK.fullmatch(line.text):
            continue
        first, last = number, number + 1
        while (
            first > number - _MOST_LINES
            and first
            and not lines[first].begins_item
            and _same_document(lines[first - 1], line.indent)
        ):
            first -= 1
        while (
            last < min(len(lines), number + _MOST_LINES)
            and _same_document(lines[last], line.indent)
            and not (lines[last].begins_item and lines[last].indent == line.indent)
        ):
            last += 1
        if any(other.indent == line.indent and _ANY.search(other.text) for other in lines[first:last]):
            behind = number + 1
            while behind < last and (not lines[behind].text.strip() or lines[behind].indent > line.indent):
                behind += 1
            yield from _values(text, line.end, lines[behind - 1].end)


def _line(match: re.Match[str]) -> _Line:
    text = match[0][: match.start("break") - match.start()]
    indent = _INDENT.match(text)
    width = indent.end() if indent else 0
    return _Line(match.start(), match.end(), text, width, "-" in text[:width])


def _same_document(line: _Line, indent: int) -> bool:
    return not line.text.startswith("---") and (not line.text.strip() or line.indent >= indent)


def _values(text: str, start: int, end: int) -> Iterator[Span]:
    at = start
    while entry := _ENTRY.search(text, at, end):
        begin, behind = extent(text, entry.start("name"), entry.end())
        at = max(entry.end(), behind)
        if begin < (behind := min(behind, end)) and may_be_secret("", text[begin:behind]):
            yield Span(begin, behind, SECRET_DATA)
