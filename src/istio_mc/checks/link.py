"""Link: every istiod sees every other cluster."""

from __future__ import annotations

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.control_plane import ISTIOD
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.names import remote_secret_name
from istio_mc.domain.problem import Problem

ASKED = "link.asked"
SECRET = "link.secret"  # noqa: S105 - a check's id


def _asked(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    if problems := facts.failed(Observation.CLUSTERZ, name):
        return Finding(problems[0].seen or problems[0].message, problems[0])
    pods = facts.seen.get(name) or {}
    if pods:
        return Finding(f"{len(pods)} istiod" + ("s" if len(pods) > 1 else ""))
    problem = Problem(
        code="no-istiod",
        message=f"no istiod runs in {name}",
        seen="no pod with label app=istiod in phase Running",
        expected="at least one",
        hint=f"kubectl --context {name} -n {SYSTEM_NAMESPACE} get pods -l app=istiod",
    )
    return Finding("no istiod runs", problem)


def _secret(facts: Facts, target: Target) -> Finding:
    name, peer = str(target.cluster), str(target.peer)
    wanted = remote_secret_name(facts.clusters[peer].cluster_id)
    if facts.observed[name].find(objects.SECRET, wanted):
        return Finding(wanted)
    problem = Problem(
        code="remote-secret-missing",
        message=f"{name} has no remote secret of {peer}",
        seen=f"no Secret {SYSTEM_NAMESPACE}/{wanted}",
        expected="one, as link writes it",
        hint=f"istio-mc link --contexts {','.join(facts.clusters)}",
    )
    return Finding("missing", problem)


def _synced(facts: Facts, target: Target) -> Finding:
    name, peer = str(target.cluster), str(target.peer)
    cluster_id = facts.clusters[peer].cluster_id
    status = {
        pod: next((row.status for row in rows if row.cluster_id == cluster_id), "absent")
        for pod, rows in facts.seen[name].items()
    }
    bad = {pod: found for pod, found in status.items() if found != "synced"}
    if not bad:
        return Finding("synced")
    problem = Problem(
        code="not-synced",
        message=f"istiod of {name} does not see {peer} as synced",
        seen="; ".join(f"{pod}: {found}" for pod, found in bad.items()),
        expected="synced",
        hint=f"kubectl --context {name} -n {SYSTEM_NAMESPACE} logs {next(iter(bad))} | grep {cluster_id}",
    )
    return Finding(", ".join(sorted(set(bad.values()))), problem)


CHECKS = (
    Check(
        id=ASKED,
        topic="link",
        description="every istiod tells which remote clusters it sees",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_asked,
        needs=(REACHABLE, ISTIOD),
        reads=(Observation.CLUSTERZ,),
        tells_failures=True,
        docs="troubleshooting.md#stream-failed",
    ),
    Check(
        id=SECRET,
        topic="link",
        description="every cluster holds a remote secret of every other",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_secret,
        needs=(REACHABLE,),
        docs="troubleshooting.md#remote-secret-missing",
    ),
    Check(
        id="link.synced",
        topic="link",
        description="every istiod has synced every other cluster (its first sync; istiod tells no more)",
        severity=Severity.ERROR,
        scope=Scope.PAIR,
        ask=_synced,
        needs=(ASKED, SECRET),
        reads=(Observation.CLUSTERZ,),
        docs="troubleshooting.md#not-synced",
    ),
)
