"""What the tests of several folders share."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.fake_api import FakeApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A busy machine is no reason to fail: what is generated counts, not how fast.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """An API server that answers what it is told to."""
    with FakeApi().serve() as server:
        yield server


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with a file of tests/golden; with UPDATE_GOLDEN=1 it is written instead.

    Look at `git diff tests/golden` afterwards: what changed there changes for users and their scripts.
    """

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        kept = path.read_text().splitlines() if path.exists() else []
        difference = "\n".join(
            difflib.unified_diff(kept, text.splitlines(), f"golden/{name}", "now", lineterm="")
        )
        assert not difference, f"{difference}\n\nif this is wanted: UPDATE_GOLDEN=1 pytest …"

    return compare
