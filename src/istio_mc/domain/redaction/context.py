"""Secrets by what stands before them: `password: …`, `--token …`, `Authorization: …`, `https://user:…@host`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from istio_mc.domain.redaction import listed
from istio_mc.domain.redaction.names import lists_secrets, may_be_secret, promises_secret
from istio_mc.domain.redaction.spans import MARK, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "password"  # noqa: S105 - what a span is called
BEARER = "bearer token"
URL = "password in a URL"

_LONGEST = 20_000
_LINE_BEFORE = 400

# A name begins at a word's beginning, which may stand behind a line break written as `\n`.
_NAME = r"(?:(?<=\\[nrt])|(?<![\w\\]))(?P<name>[A-Za-z_.][\w.-]*+)"
_ASSIGNED = re.compile(rf"""{_NAME}\\*+["']?[ \t]*+(?:=>|[:=])""")
_FLAG = re.compile(
    r"""(?<![\w-])--?(?P<name>[A-Za-z_.][\w.-]*+)"""
    r"""(?:[ \t]++|\\*+["']\s*+,|[ \t]*+(?:\n|\\++n)[ \t]*+-[ \t])(?!\s*+\\*["']?-)"""
)
# YAML's long way: `? password`, and in the next line `: …`.
_QUESTION = re.compile(
    r"""\?[ \t]++\\*+["']?(?P<name>[A-Za-z_.][\w.-]*+)(?:\\*+["'])?+[ \t]*+"""
    r"""(?:\n|\\++n)[ \t]*+:(?=[ \t\n\\])"""
)
# `name: DB_PASSWORD`, `value: …`, as in a Pod's env; in either order, in YAML and in JSON.
_BETWEEN = rf"{MARK}(?:\s|,|\\++[nt])*+(?:-\s++)?{MARK}"
_KEY = rf"{MARK}[ \t]*+:[ \t]*+{MARK}"
_ENV = re.compile(rf"\b(?:name|key){_KEY}(?P<name>[A-Za-z_.][\w.-]*+){_BETWEEN}value{MARK}[ \t]*+:")
_ENV_BACKWARDS = re.compile(
    rf"\bvalue{MARK}[ \t]*+:(?P<value>[^\n]{{1,{_LINE_BEFORE}}}?){_BETWEEN}"
    rf"\b(?:name|key){_KEY}(?P<name>[A-Za-z_.][\w.-]*+)"
)
_TAG = re.compile(r"<(?P<name>[A-Za-z_.][\w.-]*+)(?:\s[^<>]{0,200})?>(?P<value>[^<>\s]++)</(?P=name)>")

_BEARER = re.compile(
    r"""\bBearer[ \t]++(?P<value>[A-Za-z0-9._~+/=-]{6,})
    | \b(?i:bearer|basic)[ \t]++(?P<mixed>(?=[a-zA-Z._~+/-]*[0-9=])[A-Za-z0-9._~+/=-]{6,})""",
    re.VERBOSE,
)
_URL = re.compile(
    r"""(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*+://(?:(?P<bare>(?!oauth2:|x-)[^\s/?\#@"':]++):(?:x-oauth-basic|x)?@
    | [^\s/?\#@"':]*+:(?P<value>[^\s/?\#"']+)@
    | (?<=https://)(?P<only>(?!(?:git|oauth2|x-[a-z-]+|user|username|admin|anonymous)@)[^\s/?\#@"'\\:<>${}]++)@(?=[\w\[])
    | (?P<alone>[A-Za-z0-9_-]{16,})@
    | [^\s/?\#@"':]*+:(?P<odd>(?![0-9]{1,5}[/?\#])[^\s"'@<>,]{1,200})@(?=[\w.-]))""",
    re.VERBOSE,
)

_BLANK = re.compile(r"(?:[ \t]|\\++t)*+")
_QUOTE = re.compile(r"""(?P<one>\\*+["'])(?:(?P=one){2})?+""")
_BARE = re.compile(r"""(?:[^\s"']|["'](?![\s,;:}\])>\\]|\Z))*+""")
_PARAMETER = re.compile(r"""[^\s"'&\#]*+""")
_BLOCK = re.compile(r"[|>][-+0-9]*+[ \t]*+(?P<break>\n|\\++n)")
_MAPPING = re.compile(r"""[^\s:]++:(?:\s|\\++[nrt]|\Z)|-(?:\s|\Z)|\{\{|#""")
_LINE_START = re.compile(r"""(?P<break>\A|[\n\r]|\\++[nr])(?P<indent>[ \t]*+(?:-[ \t]++)*+)\\*+["']*+\Z""")


