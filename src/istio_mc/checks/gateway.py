"""Gateway: the other clusters know where to send, and it lets them through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks import hints, identity
from istio_mc.checks.access import NAMESPACE, REACHABLE
from istio_mc.checks.control_plane import GATEWAY
from istio_mc.checks.identity import IDENTITY
from istio_mc.checks.model import Check, Facts, Finding, Scope, Severity, Target
from istio_mc.domain.codes import Code
from istio_mc.domain.gateway import address
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.hosts import is_loopback
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.istiod import gateway_addresses
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT, STATUS_PORT
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.diff import differences
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Collection

ADDRESS = "gateway.address"
SERVICE = "gateway.service"
NETWORK = "gateway.network"
PORTS = "gateway.ports"
EXPOSED = "gateway.exposed"
_NEEDED_PORTS = (CROSS_NETWORK_PORT, STATUS_PORT)


def _service(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    if facts.observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY):
        return Finding(f"Service {EAST_WEST_GATEWAY}")
    problem = Problem(
        code=Code.GATEWAY_SERVICE_MISSING,
        message=f"{name} has no Service for its east-west gateway",
        seen=f"no Service {SYSTEM_NAMESPACE}/{EAST_WEST_GATEWAY}",
        expected="one, of type LoadBalancer",
        hint=hints.install(facts),
    )
    return Finding("missing", problem)


def _address(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    found = gateway_addresses(facts.observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY))
    if found:
        return _for_us_only(name, found) or Finding(", ".join(found))
    standing = address.standing(name, facts.clusters[name], address.kubernetes_gateways(facts.observed))
    where = ", ".join(dict.fromkeys(one.context for one in standing))
    if address.stands_everywhere(standing, facts.observed.keys() - {name}):
        addresses = address.unique(standing)
        told = f"{', '.join(addresses)} (istio-remote Gateway in {where})"
        return _for_us_only(name, addresses) or Finding(told)
    problem = Problem(
        code=Code.GATEWAY_ADDRESS_PENDING,
        message=f"the gateway of {name} has no address",
        seen="no LoadBalancer address, no externalIPs, "
        + (f"an istio-remote Gateway only in {where}" if standing else "no istio-remote Gateway"),
        expected="an IP or hostname that the other clusters reach",
        hint=hints.install(facts)
        if facts.clusters[name].gateway_addresses
        else Advice(istio_mc("address", "--set", f"{name}=ADDRESS")),
    )
    return Finding("pending", problem)


def _for_us_only(name: str, addresses: Collection[str]) -> Finding | None:
    """The finding of an address that means whoever reads it, such as Docker Desktop's `localhost`."""
    loopback = [one for one in addresses if is_loopback(one)]
    if not loopback:
        return None
    problem = Problem(
        code=Code.GATEWAY_ADDRESS_FOR_US_ONLY,
        message=f"the other clusters cannot reach the gateway of {name} at its address",
        seen=f"{', '.join(loopback)}, which means the machine that reads it",
        expected="an IP or hostname that the other clusters reach",
        hint=Advice(istio_mc("address", "--set", f"{name}=ADDRESS")),
    )
    return Finding(", ".join(loopback), problem)


def _ports(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    service = facts.observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY)
    live = {port["port"] for port in (service or {}).get("spec", {}).get("ports") or []}
    missing = [port for port in _NEEDED_PORTS if port not in live]
    if not missing:
        return Finding(", ".join(map(str, _NEEDED_PORTS)))
    problem = Problem(
        code=Code.GATEWAY_PORTS_MISSING,
        message=f"the gateway's Service of {name} does not open the ports that other clusters call",
        seen=f"ports {', '.join(map(str, sorted(live))) or 'none'}",
        expected=f"among them {', '.join(map(str, _NEEDED_PORTS))}",
        hint=hints.install(facts),
    )
    return Finding(f"without {', '.join(map(str, missing))}", problem)


