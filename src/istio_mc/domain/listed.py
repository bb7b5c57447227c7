"""Lists told in a line: no more of them than can be read, and how many were left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def few(items: Iterable[str], most: int, between: str = ", ") -> str:
    """The first `most` of the items, and how many more there are."""
    items = list(items)
    shown = between.join(items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown
