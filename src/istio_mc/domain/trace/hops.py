"""Every hop, in the order of a call, and the walk from the first to the one that is broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc, istioctl, kubectl
from istio_mc.domain.istio.istiod import restart_istiod
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few, plural
from istio_mc.domain.trace import (
    authentication,
    destination_rule,
    network,
    policies,
    routing,
    selection,
    service,
    sidecars,
)
from istio_mc.domain.trace.additions import filters_of
from istio_mc.domain.trace.matching import edit, full_host, matches_host, ref
from istio_mc.domain.trace.model import OK, Hop, HopResult, Outcome, Path, State, Trace, broken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView

LINK, DISCOVERY, DATA_PATH = "link", "discovery", "data-path"
_SHOWN = 3


def _by_checks(hop: str) -> Callable[[Path], Outcome]:
    """A hop that checks of verify look at."""

    def evaluate(path: Path) -> Outcome:
        problem = path.checks.get(hop)
        return broken(problem) if problem else OK

    return evaluate


def _discovery(path: Path) -> Outcome:
    """Every istiod of the client's cluster has the endpoints of the target."""
    if problem := path.checks.get(DISCOVERY):
        return broken(problem)
    client, target = path.client, path.target
    if client.discovery is None or not client.discovery.istiods:
        return Outcome(State.UNKNOWN, f"what the istiods of {client.context} have could not be read")
    if problem := _taken_for_gateway(path):
        return broken(problem)
    expected = {one.address for one in path.called}
    lacking = [
        view.pod
        for view in client.discovery.istiods.values()
        if not expected & view.endpoints.get(target.cluster.cluster_id, {}).get(path.service.key, frozenset())
    ]
    if not lacking:
        return Outcome(State.OK, plural(len(client.discovery.istiods), "istiod"))
    return broken(
        Problem(
            code=Code.DISCOVERY_ENDPOINTS,
            cluster=client.context,
            message=f"{client.context}: {lacking[0]} has no endpoint of {path.service} in {target.context}",
            seen=f"none of {plural(len(expected), 'endpoint')} in {', '.join(lacking)}",
            expected="all endpoints, in every istiod",
            hint=restart_istiod(client.context, client.istiod),
        )
    )


_PORT_LABEL = "networking.istio.io/gatewayPort"


def _taken_for_gateway(path: Path) -> Problem | None:
    """A Service that istiods take for a gateway by its label, though it has no port for calls from outside.

    See getGatewayDetails in pilot/pkg/serviceregistry/kube/controller/network.go, Istio 1.26.0.
    """
    used = _gateway_addresses(path) if path.through_gateway else frozenset()
    labelled = [(view, one) for view in (path.target, path.client) for one in view.of_network]
    return next((found for view, one in labelled if (found := _as_gateway(path, view, one, used))), None)


def _as_gateway(path: Path, view: ClusterView, item: Object, used: frozenset[str]) -> Problem | None:
    network, labels, metadata = path.target.cluster.network, labels_of(item), item["metadata"]
    ports = {str(one["port"]) for one in (item.get("spec") or {}).get("ports") or []}
    port = labels.get(_PORT_LABEL) or str(CROSS_NETWORK_PORT)
    taken = [one for one in _addresses(item) if one in used]
    if labels[NETWORK_LABEL] != network or not taken or port in ports:
        return None
    namespace, name = metadata["namespace"], metadata["name"]
    removed = json.dumps({"metadata": {"labels": {NETWORK_LABEL: None}}})
    return Problem(
        code=Code.SERVICE_TAKEN_FOR_GATEWAY,
        cluster=view.context,
        message=f"{view.context}: istiods take Service {namespace}/{name} for a gateway of {network}",
        seen=f"label {NETWORK_LABEL}={network}, address {taken[0]}, no port {port}",
        expected="this label on Services of east-west gateways only: a share of the calls goes there",
        hint=kubectl(
            view.context, "-n", namespace, "patch", "service", name, "--type", "merge", "-p", removed
        ),
    )


def _addresses(item: Object) -> list[str]:
    """The addresses at which a Service is reached from outside its cluster."""
    ingress = (item.get("status") or {}).get("loadBalancer", {}).get("ingress") or []
    given = [str(one.get("ip") or one.get("hostname") or "") for one in ingress]
    return [*given, *map(str, (item.get("spec") or {}).get("externalIPs") or ())]


