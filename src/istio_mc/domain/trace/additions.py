"""What adds to a Service or to a proxy: WorkloadEntries, EndpointSlices, EnvoyFilters, WasmPlugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube.objects import ENVOY_FILTER, labels_of
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few
from istio_mc.domain.trace.matching import edit, pod_name, ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.hint import Command
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView, ServiceName

_SHOWN = 3


def selected_entries(view: ClusterView, service: ServiceName, entries: Iterable[Object]) -> list[Problem]:
    """A warning of WorkloadEntries that the Service selects: istiod adds them to its endpoints."""
    selector = (view.service or {}).get("spec", {}).get("selector") or {}
    found = [
        one
        for one in entries
        if selector
        and one["metadata"]["namespace"] == service.namespace
        and selector.items() <= ((one.get("spec") or {}).get("labels") or {}).items()
    ]
    if not found:
        return []
    addresses = few([f"{ref(one)} {one['spec'].get('address')}" for one in found], _SHOWN)
    return [
        Problem(
            code=Code.WORKLOAD_ENTRY_SELECTED,
            cluster=view.context,
            message=f"{view.context}: {ref(found[0])} is an endpoint of Service {service} too",
            seen=f"labels that its selector selects: {addresses}",
            expected="pods only, unless a server of the service listens there",
            hint=edit(view, found[0], "if none does, correct its labels: "),
        )
    ]


_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLER = "endpointslice-controller.k8s.io"


def added_slices(view: ClusterView, service: ServiceName, slices: Iterable[Object]) -> list[Problem]:
    """A warning of EndpointSlices that users wrote for a Service with a selector: addresses of no pod."""
    strange = {one.address for one in view.endpoints if one.pod is None}
    found = {
        ref(one): (one, address)
        for one in slices
        if labels_of(one).get(_MANAGED_BY) != _CONTROLLER
        for endpoint in one.get("endpoints") or []
        for address in endpoint.get("addresses") or []
        if address in strange
    }
    if not found or view.pods is None or not (view.service or {}).get("spec", {}).get("selector"):
        return []
    return [
        Problem(
            code=Code.ENDPOINTS_ADDED,
            cluster=view.context,
            message=f"{view.context}: {name} adds an endpoint to Service {service}",
            seen=f"{address}, which no pod has; a share of the calls goes there",
            expected="pods only, unless a server of the service listens there",
            hint=edit(view, one, "if none does, remove the address: "),
        )
        for name, (one, address) in found.items()
    ]


def filter_warnings(view: ClusterView, service: ServiceName) -> list[Problem]:
    """A warning of each EnvoyFilter and WasmPlugin of the proxies of a call: they are not evaluated."""
    server = next((one.pod for one in view.endpoints if one.pod and one.meshed), None)
    proxies = {"client": view.client, "server": server}
    found: dict[str, tuple[Object, list[str]]] = {}
    for role, pod in proxies.items():
        for one in filters_of(view, pod):
            if _contexts(one) & _OF_ROLE[role]:
                found.setdefault(ref(one), (one, []))[1].append(f"{role} {pod_name(pod)}")
    return [
        Problem(
            code=Code.FILTER_NOT_EVALUATED,
            cluster=view.context,
            message=f"{view.context}: {name} changes calls of {service}, and is not evaluated",
            seen=f"it applies to the proxy of {' and '.join(pods)}",
            expected="no effect on these calls",
            hint=Advice("see what it changes: ", _shown(view, one)),
        )
        for name, (one, pods) in found.items()
    ]


_ANY = "ANY"
_OF_ROLE = {"client": {_ANY, "SIDECAR_OUTBOUND"}, "server": {_ANY, "SIDECAR_INBOUND"}}


def _contexts(item: Object) -> set[str]:
    """The proxies that an EnvoyFilter changes; a WasmPlugin is for servers."""
    if item["kind"] != ENVOY_FILTER.kind:
        return {"SIDECAR_INBOUND"}
    patches = (item.get("spec") or {}).get("configPatches") or []
    return {str((one.get("match") or {}).get("context") or _ANY) for one in patches}


def _shown(view: ClusterView, item: Object) -> Command:
    metadata = item["metadata"]
    words = ("-n", metadata["namespace"], "get", item["kind"].lower(), metadata["name"], "-o", "yaml")
    return kubectl(view.context, *words)


def filters_of(view: ClusterView, pod: Object | None) -> list[Object]:
    """The EnvoyFilters and WasmPlugins that apply to the proxy of a pod, of its or the root namespace."""
    if pod is None:
        return []
    namespaces = (pod["metadata"]["namespace"], view.root_namespace)
    return [
        one
        for one in view.envoy_filters
        if one["metadata"]["namespace"] in namespaces and _selector(one).items() <= labels_of(pod).items()
    ]


def _selector(item: Object) -> Mapping[str, str]:
    spec = item.get("spec") or {}
    given = spec.get("workloadSelector") or spec.get("selector") or {}
    return given.get("labels") or given.get("matchLabels") or {}
