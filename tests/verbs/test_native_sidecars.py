"""Sidecars that are init containers, as Istio injects them since 1.27: every verb takes them for sidecars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.mesh import Mesh


@pytest.fixture
def native(installed: Mesh) -> Mesh:
    """A mesh with the sample in it, whose istiods inject native sidecars."""
    for one in installed.clusters.values():
        one.native_sidecars = True
    installed.run("sample", "deploy").exits(0)
    for one in installed.clusters.values():
        (pod,) = [item for item in one.store.of("Pod") if item["metadata"]["labels"].get("app") == "reviews"]
        assert [item["name"] for item in pod["spec"]["initContainers"]] == ["istio-proxy"]
        assert [item["name"] for item in pod["spec"]["containers"]] == ["reviews"]
    return installed


@pytest.mark.thorough
def test_the_sample_is_deployed_and_answers_from_every_cluster(native: Mesh) -> None:
    assert native.run("sample", "test", "-o", "json").exits(0).errors == []


def test_verify_queries_their_proxies(native: Mesh) -> None:
    found = native.run("verify", "--only", "trust", "-o", "json").exits(0)
    seen = {one["seen"] for one in found.data["checks"] if one["id"] == "trust.proxies"}
    assert seen == {"3 of 3 proxies read"}  # the gateway, the client and reviews


@pytest.mark.thorough
def test_a_deep_verify_takes_its_probes_for_injected(native: Mesh) -> None:
    native.run("verify", "--deep", "--only", "data-path").exits(0)
