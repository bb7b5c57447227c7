"""sample: a version of a service in each cluster, and who answers whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import Mesh


@pytest.fixture
def sampled(installed: Mesh) -> Mesh:
    """A mesh with the sample in it."""
    installed.run("sample", "deploy").exits(0)
    return installed


def test_every_version_answers_every_cluster(sampled: Mesh) -> None:
    result = sampled.run("sample", "test", "-o", "json").exits(0)
    assert result.errors == []


def test_a_gateway_that_is_not_reached_is_told_with_the_first_hop_that_fails(sampled: Mesh) -> None:
    sampled["kt"].unreached.add("nhn")
    result = sampled.run("sample", "test", "--wait", "1s", "-o", "json").exits(4)
    (problem,) = result.json["errors"]
    assert (problem["code"], problem["cluster"]) == ("too-few-answers", "kt")
    assert f"{sampled['nhn'].gateway.address}:15443" in problem["message"]


def test_what_is_removed_leaves_nothing(sampled: Mesh) -> None:
    sampled.run("sample", "remove", "--yes").exits(0)
    sampled.settle()
    assert not any(one.has("Namespace", "sample") for one in sampled.clusters.values())


def test_a_deep_verify_calls_from_pod_to_pod_and_leaves_nothing(installed: Mesh) -> None:
    installed.run("verify", "--deep").exits(0)
    installed.settle()
    left = [name for one in installed.clusters.values() for name in one.names("Namespace") if "probe" in name]
    assert left == []
