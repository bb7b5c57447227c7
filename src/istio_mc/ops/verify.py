"""verify: reads the mesh once, asks every check of what was read, and says what is wrong where."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.runner import run, told, with_needs
from istio_mc.domain.events import Event, State
from istio_mc.ops.gather import gather

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from istio_mc.checks.model import Check, Facts, Result
    from istio_mc.ops.session import Session

_POLL_S = 3.0


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What came of every check.

    Attributes:
        facts: What was read.
        results: One for each check and target.
    """

    facts: Facts
    results: tuple[Result, ...]

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results that are errors."""
        return tuple(result for result in self.results if result.is_error)

    @property
    def root_causes(self) -> tuple[Result, ...]:
        """The errors that no other check explains: mend these, and the rest goes away."""
        return tuple(result for result in self.results if result.is_root_cause)

    @property
    def warned(self) -> tuple[Result, ...]:
        """The results that say no more than that one should know."""
        return tuple(result for result in self.results if result.is_warning)


def verify(session: Session, checks: Sequence[Check], now: datetime, *, wait_s: float = 0.0) -> VerifyResult:
    """Asks the checks of the session's clusters; with `wait_s`, again and again until all are true.

    Changes nothing in any cluster.
    """
    until = time.monotonic() + wait_s
    while True:
        result = look(session, checks, now)
        left = until - time.monotonic()
        if not result.failed or left <= _POLL_S:
            return result
        names = ", ".join(dict.fromkeys(failed.check.id for failed in result.root_causes or result.failed))
        session.progress(Event(None, "verify", State.WAITING, f"{names}; {left:.0f} s left"))
        time.sleep(_POLL_S)


def look(session: Session, checks: Sequence[Check], now: datetime | None) -> VerifyResult:
    """Asks the checks once. What they need is asked too, and told where it explains what they say."""
    asked = with_needs(ALL, checks)
    facts = gather(session, now, {observation for check in asked for observation in check.reads})
    return VerifyResult(facts, tuple(told(run(asked, facts), checks)))
