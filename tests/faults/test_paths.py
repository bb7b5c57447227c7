"""Each fault of a service's path is named by trace, at its hop, and what trace prints repairs it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.harness import run_hint
from tests.faults.paths import FAULTS, PathFault

if TYPE_CHECKING:
    from tests.e2e.harness import Result, Site

_WITHIN_S = 60.0


def traced(site: Site) -> Result:
    return site.run("trace", "sample/reviews", "-o", "json")


def broken(result: Result) -> dict[str, str]:
    """The broken hop of each path that has one."""
    paths = result.data["paths"]
    return {f"{one['from']} → {one['to']}": one["brokenHop"] for one in paths if one["brokenHop"]}


def until(site: Site, wanted: dict[str, str]) -> Result:
    """What trace says once these paths are broken; istiods and proxies notice some faults late."""
    deadline = time.monotonic() + _WITHIN_S
    while True:
        result = traced(site)
        if broken(result) == wanted or time.monotonic() > deadline:
            return result
        time.sleep(1.0)


def test_every_path_of_the_sample_is_whole(mesh: Site) -> None:
    result = until(mesh, {}).exits(0)
    assert {one["state"] for one in result.data["paths"]} == {"ok"}
    assert len(result.data["paths"]) == 9


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_hop_is_named_and_repaired(mesh: Site, fault: PathFault) -> None:
    try:
        fault.make()
        wanted = dict.fromkeys(fault.paths, fault.hop)
        result = until(mesh, wanted)
        assert broken(result) == wanted, result.json["errors"]
        result.exits(4)
        errors = result.json["errors"]
        assert all(fault.message in one["message"] for one in errors), errors
        assert {one["hintType"] for one in errors} == {"manual" if fault.undo else "command"}
        if fault.undo is None:
            for hint in dict.fromkeys(one["hint"] for one in errors):
                run_hint(mesh, hint)
            after = until(mesh, {})
            assert broken(after) == {}, after.json["errors"]
    finally:
        for repair in (fault.undo, fault.tidy):
            if repair:
                repair()
    until(mesh, {}).exits(0)
