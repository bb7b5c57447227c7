"""The gate after each cluster of an upgrade: `verify`, compared with before the first change."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Cause, Verdict
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.text import few, plural
from istio_mc.domain.upgrade.pending import (
    FailedChecks,
    Pending,
    document_of,
    ended_by,
    name_of,
    read_pending,
)
from istio_mc.gateways.host.parallel import poll_rounds
from istio_mc.ops.verify.verify import run_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from istio_mc.checks.model import Facts, Result
    from istio_mc.domain.upgrade.pending import Key
    from istio_mc.ops.session.session import Session

STEP = "gate"
CHECKS = tuple(check for check in ALL if check.topic != "drift")
"""All but drift: clusters of two versions differ, each from the settings of the other."""

SETTLE_S = 90.0
"""How long what a rollout disturbs may take to settle."""
_POLL_S = 3.0
_SHOWN = 4

_JUDGED_BEFORE = frozenset({"versions", "hazards"})
"""Topics that compare with what this program knows of releases: a new one may be unknown to it, which was
judged before the first change. Anything else that becomes unknown is lost sight of."""


@dataclass(frozen=True, slots=True)
class Before:
    """What `verify` found before the first change.

    Attributes:
        verb: That which makes the changes, as the user types it.
        failed: What no gate counts, because it failed already.
        passed: What every gate requires to be known again.
        pending: The clusters that an earlier run changed without passing their gate, with the step of it.
    """

    verb: str
    failed: FailedChecks
    passed: frozenset[Key]
    pending: Mapping[str, str]


def look_before(session: Session, verb: str, now: datetime) -> Before:
    """Runs the checks before the first change.

    Where an earlier run left a gate that is not passed, what failed before that run counts: a fault
    of its change is not an older one.
    """
    session.run.progress(Event(None, STEP, State.STARTED, "verify before the first change"))
    result = run_checks(session, CHECKS, now)
    left = _left_pending(result.facts, verb, now)
    passed = (one for one in result.results if one.verdict is Verdict.OK)
    failed = left[min(left)].failed if left else FailedChecks(frozenset(map(key_of, result.failed)))
    seen = f"{plural(len(failed), 'fault')} before the first change"
    if left:
        seen += f" of a run whose gate {', '.join(left)} did not pass"
    session.run.progress(Event(None, STEP, State.DONE, seen))
    return Before(
        verb, failed, frozenset(map(key_of, passed)), {name: one.step for name, one in left.items()}
    )


def _left_pending(facts: Facts, verb: str, now: datetime) -> dict[str, Pending]:
    """The gates of a verb that clusters have not passed, by context."""
    found = {
        name: read_pending(one.find(objects.CONFIG_MAP, name_of(verb)), now)
        for name, one in facts.observed.items()
    }
    return {name: one for name, one in found.items() if one}


def begin_change(session: Session, before: Before, name: str, now: datetime, step: str = "") -> None:
    """Records in a cluster that it is changed and has a gate to pass; without a change it has none.

    Args:
        step: The part of the verb that the gate follows, where the verb has several.

    Raises:
        ProblemError: It cannot be recorded.
    """
    session.clusters.kubes[name].apply(document_of(before.verb, Pending(before.failed, now, step)))


def pass_gate(
    session: Session,
    before: Before,
    upgraded: Collection[str],
    now: datetime,
    stopped: Callable[[Collection[str], str], Problem] | None = None,
) -> None:
    """Waits until nothing fails that did not fail before the change, and nothing is unknown that passed.

    Something may be unknown for a moment, such as what an istiod that just started reports.

    Args:
        stopped: The first problem where something does not pass, of the changed clusters and of what that is;
            None: that of an upgrade.

    Raises:
        ProblemError: Something still does not pass; it names what, and how to go on and back.
    """
    names = ", ".join(upgraded)
    session.run.progress(Event(None, STEP, State.STARTED, f"verify after {names}"))
    failed: list[Result] = []
    found = ""
    for left in poll_rounds(min(session.run.deadline, time.monotonic() + SETTLE_S), _POLL_S):
        session.clusters.retry_unusable()
        result = run_checks(session, CHECKS, now)
        new = before.failed.beyond(map(key_of, result.failed))
        failed = [one for one in result.failed if key_of(one) in new]
        lost = _lost(result.results, before, failed)
        if not (failed or lost):
            _forget(session, before.verb, upgraded)
            session.run.progress(Event(None, STEP, State.DONE, f"nothing new fails after {names}"))
            return
        found = _named(failed, lost)
        session.run.progress(Event(None, STEP, State.WAITING, f"{found}; {left:.0f} s left"))
    session.run.progress(Event(None, STEP, State.FAILED))
    causes = [one.problem for one in failed if one.problem and one.is_root_cause] or [
        one.problem for one in failed if one.problem
    ]
    raise ProblemError((stopped or _stopped)(upgraded, found), *(replace(one) for one in causes))


def _forget(session: Session, verb: str, names: Collection[str]) -> None:
    """Removes what clusters recorded of a gate that is passed.

    Raises:
        ProblemError: One did not respond.
    """

    def forget(name: str) -> None:
        for each in ended_by(verb):
            session.clusters.kubes[name].delete(objects.CONFIG_MAP, each, SYSTEM_NAMESPACE)

    _, failures = session.clusters.each(forget, names)
    if failures:
        raise ProblemError(*(problem for those in failures.values() for problem in those))


def _lost(results: Iterable[Result], before: Before, failed: Collection[Result]) -> list[Result]:
    """What passed before and is unknown now, except where a new failure explains it."""
    failing = {Cause(one.check.id, one.target) for one in failed}
    return [
        one
        for one in results
        if one.verdict is Verdict.UNKNOWN
        and key_of(one) in before.passed
        and one.check.topic not in _JUDGED_BEFORE
        and failing.isdisjoint(one.caused_by)
    ]


def _named(failed: Collection[Result], lost: Collection[Result]) -> str:
    """What does not pass, in one line."""
    parts = []
    if failed:
        parts.append(few((f"{one.check.id} {one.target}" for one in failed), _SHOWN))
    if lost:
        names = (f"{one.check.id} {one.target}" + (f" ({one.seen})" if one.seen else "") for one in lost)
        parts.append(f"unknown: {few(names, _SHOWN)}")
    return "; ".join(parts)


def key_of(result: Result) -> Key:
    """What a result is known by in another run of the checks."""
    return result.check.id, str(result.target)


def _stopped(upgraded: Collection[str], failing: str) -> Problem:
    names = ", ".join(upgraded)
    return Problem(
        code=Code.UPGRADE_GATE,
        cluster=next(iter(upgraded), None),
        message=f"checks that passed before {names} was upgraded fail or are unknown now",
        seen=failing,
        expected="no check that fails, or is unknown, and passed before; no other cluster was begun",
        hint=Advice(
            "repair it, then the same command continues from there; or go back: ",
            istio_mc("upgrade", "--back", contexts=upgraded),
        ),
    )
