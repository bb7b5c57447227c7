"""A check of the whole mesh: asked of those clusters that answer, and of nobody where none does."""

from __future__ import annotations

from istio_mc.checks import access, cacerts, environment
from istio_mc.checks.model import Result, Verdict
from istio_mc.checks.runner import run
from tests.support.world import CLUSTERS, World


def root_valid(world: World) -> Result:
    checks = (*access.CHECKS, *cacerts.CHECKS)
    return next(found for found in run(checks, world.facts()) if found.check.id == cacerts.ROOT_VALID)


def test_it_runs_for_the_clusters_that_respond() -> None:
    world = World()
    world.silence("kt")
    assert root_valid(world).verdict is Verdict.OK


def test_the_result_is_unknown_with_its_cause_if_no_cluster_responds() -> None:
    world = World()
    for name in CLUSTERS:
        world.silence(name)
    found = root_valid(world)
    assert found.verdict is Verdict.UNKNOWN
    assert [str(cause) for cause in found.caused_by] == [f"access.reachable {name}" for name in CLUSTERS]


def test_services_that_no_cluster_lists_are_not_reported() -> None:
    world = World()
    for name in CLUSTERS:
        world.silence(name)
    (found,) = run((*access.CHECKS, *environment.SERVICES), world.facts())[-1:]
    assert found.verdict is Verdict.UNKNOWN
