"""Gateway checks: each has an address and ports for the other clusters, and exposes the services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks import hints, identity
from istio_mc.checks.access import NO_NAMESPACE
from istio_mc.checks.control_plane import GATEWAY
from istio_mc.checks.identity import IDENTITY
from istio_mc.checks.model import Check, Facts, Finding, Observation, Severity, Target, cached
from istio_mc.domain.gateway import address
from istio_mc.domain.gateway.host_names import users_of_addresses
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.hosts import is_loopback
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.istiod import gateway_addresses
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT, STATUS_PORT
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.diff import differences
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few, plural
from istio_mc.domain.trace.sources import Configuration

if TYPE_CHECKING:
    from collections.abc import Collection

ADDRESS = "gateway.address"
SERVICE = "gateway.service"
NETWORK = "gateway.network"
PORTS = "gateway.ports"
EXPOSED = "gateway.exposed"
HOST_NAMES = "gateway.host-names"
_SHOWN = 3
_NEEDED_PORTS = (CROSS_NETWORK_PORT, STATUS_PORT)


def _service(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    if facts.observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY):
        return Finding("")
    problem = Problem(
        code=Code.GATEWAY_SERVICE_MISSING,
        message="east-west gateway has no Service",
        seen=f"no Service {SYSTEM_NAMESPACE}/{EAST_WEST_GATEWAY}",
        expected="a Service of type LoadBalancer",
        hint=hints.install(facts),
    )
    return Finding("missing", problem)


def _address(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    gateway_ips = gateway_addresses(facts.observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY))
    if gateway_ips:
        return _loopback(name, gateway_ips) or Finding(", ".join(gateway_ips))
    standing = address.remote_gateways(
        name, facts.clusters[name], address.kubernetes_gateways(facts.observed)
    )
    where = ", ".join(dict.fromkeys(one.context for one in standing))
    if address.is_everywhere(standing, facts.observed.keys() - {name}):
        addresses = address.unique(standing)
        shown = f"{', '.join(addresses)} (istio-remote Gateway in {where})"
        return _loopback(name, addresses) or Finding(shown)
    problem = Problem(
        code=Code.GATEWAY_ADDRESS_PENDING,
        message="gateway has no address",
        seen="no LoadBalancer address, no externalIPs, "
        + (f"an istio-remote Gateway only in {where}" if standing else "no istio-remote Gateway"),
        expected="an IP address or hostname that is reachable from the other clusters",
        hint=hints.install(facts)
        if facts.clusters[name].gateway_addresses
        else Advice(istio_mc("address", "--set", f"{name}=ADDRESS")),
    )
    return Finding("pending", problem)


def _loopback(name: str, addresses: Collection[str]) -> Finding | None:
    """The failed Finding of a loopback address, such as Docker Desktop's `localhost`; else None."""
    loopback = [one for one in addresses if is_loopback(one)]
    if not loopback:
        return None
    problem = Problem(
        code=Code.GATEWAY_ADDRESS_FOR_US_ONLY,
        message="gateway has a loopback address: not reachable from the other clusters",
        seen=", ".join(loopback),
        expected="an IP address or hostname that is reachable from the other clusters",
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
        message="gateway Service lacks required ports",
        seen=f"ports {', '.join(map(str, sorted(live))) or 'none'}",
        expected=f"ports {', '.join(map(str, _NEEDED_PORTS))}",
        hint=hints.install(facts),
    )
    return Finding(f"{', '.join(map(str, missing))} missing", problem)