def _proxy(path: Path) -> Outcome:
    """The client's proxy has a healthy endpoint of the target: its gateway, or its pods."""
    client, target = path.client, path.target
    if client.client_endpoints is None:
        return Outcome(State.UNKNOWN, f"no proxy of {client.context} was read")
    if ((client.service or target.service) or {}).get("spec", {}).get("clusterIP") == "None":
        return Outcome(State.OK, "headless Service: the client calls the address of a pod itself")
    expected = _gateway_addresses(path) if path.through_gateway else {one.address for one in path.called}
    if not expected:
        return Outcome(State.UNKNOWN, f"no address of the gateway of {target.context} is known")
    endpoints = [one for one in client.client_endpoints if one.address in expected]
    if any(one.healthy for one in endpoints):
        return Outcome(State.OK, few(map(str, endpoints), _SHOWN))
    metadata = (client.client or {"metadata": {"namespace": "", "name": ""}})["metadata"]
    pod, namespace = metadata["name"], metadata["namespace"]
    name = f"outbound|{path.port}||{path.service.host}"
    shown = istioctl(client.context, "proxy-config", "endpoints", f"{pod}.{namespace}", "--cluster", name)
    return broken(
        Problem(
            code=Code.PROXY_WITHOUT_ENDPOINT,
            cluster=client.context,
            message=f"{client.context}: a client has no healthy endpoint of {target.context}",
            seen=f"proxy of Pod {namespace}/{pod}: "
            + (few(map(str, client.client_endpoints), _SHOWN) or f"no endpoint in {name}")
            + _filtered(client, client.client),
            expected=f"one of {few(sorted(expected), _SHOWN)}",
            hint=_unfiltered(client, client.client) or Advice("see what the proxy has: ", shown),
        )
    )


def _filtered(view: ClusterView, pod: Object | None) -> str:
    """The EnvoyFilters and WasmPlugins that may have changed what a proxy has."""
    found = filters_of(view, pod)
    return f"; for this proxy: {few(map(ref, found), _SHOWN)}" if found else ""


def _unfiltered(view: ClusterView, pod: Object | None) -> Advice | None:
    found = filters_of(view, pod)
    return edit(view, found[0], "see whether it is this filter: ") if found else None


def _gateway_addresses(path: Path) -> frozenset[str]:
    views = path.client.discovery.istiods.values() if path.client.discovery else ()
    return frozenset(address for view in views for address in view.addresses_of(path.target.cluster.network))


def _gateway(path: Path) -> Outcome:
    """The target's gateway is open for the service, and has a route by SNI to a healthy endpoint."""
    if not path.through_gateway:
        return OK
    target = path.target
    if not any(_opens(path, one) for one in target.config.gateways):
        return broken(_not_open(path))
    if target.gateway_endpoints is None:
        return Outcome(State.UNKNOWN, f"the proxies of the gateway of {target.context} were not read")
    own = {one.address for one in path.called}
    by_name = {pod["metadata"]["name"]: pod for pod in target.gateway_pods}
    for pod, endpoints in target.gateway_endpoints.items():
        if not any(one.healthy and one.address in own for one in endpoints):
            shown = istioctl(
                target.context,
                "proxy-config",
                "clusters",
                f"{pod}.{SYSTEM_NAMESPACE}",
                "--fqdn",
                path.service.host,
            )
            return broken(
                Problem(
                    code=Code.GATEWAY_WITHOUT_ROUTE,
                    cluster=target.context,
                    message=f"{target.context}: gateway {pod} has no healthy endpoint of {path.service}",
                    seen=(few(map(str, endpoints), _SHOWN) or f"no SNI route for port {path.port}")
                    + _filtered(target, by_name.get(pod)),
                    expected=f"one of {few(sorted(own), _SHOWN)}",
                    hint=_unfiltered(target, by_name.get(pod)) or Advice("see what the gateway has: ", shown),
                )
            )
    return Outcome(State.OK, f"SNI route in {plural(len(target.gateway_endpoints), 'gateway pod')}")


def _opens(path: Path, gateway: Mapping[str, Any]) -> bool:
    """Whether a Gateway passes connections to the service through, by SNI."""
    spec = gateway.get("spec") or {}
    selector = spec.get("selector") or {}
    pods = path.target.gateway_pods
    if not any(selector.items() <= labels_of(pod).items() for pod in pods or ({},)):
        return not pods
    return any(_passes(path, gateway, server) for server in _passing(spec))


