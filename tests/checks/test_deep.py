"""The checks of --deep: a pod in each cluster calls each other one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from istio_mc.checks import data_path
from istio_mc.checks.catalogue import ALL, EVERY
from istio_mc.checks.model import Facts, Observation, Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.traffic.probe_pod import Reply
from tests.support.world import IDS, World


@pytest.fixture
def world() -> World:
    return World()


def facts(world: World, **changed: Reply) -> Facts:
    """What is read; `kt_ncloud=…` is what kt's pod got from ncloud."""
    answers = {
        name: {
            peer: changed.get(f"{name}_{peer}", Reply(200, IDS[peer]))
            for peer in world.objects
            if peer != name
        }
        for name in world.objects
    }
    return replace(world.facts(), deep=answers)


def results(found: Facts) -> dict[str, Verdict]:
    return {
        f"{r.check.id} {r.target}": r.verdict for r in run(EVERY, found) if r.check in data_path.WITH_DEEP
    }


def root_causes(found: Facts) -> list[str]:
    return [f"{r.check.id} {r.target}" for r in run(EVERY, found) if r.is_root_cause]


def test_without_deep_they_are_not_queried() -> None:
    assert {check.id for check in EVERY} - {check.id for check in ALL} == {
        "data-path.probe",
        "data-path.deep",
    }


def test_every_ordered_pair_is_checked(world: World) -> None:
    found = results(facts(world))
    pairs = [f"data-path.deep {name} → {peer}" for name in IDS for peer in IDS if peer != name]
    assert {name: verdict for name, verdict in found.items() if "→" in name} == dict.fromkeys(
        pairs, Verdict.OK
    )


def test_a_way_that_only_pods_cannot_take_is_the_one_root_cause(world: World) -> None:
    found = facts(world, ncloud_kt=Reply(503, "upstream connect error"))
    assert root_causes(found) == ["data-path.deep ncloud → kt"]


def test_the_fault_names_what_came_and_who_should_have_answered(world: World) -> None:
    found = facts(world, ncloud_kt=Reply(503, "upstream connect error"))
    (problem,) = [r.problem for r in run(EVERY, found) if r.is_root_cause and r.problem]
    assert (problem.code, problem.seen, problem.expected) == (
        "no-answer-across",
        "HTTP status 503: upstream connect error",
        "a response from kt-k2p through the gateway of kt",
    )
    assert isinstance(problem.hint, Advice)


def test_an_answer_of_the_wrong_cluster_is_none(world: World) -> None:
    assert root_causes(facts(world, ncloud_kt=Reply(200, "nhn-nks"))) == ["data-path.deep ncloud → kt"]


def test_a_refusal_by_policy_is_an_answer(world: World) -> None:
    assert root_causes(facts(world, ncloud_kt=Reply(403, "RBAC: access denied"))) == []


def test_a_missing_remote_secret_explains_the_silence_in_its_direction(world: World) -> None:
    world.remove("kt", "Secret", "istio-remote-secret-nhn-nks")
    found = facts(world, kt_nhn=Reply(503, "no healthy upstream"))
    assert root_causes(found) == ["link.secret kt → nhn"]


def test_a_gateway_that_is_not_exposed_explains_the_silence_of_its_cluster(world: World) -> None:
    world.remove("nhn", "Gateway", "cross-network-gateway")
    silent = Reply(503, "upstream connect error")
    assert root_causes(facts(world, kt_nhn=silent, ncloud_nhn=silent)) == ["gateway.exposed nhn"]


def test_a_cluster_whose_pod_does_not_run_is_the_one_root_cause(world: World) -> None:
    problem = Problem(code=Code.PROBE_NOT_RUNNING, message="no pod", seen="ImagePullBackOff", cluster="nhn")
    found = replace(facts(world), failures={Observation.DEEP: {"nhn": (problem,)}})
    results_by_check = results(found)
    assert root_causes(found) == ["data-path.probe nhn"]
    assert [
        results_by_check[f"data-path.deep {pair}"] for pair in ("kt → nhn", "nhn → kt", "kt → ncloud")
    ] == [
        Verdict.UNKNOWN,
        Verdict.UNKNOWN,
        Verdict.OK,
    ]


def test_nothing_is_reported_of_an_unreachable_cluster(world: World) -> None:
    world.silence("nhn")
    assert results(facts(world))["data-path.deep kt → nhn"] is Verdict.UNKNOWN
