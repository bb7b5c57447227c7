"""Access checks: API servers are reachable, and clocks agree."""

from __future__ import annotations

from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.model import (
    OBSERVED,
    REACHABLE,
    Check,
    Facts,
    Finding,
    Observation,
    Scope,
    Severity,
    Target,
)
from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import terminating
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from datetime import datetime

NAMESPACE, INSTALLED = "access.namespace", "access.installed"
NO_NAMESPACE = (NAMESPACE, INSTALLED)
"""What explains that nothing of an install is found in a cluster."""


def _reachable(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    if problems := facts.unreachable.get(name):
        return Finding(problems[0].seen or problems[0].message, problems[0])
    return Finding(facts.observed[name].version)


_HAVE_OWN_CHECK = frozenset({Observation.DEEP, Observation.CLUSTERZ})


def _observed(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    missed = {o: facts.failed(o, name) for o in Observation if o not in _HAVE_OWN_CHECK}
    problems = [problem for several in missed.values() for problem in several]
    if not problems:
        return Finding("")
    return Finding(", ".join(o.value for o, several in missed.items() if several), problems[0])


def _namespace(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    namespace = facts.observed[name].find(objects.NAMESPACE, SYSTEM_NAMESPACE)
    problem = terminating(name, namespace)
    return Finding(
        "is being deleted" if problem else "Active" if namespace else "does not exist yet", problem
    )


def _installed(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    if facts.observed[name].find(objects.NAMESPACE, SYSTEM_NAMESPACE):
        return Finding("")
    missing = f"no namespace {SYSTEM_NAMESPACE}"
    problem = Problem(
        code=Code.NOT_INSTALLED,
        cluster=name,
        message=f"Istio is not installed in {name}",
        seen=missing,
        expected=f"namespace {SYSTEM_NAMESPACE} as install writes it",
        hint=hints.install(facts),
    )
    return Finding(missing, problem)


CHECKS = (
    Check(
        id=REACHABLE,
        needs=(),
        title="API server",
        passes="API server reachable",
        looks_at="the responses of the API server to the user of this kubeconfig",
        usual_cause="the VPN is down, the credential has expired, or the user may not read `istio-system`",
        fix=f"`{istio_mc('contexts')}` reports the fault of each cluster",
        evaluate=_reachable,
        docs="troubleshooting.md#cluster-unreachable",
    ),
    Check(
        id=OBSERVED,
        title="required objects",
        passes="all required objects could be read",
        looks_at="whether everything that the other checks need could be read in time",
        usual_cause="a slow cluster, or a permission that this user lacks",
        fix=f"try again; `{istio_mc('verify', '--verbose')}` logs every request and its duration",
        evaluate=_observed,
        docs="troubleshooting.md#no-answer-in-time",
    ),
    Check(
        id=NAMESPACE,
        title="namespace istio-system",
        passes="Namespace istio-system is not being deleted",
        looks_at="the deletionTimestamp and the conditions of the namespace `istio-system`",
        usual_cause="someone deleted the namespace; a finalizer or an API that does not respond blocks the "
        "deletion",
        fix=(
            f"`{kubectl('CONTEXT', 'get', 'namespace', 'istio-system', '-o', 'yaml')}` shows what "
            f"blocks it; then {hints.INSTALL}"
        ),
        evaluate=_namespace,
        docs="troubleshooting.md#namespace-terminating",
    ),
)

AFTER_AN_INSTALL = (
    Check(
        id=INSTALLED,
        title="installation",
        passes=f"Namespace {SYSTEM_NAMESPACE} exists",
        looks_at="whether the cluster has a namespace `istio-system`",
        usual_cause="the cluster is new in mesh.yaml or `--contexts`, or `uninstall` has removed its Istio",
        fix=f"{hints.INSTALL}, or leave the cluster out",
        evaluate=_installed,
        docs="troubleshooting.md#not-installed",
    ),
)


CLOCK = "trust.clock"

_GRACE_S = 120.0
"""istiod backdates what it signs by two minutes (security/pkg/pki/util/generate_cert.go, Istio 1.26.0)."""


def moment(facts: Facts, name: str) -> datetime | None:
    """The current time by a cluster's own clock; None: dates are not checked."""
    if facts.now is None:
        return None
    return facts.now + timedelta(seconds=facts.observed[name].ahead_s or 0.0)


def _off_s(facts: Facts) -> dict[str, float]:
    """The offset of each cluster's clock from the median of all clocks, including this machine's."""
    ahead = {name: cluster.ahead_s for name, cluster in facts.observed.items() if cluster.ahead_s is not None}
    middle = median([0.0, *ahead.values()])
    return {name: seconds - middle for name, seconds in ahead.items()}


def _clock(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    off = _off_s(facts).get(name)
    if off is None:
        return Finding("the API server sends no Date header", unknown=True)
    if abs(off) <= _GRACE_S:
        return Finding("less than 2 minutes apart")
    seen = _offset(off)
    problem = Problem(
        code=Code.CLOCK_SKEW,
        message="cluster clock differs from the other clusters",
        seen=f"{seen}, by the Date header of its API server",
        expected="within 2 minutes: istiod backdates certificates by that much",
        hint=Advice(f"synchronize the clocks of the nodes of {name} with an NTP server"),
    )
    return Finding(seen, problem)


def _here(facts: Facts, _target: Target) -> Finding:
    ahead = [cluster.ahead_s for cluster in facts.observed.values() if cluster.ahead_s is not None]
    if not ahead or abs(median(ahead)) <= _GRACE_S:
        return Finding("less than 2 minutes apart")
    seen = _offset(-median(ahead))
    problem = Problem(
        code=Code.CLOCK_SKEW,
        message="clock of this machine differs from the clusters",
        seen=seen,
        expected="within 2 minutes: certificates that istio-mc issues may not be valid yet in the clusters",
        hint=Advice("synchronize the clock of this machine with an NTP server"),
    )
    return Finding(seen, problem)


def _offset(seconds: float) -> str:
    return f"{timedelta(seconds=round(abs(seconds)))} {'ahead' if seconds > 0 else 'behind'}"


CLOCKS = (
    Check(
        id=CLOCK,
        title="cluster clock",
        passes="cluster clock agrees with the other clusters",
        looks_at=(
            "the Date headers of the API servers, compared with each other and with the clock of this machine"
        ),
        usual_cause="the nodes do not use an NTP server",
        fix="synchronize the clocks of the nodes with an NTP server",
        evaluate=_clock,
        docs="troubleshooting.md#clock-skew",
    ),
    Check(
        id="trust.clock-here",
        title="clock of this machine",
        passes="clock of this machine agrees with the clusters",
        looks_at="the same Date headers",
        usual_cause="this machine does not use an NTP server",
        fix="synchronize the clock of this machine with an NTP server",
        severity=Severity.WARNING,
        scope=Scope.MESH,
        evaluate=_here,
        docs="troubleshooting.md#clock-skew",
    ),
)
