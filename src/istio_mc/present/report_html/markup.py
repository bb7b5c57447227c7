"""HTML and SVG whose every text is escaped: only what this module made is markup."""

from __future__ import annotations

import html
import re

# Letters that no document may hold, and those that turn the direction of what follows them.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
_VOID = frozenset({"meta", "br", "hr", "link", "col"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content = str | int | None
"""What may stand in an element: markup as it is, any other text escaped, None as nothing."""


def escaped(text: str) -> Markup:
    """A text as it may stand between tags and in an attribute."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)))


def join(*content: Content) -> Markup:
    """One after the other."""
    return Markup(
        "".join(escaped(str(part) if isinstance(part, int) else part) for part in content if part is not None)
    )


def tag(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """An element: `tag("a", "text", href="#x", class_="y", aria_label="z")`.

    An attribute that is None or False is left out; one that is True has no value.
    """
    given = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        given.append(f" {written}" if value is True else f' {written}="{escaped(shown)}"')
    start = f"<{name}{''.join(given)}>"
    return Markup(start if name in _VOID else f"{start}{join(*content)}</{name}>")
