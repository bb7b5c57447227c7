"""From this machine through every gateway to a workload: verify reports each stage, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.harness import (
    CLUSTER_IDS,
    CONTEXTS,
    Site,
    changed,
    snapshots,
)

STAGES = [f"data-path.{name}" for name in ("resolves", "reachable", "ready", "handshake", "accepted")]


@pytest.fixture(scope="module")
def sample(mesh: Site) -> Site:
    """The mesh with the sample in it, which gateways know."""
    mesh.run("sample", "deploy").exits(0)
    mesh.run("verify", "--only", "data-path", "--wait", "30s").exits(0)
    return mesh


@pytest.fixture(scope="module")
def found(sample: Site) -> dict[str, dict[str, dict[str, Any]]]:
    """What verify finds of each stage, by context."""
    result = sample.run("verify", "--only", "data-path", "-o", "json").exits(0)
    return {
        context: {c["id"]: c for c in result.data["checks"] if c["cluster"] == context and c["id"] in STAGES}
        for context in CONTEXTS
    }


def test_each_gateway_routes_to_a_workload_with_a_certificate_of_its_own_clusters_ca(
    found: dict[str, Any],
) -> None:
    for context in CONTEXTS:
        assert {c["verdict"] for c in found[context].values()} == {"ok"}
        assert f"issued by {CLUSTER_IDS[context]}.intermediate.istio.io" in found[context][STAGES[3]]["seen"]


def test_each_workload_answers_a_call_with_a_certificate_of_another_cluster(found: dict[str, Any]) -> None:
    for context, other in (("kt", "ncloud"), ("ncloud", "nhn"), ("nhn", "kt")):
        seen = found[context]["data-path.accepted"]["seen"]
        assert f"a certificate of {other}'s CA accepted: HTTP status 404" in seen


def test_a_host_name_is_shown_with_the_addresses_it_resolves_to(found: dict[str, Any]) -> None:
    assert found["ncloud"]["data-path.resolves"]["seen"] == "gw.ncloud.lab.test (198.18.0.22)"


def test_nothing_is_changed_in_any_cluster(sample: Site) -> None:
    before = snapshots()
    sample.run("verify", "--only", "data-path").exits(0)
    after = snapshots()
    assert {context: changed(before[context], after[context]) for context in CONTEXTS} == {
        context: set() for context in CONTEXTS
    }
