"""Two faults at once are two root causes, wherever they are; neither hides the other.

What mends them is run in the order in which verify tells it: a link cannot be written while names contradict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import (
    Fault,
    problems_of,
    roots_of,
    run_hint,
    told,
    until_told,
    until_well,
    without_a_cause,
)
from tests.faults.test_faults import FAULTS

if TYPE_CHECKING:
    from tests.e2e.harness import Site

NAMED = {fault.name: fault for fault in FAULTS}
PAIRS = [
    ("remote secret deleted", "settings changed by hand"),
    ("networks equal", "two secrets claim one cluster ID"),
    ("Gateway resource missing", "token revoked"),
    ("API server down", "gateway Service without an address"),
]


@pytest.mark.parametrize("names", PAIRS, ids=" and ".join)
def test_both_are_told_and_mended(mesh: Site, names: tuple[str, str]) -> None:
    faults = [NAMED[name] for name in names]
    wanted = frozenset(root for fault in faults for root in fault.roots)
    try:
        for fault in faults:
            fault.make(mesh)
        result = until_told(mesh, wanted)
        assert roots_of(result) == wanted, told(result)
        result.exits(4)
        assert without_a_cause(result, wanted) == []
        hints = [problem for problem in problems_of(result, wanted) if problem["hintType"] == "command"]
    finally:
        undo(mesh, faults)
    for hint in dict.fromkeys(problem["hint"] for problem in hints):
        run_hint(mesh, hint)
    until_well(mesh)


def undo(mesh: Site, faults: list[Fault]) -> None:
    """Takes back what only a person can."""
    for fault in faults:
        if fault.undo:
            fault.undo(mesh)
