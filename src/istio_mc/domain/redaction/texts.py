"""One text, its secrets found by every rule at once."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from istio_mc.domain.redaction import context, secret_objects, shapes
from istio_mc.domain.redaction.spans import Span, merged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

KNOWN = "known secret"
_DEEPEST = 1
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]"
    r"|(?:\x1b|\\++(?:u001[bB]|x1[bB]|033))\[[0-9;]*+m"
)


def seen(text: str) -> str:
    """A text without letters of no width and colours of a terminal, which would part a secret."""
    return text if text.isascii() and "[" not in text else _UNSEEN.sub("", text)


def secrets(text: str, known: Collection[str] = (), depth: int = _DEEPEST) -> list[Span]:
    """The secrets of a text, in order and apart.

    Args:
        text: Any text: a log, YAML, JSON, a line of either, in whatever escapes.
        known: Secrets known by their value, in the forms that they may have (`known_forms`).
        depth: How often base64 is decoded, and looked through as a text.
    """

    def look(inner: str) -> bool:
        return bool(secrets(inner, known, depth - 1))

    return merged(
        [
            *shapes.spans(text, look if depth else None),
            *context.spans(text),
            *secret_objects.spans(text),
            *_known(text, known),
        ]
    )


def known_forms(value: str) -> frozenset[str]:
    """The forms in which a text may have a secret: unchanged, quoted up to three times, and in base64."""
    found = {value, quote(value), quote(value, safe="")}
    quoted = value
    for _ in range(3):
        quoted = json.dumps(quoted, ensure_ascii=False)[1:-1]
        found |= {quoted, json.dumps(quoted)[1:-1], quoted.replace("'", "''")}
    return frozenset(found) | encoded_forms(value)


def encoded_forms(text: str, depth: int = 2) -> frozenset[str]:
    """What is always to be found in base64 of any text that has this one in it, and in base64 of that.

    A byte's letters depend on where it stands among three: so there are three forms at each depth, without
    the letters at both ends that its neighbours change.
    """
    found: set[str] = set()
    raw = text.encode()
    for shift in range(3) if depth else ():
        whole = (len(raw) + shift) // 3 * 4
        core = base64.b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift] : whole].decode()
        found |= {core, core.replace("+", "-").replace("/", "_")} | encoded_forms(core, depth - 1)
    return frozenset(found)


def _known(text: str, known: Collection[str]) -> Iterator[Span]:
    for value in known:
        at = text.find(value)
        while at >= 0:
            yield Span(at, at + len(value), KNOWN)
            at = text.find(value, at + len(value))