def _passing(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        server
        for server in spec.get("servers") or []
        if (server.get("tls") or {}).get("mode") == "AUTO_PASSTHROUGH"
        and (server.get("port") or {}).get("number") == CROSS_NETWORK_PORT
    ]


def _passes(path: Path, gateway: Mapping[str, Any], server: Mapping[str, Any]) -> bool:
    for entry in server.get("hosts") or []:
        namespace, _, host = str(entry).rpartition("/")
        if namespace == ".":
            namespace = gateway["metadata"]["namespace"]
        if namespace in ("", "*", path.service.namespace) and matches_host(
            full_host(host, gateway["metadata"]["namespace"]), path.service.host
        ):
            return True
    return False


def _not_open(path: Path) -> Problem:
    target = path.target
    gateway = next((one for one in target.config.gateways if _passing(one.get("spec") or {})), None)
    if gateway is None:
        seen, name, index = "no Gateway with AUTO_PASSTHROUGH on 15443", "", 0
    else:
        name = gateway["metadata"]["name"]
        servers = gateway["spec"]["servers"]
        index = servers.index(_passing(gateway["spec"])[0])
        seen = f"{ref(dict(gateway))} has hosts {', '.join(servers[index].get('hosts') or [])}"
    patch = json.dumps([{"op": "replace", "path": f"/spec/servers/{index}/hosts", "value": ["*.local"]}])
    namespace = gateway["metadata"]["namespace"] if gateway else SYSTEM_NAMESPACE
    words = ("-n", namespace, "patch", "gateways.networking.istio.io", name, "--type", "json", "-p", patch)
    return Problem(
        code=Code.GATEWAY_NOT_OPEN,
        cluster=target.context,
        message=f"{target.context}: no Gateway opens {path.service} to the other networks",
        seen=seen,
        expected="*.local among the hosts of the server on 15443",
        hint=kubectl(target.context, *words) if gateway else _install(target),
    )


def _install(view: ClusterView) -> Advice:
    shown = kubectl(view.context, "-n", SYSTEM_NAMESPACE, "get", "gateways.networking.istio.io")
    return Advice("an install writes it: ", istio_mc("install"), "; the Gateways of now: ", shown)


HOPS: tuple[Hop, ...] = (
    Hop(LINK, "clusters, control planes and links, by the checks of verify", _by_checks(LINK)),
    Hop("service", "Service with the same ports in both clusters", service.exists),
    Hop("injection", "a pod with a sidecar to call from", service.injected),
    Hop("sharing", "clusterLocal, internalTrafficPolicy, trafficDistribution, headless", service.shared),
    Hop("export", "exportTo of the Service", service.exported),
    Hop("selectors", "discoverySelectors", selection.selected),
    Hop("endpoints", "ready endpoints with sidecars", service.ready),
    Hop(DISCOVERY, "gateway and endpoints in every istiod of the client", _discovery),
    Hop("sidecar", "Sidecar egress of the client", sidecars.sidecar),
    Hop("service-entry", "no ServiceEntry for the same host", routing.service_entry),
    Hop("virtual-service", "routes of the VirtualService", routing.virtual_service),
    Hop(
        "destination-rule",
        "TLS, connections, limits and locality of the DestinationRule",
        destination_rule.destination_rule,
    ),
    Hop("peer-authentication", "mTLS of the target", authentication.peer_authentication),
    Hop("network-policy", "NetworkPolicies of client and target", network.network_policies),
    Hop("proxy", "endpoints in a proxy of the client", _proxy),
    Hop("gateway", "Gateway and SNI route of the target", _gateway),
    Hop("authorization", "AuthorizationPolicies of the target", policies.authorization),
    Hop(DATA_PATH, "gateway address and certificates, by the checks of verify", _by_checks(DATA_PATH)),
)

_ALONE = frozenset({DISCOVERY, DATA_PATH})
"""Hops between clusters only."""


def walk(path: Path, hops: Sequence[Hop] = HOPS) -> Trace:
    """Looks at each hop up to the first that is broken, or that keeps calls in the client's cluster."""
    results = []
    for hop in hops:
        if hop.id in _ALONE and not path.crosses:
            continue
        outcome = hop.evaluate(path)
        results.append(HopResult(hop, outcome))
        if outcome.state in (State.BROKEN, State.LOCAL):
            break
    return Trace(path.client.context, path.target.context, tuple(results))
