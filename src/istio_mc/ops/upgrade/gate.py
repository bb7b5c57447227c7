"""The gate after each cluster of an upgrade: what `verify` finds now and did not find before."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import ALL
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.text import few
from istio_mc.gateways.host.parallel import poll_rounds
from istio_mc.ops.verify.verify import run_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from istio_mc.checks.model import Result
    from istio_mc.ops.session.session import Session

STEP = "gate"
CHECKS = tuple(check for check in ALL if check.topic != "drift")
"""All but drift: clusters of two versions differ, each from the settings of the other."""

SETTLE_S = 90.0
"""How long what a rollout disturbs may take to settle."""
_POLL_S = 3.0
_SHOWN = 4

Faults = frozenset[tuple[str, str]]
"""Checks that fail, and where."""


def faults_of(session: Session, now: datetime) -> Faults:
    """The checks that fail now."""
    return frozenset(_key(one) for one in run_checks(session, CHECKS, now).failed)


def faults_before(session: Session, now: datetime) -> Faults:
    """The checks that fail before the first change, which no gate counts."""
    session.run.progress(Event(None, STEP, State.STARTED, "verify before the first change"))
    before = faults_of(session, now)
    session.run.progress(Event(None, STEP, State.DONE, f"{len(before)} faults before the first change"))
    return before


def pass_gate(
    session: Session,
    before: Faults,
    upgraded: Collection[str],
    now: datetime,
    stopped: Callable[[Collection[str], str], Problem] | None = None,
) -> None:
    """Waits until nothing fails that did not fail before the change.

    Args:
        stopped: The first problem where something does, of the changed clusters and of what fails; None: that
            of an upgrade.

    Raises:
        ProblemError: Something still does; it names what, and how to go on and back.
    """
    names = ", ".join(upgraded)
    session.run.progress(Event(None, STEP, State.STARTED, f"verify after {names}"))
    news: list[Result] = []
    for left in poll_rounds(min(session.run.deadline, time.monotonic() + SETTLE_S), _POLL_S):
        session.clusters.retry_unusable()
        result = run_checks(session, CHECKS, now)
        news = [one for one in result.failed if _key(one) not in before]
        if not news:
            session.run.progress(Event(None, STEP, State.DONE, f"nothing new fails after {names}"))
            return
        found = few((f"{one.check.id} {one.target}" for one in news), _SHOWN)
        session.run.progress(Event(None, STEP, State.WAITING, f"{found}; {left:.0f} s left"))
    session.run.progress(Event(None, STEP, State.FAILED))
    causes = [one.problem for one in news if one.problem and one.is_root_cause] or [
        one.problem for one in news if one.problem
    ]
    found = few((f"{one.check.id} {one.target}" for one in news), _SHOWN)
    raise ProblemError((stopped or _stopped)(upgraded, found), *(replace(one) for one in causes))


def _key(result: Result) -> tuple[str, str]:
    return result.check.id, str(result.target)


def _stopped(upgraded: Collection[str], failing: str) -> Problem:
    names = ", ".join(upgraded)
    return Problem(
        code=Code.UPGRADE_GATE,
        cluster=next(iter(upgraded), None),
        message=f"checks fail that passed before {names} was upgraded; no other cluster was begun",
        seen=failing,
        expected="no check that fails and did not fail before",
        hint=Advice(
            "repair it, then the same command goes on; or go back: ",
            istio_mc("upgrade", "--back", contexts=upgraded),
        ),
    )
