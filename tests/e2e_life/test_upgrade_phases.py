"""upgrade, cut off in each of its phases. By hand, `make lab-phases`: it takes a quarter of an hour."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import CONTEXTS, each
from tests.e2e.traffic import graceful
from tests.e2e_life.test_upgrade import (
    ALL_AT_ONCE,
    NEW,
    api_server_stops,
    mesh_of_the_older_version,
    no_request_fails,
    versions,
)

if TYPE_CHECKING:
    from tests.e2e.harness import Site

__all__ = ["mesh_of_the_older_version"]

PHASES = (
    r"\bmesh  gate started",
    r"\bkt  record started",
    r"\bkt  istio started: Istio 1.31.0",
    r"\bkt  control plane started",
    r"\bkt  gateway started",
    r"\bkt  workloads started",
    r"\bmesh  gate started: verify after",
)
"""The first line of each phase of an upgrade, in their order."""

ALL_AND_WORKLOADS = (*ALL_AT_ONCE, "--restart-workloads", "--yes")


@pytest.fixture(scope="module", name="calm")
def mesh_whose_workloads_end_as_those_of_a_real_mesh(old: Site) -> Site:
    each(graceful)
    return old


@pytest.mark.parametrize("phase", PHASES)
def test_an_api_server_that_does_not_respond_stops_each_phase(
    calm: Site, phase: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each goes on from where the one before has stopped."""
    timeout = "100s" if phase in PHASES[-2:] else "50s"  # a rollout comes before the last two
    # Without its API server for 40 seconds, a node counts as lost, and other clusters do not call its pods.
    made = api_server_stops(calm, (*ALL_AND_WORKLOADS, "--timeout", timeout), phase, capsys)

    assert all({"v2", "v3"} <= set(made.versions(name)) for name in ("ncloud", "nhn")), str(made)
    whole_again(calm)


def whole_again(site: Site) -> None:
    """Waits until every version responds to each cluster."""
    deadline = time.monotonic() + 120
    while site.run("sample", "test").code != 0:
        assert time.monotonic() < deadline, "the sample does not recover"


def test_killed_in_each_phase_the_same_command_goes_on(
    calm: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    calm.run("upgrade", "--back", "--restart-workloads", "--yes").exits(0)
    for phase in PHASES:
        with no_request_fails(capsys):
            running = calm.start(*ALL_AND_WORKLOADS)
            running.until(phase, 120)
            running.kill()
    with no_request_fails(capsys):
        calm.run(*ALL_AND_WORKLOADS).exits(0)

    assert versions() == dict.fromkeys(CONTEXTS, NEW)
