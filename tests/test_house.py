"""The house: how its modules are cut."""

from __future__ import annotations

from pathlib import Path

import istio_mc

LINES = 600


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    source = Path(istio_mc.__file__).parent
    lengths = {
        str(file.relative_to(source)): len(file.read_text("utf-8").splitlines())
        for file in source.rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > LINES} == {}
