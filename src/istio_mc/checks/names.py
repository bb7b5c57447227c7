"""Names: cluster IDs and networks are unique, and everywhere the same."""

from __future__ import annotations

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target

IDENTITY = "names.identity"


def _identity(facts: Facts, _target: Target) -> Finding:
    if facts.identity_faults:
        first = facts.identity_faults[0]
        return Finding(first.seen or first.message, first)
    told = ", ".join(f"{cluster.cluster_id} on {cluster.network}" for cluster in facts.clusters.values())
    return Finding(told)


CHECKS = (
    Check(
        id=IDENTITY,
        topic="names",
        description="every cluster has a cluster ID and a network of its own, as mesh.yaml has them",
        severity=Severity.ERROR,
        scope=Scope.MESH,
        ask=_identity,
        needs=(REACHABLE,),
        docs="usage.md#identity",
    ),
)
