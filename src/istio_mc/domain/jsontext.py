"""JSON that others wrote."""

from __future__ import annotations

import json
from typing import Any


def load(text: str | bytes) -> Any:  # noqa: ANN401 - whatever the document holds
    """One document, as plain data.

    Raises:
        ValueError: It is not JSON, or is nested so deeply that it cannot be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
