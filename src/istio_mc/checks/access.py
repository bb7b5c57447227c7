"""Access: every cluster answers."""

from __future__ import annotations

from istio_mc.checks.model import OBSERVED, Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.terminating import terminating
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
        description="the API server answers, and lets us read istio-system",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_reachable,
        docs="troubleshooting.md#cluster-unreachable",
    ),
    Check(
        id=OBSERVED,
        topic="access",
        description="the cluster tells all that the checks look at",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_observed,
        needs=(REACHABLE,),
        docs="troubleshooting.md#no-answer-in-time",
    ),
    Check(
        id=NAMESPACE,
        topic="access",
        description="namespace istio-system is not being deleted",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_namespace,
        needs=(REACHABLE,),
        docs="troubleshooting.md#namespace-terminating",
    ),
)
