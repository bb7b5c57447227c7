"""Access: every cluster answers."""

from __future__ import annotations

from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target

REACHABLE = "access.reachable"


def _reachable(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    if problems := facts.unreachable.get(name):
        return Finding(problems[0].seen or problems[0].message, problems[0])
    return Finding(facts.observed[name].version)


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
)
