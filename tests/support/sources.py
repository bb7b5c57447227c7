"""Python sources as syntax trees, parsed once in a process."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@cache
def parsed(path: Path) -> ast.Module:
    """The tree of a file, which no test changes."""
    return ast.parse(path.read_text(encoding="utf-8"))
