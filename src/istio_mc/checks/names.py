"""Names: cluster IDs and networks are unique, and everywhere the same."""

from __future__ import annotations

from istio_mc.checks import hints
from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain import objects
from istio_mc.domain.mesh import NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem

IDENTITY = "names.identity"
CLUSTER_ID = "names.cluster-id"
NETWORK = "names.network"


def _identity(facts: Facts, _target: Target) -> Finding:
    if facts.identity_faults:
        first = facts.identity_faults[0]
        return Finding(first.seen or first.message, first)
    told = ", ".join(f"{cluster.cluster_id} on {cluster.network}" for cluster in facts.clusters.values())
    return Finding(told)


def _cluster_id(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    wanted = facts.clusters[name].cluster_id
    istiod = facts.observed[name].find(objects.DEPLOYMENT, facts.mesh.istiod)
    live = objects.environment(istiod).get("CLUSTER_ID")
    if live in (wanted, None):
        return Finding(wanted)
    problem = Problem(
        code="cluster-id-differs",
        message=f"istiod of {name} runs under another cluster ID than the others know {name} by",
        seen=f"CLUSTER_ID={live}",
        expected=f"CLUSTER_ID={wanted}",
        hint=hints.install(facts),
    )
    return Finding(str(live), problem)


def _network(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    wanted = facts.clusters[name].network
    live = facts.observed[name].labels.get(NETWORK_LABEL)
    if live == wanted:
        return Finding(wanted)
    problem = Problem(
        code="network-label-missing" if live is None else "network-label-differs",
        message=f"namespace {SYSTEM_NAMESPACE} of {name} does not say on which network {name} is: "
        "istiod takes its pods for neighbours of every other cluster's",
        seen=f"label {NETWORK_LABEL} is {live or 'absent'}",
        expected=f"{NETWORK_LABEL}={wanted}",
        hint=hints.install(facts),
    )
    return Finding(live or "absent", problem)


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
    Check(
        id=CLUSTER_ID,
        topic="names",
        description="istiod runs under the cluster's ID",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_cluster_id,
        needs=(REACHABLE,),
        docs="troubleshooting.md#cluster-id-differs",
    ),
    Check(
        id=NETWORK,
        topic="names",
        description="the namespace istio-system says which network the cluster is on",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_network,
        needs=(REACHABLE,),
        because=(IDENTITY,),
        docs="troubleshooting.md#network-label-missing",
    ),
)
