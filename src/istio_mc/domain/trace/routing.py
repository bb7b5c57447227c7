"""Hops in the client's proxy: ServiceEntry and VirtualService; which DestinationRules and subsets apply."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import CLUSTER_LABEL, NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.trace.matching import edit, full_host, is_visible, matches_host, ref
from istio_mc.domain.trace.model import OK, Outcome, Path, State, broken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView, Endpoint

_HTTP = frozenset({"http", "http2", "grpc", "grpc-web"})
_DECIDABLE = frozenset({"port", "sourceLabels", "sourceNamespace", "gateways", "name"})
_MESH = "mesh"


def is_http(path: Path) -> bool:
    """Whether the port is HTTP for Istio; one without a protocol in its name is detected, and counts too."""
    entry = path.port_entry
    protocol = str(entry.get("appProtocol") or entry.get("name", "")).lower()
    head = protocol.removeprefix("kubernetes.io/").partition("-")[0]
    return (
        protocol in _HTTP
        or head in _HTTP
        or not protocol
        or head not in {"tcp", "tls", "https", "mongo", "mysql", "redis"}
    )


def service_entry(path: Path) -> Outcome:
    """No ServiceEntry of the client's cluster is about the same host.

    istiod adds the endpoints of one in the Service's namespace to those of the Service, and prefers one in
    the client's; elsewhere the Service goes before it (pilot/pkg/model/push_context.go, initServiceRegistry,
    and sidecar.go, Istio 1.31.0).
    """
    for one in path.client.config.service_entries:
        spec = one.get("spec") or {}
        if one["metadata"]["namespace"] not in (path.service.namespace, path.client_namespace):
            continue
        if path.service.host not in (spec.get("hosts") or ()):
            continue
        if not is_visible(one, spec.get("exportTo"), path.client_namespace):
            continue
        return broken(
            Problem(
                code=Code.SERVICE_ENTRY_SAME_HOST,
                cluster=path.client.context,
                message=f"{path.client.context}: {ref(one)} has the host of Service {path.service}",
                seen=f"{ref(one)} of resolution {spec.get('resolution') or 'NONE'}",
                expected="hosts of services outside the mesh only",
                hint=edit(path.client, one, "use another host, or delete it: "),
            )
        )
    return OK


def virtual_service(path: Path) -> Outcome:
    """The VirtualService for the host, where there is one, routes to endpoints of the target."""
    item = _virtual_service_of(path)
    if item is None:
        return OK
    route, conditional = _default_route(path, item)
    if route is None:
        what = "no route fits every request" if conditional else "no route"
        return Outcome(State.OK, f"{ref(item)}: {what}: it depends on the request", is_open=True)
    problem = _route_problem(path, item, route) or _late(path, item, route)
    if problem:
        return broken(problem)
    timeout = f", timeout {route['timeout']}" if route.get("timeout") else ""
    share, status = _aborted(route)
    if share:
        seen = f"{ref(item)} aborts {share:g} % of requests with status {status}"
        return Outcome(State.OK, seen, is_open=True)
    return Outcome(State.OK, f"{ref(item)} routes to it{timeout}")


def _virtual_service_of(path: Path) -> Object | None:
    matching: dict[bool, list[Object]] = {}
    for one in path.client.config.virtual_services:
        spec, namespace = one.get("spec") or {}, one["metadata"]["namespace"]
        exported = spec.get("exportTo") or path.client.mesh_config.get("defaultVirtualServiceExportTo")
        if not is_visible(one, exported, path.client_namespace):
            continue
        if _MESH not in (spec.get("gateways") or [_MESH]):
            continue
        hosts = [full_host(str(host), namespace) for host in spec.get("hosts") or []]
        if any(matches_host(host, path.service.host) for host in hosts):
            matching.setdefault(path.service.host in hosts, []).append(one)
    ordered = [*matching.get(True, []), *matching.get(False, [])]
    return min(ordered, key=lambda one: (one not in matching.get(True, []), _created(one)), default=None)


def _created(item: Object) -> str:
    return str(item["metadata"].get("creationTimestamp") or "")


def _default_route(path: Path, item: Object) -> tuple[Mapping[str, Any] | None, bool]:
    """The first route that every request takes, and whether some request takes another one before."""
    conditional = False
    for route in item["spec"].get("http" if is_http(path) else "tcp") or []:
        matches = route.get("match") or []
        if not matches or any(_matches_all(path, one) for one in matches):
            return route, conditional
        conditional = conditional or any(not one.keys() <= _DECIDABLE for one in matches)
    return None, conditional


def _matches_all(path: Path, match: Mapping[str, Any]) -> bool:
    """Whether every request of this client on this port fits."""
    if not match.keys() <= _DECIDABLE:
        return False
    labels = labels_of(path.client.client)
    return (
        match.get("port", path.port) == path.port
        and match.get("sourceNamespace", path.client_namespace) == path.client_namespace
        and (match.get("sourceLabels") or {}).items() <= labels.items()
        and _MESH in (match.get("gateways") or [_MESH])
    )


def called_subsets(path: Path) -> list[str]:
    """The subsets of the service that every call goes to; an empty one: the whole of it."""
    found = _virtual_service_of(path)
    route = _default_route(path, found)[0] if found else None
    if found is None or route is None:
        return [""]
    return [str(one.get("subset") or "") for one in _destinations(path, found, route)] or [""]


def _destinations(path: Path, found: Object, route: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The destinations of a route that are the service."""
    given = [one.get("destination") or {} for one in route.get("route") or [] if one.get("weight", 1) != 0]
    namespace = found["metadata"]["namespace"]
    return [one for one in given if full_host(str(one.get("host")), namespace) == path.service.host]


