"""Names of API servers and gateways lead to their clusters, and not to the machine that looks them up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.problem import Problem
from istio_mc.domain.this_machine import Use

if TYPE_CHECKING:
    from istio_mc.domain.this_machine import Here

NAMES = "names.this-machine"


def _elsewhere(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    found = [one for one in facts.here.get(name, ()) if not _is_disproved(facts, name, one)]
    if not found:
        return Finding("none")
    first, *_ = found
    where = f"{name}=https://ADDRESS:6443" if first.name.use is Use.API_SERVER else f"{name}=ADDRESS"
    fix = (
        istio_mc("link", "--api-server", where, contexts=facts.clusters)
        if first.name.use is Use.API_SERVER
        else istio_mc("address", "--set", where)
    )
    problem = Problem(
        code=Code.NAME_OF_THIS_MACHINE,
        message=f"the {first.name.use} name of {name} leads to this machine",
        seen="; ".join(one.why for one in found),
        expected=f"a name that leads to {name} from every cluster",
        hint=Advice("where it does not lead there from the other clusters: ", fix),
    )
    return Finding("; ".join(one.why for one in found), problem)


def _is_disproved(facts: Facts, name: str, here: Here) -> bool:
    """Whether the name leads to the cluster from all others, for their istiods have read it at that name."""
    cluster_id = facts.clusters[name].cluster_id
    rows = [row for peer, seen in facts.seen.items() if peer != name for pod in seen.values() for row in pod]
    status = [row.status for row in rows if row.cluster_id == cluster_id]
    return here.name.use is Use.API_SERVER and bool(status) and set(status) == {"synced"}


CHECKS = (
    Check(
        id=NAMES,
        topic="names",
        title="no name of an API server or a gateway leads to this machine",
        looks_at="what those names resolve to here, and the name of this machine",
        usual_cause="a tunnel or an entry in /etc/hosts leads the name to 127.0.0.1",
        fix=f"`{istio_mc('link', '--api-server', 'CONTEXT=https://ADDRESS')}`, or another gateway address",
        severity=Severity.WARNING,
        scope=Scope.CLUSTER,
        ask=_elsewhere,
        needs=(REACHABLE,),
        reads=(Observation.NAMES,),
        docs="troubleshooting.md#names-this-machine",
    ),
)
