"""Access: every cluster answers."""

from __future__ import annotations

from istio_mc.checks import hints
from istio_mc.checks.model import OBSERVED, Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain.hint import istio_mc, kubectl
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
