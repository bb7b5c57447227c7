"""The sections of docs/ and the texts of all checks that are packaged with the program."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def packaged_docs() -> dict[str, Any]:
    """Returns `sections`, Markdown by `page.md#anchor`, and `checks`, by ID (scripts/explain_page.py)."""
    text = resources.files("istio_mc").joinpath("data", "explain.json").read_bytes()
    data: dict[str, Any] = json.loads(text)
    return data
