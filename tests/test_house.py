"""The house: how its modules are cut."""

from __future__ import annotations

import re
from pathlib import Path

import istio_mc

LINES = 600
PAGE = Path(__file__).parents[1] / "ARCHITECTURE.md"


def test_no_module_is_longer_than_can_be_read_at_once() -> None:
    source = Path(istio_mc.__file__).parent
    lengths = {
        str(file.relative_to(source)): len(file.read_text("utf-8").splitlines())
        for file in source.rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > LINES} == {}


def test_each_function_that_the_architecture_names_is_in_the_module_it_names() -> None:
    source = Path(istio_mc.__file__).parent
    named = re.findall(r"`(\w+)`(?: and `(\w+)`)? \(`([\w/]+\.py)`\)", PAGE.read_text("utf-8"))
    assert len(named) > 20
    missing = [
        f"{name} in {module}"
        for *names, module in named
        for name in filter(None, names)
        if not re.search(rf"^(?:def|class) {name}\b", (source / module).read_text("utf-8"), re.MULTILINE)
    ]
    assert missing == []
