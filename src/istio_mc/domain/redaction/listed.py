"""Secrets in lists under a name that promises them: `tokens: [a, b]`, and below each other in YAML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from istio_mc.domain.redaction.names import may_be_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLOW = re.compile(r"(?:\s|\\++[nrt])*+\[(?!redacted)")
# A word of a list, in whatever quotes; or a bare one, which may hold blanks.
_WORD = re.compile(
    r"""(?:\s|\\++[nrt]|,)*+(?:(?P<quote>\\*+["'])(?P<quoted>.{0,4000}?)(?<!\\)(?P=quote)
    | (?P<bare>(?:(?!\\++[nrt])[^\s,\[\]{}"'])(?:(?!\\++[nrt])[^\n,\[\]{}"'])*+))""",
    re.VERBOSE | re.DOTALL,
)
_CLOSE = re.compile(r"(?:\s|\\++[nrt]|,)*+\](?=[\s,}\])\\\"';]|\Z)")
_BREAK = re.compile(r"[ \t]*+(?:\#[^\n\\]*+)?(?P<break>\n|\\++n)")
_KEY = re.compile(r"""\\*+["']?[\w.-]++\\*+["']?:(?:\s|\\++[nrt]|\Z)|[\[{|>&!]|-(?:\s|\Z)""")
_MOST = 500


def words(text: str, at: int, indent: int) -> Iterator[tuple[int, int]]:
    """The words of a list that begins at a place, one after another; none where no list begins there.

    Args:
        text: The whole text.
        at: Behind the key and its colon.
        indent: How far in that key stands.
    """
    flow = _FLOW.match(text, at)
    found = list(_flow(text, flow.end()) if flow else _block(text, at, indent))
    yield from ((start, end) for start, end in found if may_be_secret("", text[start:end]))


def _flow(text: str, at: int) -> Iterator[tuple[int, int]]:
    found = []
    for _ in range(_MOST):
        word = _WORD.match(text, at)
        if not word:
            break
        found.append(word.span("quoted" if word["quote"] else "bare"))
        at = word.end()
    # One that is cut off is a list too; one that holds others, or objects, is looked at by their names.
    if _CLOSE.match(text, at) or at >= len(text):
        yield from found


def _block(text: str, at: int, indent: int) -> Iterator[tuple[int, int]]:
    begun = _BREAK.match(text, at)
    if not begun:
        return
    line_break, at = begun["break"], begun.end()
    letter = rf"(?!{re.escape(line_break)})[^\n]"
    if line_break != "\n":  # within a quoted text, whose end is the list's
        letter = rf"""(?!\\*+"){letter}"""
    item = re.compile(
        rf"""(?P<indent>[ \t]*+)-[ \t]++
        (?:(?P<quote>\\*+["'])(?P<quoted>.*?)(?<!\\)(?P=quote)|(?P<bare>(?:{letter})++))""",
        re.VERBOSE | re.DOTALL,
    )
    further = re.compile(rf"(?P<indent>{re.escape(line_break)}[ \t]++)(?!-[ \t])(?:{letter})++")
    rest = re.compile(rf"(?:{letter})*+{re.escape(line_break)}")
    column = None
    for _ in range(_MOST):
        found = item.match(text, at)
        if not found or len(found["indent"]) < indent or column not in (None, len(found["indent"])):
            return
        column = len(found["indent"])
        start, end = found.span("quoted" if found["quote"] else "bare")
        while found["bare"] and (below := further.match(text, end)):
            if len(below["indent"]) - len(line_break) <= column:
                break
            end = below.end()
        if found["quote"] or not _KEY.match(found["bare"]):
            yield start, end
        behind = rest.match(text, end)
        if not behind:
            return
        at = behind.end()
