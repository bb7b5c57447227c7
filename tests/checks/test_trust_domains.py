"""Workloads accept each other across clusters where trust domains are one, or aliases of each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from istio_mc.checks.catalogue import ALL, PREFLIGHT
from istio_mc.checks.runner import run
from istio_mc.domain.istio.mesh_config import (
    TrustDomain,
    in_config_map,
    in_mesh_config,
    in_operator,
    not_accepted,
)
from tests.support.world import CLUSTERS, World

if TYPE_CHECKING:
    from istio_mc.checks.model import Check, Facts
    from istio_mc.domain.problem import Problem

SEOUL, BUSAN = {"trustDomain": "seoul.example"}, {"trustDomain": "busan.example"}


class TestDomain:
    @pytest.mark.parametrize(
        ("config", "expected"),
        [
            ({}, TrustDomain("cluster.local")),
            (None, TrustDomain("cluster.local")),
            ({"trustDomain": ""}, TrustDomain("cluster.local")),
            (SEOUL, TrustDomain("seoul.example")),
            ({**SEOUL, "trustDomainAliases": ["a", "b"]}, TrustDomain("seoul.example", frozenset("ab"))),
            ({"trustDomainAliases": "a"}, TrustDomain("cluster.local")),
        ],
    )
    def test_is_what_the_mesh_config_sets(self, config: object, expected: TrustDomain) -> None:
        assert in_mesh_config(config) == expected

    def test_of_an_install_is_that_of_its_document(self) -> None:
        assert in_operator({"spec": {"meshConfig": SEOUL}}) == TrustDomain("seoul.example")

    @pytest.mark.parametrize("data", [None, {}, {"mesh": ""}, {"mesh": "]"}, {"mesh": "text"}])
    def test_of_an_empty_config_map_is_unknown(self, data: dict[str, str] | None) -> None:
        assert in_config_map({"data": data}) is None

    def test_aliases_have_to_name_each_other_in_both_directions(self) -> None:
        a, b = TrustDomain("a", frozenset("b")), TrustDomain("b")
        assert not_accepted({"one": a, "two": b}) == {"two": ["one"]}
        assert not_accepted({"one": a, "two": TrustDomain("b", frozenset("a"))}) == {}


def problems(facts: Facts, checks: tuple[Check, ...]) -> list[Problem]:
    found = [one for one in run(checks, facts) if one.check.id == "trust.domains" and one.is_error]
    return [one.problem for one in found if one.problem]


def facts(live: dict[str, Any] | None = None, **desired: Any) -> Facts:
    world = World()
    for context, config in (live or {}).items():
        world.objects[context].append(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "istio", "namespace": "istio-system"},
                "data": {"mesh": yaml.safe_dump(config)},
            }
        )
    clusters = {
        name: replace(cluster, values={"meshConfig": desired[name]} if name in desired else {})
        for name, cluster in CLUSTERS.items()
    }
    return replace(world.facts(), clusters=clusters)


def test_an_install_that_would_set_different_ones_is_stopped() -> None:
    (problem,) = problems(facts(kt=SEOUL, ncloud=BUSAN), PREFLIGHT)
    assert problem.code == "trust-domains-differ"
    assert "kt: seoul.example; ncloud: busan.example; nhn: cluster.local" in str(problem.seen)


def test_verify_judges_what_each_istiod_reads() -> None:
    live = dict.fromkeys(CLUSTERS, SEOUL)
    assert problems(facts(live, kt=BUSAN), ALL) == []
    assert len(problems(facts(live | {"kt": BUSAN}), ALL)) == 1


def test_where_no_istiod_reports_it_the_desired_one_counts() -> None:
    assert len(problems(facts(kt=SEOUL), ALL)) == 1


@pytest.mark.parametrize("checks", [ALL, PREFLIGHT])
def test_one_domain_for_all_is_no_fault(checks: tuple[Check, ...]) -> None:
    assert problems(facts(**dict.fromkeys(CLUSTERS, SEOUL)), checks) == []
    assert problems(facts(), checks) == []


def test_a_cluster_that_does_not_answer_is_left_out() -> None:
    world = World()
    world.silence("kt")
    clusters = {"kt": replace(CLUSTERS["kt"], values={"meshConfig": SEOUL})}
    assert problems(replace(world.facts(), clusters=CLUSTERS | clusters), PREFLIGHT) == []
