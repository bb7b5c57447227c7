"""Each fault is a root cause, where it is, and what verify says of it fixes it; none hides another.

Faults that have nothing to do with each other are made together: to read them, to fix them and to wait until
all is well takes as long for four as for one. What fixes them is run in the order in which verify reports it:
a link cannot be written while names contradict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import clusters, discovery, gateways, links, trust
from tests.faults.harness import (
    Fault,
    describe_faults,
    problems_of,
    roots_of,
    run_hint,
    until_reported,
    until_well,
    without_a_cause,
)

if TYPE_CHECKING:
    from tests.e2e.harness import Site

TOGETHER = (
    (clusters.SAME_NETWORK, links.TWICE),
    (clusters.DOWN, gateways.WITHOUT_ADDRESS),
)
"""Of different topics, where one could hide the other."""

ROUNDS = (*links.ROUNDS, *gateways.ROUNDS, *clusters.ROUNDS, *trust.ROUNDS, *discovery.ROUNDS, *TOGETHER)


@pytest.mark.parametrize("faults", ROUNDS, ids=lambda faults: " + ".join(map(str, faults)))
def test_they_are_the_root_causes_and_fixed_by_their_hints(mesh: Site, faults: tuple[Fault, ...]) -> None:
    desired = frozenset(root for fault in faults for root in fault.roots)
    remains = frozenset(root for fault in faults for root in fault.remains)
    to_undo = {fault.name: fault.undo for fault in faults if fault.undo}
    try:
        for fault in faults:
            fault.make(mesh)
        result = until_reported(mesh, desired)
        assert roots_of(result) == desired, describe_faults(result)
        result.exits(4)
        assert without_a_cause(result, desired) == []
        for fault in faults:
            kinds = {problem["hintType"] for problem in problems_of(result, fault.roots)}
            assert kinds == {"manual" if fault.undo else "command"}, fault
        for name in [*to_undo]:
            to_undo.pop(name)(mesh)
        hints = [one["hint"] for one in problems_of(result, desired) if one["hintType"] == "command"]
        for hint in dict.fromkeys(hints):
            run_hint(mesh, hint)
        if remains:
            after = until_reported(mesh, remains)
            assert roots_of(after) == remains, describe_faults(after)
        else:
            until_well(mesh)
    finally:
        for undo in to_undo.values():
            undo(mesh)
        for fault in faults:
            if fault.tidy:
                fault.tidy(mesh)
    if remains:
        until_well(mesh)
