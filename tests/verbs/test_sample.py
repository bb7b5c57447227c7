"""sample: a version of a service in each cluster, and who answers whom."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from istio_mc.ops import sample
from tests.support import quick, refusals
from tests.support.fixtures import made_once

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.ops.session.session import Session
    from tests.support.mesh import Mesh
    from tests.support.runs import Result


@pytest.fixture
def sampled(installed: Mesh) -> Mesh:
    """A mesh with the sample in it."""
    made_once(installed, "sample", lambda: installed.run("sample", "deploy").exits(0))
    return installed


def test_every_version_answers_every_cluster(sampled: Mesh) -> None:
    result = sampled.run("sample", "test", "-o", "json").exits(0)
    assert result.errors == []


def planned(result: Result) -> dict[str, tuple[str, list[str]]]:
    """Of a dry run the status and the objects of each cluster."""
    return {one["name"]: (one["status"], one["objects"]) for one in result.data["clusters"]}


def test_a_dry_run_of_deploy_lists_the_objects_and_touches_nothing(installed: Mesh) -> None:
    before = installed.snapshots()
    result = installed.run("sample", "deploy", "--dry-run", "-o", "json").exits(0)
    status, objects = planned(result)["nhn"]
    assert status == "to deploy"
    assert {"Namespace sample", "Deployment sample/reviews-v3", "Deployment sample/sleep"} <= {*objects}
    assert installed.snapshots() == before


def test_a_dry_run_of_deploy_where_all_is_there_lists_nothing(sampled: Mesh) -> None:
    result = sampled.run("sample", "deploy", "--dry-run", "-o", "json").exits(0)
    assert planned(result) == dict.fromkeys(sampled.names, ("unchanged", []))


def test_a_dry_run_of_deploy_reports_pods_that_admission_would_deny(sampled: Mesh) -> None:
    denial = refusals.denied_by_webhook("validate.kyverno.svc-fail", "label team is required")
    sampled["kt"].faults.refuse(denial, "POST", path="/namespaces/sample/pods")
    result = sampled.run("sample", "deploy", "--dry-run", "-o", "json").exits(3)
    assert set(result.errors) == {("admission-denied", "kt")}


def test_a_dry_run_of_remove_names_the_namespace_and_requires_no_confirmation(sampled: Mesh) -> None:
    before = sampled.snapshots()
    result = sampled.run("sample", "remove", "--dry-run", "-o", "json").exits(0)
    assert planned(result) == dict.fromkeys(sampled.names, ("to remove", ["Namespace sample"]))
    assert sampled.snapshots() == before


def test_a_dry_run_of_remove_reports_a_namespace_of_others(sampled: Mesh) -> None:
    kt = sampled["kt"]
    kt.edit(kt.get("Namespace", "sample"), lambda item: item["metadata"].update(labels={}))
    result = sampled.run("sample", "remove", "--dry-run", "-o", "json").exits(3)
    assert result.errors == [("not-ours", "kt")]


def test_a_deploy_whose_pods_do_not_start_ends_with_their_reason(
    installed: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick.look_at_pods_often(monkeypatch)
    installed["kt"].stuck["sleep"] = "InvalidImageName"
    result = installed.run("sample", "deploy", "-o", "json").exits(3)
    assert ("sample-not-running", "kt") in result.errors
    assert {cluster for _, cluster in result.errors} == {"kt"}


def test_a_deploy_whose_pods_have_no_sidecar_is_an_error_of_their_cluster(sampled: Mesh) -> None:
    kt = sampled["kt"]
    pod = next(pod for pod in kt.store.of("Pod", "sample") if pod["metadata"]["labels"]["app"] == "sleep")
    kt.edit(pod, lambda item: item["spec"].update(containers=item["spec"]["containers"][:1]))
    result = sampled.run("sample", "deploy", "-o", "json").exits(3)
    assert result.errors == [("no-sidecar", "kt")]


def test_an_unreachable_gateway_is_reported_with_the_first_failed_hop(sampled: Mesh) -> None:
    sampled["kt"].unreached.add("nhn")
    result = sampled.run("sample", "test", "--wait", "1s", "-o", "json").exits(4)
    (problem,) = result.json["errors"]
    assert (problem["code"], problem["cluster"]) == ("too-few-answers", "kt")
    assert f"{sampled['nhn'].gateway.address}:15443" in problem["seen"]


@pytest.mark.thorough
def test_the_silent_gateways_of_all_pairs_are_looked_at_at_once(
    sampled: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = threading.Barrier(6, timeout=20)
    silent_gateway = sample.silent_gateway

    def together(session: Session, name: str, pod: str, addresses: Iterable[str]) -> str | None:
        every.wait()
        return silent_gateway(session, name, pod, addresses)

    monkeypatch.setattr(sample, "silent_gateway", together)
    for name in sampled.names:
        sampled[name].unreached |= {other for other in sampled.names if other != name}
    result = sampled.run("sample", "test", "--wait", "1s", "-o", "json").exits(4)
    assert [code for code, _ in result.errors] == ["too-few-answers"] * 6


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
    assert problem["message"].startswith("0 of ")
    assert problem["message"].endswith("answered by v3 in nhn")
    assert "link.secret (kt → nhn)" in problem["seen"]


@pytest.mark.thorough
def test_a_version_without_pods_fails_from_every_cluster_and_is_named(sampled: Mesh) -> None:
    ncloud = sampled["ncloud"]
    ncloud.edit(
        ncloud.get("Deployment", "reviews-v2", "sample"), lambda copy: copy["spec"].update(replicas=0)
    )
    ncloud.settle()
    result = sampled.run("sample", "test", "--wait", "1s", "-o", "json").exits(4)
    assert missing(result) == {name: ["v2"] for name in sampled.names}
    assert all(one["message"].endswith("by v2 in ncloud") for one in result.json["errors"])


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


@pytest.mark.thorough
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
        assert problem["seen"].endswith(
            "first failed hop: endpoints: nhn: no pod of Service sample/reviews has a sidecar"
        )
        assert problem["hint"].startswith(
            "kubectl --context nhn label namespace sample istio-injection=enabled"
        )
