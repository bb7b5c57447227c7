"""Gateway: the other clusters know where to send, and it lets them through."""

from __future__ import annotations

from istio_mc.checks.access import REACHABLE
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain import address, documents, objects
from istio_mc.domain.compare import differences
from istio_mc.domain.istiod import gateway_addresses
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem

ADDRESS = "gateway.address"


def _address(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    found = gateway_addresses(facts.observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY))
    if found:
        return Finding(", ".join(found))
    standing = address.standing(name, facts.clusters[name], address.kubernetes_gateways(facts.observed))
    where = ", ".join(dict.fromkeys(one.context for one in standing))
    if address.stands_everywhere(standing, facts.observed.keys() - {name}):
        return Finding(f"{', '.join(address.unique(standing))} (istio-remote Gateway in {where})")
    problem = Problem(
        code="gateway-address-pending",
        message=f"the gateway of {name} has no address",
        seen="no LoadBalancer address, no externalIPs, "
        + (f"an istio-remote Gateway only in {where}" if standing else "no istio-remote Gateway"),
        expected="an IP or hostname that the other clusters reach",
        hint=f"istio-mc address --set {name}=ADDRESS",
    )
    return Finding("pending", problem)


def _exposed(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    found = differences([documents.cross_network_gateway()], facts.observed[name].objects)
    if not found:
        return Finding("AUTO_PASSTHROUGH on 15443")
    problem = Problem(
        code="not-exposed",
        message=f"the services of {name} are not open to the other networks",
        seen="; ".join(str(difference) for difference in found),
        expected=f"Gateway {SYSTEM_NAMESPACE}/cross-network-gateway as install writes it",
        hint=f"istio-mc install --contexts {','.join(facts.clusters)}",
    )
    return Finding("missing or changed", problem)


CHECKS = (
    Check(
        id=ADDRESS,
        topic="gateway",
        description="the gateway's Service has an address that istiod gives to the other clusters",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_address,
        needs=(REACHABLE,),
        docs="address.md#three-ways",
    ),
    Check(
        id="gateway.exposed",
        topic="gateway",
        description="the Gateway resource passes every service of the cluster through on 15443",
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_exposed,
        needs=(REACHABLE,),
        docs="troubleshooting.md#not-exposed",
    ),
)
