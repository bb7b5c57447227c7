"""Each fault is told as the root cause it is, where it is, and mended by what verify says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import clusters, gateways, links, trust
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

if TYPE_CHECKING:
    from tests.e2e.harness import Site

FAULTS = (*links.FAULTS, *gateways.FAULTS, *clusters.FAULTS, *trust.FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_it_is_told_as_the_one_root_cause_and_mended_by_its_hint(mesh: Site, fault: Fault) -> None:
    undone = False
    try:
        fault.make(mesh)
        result = until_told(mesh, fault.roots)
        assert roots_of(result) == fault.roots, told(result)
        result.exits(4)
        assert without_a_cause(result, fault.roots) == []
        hints = {(problem["hint"], problem["hintType"]) for problem in problems_of(result, fault.roots)}
        if fault.undo is None:
            assert {kind for _, kind in hints} == {"command"}, hints
            for hint, _ in sorted(hints):
                run_hint(mesh, hint)
        else:
            assert {kind for _, kind in hints} == {"manual"}, hints
            fault.undo(mesh)
            undone = True
        until_well(mesh)
    finally:
        if fault.undo and not undone:
            fault.undo(mesh)
        if fault.tidy:
            fault.tidy(mesh)
