"""JSON that others wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


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
