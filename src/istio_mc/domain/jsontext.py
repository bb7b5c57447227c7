"""JSON: what others wrote, and documents of many results."""

from __future__ import annotations

import json
from json import encoder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP = "  "


def load(text: str | bytes, reduce: Callable[[dict[str, Any]], Any] | None = None) -> Any:  # noqa: ANN401 - whatever the document holds
    """One document, as plain data.

    Args:
        text: The document.
        reduce: Given each object as it is parsed, the inner ones first, and returns what stands for it.

    Raises:
        ValueError: It is not JSON, or is nested so deeply that it cannot be read.
    """
    try:
        return json.loads(text, object_hook=reduce)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def indented(document: object, *, ascii_only: bool = False) -> str:
    """A document as `json.dumps(document, indent=2)` writes it, in a fraction of the time.

    Python encodes in C only what is not indented (json/encoder.py, 3.11 to 3.14). Keys are strings.
    """
    quoted = encoder.encode_basestring_ascii if ascii_only else encoder.encode_basestring

    def written(value: object, line: str) -> str:
        """A value; each of its lines begins with `line`, a line break and the indentation."""
        if value is None:
            return "null"
        if isinstance(value, str):
            return quoted(value)
        inner = line + _STEP
        if isinstance(value, dict):
            # Most values are strings: they are written without another call.
            items = [
                f"{quoted(key)}: {quoted(item) if type(item) is str else written(item, inner)}"
                for key, item in value.items()
            ]
            return f"{{{inner}{f',{inner}'.join(items)}{line}}}" if items else "{}"
        if isinstance(value, (list, tuple)):
            items = [written(item, inner) for item in value]
            return f"[{inner}{f',{inner}'.join(items)}{line}]" if items else "[]"
        return json.dumps(value)

    return written(document, "\n")
