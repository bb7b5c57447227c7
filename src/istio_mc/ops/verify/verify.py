"""verify: reads the mesh once, asks every check of what was read, and says what is wrong where."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import EVERY
from istio_mc.checks.model import Verdict
from istio_mc.checks.runner import relevant, run, with_needs
from istio_mc.domain.events import Event, State
from istio_mc.domain.istio.releases import table_age_problem
from istio_mc.domain.text import few
from istio_mc.domain.traffic.probe_pod import DEFAULT_IMAGE
from istio_mc.gateways.host.parallel import poll_rounds
from istio_mc.ops.verify.gather import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from istio_mc.checks.model import Check, Facts, Result
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.session.session import Session

_POLL_S = 3.0
_MAX_NAMED = 4
"""Faults that a line of progress names."""


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What came of every check."""

    facts: Facts
    results: tuple[Result, ...]
    warnings: tuple[Problem, ...] = ()

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results that are errors."""
        return tuple(result for result in self._not_passed if result.is_error)

    @property
    def root_causes(self) -> tuple[Result, ...]:
        """The errors that no other check explains: mend these, and the rest goes away."""
        return tuple(result for result in self._not_passed if result.is_root_cause)

    @property
    def warned(self) -> tuple[Result, ...]:
        """The results that say no more than that one should know."""
        return tuple(result for result in self._not_passed if result.is_warning)

    @property
    def _not_passed(self) -> list[Result]:
        """The few of many that are looked at again and again."""
        return [result for result in self.results if result.verdict is not Verdict.OK]

    def with_news(self, news: VerifyResult) -> VerifyResult:
        """These results, but for the checks that were asked again: of those the news."""
        again = {result.check.id for result in news.results}
        both = [*(result for result in self.results if result.check.id not in again), *news.results]
        order = {check.id: place for place, check in enumerate(EVERY)}
        return VerifyResult(
            news.facts,
            tuple(sorted(both, key=lambda result: order[result.check.id])),
            (*self.warnings, *news.warnings),
        )


def verify(
    session: Session,
    checks: Sequence[Check],
    now: datetime,
    *,
    wait_s: float = 0.0,
    probe_image: str = DEFAULT_IMAGE,
) -> VerifyResult:
    """Asks the checks of the session's clusters; with `wait_s`, again and again until all are true.

    Only what was not true is asked again, and only what that looks at is read. Once it is true, everything is
    asked once more: what was true before may not be so any longer. Changes nothing in any cluster, unless
    one of the checks is of those that --deep adds.
    """
    age = table_age_problem(session.run.releases, now.date())
    evaluate = partial(run_checks, session, now=now, probe_image=probe_image)
    until = min(session.run.deadline, time.monotonic() + wait_s)
    result = evaluate(checks)
    for number, _ in enumerate(poll_rounds(until, _POLL_S)):
        if number:
            result = _again(session, evaluate, result, checks)
        left = until - time.monotonic()
        if not result.failed or left <= _POLL_S:
            break
        waits = f"{_waited_for(result)}; {left:.0f} s left"
        session.run.progress(Event(None, "verify", State.WAITING, waits))
    return replace(result, warnings=(age, *result.warnings)) if age else result


def _again(
    session: Session,
    evaluate: Callable[[Sequence[Check]], VerifyResult],
    result: VerifyResult,
    checks: Sequence[Check],
) -> VerifyResult:
    """The result after one more look at what was not true; at everything, once that is true."""
    session.clusters.retry_unusable()
    pending = _pending(result, checks)
    result = result.with_news(evaluate(pending))
    if result.failed or len(pending) == len(checks):
        return result
    last = evaluate(checks)
    return replace(last, warnings=(*result.warnings, *last.warnings))


def run_checks(
    session: Session, checks: Sequence[Check], now: datetime | None, probe_image: str = DEFAULT_IMAGE
) -> VerifyResult:
    """Asks the checks once. What they need is asked too, and told where it explains what they say."""
    needed = with_needs(EVERY, checks)
    reads = {observation for check in needed for observation in check.reads}
    facts, left = gather(session, now, reads, probe_image)
    return VerifyResult(facts, tuple(relevant(run(needed, facts), checks)), left)


def _pending(result: VerifyResult, checks: Sequence[Check]) -> list[Check]:
    """The checks of which something is not true, or cannot be told."""
    open_ids = {one.check.id for one in result.results if one.is_error or one.caused_by}
    return [check for check in checks if check.id in open_ids] or list(checks)


def _waited_for(result: VerifyResult) -> str:
    """The faults that a run waits for, as far as a line holds them."""
    faults = [f"{one.check.id} {one.target}" for one in result.root_causes or result.failed]
    return f"not true yet: {few(faults, _MAX_NAMED)}"
