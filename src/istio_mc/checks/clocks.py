"""Clocks: certificates are valid from a moment on, and each machine judges that by its own clock."""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from datetime import datetime

CLOCK = "trust.clock"

_GRACE_S = 120.0
"""istiod backdates what it signs by two minutes (security/pkg/pki/util/generate_cert.go, Istio 1.26.0)."""


def moment(facts: Facts, name: str) -> datetime | None:
    """The present by a cluster's own clock; None: not to be judged."""
    if facts.now is None:
        return None
    return facts.now + timedelta(seconds=facts.observed[name].ahead_s or 0.0)


def _off_s(facts: Facts) -> dict[str, float]:
    """How far each cluster's clock is from what most clocks show, this machine's among them."""
    ahead = {name: found.ahead_s for name, found in facts.observed.items() if found.ahead_s is not None}
    middle = median([0.0, *ahead.values()])
    return {name: seconds - middle for name, seconds in ahead.items()}


def _clock(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    off = _off_s(facts).get(name)
    if off is None:
        return Finding("its API server sends no date", unknown=True)
    if abs(off) <= _GRACE_S:
        return Finding("within two minutes")
    seen = _told(off)
    problem = Problem(
        code=Code.CLOCK_SKEW,
        message=f"the clock of {name} is not that of the others",
        seen=f"{seen}, by its API server's own word",
        expected="within two minutes: istiod backdates what it signs by so much",
        hint=Advice(f"set the clocks of the nodes of {name} right: have them follow a time server"),
    )
    return Finding(seen, problem)


def _here(facts: Facts, _target: Target) -> Finding:
    ahead = [found.ahead_s for found in facts.observed.values() if found.ahead_s is not None]
    if not ahead or abs(median(ahead)) <= _GRACE_S:
        return Finding("within two minutes")
    seen = _told(-median(ahead))
    problem = Problem(
        code=Code.CLOCK_SKEW,
        message="the clock of this machine is not that of the clusters",
        seen=seen,
        expected="within two minutes: what istio-mc issues may not be valid yet in the clusters",
        hint=Advice("set the clock of this machine right: have it follow a time server"),
    )
    return Finding(seen, problem)


def _told(seconds: float) -> str:
    return f"{timedelta(seconds=round(abs(seconds)))} {'ahead' if seconds > 0 else 'behind'}"


CHECKS = (
    Check(
        id=CLOCK,
        topic="trust",
        title="the cluster's clock is that of the others",
        looks_at=(
            "the time that the API server puts on its answers, beside those of the others and of this machine"
        ),
        usual_cause="the nodes follow no time server",
        fix="set the clocks of the nodes right, and have them follow a time server",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_clock,
        needs=(REACHABLE,),
        docs="troubleshooting.md#clock-skew",
    ),
    Check(
        id="trust.clock-here",
        topic="trust",
        title="this machine's clock is that of the clusters",
        looks_at="the same times",
        usual_cause="this machine follows no time server",
        fix="set the clock of this machine right",
        severity=Severity.WARNING,
        scope=Scope.MESH,
        ask=_here,
        needs=(REACHABLE,),
        docs="troubleshooting.md#clock-skew",
    ),
)
