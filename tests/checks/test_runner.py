"""The runner: what a check is asked of, and what follows from one that failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from istio_mc.checks import access
from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import (
    Cause,
    Check,
    Facts,
    Finding,
    Observation,
    Result,
    Scope,
    Target,
    Verdict,
    cached,
)
from istio_mc.checks.runner import relevant, run, select, targets
from istio_mc.domain.problem import Code, Problem
from tests.support.records import record
from tests.support.world import World

FACTS = World().facts()
BAD = Problem(code=Code.DRIFT, message="bad")


def check(
    name: str,
    scope: Scope = Scope.CLUSTER,
    *,
    needs: tuple[str, ...] = (),
    because: tuple[str, ...] = (),
    bad: tuple[Target, ...] = (),
) -> Check:
    def evaluate(_facts: Facts, target: Target) -> Finding:
        return Finding("seen", BAD if target in bad else None)

    return record(name, scope=scope, evaluate=evaluate, needs=needs, because=because)


def verdicts(*checks: Check) -> dict[str, str]:
    return {f"{r.check.id} {r.target}": r.verdict.value for r in run(checks, FACTS)}


def result(*checks: Check, of: str, target: Target) -> Result:
    return next(r for r in run(checks, FACTS) if (r.check.id, r.target) == (of, target))


class TestTargets:
    @pytest.mark.parametrize(
        ("scope", "expected"),
        [
            (Scope.MESH, ["mesh"]),
            (Scope.CLUSTER, ["kt", "ncloud", "nhn"]),
            (
                Scope.PAIR,
                ["kt → ncloud", "kt → nhn", "ncloud → kt", "ncloud → nhn", "nhn → kt", "nhn → ncloud"],
            ),
        ],
    )
    def test_of_each_scope(self, scope: Scope, expected: list[str]) -> None:
        assert [str(target) for target in targets(scope, FACTS)] == expected


class TestWhatFollows:
    def test_a_cluster_that_failed_makes_only_its_own_unknown(self) -> None:
        results = verdicts(check("a", bad=(Target("kt"),)), check("b", needs=("a",)))
        assert (results["b kt"], results["b nhn"]) == ("unknown", "ok")

    def test_a_cluster_that_failed_makes_every_pair_with_it_unknown(self) -> None:
        results = verdicts(check("a", bad=(Target("kt"),)), check("p", Scope.PAIR, needs=("a",)))
        assert [results[f"p {pair}"] for pair in ("kt → nhn", "nhn → kt", "ncloud → nhn")] == [
            "unknown",
            "unknown",
            "ok",
        ]

    def test_a_pair_that_failed_makes_no_other_pair_unknown(self) -> None:
        results = verdicts(
            check("a", Scope.PAIR, bad=(Target("kt", "nhn"),)), check("b", Scope.PAIR, needs=("a",))
        )
        assert [key for key, verdict in results.items() if verdict == "unknown"] == ["b kt → nhn"]

    def test_a_mesh_that_failed_makes_everything_unknown(self) -> None:
        results = verdicts(check("m", Scope.MESH, bad=(Target(),)), check("c", needs=("m",)))
        assert results["c kt"] == results["c nhn"] == "unknown"

    def test_the_first_cause_is_named_and_not_what_lies_between(self) -> None:
        chain = (
            check("a", bad=(Target("kt"),)),
            check("b", needs=("a",)),
            check("c", needs=("b",)),
        )
        assert result(*chain, of="c", target=Target("kt")).caused_by == (Cause("a", Target("kt")),)

    def test_causes_are_named_in_the_same_order_each_time(self) -> None:
        chain = (
            check("a", bad=(Target("nhn"),)),
            check("b", bad=(Target("kt"),)),
            check("p", Scope.PAIR, needs=("b", "a")),
        )
        assert result(*chain, of="p", target=Target("kt", "nhn")).caused_by == (
            Cause("b", Target("kt")),
            Cause("a", Target("nhn")),
        )


class TestWhatExplainsWhat:
    """A fault that another one explains names it; the first of a chain is the root cause."""

    def causes(self, *checks: Check, of: str, target: Target) -> list[str]:
        return [str(cause) for cause in result(*checks, of=of, target=target).caused_by]

    def test_a_fault_of_a_cluster_explains_one_of_its_pairs(self) -> None:
        pair = Target("kt", "nhn")
        both = (check("a", bad=(Target("nhn"),)), check("p", Scope.PAIR, because=("a",), bad=(pair,)))
        assert self.causes(*both, of="p", target=pair) == ["a nhn"]

    def test_a_fault_elsewhere_explains_nothing(self) -> None:
        pair = Target("kt", "nhn")
        both = (check("a", bad=(Target("ncloud"),)), check("p", Scope.PAIR, because=("a",), bad=(pair,)))
        assert self.causes(*both, of="p", target=pair) == []

    def test_a_fault_of_a_pair_explains_one_of_the_same_two_the_other_way_round(self) -> None:
        one, other = Target("kt", "nhn"), Target("nhn", "kt")
        both = (check("a", Scope.PAIR, bad=(one,)), check("p", Scope.PAIR, because=("a",), bad=(other,)))
        assert self.causes(*both, of="p", target=other) == ["a kt → nhn"]

    def test_a_fault_of_a_pair_explains_none_of_another_pair(self) -> None:
        one, other = Target("kt", "nhn"), Target("kt", "ncloud")
        both = (check("a", Scope.PAIR, bad=(one,)), check("p", Scope.PAIR, because=("a",), bad=(other,)))
        assert self.causes(*both, of="p", target=other) == []

    def test_any_fault_explains_one_of_the_mesh(self) -> None:
        both = (check("a", bad=(Target("nhn"),)), check("m", Scope.MESH, because=("a",), bad=(Target(),)))
        assert self.causes(*both, of="m", target=Target()) == ["a nhn"]

    def test_the_first_of_a_chain_is_named(self) -> None:
        here = Target("kt")
        chain = (
            check("a", bad=(here,)),
            check("b", because=("a",), bad=(here,)),
            check("c", because=("b",), bad=(here,)),
        )
        assert self.causes(*chain, of="c", target=here) == ["a kt"]

    def test_an_unknown_result_explains_no_fault(self) -> None:
        here = Target("kt")
        chain = (
            check("a", bad=(here,)),
            check("b", needs=("a",)),
            check("c", because=("b",), bad=(here,)),
        )
        assert self.causes(*chain, of="c", target=here) == []

    def test_a_fault_without_a_cause_is_a_root_cause(self) -> None:
        here = Target("kt")
        both = (check("a", bad=(here,)), check("b", because=("a",), bad=(here,)))
        assert [str(r.check.id) for r in run(both, FACTS) if r.is_root_cause] == ["a"]


class TestWhatCouldNotBeRead:
    """An observation that brought nothing is told once, and darkens what looks at it."""

    FACTS = replace(FACTS, failures={Observation.SURROUNDINGS: {"kt": (BAD,)}})

    def found(self, *checks: Check) -> dict[str, str]:
        return {
            f"{r.check.id} {r.target}": " ".join([r.verdict.value, *map(str, r.caused_by)])
            for r in run([*access.CHECKS, *checks], self.FACTS)
        }

    def test_the_check_that_reads_it_is_unknown(self) -> None:
        reading = replace(check("a"), reads=(Observation.SURROUNDINGS,))
        assert self.found(reading)["a kt"] == "unknown access.observed kt"

    def test_the_check_that_reads_it_runs_for_other_clusters(self) -> None:
        reading = replace(check("a"), reads=(Observation.SURROUNDINGS,))
        assert self.found(reading)["a nhn"] == "ok"

    def test_a_check_with_other_observations_runs(self) -> None:
        assert self.found(replace(check("a"), reads=(Observation.CLUSTERZ,)))["a kt"] == "ok"


class TestRelevant:
    """What was chosen is told, and what explains it."""

    CHECKS = (check("a", bad=(Target("kt"),)), check("b", needs=("a",)))

    def relevant_ids(self, *desired: Check) -> list[str]:
        return [f"{r.check.id} {r.target}" for r in relevant(run(self.CHECKS, FACTS), desired)]

    def test_a_cause_is_reported_though_it_was_excluded(self) -> None:
        assert self.relevant_ids(self.CHECKS[1]) == ["a kt", "b kt", "b ncloud", "b nhn"]

    def test_an_excluded_check_that_explains_nothing_is_not_reported(self) -> None:
        assert self.relevant_ids(self.CHECKS[0]) == ["a kt", "a ncloud", "a nhn"]


class TestProblems:
    def test_get_the_cluster(self) -> None:
        found = result(check("a", bad=(Target("kt"),)), of="a", target=Target("kt"))
        assert found.problem == BAD.on("kt")


class TestSelect:
    CHECKS = (check("t.a"), check("t.b", needs=("t.a",)), check("u.c"))

    def names(self, only: tuple[str, ...] = (), skip: tuple[str, ...] = ()) -> list[str]:
        return [found.id for found in select(self.CHECKS, only=only, skip=skip)[0]]

    def test_all_by_default(self) -> None:
        assert self.names() == ["t.a", "t.b", "u.c"]

    def test_by_topic(self) -> None:
        assert self.names(only=("u",)) == ["u.c"]

    def test_by_id_with_what_it_needs(self) -> None:
        assert self.names(only=("t.b",)) == ["t.a", "t.b"]

    def test_leaving_out_a_topic(self) -> None:
        assert self.names(skip=("t",)) == ["u.c"]

    def test_what_only_a_left_out_check_needs_is_left_out_too(self) -> None:
        assert self.names(only=("t.b",), skip=("t.b",)) == []

    def test_unknown_names_are_reported(self) -> None:
        assert select(self.CHECKS, only=("t", "nope"), skip=("neither",))[1] == ["neither", "nope"]


class TestCatalogue:
    def test_ids_are_unique_and_begin_with_a_topic(self) -> None:
        assert len({found.id for found in ALL}) == len(ALL)
        assert [found.id for found in ALL if "." not in found.id] == []

    def test_a_check_stands_after_those_it_needs_and_those_that_explain_it(self) -> None:
        order = {found.id: place for place, found in enumerate(ALL)}
        late = [
            found.id
            for found in ALL
            if any(order[other] >= order[found.id] for other in (*found.needs, *found.because))
        ]
        assert late == []

    def test_every_check_has_a_title_and_documentation(self) -> None:
        assert [found.id for found in ALL if not (found.title and found.docs)] == []

    def test_every_check_passes_on_a_mesh_that_works(self) -> None:
        assert {r.verdict for r in run(ALL, FACTS)} == {Verdict.OK}


class TestSharedValues:
    def test_a_value_shared_by_many_targets_is_computed_once_for_the_facts_of_a_run(self) -> None:
        evaluated: list[Facts] = []
        evaluate = cached(lambda facts: evaluated.append(facts) or len(facts.clusters))  # type: ignore[func-returns-value]
        found = World().facts()
        assert [evaluate(found), evaluate(found)] == [3, 3]
        assert evaluated == [found]

    def test_other_facts_are_evaluated_again(self) -> None:
        evaluate = cached(lambda facts: list(facts.clusters))
        found = World().facts()
        assert evaluate(found) != evaluate(replace(found, clusters={}))
