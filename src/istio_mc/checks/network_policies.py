"""Network policies: those of istio-system let in what istiod and the gateway are called for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT, STATUS_PORT
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.network_policies import closed_ports
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

POLICIES = "control-plane.network-policies"

_ISTIOD_PORTS = (15012, 15017)
"""Of istiod: what proxies call it by, and what API servers do."""


def _closed(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    found = facts.observed[name]
    policies = found.of(objects.NETWORK_POLICY)
    called = {facts.mesh.istiod: _ISTIOD_PORTS, EAST_WEST_GATEWAY: (CROSS_NETWORK_PORT, STATUS_PORT)}
    closed = [
        f"{port} of Deployment {deployment}, closed by {', '.join(f'NetworkPolicy {one}' for one in names)}"
        for deployment, ports in called.items()
        if (live := found.find(objects.DEPLOYMENT, deployment))
        for port, names in closed_ports(policies, _labels(live), ports).items()
    ]
    if not closed:
        return Finding("none closes a port that is needed" if policies else "no NetworkPolicy")
    problem = Problem(
        code=Code.PORTS_CLOSED,
        message=f"NetworkPolicies of {name} close ports that the mesh needs",
        seen="; ".join(closed),
        expected="15443 and 15021 of the gateway, 15012 and 15017 of istiod let in",
        hint=Advice(
            "add a rule for these ports, or remove the policy: ",
            kubectl(name, "-n", SYSTEM_NAMESPACE, "get", "networkpolicies", "-o", "yaml"),
        ),
    )
    return Finding("; ".join(closed), problem)


def _labels(deployment: objects.Object) -> Mapping[str, str]:
    return objects.labels_of(deployment["spec"].get("template"))


CHECKS = (
    Check(
        id=POLICIES,
        topic="control-plane",
        title="ports that NetworkPolicies of istio-system close",
        looks_at=(
            "the NetworkPolicies of `istio-system`, and the ports by which istiod and the gateway are called"
        ),
        usual_cause=(
            "a gateway's chart with `global.networkPolicy.enabled`, or a policy that denies by default"
        ),
        fix="add a rule for the ports that are named",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_closed,
        needs=(REACHABLE,),
        docs="troubleshooting.md#ports-closed",
    ),
)
