"""What keeps a gateway from an address, or should be known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain import address, objects
from istio_mc.domain.address_changes import METALLB_NAMESPACE, POOL_CRD, Live, Via, is_our_pool, pool
from istio_mc.domain.addresses import address_fault
from istio_mc.domain.hint import Advice, in_order, istio_mc, kubectl
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem
from istio_mc.ops.remote_gateways import missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from istio_mc.domain.objects import Object
    from istio_mc.gateways.kube import Kube
    from istio_mc.ops.session import Session


def lacks(session: Session, live: Live, name: str, addresses: Sequence[str], via: Via) -> list[Problem]:
    """What a way needs and a cluster has not."""
    service = live.service(name)
    if service is None:
        return [_no_gateway(name, session.names)]
    if via is Via.METALLB:
        return _lacks_metallb(session.kubes[name], live, name, addresses, service)
    if via is Via.GATEWAY:
        others = [other for other in live.observed if other != name]
        if not others:
            return [_alone(name)]
        return [missing(other, session.names) for other in others if not live.observed[other].gateway_api]
    return []


def _lacks_metallb(
    kube: Kube, live: Live, name: str, addresses: Sequence[str], service: Object
) -> list[Problem]:
    if kube.get(objects.CRD, POOL_CRD) is None or kube.get(objects.NAMESPACE, METALLB_NAMESPACE) is None:
        return [
            Problem(
                code="metallb-missing",
                cluster=name,
                message=f"MetalLB is not installed in {name}",
                seen=f"no CustomResourceDefinition {POOL_CRD}, or no namespace {METALLB_NAMESPACE}",
                expected="MetalLB 0.13 or newer (the guide installs 0.14.8)",
                hint=Advice(
                    "install MetalLB first (https://metallb.io/installation), or: ",
                    istio_mc("address", "--set", f"{name}={addresses[0]}", "--via", "external-ip"),
                ),
                docs="address.md#metallb",
            )
        ]
    if service["spec"].get("type") != "LoadBalancer":
        return [
            Problem(
                code="no-load-balancer-service",
                cluster=name,
                message=f"the gateway's Service of {name} is of a type that MetalLB passes over",
                seen=str(service["spec"].get("type")),
                expected="LoadBalancer",
                hint=istio_mc("address", "--set", f"{name}={addresses[0]}", "--via", "external-ip"),
                docs="address.md#metallb",
            )
        ]
    found = live.pools.get(name)
    if (
        found
        and not is_our_pool(found)
        and not found.get("spec", {}).items() >= pool(addresses)["spec"].items()
    ):
        return [
            Problem(
                code="pool-of-others",
                cluster=name,
                message=f"{name} has a pool {EAST_WEST_GATEWAY} of MetalLB's that istio-mc did not write",
                seen=", ".join(found.get("spec", {}).get("addresses") or []),
                expected=", ".join(pool(addresses)["spec"]["addresses"]),
                hint=Advice(
                    kubectl(name, "-n", METALLB_NAMESPACE, "edit", "ipaddresspool", EAST_WEST_GATEWAY)
                ),
                docs="address.md#metallb",
            )
        ]
    return []


def refused_by(way: Via, context: str, addresses: Sequence[str]) -> list[Problem]:
    """Addresses that a way cannot give."""
    hosts = [one for one in addresses if not address.is_ip(one) and not address_fault(one)]
    if way is not Via.GATEWAY and hosts:
        return [
            Problem(
                code="option-malformed",
                cluster=context,
                message=f"--set: --via {way} takes IP addresses only",
                seen=", ".join(hosts),
                expected="an IP address, or a way that takes host names",
                hint=istio_mc("address", "--set", f"{context}={','.join(addresses)}", "--via", "gateway"),
            )
        ]
    if way is Via.METALLB and len(addresses) > 1:
        return [option("--set: --via metallb takes one address: spec.loadBalancerIP holds no more", context)]
    return []


def option(message: str, cluster: str | None = None) -> Problem:
    """An option that cannot be used."""
    return Problem(code="option-malformed", message=message, cluster=cluster)


def _no_gateway(name: str, members: Iterable[str]) -> Problem:
    return Problem(
        code="gateway-missing",
        cluster=name,
        message=f"{name} has no gateway yet",
        seen=f"no Service {SYSTEM_NAMESPACE}/{EAST_WEST_GATEWAY}",
        expected="the Service that install makes",
        hint=istio_mc("install", contexts=members),
    )


def _alone(name: str) -> Problem:
    return Problem(
        code="no-other-cluster",
        cluster=name,
        message=f"there is no other cluster that could hold a Gateway for {name}",
        seen="a mesh of one cluster that answers",
        expected="another member",
        hint=Advice(istio_mc("verify")),
    )


def doubtful(name: str, text: str, doubt: str) -> Problem:
    """A new address that other clusters may not reach."""
    return Problem(
        code="address-not-public",
        cluster=name,
        message=f"{text} may not be an address that the other clusters reach",
        seen=doubt,
        expected="an address that every other cluster reaches",
        docs="address.md#reach",
    )


def eclipsed(name: str, own: Sequence[str]) -> Problem:
    """Gateways that count for nothing beside the Service's own address."""
    return Problem(
        code="service-address-wins",
        cluster=name,
        message=f"the Gateways for {name} have no effect: its Service has an address, which istiod prefers",
        seen=", ".join(own),
        expected="a pending Service",
        docs="address.md#gateway",
    )


def remembered(live: Live, name: str, addresses: Sequence[str]) -> Problem:
    """The last address of a Service, which the other clusters' istiods do not forget.

    Seen at /debug/networkz of istiod 1.26.0: an address that another takes the place of is forgotten, and so
    is one that a Gateway gave; the last one of a Service stays until istiod restarts.
    """
    istiods = {
        other: [f"deployment/{istiod['metadata']['name']}" for istiod in found.istiods]
        for other, found in live.observed.items()
        if other != name
    }
    restarts = [
        kubectl(other, "-n", SYSTEM_NAMESPACE, "rollout", "restart", *found)
        for other, found in istiods.items()
        if found
    ]
    told = ", ".join(addresses)
    return Problem(
        code="address-remembered",
        cluster=name,
        message=f"the other clusters' istiods go on calling {name} at {told} until they restart",
        seen=f"{told} is the last address of the Service: istiod 1.26 does not forget it",
        expected="istiods that know only what is there",
        hint=in_order(restarts),
        docs="address.md#what-istiods-remember",
    )


def said_otherwise(session: Session, name: str, from_file: Sequence[str]) -> Problem:
    """An address of mesh.yaml that the next install brings back."""
    return Problem(
        code="settings-differ",
        cluster=name,
        message=f"the next install gives {name} the address of mesh.yaml again",
        seen=f"gatewayAddress: {', '.join(from_file)} in {session.settings.file}",
        expected="no gatewayAddress there, or the same",
        hint=Advice(f"take gatewayAddress of {name} out of {session.settings.file}"),
        docs="address.md#later-installs",
    )


def left_alone(name: str, left: Sequence[str]) -> Problem:
    """Addresses that others gave."""
    return Problem(
        code="address-of-others",
        cluster=name,
        message=f"the gateway of {name} has addresses that istio-mc did not give it; they stay",
        seen="; ".join(left),
        docs="address.md#three-ways",
    )
