"""Secrets by what stands before them: `password: …`, `--token …`, `Authorization: …`, `https://user:…@host`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from istio_mc.domain.redaction.names import KOREAN, lists_secrets, may_be_secret, promises_secret
from istio_mc.domain.redaction.shapes import MARK, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "password"  # noqa: S105 - what a span is called
BEARER = "bearer token"
URL = "password in a URL"

_LONGEST = 20_000
_LINE_BEFORE = 400

_PLAIN_NAME = r"(?P<name>[A-Za-z_.][\w.-]*+)"
_NAME = rf"(?:(?<=\\[nrt])|(?<![\w\\]))(?P<name>[A-Za-z_.][\w.-]*+|{KOREAN})"
_ASSIGNED = re.compile(rf"""{_NAME}(?:\\*+["']?[ \t]*+(?:=>|[:=])|>)""")  # > is XML's
_FLAG = re.compile(
    rf"""(?<![\w-])--?{_PLAIN_NAME}"""
    r"""(?:[ \t]++|\\*+["']\s*+,|[ \t]*+(?:\n|\\++n)[ \t]*+-[ \t])(?!\s*+\\*["']?-)"""
)
# Headers, as Envoy's debug log has them: 'authorization', '…'
_HEADER = re.compile(rf"""["']{_PLAIN_NAME}\\*+["'][ \t]*+,[ \t]*+(?=\\*+["'])""")
# `name: DB_PASSWORD`, `value: …`, as in a Pod's env; in either order, in YAML and in JSON.
_BETWEEN = rf"{MARK}(?:\s|,|\\++[nt])*+(?:-\s++)?{MARK}"
_KEY = rf"{MARK}[ \t]*+:[ \t]*+{MARK}"
_ENV = re.compile(rf"\b(?:name|key){_KEY}{_PLAIN_NAME}{_BETWEEN}value{MARK}[ \t]*+:")
_ENV_BACKWARDS = re.compile(
    rf"\bvalue{MARK}[ \t]*+:(?P<value>[^\n]{{1,{_LINE_BEFORE}}}?){_BETWEEN}\b(?:name|key){_KEY}{_PLAIN_NAME}"
)

_BEARER = re.compile(
    r"""\bBearer[ \t]++(?P<value>[A-Za-z0-9._~+/=-]{6,})
    | \b(?i:bearer|basic)[ \t]++(?P<mixed>(?=[a-zA-Z._~+/-]*[0-9=])[A-Za-z0-9._~+/=-]{6,})""",
    re.VERBOSE,
)
_URL = re.compile(
    r"""(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*+://
    (?:(?P<value>[^\s/?\#@"':]*+:(?![0-9]{1,5}[/?\#])[^\s"'<>,]{0,200})@(?=[\w\[.-])
    | (?<=https://)(?P<user>(?!git@)[^\s/?\#@"'\\:<>${}]++)@(?=[\w\[]))
    | (?<![\w.-])[\w.-]++:(?P<source>[^\s@:/"']{3,}+)@(?:tcp|unix)\(""",  # of Go's MySQL driver
    re.VERBOSE,
)

_BLANK = re.compile(r"(?:[ \t]|\\++t)*+")
_QUOTE = re.compile(r"""(?P<one>\\*+["'])(?:(?P=one){2})?+""")
_BARE = re.compile(r"""(?:[^\s"'\[]|["'](?![\s,;:}\])>\\]|\Z)|\[(?!redacted))*+""")
_PARAMETER = re.compile(r"""[^\s"'&\#]*+""")
_BLOCK = re.compile(r"[|>][-+0-9]*+[ \t]*+(?P<break>\n|\\++n)")
_BELOW = re.compile(r"(?P<break>\n|\\++n)(?:\s|\\++n)*+")
_MAPPING = re.compile(r"""(?:-[ \t]++)?[^\s:]++:(?:\s|\\++[nrt]|\Z)|\{\{|#""")
_QUOTES = r"""(?:\\*+["'])*+"""
_LINE_START = re.compile(
    rf"(?P<break>\A|[\n\r]|\\++[nr]){_QUOTES}(?P<indent>[ \t]*+(?:-[ \t]++)*+){_QUOTES}\Z"
)
_LIST = re.compile(r"(?:\s|\\++[nrt])*+\[(?!redacted)(?P<words>[^\[\]{}]*+)\]?+", re.DOTALL)
_LISTED = re.compile(
    r"""(?P<quote>\\*+["'])(?P<quoted>.*?)(?P=quote)|(?P<bare>[^\s,"'\\](?:[^\n,"'\\])*+)""", re.DOTALL
)


def spans(text: str) -> Iterator[Span]:
    """Every secret that its surroundings give away."""
    for pattern in (_ASSIGNED, _ENV, _FLAG, _HEADER):
        for match in pattern.finditer(text):
            key = match.start() if pattern in (_ASSIGNED, _ENV) else None
            if lists_secrets(match["name"]):
                yield from _value(text, key, match.end(), match["name"])
    for match in _ENV_BACKWARDS.finditer(text):
        if promises_secret(match["name"]) and may_be_secret(match["name"], match["value"]):
            yield Span(*match.span("value"), PASSWORD)
    for pattern, kind in ((_BEARER, BEARER), (_URL, URL)):
        for match in pattern.finditer(text):
            yield Span(*match.span(match.lastgroup or 0), kind)


def _value(text: str, key: int | None, at: int, name: str) -> Iterator[Span]:
    if match := _LIST.match(text, at):
        for word in _LISTED.finditer(text, *match.span("words")):
            start, end = word.span("quoted" if word["quote"] else "bare")
            if may_be_secret("", text[start:end]):
                yield Span(start, end, PASSWORD)
        return
    start, end = extent(text, key, at)
    below = _BELOW.match(text, start, end)
    if (promises_secret(name) or below) and may_be_secret(name, text[start:end]):
        yield Span(below.end() if below else start, end, PASSWORD)


def extent(text: str, key: int | None, at: int) -> tuple[int, int]:
    """Where a value lies: in quotes, to the end of its entry, or to white space.

    Args:
        key: Where its key begins; None where it has none that a line may begin with.
        at: Behind the key and what parts the two.
    """
    start = _BLANK.match(text, at).end()  # type: ignore[union-attr] # it matches nothing at the least
    line = _LINE_START.search(text[max(0, key - _LINE_BEFORE) : key]) if key is not None else None
    if quote := _QUOTE.match(text, start):
        close = re.compile(rf"(?<!\\){re.escape(quote[0])}").search(text, quote.end(), start + _LONGEST)
        start, end = quote.end(), close.start() if close else end_of_line(text, quote.end(), "\n")
    elif line:
        below = _BELOW.match(text, start)
        line_break = (below["break"] if below else line["break"]) or "\n"
        end = end_of_entry(text, start, line_break, len(line["indent"]))
    elif block := _BLOCK.match(text, start):
        end = end_of_entry(text, start, block["break"], 0)
    elif key and text[key - 1] in "?&":
        end = _PARAMETER.match(text, start).end()  # type: ignore[union-attr] # as above
    else:
        end = _BARE.match(text, start).end()  # type: ignore[union-attr] # as above
    return start, end


def end_of_entry(text: str, start: int, line_break: str, indent: int, *, mapping: bool = False) -> int:
    """The end of a YAML value: of its line, and of all lines below that are further in than its key.

    Args:
        line_break: How line breaks are written there.
        mapping: Whether the value may be a mapping; else one is left to the names in it.
    """
    end = end_of_line(text, start, line_break)
    written = re.escape(line_break)
    deeper = re.compile(
        rf"{written}(?:[ \t]{{{indent + 1},}}+(?=[^ \t])|[ \t]{{{indent}}}(?=-[ \t])|[ \t]*+(?={written}))"
    )
    while further := deeper.match(text, end):
        if end == start and not mapping and _MAPPING.match(text, further.end()):
            return start
        end = end_of_line(text, further.end(), line_break)
    return end


def end_of_line(text: str, start: int, line_break: str) -> int:
    r"""The end of a line, whose break may be written as `\n` in a quoted text, which then ends it too."""
    if line_break.startswith("\\"):
        depth = line_break.count("\\") - 1
        until = re.compile(rf'[\n\r]|{re.escape(line_break)}|(?<!\\)\\{{{depth}}}"')
    else:
        until = re.compile(r"[\n\r]")
    match = until.search(text, start)
    return match.start() if match else len(text)
