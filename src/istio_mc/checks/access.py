"""Access: every cluster answers, and its clock is that of the others."""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from datetime import datetime

from istio_mc.checks import hints
from istio_mc.checks.model import OBSERVED, Observation
from istio_mc.domain.hint import istio_mc, kubectl
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import terminating
from istio_mc.domain.mesh import SYSTEM_NAMESPACE

REACHABLE = "access.reachable"
NAMESPACE = "access.namespace"


def _reachable(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    if problems := facts.unreachable.get(name):
        return Finding(problems[0].seen or problems[0].message, problems[0])
    return Finding(facts.observed[name].version)


_TOLD_ELSEWHERE = frozenset({Observation.DEEP, Observation.CLUSTERZ})


def _observed(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    missed = {o: facts.failed(o, name) for o in Observation if o not in _TOLD_ELSEWHERE}
    problems = [problem for found in missed.values() for problem in found]
    if not problems:
        return Finding("all that was asked")
    return Finding(", ".join(o.value for o, found in missed.items() if found), problems[0])


def _namespace(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    namespace = facts.observed[name].find(objects.NAMESPACE, SYSTEM_NAMESPACE)
    problem = terminating(name, namespace)
    return Finding("is being deleted" if problem else "Active" if namespace else "not there yet", problem)


CHECKS = (
    Check(
        id=REACHABLE,
        topic="access",
        title="the API server answers, and lets us read istio-system",
        looks_at="the answers of the API server to this kubeconfig's user",
        usual_cause="the VPN is down, the credential has expired, or the user may not read `istio-system`",
        fix=f"`{istio_mc('contexts')}` tells the fault of each cluster",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_reachable,
        docs="troubleshooting.md#cluster-unreachable",
    ),
    Check(
        id=OBSERVED,
        topic="access",
        title="the cluster tells all that the checks look at",
        looks_at="whether all that the other checks look at came in time",
        usual_cause="a slow cluster, or a right that this user lacks",
        fix=f"ask again; `{istio_mc('verify', '--verbose')}` tells every call and how long it took",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_observed,
        needs=(REACHABLE,),
        docs="troubleshooting.md#no-answer-in-time",
    ),
    Check(
        id=NAMESPACE,
        topic="access",
        title="namespace istio-system is not being deleted",
        looks_at="the deletionTimestamp and the conditions of the namespace `istio-system`",
        usual_cause="someone deleted the namespace; a finalizer or an API that does not respond keeps it",
        fix=(
            f"`{kubectl('CONTEXT', 'get', 'namespace', 'istio-system', '-o', 'yaml')}` shows what it "
            f"waits for; then {hints.INSTALL}"
        ),
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_namespace,
        needs=(REACHABLE,),
        docs="troubleshooting.md#namespace-terminating",
    ),
)


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


CLOCKS = (
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