def _network(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    wanted = facts.clusters[name].network
    service = facts.observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY)
    gateway = facts.observed[name].find(objects.DEPLOYMENT, EAST_WEST_GATEWAY)
    pods = labels_of((gateway or {}).get("spec", {}).get("template"))
    live = {
        f"label {NETWORK_LABEL} of the Service": labels_of(service).get(NETWORK_LABEL),
        f"label {NETWORK_LABEL} of its pods": pods.get(NETWORK_LABEL),
        "its ISTIO_META_REQUESTED_NETWORK_VIEW": objects.environment(gateway).get(
            "ISTIO_META_REQUESTED_NETWORK_VIEW"
        ),
    }
    wrong = {what: value for what, value in live.items() if value != wanted}
    if not wrong:
        return Finding(wanted)
    problem = Problem(
        code=Code.GATEWAY_NETWORK_DIFFERS,
        message=f"the east-west gateway of {name} does not stand for the network of {name}",
        seen="; ".join(f"{what} is {value or 'absent'}" for what, value in wrong.items()),
        expected=f"{wanted} in each",
        hint=hints.install(facts),
    )
    explaining = {identity.NETWORK, GATEWAY} | (
        {IDENTITY} if name in identity.networks_at_odds(facts) else set()
    )
    told = ", ".join(str(value or "absent") for value in wrong.values())
    return Finding(told, problem, parts=frozenset({frozenset(explaining)}))


def _exposed(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    found = differences([documents.cross_network_gateway()], facts.observed[name].objects)
    if not found:
        return Finding("AUTO_PASSTHROUGH on 15443")
    problem = Problem(
        code=Code.NOT_EXPOSED,
        message=f"the services of {name} are not open to the other networks",
        seen="; ".join(str(difference) for difference in found),
        expected=f"Gateway {SYSTEM_NAMESPACE}/cross-network-gateway as install writes it",
        hint=hints.install(facts),
    )
    return Finding("missing or changed", problem)


CHECKS = (
    Check(
        id=SERVICE,
        topic="gateway",
        title="the east-west gateway has a Service",
        looks_at="the Service `istio-ingressgateway`",
        usual_cause="it was deleted, or Istio was installed without the gateway",
        fix=hints.INSTALL,
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_service,
        needs=(REACHABLE,),
        because=(NAMESPACE,),
        docs="troubleshooting.md#gateway-service-missing",
    ),
    Check(
        id=ADDRESS,
        topic="gateway",
        title="the gateway's Service has an address that istiod gives to the other clusters",
        looks_at="the Service's LoadBalancer status and `externalIPs`, and Gateways of class `istio-remote`",
        usual_cause="the cluster has no load balancer controller, or its quota is used up",
        fix=hints.ADDRESS,
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_address,
        needs=(SERVICE,),
        docs="address.md#three-ways",
    ),
    Check(
        id=PORTS,
        topic="gateway",
        title="the gateway's Service opens 15443 for the other clusters, and 15021 for health checks",
        looks_at="the ports of that Service",
        usual_cause="somebody took the Service over for ingress alone",
        fix=hints.INSTALL,
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_ports,
        needs=(SERVICE,),
        docs="troubleshooting.md#gateway-ports-missing",
    ),
    Check(
        id=NETWORK,
        topic="gateway",
        title="the east-west gateway stands for the cluster's network, and for no other",
        looks_at="the network in the Service's label, in that of its pods, and in the gateway's network view",
        usual_cause=(
            "the gateway was installed by hand: without the view it also forwards to the other gateways"
        ),
        fix=hints.INSTALL,
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_network,
        needs=(SERVICE,),
        because=(IDENTITY, identity.NETWORK, GATEWAY),
        docs="troubleshooting.md#gateway-network-differs",
    ),
    Check(
        id=EXPOSED,
        topic="gateway",
        title="the Gateway resource passes every service of the cluster through on 15443",
        looks_at="the Gateway `cross-network-gateway`",
        usual_cause="it was deleted, or its selector or hosts were changed",
        fix=hints.INSTALL,
        severity=Severity.ERROR,
        scope=Scope.CLUSTER,
        ask=_exposed,
        needs=(REACHABLE,),
        because=(NAMESPACE,),
        docs="troubleshooting.md#not-exposed",
    ),
)