def spans(text: str) -> Iterator[Span]:
    """Every secret that its surroundings give away."""
    for pattern in (_ASSIGNED, _QUESTION, _ENV, _FLAG):
        for match in pattern.finditer(text):
            key = None if pattern is _FLAG else match.start()
            if key is not None and lists_secrets(match["name"]) and (found := _list(text, key, match.end())):
                yield from found
            elif promises_secret(match["name"]):
                yield from _value(text, key, match.end(), match["name"])
    for pattern in (_ENV_BACKWARDS, _TAG):
        for match in pattern.finditer(text):
            if promises_secret(match["name"]) and may_be_secret(match["name"], match["value"]):
                yield Span(*match.span("value"), PASSWORD)
    for match in _BEARER.finditer(text):
        yield Span(*match.span(match.lastgroup or 0), BEARER)
    for match in _URL.finditer(text):
        yield Span(*match.span(match.lastgroup or 0), URL)


def _list(text: str, key: int, at: int) -> list[Span]:
    line = _LINE_START.search(text[max(0, key - _LINE_BEFORE) : key])
    return [Span(*word, PASSWORD) for word in listed.words(text, at, len(line["indent"]) if line else 0)]


def _value(text: str, key: int | None, at: int, name: str) -> Iterator[Span]:
    start, end = extent(text, key, at)
    if may_be_secret(name, text[start:end]):
        yield Span(start, end, PASSWORD)


def extent(text: str, key: int | None, at: int) -> tuple[int, int]:
    """Where a value lies: in quotes, to the end of its entry, or to white space.

    Args:
        text: The whole text.
        key: Where its key begins; None where it has none that a line may begin with.
        at: Behind the key and what parts the two.
    """
    start = _BLANK.match(text, at).end()  # type: ignore[union-attr] # it matches nothing at the least
    line = _LINE_START.search(text[max(0, key - _LINE_BEFORE) : key]) if key is not None else None
    if quote := _QUOTE.match(text, start):
        close = re.compile(rf"(?<!\\){re.escape(quote[0])}").search(text, quote.end(), start + _LONGEST)
        start, end = quote.end(), close.start() if close else _end_of_line(text, quote.end(), "\n")
    elif line:
        end = _end_of_entry(text, start, line["break"] or "\n", len(line["indent"]))
    elif block := _BLOCK.match(text, start):
        end = _end_of_entry(text, start, block["break"], 0)
    elif key and text[key - 1] in "?&":
        end = _PARAMETER.match(text, start).end()  # type: ignore[union-attr] # likewise
    else:
        end = _BARE.match(text, start).end()  # type: ignore[union-attr] # likewise
    return start, end


def _end_of_entry(text: str, start: int, line_break: str, indent: int) -> int:
    """The end of a YAML value: of its line, and of all lines below that stand further in than its key."""
    end = _end_of_line(text, start, line_break)
    deeper = re.compile(
        rf"{re.escape(line_break)}(?:[ \t]{{{indent + 1},}}+(?=[^ \t])|[ \t]*+(?={re.escape(line_break)}))"
    )
    while further := deeper.match(text, end):
        if end == start and _MAPPING.match(text, further.end()):
            return start  # a key with other keys or a list below it: they are looked at by themselves
        end = _end_of_line(text, further.end(), line_break)
    return end


def _end_of_line(text: str, start: int, line_break: str) -> int:
    r"""The end of a line, whose break may be written as `\n` in a quoted text, which then ends it too."""
    if line_break.startswith("\\"):
        depth = line_break.count("\\") - 1
        until = re.compile(rf"""[\n\r]|{re.escape(line_break)}|(?<!\\)\\{{{depth}}}["']""")
    else:
        until = re.compile(r"[\n\r]")
    found = until.search(text, start)
    return found.start() if found else len(text)
