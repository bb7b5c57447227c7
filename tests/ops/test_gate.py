"""The gate of an upgrade: what failed or passed before the change, compared with what is found after it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Cause, Result, Target, Verdict
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.ops.upgrade import gate
from istio_mc.ops.verify.verify import VerifyResult
from tests.support.sessions import session_of
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.events import Event

NOW = datetime(2026, 11, 1, tzinfo=UTC)
KT, NHN = Target("kt"), Target("nhn")


def result(id_: str, verdict: Verdict, target: Target = KT, *causes: Cause, seen: str = "") -> Result:
    check = next(check for check in ALL if check.id == id_)
    failed = verdict is Verdict.FAILED
    problem = Problem(code=Code.NOT_READY, cluster=target.cluster, message=f"{id_} fails") if failed else None
    return Result(check, target, verdict, seen, problem, causes)


class WithoutConfigMaps:
    """An API server that has none."""

    def delete(self, *_: object) -> bool:
        return False


class Gate:
    """A gate whose checks have these results: the first before the change, the others after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *rounds: list[Result], settle_s: float = 0.0) -> None:
        left: Iterator[list[Result]] = iter(rounds)
        facts = World().facts()
        monkeypatch.setattr(gate, "SETTLE_S", settle_s)
        monkeypatch.setattr(gate, "_POLL_S", 0.001)
        monkeypatch.setattr(gate, "run_checks", lambda *_: VerifyResult(facts, tuple(next(left))))
        self.events: list[Event] = []
        self.session = session_of({"kt": WithoutConfigMaps()}, progress=self.events.append)
        self.before = gate.look_before(self.session, "upgrade", NOW)

    def pass_(self) -> None:
        gate.pass_gate(self.session, self.before, ["kt"], NOW)

    def stops(self) -> tuple[Problem, ...]:
        with pytest.raises(ProblemError) as error:
            self.pass_()
        return error.value.problems


PASSED = result("data-path.handshake", Verdict.OK)
UNKNOWN = result("data-path.handshake", Verdict.UNKNOWN, seen="no workload responded")


def test_a_check_that_passed_before_and_is_unknown_now_stops_the_run_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (problem,) = Gate(monkeypatch, [PASSED], [UNKNOWN]).stops()
    assert problem.code is Code.UPGRADE_GATE
    assert problem.seen == "unknown: data-path.handshake kt (no workload responded)"


def test_a_temporarily_unknown_result_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Gate(monkeypatch, [PASSED], [UNKNOWN], [PASSED], settle_s=60.0)
    made.pass_()
    assert any("unknown: data-path.handshake kt" in (event.detail or "") for event in made.events)


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.FAILED])
def test_what_did_not_pass_before_may_be_unknown(monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> None:
    Gate(monkeypatch, [result("data-path.handshake", verdict)], [UNKNOWN]).pass_()


def test_what_passed_in_another_cluster_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    Gate(monkeypatch, [result("data-path.handshake", Verdict.OK, NHN)], [UNKNOWN]).pass_()


@pytest.mark.parametrize("id_", ["versions.apart", "hazards.defects"])
def test_unknown_facts_of_a_new_release_do_not_count(monkeypatch: pytest.MonkeyPatch, id_: str) -> None:
    Gate(monkeypatch, [result(id_, Verdict.OK)], [result(id_, Verdict.UNKNOWN)]).pass_()


def test_unknown_results_caused_by_a_new_failure_are_not_listed_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed = [result("access.reachable", Verdict.OK, NHN), result("gateway.ports", Verdict.OK, NHN)]
    cause = Cause("access.reachable", NHN)
    after = [
        result("access.reachable", Verdict.FAILED, NHN),
        result("gateway.ports", Verdict.UNKNOWN, NHN, cause),
    ]
    first, *_ = Gate(monkeypatch, passed, after).stops()
    assert first.seen == "access.reachable nhn"


def test_what_failed_before_may_fail_after(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = result("gateway.ports", Verdict.FAILED)
    Gate(monkeypatch, [failing], [failing]).pass_()


def test_a_new_failure_stops_it_with_its_own_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    passed, failing = (result("gateway.ports", verdict) for verdict in (Verdict.OK, Verdict.FAILED))
    assert [one.message for one in Gate(monkeypatch, [passed], [failing]).stops()][1:] == [
        "gateway.ports fails"
    ]
