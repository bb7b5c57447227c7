"""What gives a gateway an address, and what takes it away again: changes, and no doing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from istio_mc.domain.gateway import address, metallb
from istio_mc.domain.istio.ahead import FIELD_MANAGER
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.diff import differences
from istio_mc.domain.kube.objects import Object, ref_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE, Cluster

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.observed import Observed

_MANAGERS = frozenset({"istio-mc", FIELD_MANAGER})
"""Who may have written the Service's fields on this tool's behalf: itself, and istioctl (1.26.0)."""


class Via(StrEnum):
    """The three ways to give a gateway an address that its provider does not give."""

    EXTERNAL_IP = "external-ip"
    METALLB = "metallb"
    GATEWAY = "gateway"


MEANING: Mapping[Via, str] = {
    Via.EXTERNAL_IP: "writes the IP address into spec.externalIPs of the gateway's Service, for all istiods. "
    "The owner of the address must forward each port to its nodePort on the nodes. Inside the cluster, "
    "kube-proxy handles the address. The admission plugin DenyServiceExternalIPs rejects it.",
    Via.METALLB: "lets MetalLB assign the IP address to the Service (a pool with that address, and "
    "spec.loadBalancerIP), so that it is no longer pending. The owner of the address must forward each port "
    "to its nodePort, unless MetalLB announces it: --announce l2 in the nodes' network, --announce bgp to "
    "routers.",
    Via.GATEWAY: "changes nothing in the cluster itself: every other cluster gets a Gateway of class "
    "istio-remote with the address. Accepts host names. The owner of the address must forward 15443 "
    "to its nodePort. Has no effect if the Service has an address.",
}
"""What each option does, and its effect on traffic."""


class Action(StrEnum):
    """How a change is made."""

    APPLY = "apply"
    PATCH = "patch"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object.

    Attributes:
        document: The object; of a patch, what names it and the fields to set (None: to remove).
    """

    context: str
    action: Action
    document: Object
    reason: str

    def __str__(self) -> str:
        return f"{self.action} {ref_of(self.document)}"


@dataclass(frozen=True, slots=True)
class Live:
    """What this is decided on.

    Attributes:
        metallb: MetalLB's objects, by context.
    """

    clusters: Mapping[str, Cluster]
    observed: Mapping[str, Observed]
    metallb: Mapping[str, metallb.MetalLB]

    def service(self, context: str) -> Object | None:
        """A cluster's gateway Service."""
        return self.observed[context].find(objects.SERVICE, EAST_WEST_GATEWAY)


def setting(
    live: Live, context: str, addresses: Sequence[str], via: Via, request: metallb.Request | None = None
) -> list[Change]:
    """The changes that set a gateway's addresses by one option, and unset those that another option set.

    Args:
        request: What MetalLB is to do, if it is not the address alone.
    """
    if via is Via.EXTERNAL_IP:
        changes = _external_ips(live, context, addresses)
    elif via is Via.METALLB:
        changes = _metallb(live, context, request or metallb.Request(tuple(addresses)))
    else:
        changes = _remote(live, context, addresses)
    return changes + unsetting(live, context, but=via)


def unsetting(live: Live, context: str, but: Via | None = None) -> list[Change]:
    """The changes that remove every gateway address that this tool set, except by one `Via`."""
    cluster = live.clusters[context]
    changes: list[Change] = []
    service = live.service(context) if context in live.observed else None
    for via, key in ((Via.EXTERNAL_IP, "externalIPs"), (Via.METALLB, "loadBalancerIP")):
        value = (service or {}).get("spec", {}).get(key)
        if via is not but and service and value and _is_written_by_tool(service, key):
            changes.append(_service(context, key, None, f"spec.{key} {_shown(value)} is removed"))
    if but is not Via.METALLB:
        changes += [
            Change(context, Action.DELETE, one, "MetalLB assigns the gateway no address any more")
            for one in metallb.ours(live.metallb.get(context, metallb.MetalLB()))
        ]
    if but is not Via.GATEWAY:
        changes += [
            Change(other, Action.DELETE, gateway, f"it is for {context}")
            for other, observed in live.observed.items()
            if other != context and (gateway := address.managed_gateway(cluster.cluster_id, observed))
        ]
    return changes


def foreign(live: Live, context: str) -> list[str]:
    """Addresses of a cluster's gateway that this tool did not set and does not remove."""
    service = live.service(context)
    spec = (service or {}).get("spec", {})
    shown = [
        f"spec.{key} {_shown(spec[key])}"
        for key in ("externalIPs", "loadBalancerIP")
        if service and spec.get(key) and not _is_written_by_tool(service, key)
    ]
    gateways = address.remote_gateways(
        context, live.clusters[context], address.kubernetes_gateways(live.observed)
    )
    return shown + [f"Gateway {one.name} in {one.context}" for one in gateways if not one.ours]


def _external_ips(live: Live, context: str, addresses: Sequence[str]) -> list[Change]:
    if address.external_ips(live.observed[context]) == tuple(addresses):
        return []
    why = f"address for the other clusters: {', '.join(addresses)}"
    return [_service(context, "externalIPs", list(addresses), why)]


def _metallb(live: Live, context: str, request: metallb.Request) -> list[Change]:
    live_pool = live.metallb.get(context, metallb.MetalLB())
    changes = [Change(context, Action.APPLY, *one) for one in metallb.documents(live_pool, request)]
    service = live.service(context) or {}
    key, desired = "loadBalancerIP", next(iter(request.addresses), None)
    current = service.get("spec", {}).get(key)
    if desired and current != desired:
        changes.append(_service(context, key, desired, "MetalLB assigns this address"))
    elif not desired and current and _is_written_by_tool(service, key):
        changes.append(_service(context, key, None, "MetalLB chooses an address of the pool"))
    return changes + [Change(context, Action.DELETE, *one) for one in metallb.replaced(live_pool, request)]


def _remote(live: Live, context: str, addresses: Sequence[str]) -> list[Change]:
    desired = address.remote_gateway(live.clusters[context], addresses)
    return [
        Change(other, Action.APPLY, desired, f"{other} calls {context} at {', '.join(addresses)}")
        for other, observed in live.observed.items()
        if other != context and differences([desired], observed.objects)
    ]


def _service(context: str, key: str, value: object, reason: str) -> Change:
    document: Object = {
        "apiVersion": objects.SERVICE.api_version,
        "kind": objects.SERVICE.kind,
        "metadata": {"name": EAST_WEST_GATEWAY, "namespace": SYSTEM_NAMESPACE},
        "spec": {key: value},
    }
    return Change(context, Action.PATCH, document, reason)


def _is_written_by_tool(service: Object, key: str) -> bool:
    """Whether this tool, or istioctl for it, set a field, as the API server itself remembers."""
    return any(
        entry.get("manager") in _MANAGERS
        and f"f:{key}" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        for entry in service["metadata"].get("managedFields") or []
    )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
