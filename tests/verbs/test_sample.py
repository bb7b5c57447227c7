"""sample: a version of a service in each cluster, and who answers whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.mesh import Mesh
    from tests.support.runs import Result


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


def missing(result: Result) -> dict[str, list[str]]:
    """The versions that each cluster did not get."""
    rows = {cluster["name"]: cluster["responses"] for cluster in result.data["clusters"]}
    return {name: [version for version, count in row.items() if not count] for name, row in rows.items()}


def test_a_missing_link_fails_its_one_direction_and_is_the_first_hop_that_fails(sampled: Mesh) -> None:
    kt = sampled["kt"]
    kt.delete(kt.get("Secret", "istio-remote-secret-nhn-nks", "istio-system"))
    result = sampled.run("sample", "test", "--wait", "1s", "-o", "json").exits(4)
    assert missing(result) == {"kt": ["v3"], "ncloud": [], "nhn": []}
    (problem,) = result.json["errors"]
    assert problem["message"].startswith("v3 in nhn answered kt in 0 of ")
    assert "link.secret (kt → nhn)" in problem["message"]


@pytest.mark.thorough
def test_a_version_without_pods_fails_from_every_cluster_and_is_named(sampled: Mesh) -> None:
    ncloud = sampled["ncloud"]
    ncloud.edit(
        ncloud.get("Deployment", "reviews-v2", "sample"), lambda copy: copy["spec"].update(replicas=0)
    )
    ncloud.settle()
    result = sampled.run("sample", "test", "--wait", "1s", "-o", "json").exits(4)
    assert missing(result) == {name: ["v2"] for name in sampled.names}
    assert all(one["message"].startswith("v2 in ncloud") for one in result.json["errors"])


@pytest.mark.thorough
def test_without_a_cluster_that_does_not_answer_the_rows_of_the_others_are_shown(sampled: Mesh) -> None:
    sampled.cut("nhn")
    result = sampled.run("sample", "test", "--wait", "1s", "-o", "json").exits(4)
    assert result.errors[0] == ("cluster-unreachable", "nhn")
    assert set(missing(result)) == {"kt", "ncloud"}


def test_what_is_removed_leaves_nothing(sampled: Mesh) -> None:
    sampled.run("sample", "remove", "--yes").exits(0)
    sampled.settle()
    assert not any(one.has("Namespace", "sample") for one in sampled.clusters.values())


def test_a_deep_verify_calls_from_pod_to_pod_and_leaves_nothing(installed: Mesh) -> None:
    installed.run("verify", "--deep").exits(0)
    installed.settle()
    left = [name for one in installed.clusters.values() for name in one.names("Namespace") if "probe" in name]
    assert left == []


def test_of_pods_without_a_sidecar_the_hop_of_trace_is_named(sampled: Mesh) -> None:
    nhn = sampled["nhn"]
    nhn.edit(nhn.get("Namespace", "sample"), lambda item: item["metadata"]["labels"].pop("istio-injection"))
    (pod,) = [
        item for item in nhn.store.of("Pod", "sample") if item["metadata"]["labels"]["app"] == "reviews"
    ]
    nhn.delete(pod)
    nhn.settle()
    result = sampled.run("sample", "test", "--wait", "1s", "-o", "json").exits(4)
    assert missing(result) == {"kt": ["v3"], "ncloud": ["v3"], "nhn": []}
    for problem in result.json["errors"]:
        assert problem["message"].endswith(
            "first wrong hop: endpoints: nhn: no pod of Service sample/reviews has a sidecar"
        )
        assert problem["hint"].startswith(
            "kubectl --context nhn label namespace sample istio-injection=enabled"
        )