def _route_problem(path: Path, item: Object, route: Mapping[str, Any]) -> Problem | None:
    if "redirect" in route or "directResponse" in route:
        return _elsewhere(path, item, "a redirect or a direct response")
    share, status = _aborted(route)
    if share >= 100:  # noqa: PLR2004 - per cent
        return _elsewhere(path, item, f"every request is aborted with status {status}")
    here = _destinations(path, item, route)
    if not here:
        given = [
            one.get("destination") or {} for one in route.get("route") or [] if one.get("weight", 1) != 0
        ]
        hosts = ", ".join(str(one.get("host")) for one in given) or "nowhere"
        return None if "delegate" in route else _elsewhere(path, item, f"its route leads to {hosts}")
    if all(_has_no_port(path, one) for one in here):
        ports = ", ".join(str(one["port"]["number"]) for one in here)
        return _elsewhere(path, item, f"its route leads to port {ports}, which the Service does not have")
    problems = [_subset_problem(path, item, one.get("subset")) for one in here]
    return problems[0] if all(problems) else None


def _aborted(route: Mapping[str, Any]) -> tuple[float, str]:
    """How many per cent of its requests a route aborts, and with which status."""
    abort = (route.get("fault") or {}).get("abort") or {}
    share = float((abort.get("percentage") or {}).get("value", 0)) if abort else 0.0
    return share, str(abort.get("httpStatus") or abort.get("grpcStatus") or abort.get("http2Error"))


LEAST_TIMEOUT_S = 0.01
"""A timeout below this ends calls of another network: the handshake alone takes a few round trips."""

_MOST_DELAY_S = 5.0
"""A delay of every request from this on is longer than many clients wait."""

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")


def seconds(duration: object) -> float:
    """The seconds of a duration as Go writes it, such as `1.5s`; 0 where there is none."""
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(str(duration or "")))


def _late(path: Path, item: Object, route: Mapping[str, Any]) -> Problem | None:
    """Why every response comes too late: a delay, or a timeout that a call of another network exceeds."""
    delay = (route.get("fault") or {}).get("delay") or {}
    given = {
        "a timeout": route.get("timeout"),
        "a perTryTimeout": (route.get("retries") or {}).get("perTryTimeout"),
    }
    short = [f"{what} of {value}" for what, value in given.items() if 0 < seconds(value) < LEAST_TIMEOUT_S]
    delayed = float((delay.get("percentage") or {}).get("value") or delay.get("percent") or 0)
    if delayed >= 100 and seconds(delay.get("fixedDelay")) >= _MOST_DELAY_S:  # noqa: PLR2004 - per cent
        seen, what = f"every request is delayed by {delay['fixedDelay']}", "remove the delay: "
    elif path.through_gateway and short:
        seen, what = " and ".join(short), "use a longer timeout: "
    else:
        return None
    return Problem(
        code=Code.ROUTE_DELAYS,
        cluster=path.client.context,
        message=f"{path.client.context}: calls of {path.service} time out by {ref(item)}",
        seen=seen,
        expected=f"delays below {_MOST_DELAY_S:g} s, timeouts of at least {LEAST_TIMEOUT_S * 1000:g} ms",
        hint=edit(path.client, item, what),
    )


def _has_no_port(path: Path, destination: Mapping[str, Any]) -> bool:
    """Whether a destination names a port that the Service of the client's cluster does not have."""
    number = (destination.get("port") or {}).get("number")
    service = path.client.service or path.target.service or {}
    return bool(number) and number not in {one["port"] for one in service.get("spec", {}).get("ports") or []}


def _elsewhere(path: Path, item: Object, seen: str) -> Problem:
    return Problem(
        code=Code.ROUTED_ELSEWHERE,
        cluster=path.client.context,
        message=f"{path.client.context}: {ref(item)} routes {path.service} elsewhere",
        seen=seen,
        expected=f"a route to {path.service.host}",
        hint=edit(path.client, item, "correct its routes: "),
    )