def _network(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    desired = facts.clusters[name].network
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
    wrong = {what: value for what, value in live.items() if value != desired}
    if not wrong:
        return Finding(desired)
    problem = Problem(
        code=Code.GATEWAY_NETWORK_DIFFERS,
        message="east-west gateway is not configured for its own network",
        seen="; ".join(f"{what} is {value or 'absent'}" for what, value in wrong.items()),
        expected=f"{desired} for all of them",
        hint=hints.install(facts),
    )
    explaining = {identity.NETWORK, GATEWAY} | (
        {IDENTITY} if name in identity.conflicting_networks(facts) else set()
    )
    seen = ", ".join(str(value or "absent") for value in wrong.values())
    return Finding(seen, problem, parts=frozenset({frozenset(explaining)}))


def _exposed(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    changes = differences([documents.cross_network_gateway()], facts.observed[name].objects)
    if not changes:
        return Finding("AUTO_PASSTHROUGH on 15443")
    problem = Problem(
        code=Code.NOT_EXPOSED,
        message="services are not exposed to the other networks",
        seen="; ".join(str(difference) for difference in changes),
        expected=f"Gateway {SYSTEM_NAMESPACE}/cross-network-gateway as install writes it",
        hint=hints.install(facts),
    )
    return Finding("missing or changed", problem)


def _host_names(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    read = facts.configuration.get(name, Configuration())
    found = users_of_addresses(read.config.gateways, read.config.virtual_services, read.ingresses or ())
    gone = {one: hosts for one, hosts in found.items() if one not in _known_addresses(facts)}
    if not gone:
        return Finding(", ".join(found))
    own = gateway_addresses(facts.observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY))
    if facts.unreachable:
        return Finding("the addresses of an unreachable cluster are unknown", unknown=True)
    if hosts := [one for one in own if not address.is_ip(one)]:
        return Finding(f"the gateway has a host name: {hosts[0]}", unknown=True)
    used = [f"{host}: {few(users, _SHOWN)}" for hosts_of in gone.values() for host, users in hosts_of.items()]
    problem = Problem(
        code=Code.HOST_NAME_OUTDATED,
        message="host names contain an address that no gateway has",
        seen=few(used, _SHOWN, "; "),
        expected=f"the address of the gateway: {', '.join(own) or 'none yet'}",
        hint=Advice(
            "replace the address in these host names, or give it to the gateway again: ",
            istio_mc("address", "--set", f"{name}={next(iter(gone))}"),
        ),
    )
    return Finding(plural(len(used), "host name"), problem)


@cached
def _known_addresses(facts: Facts) -> frozenset[str]:
    """Every address of a LoadBalancer or a gateway of the mesh."""
    services = [one for read in facts.services.values() for one in read.objects]
    of_services = [one for service in services for one in gateway_addresses(service)]
    of_gateways = [
        one
        for name, cluster in facts.clusters.items()
        for one in address.used_addresses(name, cluster, facts.observed)
    ]
    return frozenset({*of_services, *of_gateways})


CHECKS = (
    Check(
        id=SERVICE,
        title="east-west gateway Service",
        passes="east-west gateway has a Service",
        looks_at="the Service `istio-ingressgateway`",
        usual_cause="it was deleted, or Istio was installed without the gateway",
        fix=hints.INSTALL,
        evaluate=_service,
        because=NO_NAMESPACE,
        docs="troubleshooting.md#gateway-service-missing",
    ),
    Check(
        id=ADDRESS,
        title="gateway address",
        passes="gateway has an address for the other clusters",
        looks_at="the Service's LoadBalancer status and `externalIPs`, and Gateways of class `istio-remote`",
        usual_cause="the cluster has no load balancer controller, or its quota is used up",
        fix=hints.ADDRESS,
        evaluate=_address,
        needs=(SERVICE,),
        docs="address.md#three-ways",
    ),
    Check(
        id=PORTS,
        title="gateway ports",
        passes="gateway Service has the required ports",
        looks_at="the ports of that Service",
        usual_cause="the Service was changed to ingress ports only",
        fix=hints.INSTALL,
        evaluate=_ports,
        needs=(SERVICE,),
        docs="troubleshooting.md#gateway-ports-missing",
    ),
    Check(
        id=NETWORK,
        title="gateway network",
        passes="gateway serves its own network only",
        looks_at="the network labels of the Service and its pods, and the gateway's network view",
        usual_cause=(
            "the gateway was installed manually: without the view it also forwards to the other gateways"
        ),
        fix=hints.INSTALL,
        evaluate=_network,
        needs=(SERVICE,),
        because=(IDENTITY, identity.NETWORK, GATEWAY),
        docs="troubleshooting.md#gateway-network-differs",
    ),
    Check(
        id=EXPOSED,
        title="cross-network Gateway",
        passes="services are exposed to the other networks",
        looks_at="the Gateway `cross-network-gateway`",
        usual_cause="it was deleted, or its selector or hosts were changed",
        fix=hints.INSTALL,
        evaluate=_exposed,
        because=NO_NAMESPACE,
        docs="troubleshooting.md#not-exposed",
    ),
    Check(
        id=HOST_NAMES,
        title="host names with an address",
        passes="host names with an address have that of a gateway",
        looks_at="`nip.io` and `sslip.io` in VirtualServices, Gateways and Ingresses of class `istio`",
        usual_cause="the gateway has another address than when they were written",
        fix="write the new address into them, or give the gateway the old one by `istio-mc address`",
        severity=Severity.WARNING,
        evaluate=_host_names,
        needs=(SERVICE,),
        because=(ADDRESS,),
        reads=(Observation.CONFIGURATION, Observation.SERVICES),
        docs="troubleshooting.md#host-name-outdated",
    ),
)
