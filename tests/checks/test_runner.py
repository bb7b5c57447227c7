"""The runner: what a check is asked of, and what follows from one that failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Check, Facts, Finding, Result, Scope, Severity, Target, Verdict
from istio_mc.checks.runner import run, select, targets
from istio_mc.domain.problem import Problem
from tests.world import World

FACTS = World().facts()
BAD = Problem(code="bad", message="bad")


def check(
    name: str,
    scope: Scope = Scope.CLUSTER,
    *,
    needs: tuple[str, ...] = (),
    bad: tuple[Target, ...] = (),
    topic: str = "t",
) -> Check:
    def ask(_facts: Facts, target: Target) -> Finding:
        return Finding("seen", BAD if target in bad else None)

    return Check(name, topic, "", Severity.ERROR, scope, ask, needs, hint="general", docs="anchor")


def verdicts(*checks: Check) -> dict[str, str]:
    return {f"{r.check.id} {r.target}": r.verdict.value for r in run(checks, FACTS)}


def result(*checks: Check, of: str, target: Target) -> Result:
    return next(r for r in run(checks, FACTS) if (r.check.id, r.target) == (of, target))


class TestTargets:
    @pytest.mark.parametrize(
        ("scope", "told"),
        [
            (Scope.MESH, ["mesh"]),
            (Scope.CLUSTER, ["kt", "ncloud", "nhn"]),
            (
                Scope.PAIR,
                ["kt → ncloud", "kt → nhn", "ncloud → kt", "ncloud → nhn", "nhn → kt", "nhn → ncloud"],
            ),
        ],
    )
    def test_of_each_scope(self, scope: Scope, told: list[str]) -> None:
        assert [str(target) for target in targets(scope, FACTS)] == told


class TestWhatFollows:
    def test_a_cluster_that_failed_makes_only_its_own_unknown(self) -> None:
        told = verdicts(check("a", bad=(Target("kt"),)), check("b", needs=("a",)))
        assert (told["b kt"], told["b nhn"]) == ("unknown", "ok")

    def test_a_cluster_that_failed_makes_every_pair_with_it_unknown(self) -> None:
        told = verdicts(check("a", bad=(Target("kt"),)), check("p", Scope.PAIR, needs=("a",)))
        assert [told[f"p {pair}"] for pair in ("kt → nhn", "nhn → kt", "ncloud → nhn")] == [
            "unknown",
            "unknown",
            "ok",
        ]

    def test_a_pair_that_failed_makes_no_other_pair_unknown(self) -> None:
        told = verdicts(
            check("a", Scope.PAIR, bad=(Target("kt", "nhn"),)), check("b", Scope.PAIR, needs=("a",))
        )
        assert [key for key, verdict in told.items() if verdict == "unknown"] == ["b kt → nhn"]

    def test_a_mesh_that_failed_makes_everything_unknown(self) -> None:
        told = verdicts(check("m", Scope.MESH, bad=(Target(),)), check("c", needs=("m",)))
        assert told["c kt"] == told["c nhn"] == "unknown"

    def test_the_first_cause_is_named_and_not_what_lies_between(self) -> None:
        chain = (
            check("a", bad=(Target("kt"),)),
            check("b", needs=("a",)),
            check("c", needs=("b",)),
        )
        assert result(*chain, of="c", target=Target("kt")).caused_by == ("a",)

    def test_causes_are_named_in_the_same_order_each_time(self) -> None:
        chain = (
            check("a", bad=(Target("nhn"),)),
            check("b", bad=(Target("kt"),)),
            check("p", Scope.PAIR, needs=("b", "a")),
        )
        assert result(*chain, of="p", target=Target("kt", "nhn")).caused_by == ("b", "a")


class TestProblems:
    def test_get_the_checks_hint_docs_and_cluster(self) -> None:
        found = result(check("a", bad=(Target("kt"),)), of="a", target=Target("kt"))
        assert found.problem == replace(BAD, hint="general", docs="anchor", cluster="kt")


class TestSelect:
    CHECKS = (check("t.a"), check("t.b", needs=("t.a",)), check("u.c", topic="u"))

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

    def test_unknown_names_are_told(self) -> None:
        assert select(self.CHECKS, only=("t", "nope"), skip=("neither",))[1] == ["neither", "nope"]


class TestCatalogue:
    def test_ids_are_unique_and_begin_with_their_topic(self) -> None:
        assert len({found.id for found in ALL}) == len(ALL)
        assert [found.id for found in ALL if not found.id.startswith(f"{found.topic}.")] == []

    def test_a_check_stands_after_those_it_needs(self) -> None:
        order = {found.id: place for place, found in enumerate(ALL)}
        assert [
            found.id for found in ALL if any(order[need] >= order[found.id] for need in found.needs)
        ] == []

    def test_every_check_says_what_is_true_and_where_to_read_on(self) -> None:
        assert [found.id for found in ALL if not (found.description and found.docs)] == []

    def test_every_check_passes_on_a_mesh_that_works(self) -> None:
        assert {r.verdict for r in run(ALL, FACTS)} == {Verdict.OK}