def _subset_problem(path: Path, item: Object, subset: str | None) -> Problem | None:
    if not subset:
        return None
    target, message = (
        path.target,
        f"{path.client.context}: {ref(item)} routes {path.service} to subset {subset}",
    )
    labels = subset_labels(path, path.client, subset)
    rules = destination_rules(path, path.client)
    rule = next(iter(rules), None)
    shown = ref(rule) if rule else "no DestinationRule"
    if labels is None:
        return Problem(
            code=Code.SUBSET_EMPTY,
            cluster=path.client.context,
            message=f"{message}, which is not defined",
            seen=f"{shown} of {path.client.context} defines no subset {subset}",
            expected=f"subset {subset} in a DestinationRule of {path.client.context}",
            hint=edit(path.client, rule or item, f"define subset {subset}: "),
        )
    if not any(in_subset(path, one, labels) for one in target.endpoints):
        return Problem(
            code=Code.SUBSET_EMPTY,
            cluster=path.client.context,
            message=f"{message}, which is empty in {target.context}",
            seen=f"no ready pod of {target.context} has the labels {json.dumps(labels)}",
            expected="a ready pod with these labels",
            hint=edit(path.client, item, f"route to a subset that {target.context} has: "),
        )
    if path.through_gateway and subset_labels(path, target, subset) is None:
        return Problem(
            code=Code.SUBSET_EMPTY,
            cluster=target.context,
            message=f"{target.context}: no DestinationRule defines subset {subset} of {path.service}",
            seen=f"{shown} of {path.client.context} defines it, none of {target.context} does",
            expected="the same DestinationRule in both clusters: a gateway has routes for its own subsets",
            hint=_copy(path, rule),
        )
    return None


def _copy(path: Path, rule: Object | None) -> Advice:
    name, namespace = (rule or {"metadata": {"name": "NAME"}})["metadata"]["name"], path.service.namespace
    shown = kubectl(path.client.context, "-n", namespace, "get", "destinationrule", name, "-o", "yaml")
    return Advice(f"create it in {path.target.context} too, like that of {path.client.context}: ", shown)


def in_subset(path: Path, endpoint: Endpoint, labels: Mapping[str, str]) -> bool:
    """Whether an endpoint of the target has the labels of a subset."""
    if endpoint.pod is None:
        return True  # unknown: nothing is said of it
    cluster = path.target.cluster
    added = {
        "topology.istio.io/cluster": cluster.cluster_id,
        NETWORK_LABEL: cluster.network,
        CLUSTER_LABEL: cluster.cluster_id,
    }
    return labels.items() <= {**added, **labels_of(endpoint.pod)}.items()


def subset_labels(path: Path, view: ClusterView, subset: str) -> Mapping[str, str] | None:
    """The labels of a subset in a cluster; None: no DestinationRule there defines it."""
    for rule in destination_rules(path, view):
        for one in (rule.get("spec") or {}).get("subsets") or []:
            if one.get("name") == subset:
                return dict(one.get("labels") or {})
    return None


def destination_rules(path: Path, view: ClusterView) -> list[Object]:
    """The DestinationRules for the service that apply in a cluster: istiod merges them, the oldest first.

    They are those of the first namespace that has any, of the client's, that of the service and the root
    namespace, and of these the ones with the most specific host (pilot/pkg/model/push_context.go,
    destinationRule, Istio 1.26.0). In the target's cluster it is the gateway that has them.
    """
    reader = path.client_namespace if view is path.client else SYSTEM_NAMESPACE
    order = (reader if reader != view.root_namespace else "", path.service.namespace, view.root_namespace)
    for namespace in dict.fromkeys(order):
        rules = [
            one
            for one in view.config.destination_rules
            if one["metadata"]["namespace"] == namespace and _applies(path, view, one, reader)
        ]
        if rules:
            host = max((_host(one) for one in rules), key=lambda one: (not one.startswith("*"), len(one)))
            return sorted((one for one in rules if _host(one) == host), key=_created)
    return []


def _host(rule: Object) -> str:
    return full_host(str(rule["spec"].get("host")), rule["metadata"]["namespace"])


def _applies(path: Path, view: ClusterView, rule: Object, reader: str) -> bool:
    spec = rule["spec"]
    exported = spec.get("exportTo") or view.mesh_config.get("defaultDestinationRuleExportTo")
    desired = (spec.get("workloadSelector") or {}).get("matchLabels") or {}
    # One with a selector is not exported, and the gateway is in another namespace than the service.
    is_own = rule["metadata"]["namespace"] == reader and view is path.client
    return (
        matches_host(_host(rule), path.service.host)
        and is_visible(rule, exported, reader)
        and (not desired or (is_own and desired.items() <= labels_of(view.client).items()))
    )
