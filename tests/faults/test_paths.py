"""Each fault of a service's path is named by trace, at its hop, and what trace prints repairs it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import path_rounds
from tests.faults.harness import run_hint
from tests.faults.paths import FAULTS, Kept, PathFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.harness import Result, Site

_WITHIN_S = 60.0

ROUNDS = (*((fault,) for fault in FAULTS), *path_rounds.ROUNDS)
"""Those alone in their round touch paths of every cluster."""


def traced(site: Site) -> Result:
    return site.run("trace", "sample/reviews", "-o", "json")


def ended(result: Result) -> dict[str, str]:
    """The hop at which each path ends, of those that do."""
    last = {f"{one['from']} → {one['to']}": one["hops"][-1] for one in result.data["paths"]}
    return {path: hop["id"] for path, hop in last.items() if hop["state"] in ("broken", "local")}


def until(site: Site, desired: dict[str, str]) -> Result:
    """What trace says once these paths end; istiods and proxies notice some faults late."""
    deadline = time.monotonic() + _WITHIN_S
    while True:
        result = traced(site)
        if ended(result) == desired or time.monotonic() > deadline:
            return result
        time.sleep(1.0)


def test_every_path_of_the_sample_is_whole(mesh: Site) -> None:
    result = until(mesh, {}).exits(0)
    assert {one["state"] for one in result.data["paths"]} == {"ok"}
    assert len(result.data["paths"]) == 9


@pytest.mark.parametrize("faults", ROUNDS, ids=lambda faults: " + ".join(map(str, faults)))
def test_the_hop_is_named_and_repaired(mesh: Site, faults: tuple[PathFault, ...]) -> None:
    desired = {path: fault.hop for fault in faults for path in fault.paths}
    to_undo = {fault.name: fault.undo for fault in faults if fault.undo}
    try:
        each_fault(faults, lambda fault: fault.make())
        result = until(mesh, desired)
        assert ended(result) == desired, result.json["errors"]
        result.exits(4 if any(fault.paths and not isinstance(fault, Kept) for fault in faults) else 0)
        errors = {fault.name: errors_of(fault, result) for fault in faults if fault.paths}
        assert sum(map(len, errors.values())) == len(result.json["errors"]), result.json["errors"]
        for fault in faults:
            assert_reported(fault, result)
        for name in [*to_undo]:
            to_undo.pop(name)()
        repairs = [one["hint"] for found in errors.values() for one in found if one["hintType"] == "command"]
        for hint in dict.fromkeys(repairs):
            run_hint(mesh, hint)
        after = until(mesh, {})
        assert ended(after) == {}, after.json["errors"]
    finally:
        each_fault(faults, lambda fault: [take() for take in (to_undo.get(fault.name), fault.tidy) if take])
    until(mesh, {}).exits(0)


def each_fault(faults: tuple[PathFault, ...], work: Callable[[PathFault], object]) -> None:
    """The same for every fault, all at once: they are in different clusters."""
    with ThreadPoolExecutor(len(faults)) as pool:
        list(pool.map(work, faults))


def errors_of(fault: PathFault, result: Result) -> list[dict[str, Any]]:
    """The errors of a fault."""
    return [one for one in result.json["errors"] if fault.message in one["message"]]


def assert_reported(fault: PathFault, result: Result) -> None:
    """A fault is an error with what repairs it; what someone set is shown at its hop, and is none."""
    if isinstance(fault, Kept):
        hops = [one["hops"][-1] for one in result.data["paths"]]
        seen = [str(one["seen"]) for one in hops if one["state"] == "local" and one["id"] == fault.hop]
        assert sum(fault.message in one for one in seen) == len(fault.paths), seen
    elif fault.paths:
        kinds = {one["hintType"] for one in errors_of(fault, result)}
        assert kinds == {"manual" if fault.undo else "command"}, (fault, result.json["errors"])
