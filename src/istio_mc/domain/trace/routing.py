"""Hops in the client's proxy: Sidecar, ServiceEntry, VirtualService, DestinationRule of its cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import CLUSTER_LABEL, NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem
from istio_mc.domain.trace.matching import full_host, is_visible, matches_host, ref
from istio_mc.domain.trace.model import OK, Outcome, Path, State, broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView, Endpoint

_HTTP = frozenset({"http", "http2", "grpc", "grpc-web"})
_DECIDABLE = frozenset({"port", "sourceLabels", "sourceNamespace", "gateways", "name"})
_MESH = "mesh"


def edit(view: ClusterView, item: Object, before: str) -> Advice:
    """Advice that ends in the command with which an object is edited."""
    metadata = item["metadata"]
    kind = str(item["kind"]).lower()
    return Advice(before, kubectl(view.context, "-n", metadata["namespace"], "edit", kind, metadata["name"]))


def is_http(path: Path) -> bool:
    """Whether the port is HTTP for Istio; one without a protocol in its name is detected, and counts too."""
    entry = path.port_entry
    told = str(entry.get("appProtocol") or entry.get("name", "")).lower()
    head = told.removeprefix("kubernetes.io/").partition("-")[0]
    return (
        told in _HTTP
        or head in _HTTP
        or not told
        or head not in {"tcp", "tls", "https", "mongo", "mysql", "redis"}
    )


def sidecar(path: Path) -> Outcome:
    """The Sidecar that applies to the client lets its proxy have the service."""
    found = _sidecar_of(path)
    egress = (found or {}).get("spec", {}).get("egress")
    if found is None or not egress:
        return OK
    service = path.service
    for listener in egress:
        for entry in listener.get("hosts") or []:
            namespace, _, host = str(entry).rpartition("/")
            if namespace == ".":
                namespace = found["metadata"]["namespace"]
            if namespace in ("*", service.namespace, "") and matches_host(host, service.host):
                return Outcome(State.OK, f"{ref(found)} includes it")
    hosts = [entry for listener in egress for entry in listener.get("hosts") or []]
    return broken(
        Problem(
            code=Code.SIDECAR_EGRESS,
            cluster=path.client.context,
            message=f"{path.client.context}: {ref(found)} leaves out {service}",
            seen=f"egress hosts: {', '.join(map(str, hosts)) or 'none'}",
            expected=f"{service.namespace}/{service.host} among them",
            hint=edit(path.client, found, f"add {service.namespace}/{service.host} to its egress hosts: "),
        )
    )


def _sidecar_of(path: Path) -> Object | None:
    """One with a selector before one without, one of the client's namespace before the root namespace's."""
    client, namespace = path.client, path.client_namespace
    labels = labels_of(client.client)
    own = [one for one in client.config.sidecars if one["metadata"]["namespace"] == namespace]
    for one in own:
        wanted = ((one.get("spec") or {}).get("workloadSelector") or {}).get("labels")
        if wanted and wanted.items() <= labels.items():
            return one
    plain = [one for one in own if not (one.get("spec") or {}).get("workloadSelector")]
    root = [
        one
        for one in client.config.sidecars
        if one["metadata"]["namespace"] == client.root_namespace
        and not (one.get("spec") or {}).get("workloadSelector")
    ]
    return next(iter([*plain, *root]), None)


def service_entry(path: Path) -> Outcome:
    """No ServiceEntry of the client's cluster is about the same host."""
    for one in path.client.config.service_entries:
        spec = one.get("spec") or {}
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
    found = _virtual_service_of(path)
    if found is None:
        return OK
    route, conditional = _default_route(path, found)
    if route is None:
        what = "no route fits every request" if conditional else "no route"
        return Outcome(State.OK, f"{ref(found)}: {what}: it depends on the request")
    problem = _route_problem(path, found, route)
    if problem:
        return broken(problem)
    return Outcome(State.OK, f"{ref(found)} routes to it")


def _virtual_service_of(path: Path) -> Object | None:
    matching: dict[bool, list[Object]] = {}
    for one in path.client.config.virtual_services:
        spec, namespace = one.get("spec") or {}, one["metadata"]["namespace"]
        if not is_visible(one, spec.get("exportTo"), path.client_namespace):
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


def _default_route(path: Path, found: Object) -> tuple[Mapping[str, Any] | None, bool]:
    """The first route that every request takes, and whether some request takes another one before."""
    conditional = False
    for route in found["spec"].get("http" if is_http(path) else "tcp") or []:
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


def _route_problem(path: Path, found: Object, route: Mapping[str, Any]) -> Problem | None:
    if "redirect" in route or "directResponse" in route:
        return _elsewhere(path, found, "a redirect or a direct response")
    abort = (route.get("fault") or {}).get("abort")
    if abort and float((abort.get("percentage") or {}).get("value", 0)) >= 100:  # noqa: PLR2004 - per cent
        return _elsewhere(path, found, f"every request is aborted with status {abort.get('httpStatus')}")
    destinations = [
        one.get("destination") or {} for one in route.get("route") or [] if one.get("weight", 1) != 0
    ]
    namespace = found["metadata"]["namespace"]
    here = [one for one in destinations if full_host(str(one.get("host")), namespace) == path.service.host]
    if not here:
        hosts = ", ".join(str(one.get("host")) for one in destinations) or "nowhere"
        return None if "delegate" in route else _elsewhere(path, found, f"its route leads to {hosts}")
    problems = [_subset_problem(path, found, one.get("subset")) for one in here]
    return problems[0] if all(problems) else None


def _elsewhere(path: Path, found: Object, seen: str) -> Problem:
    return Problem(
        code=Code.ROUTED_ELSEWHERE,
        cluster=path.client.context,
        message=f"{path.client.context}: {ref(found)} routes {path.service} elsewhere",
        seen=seen,
        expected=f"a route to {path.service.host}",
        hint=edit(path.client, found, "correct its routes: "),
    )


def _subset_problem(path: Path, found: Object, subset: str | None) -> Problem | None:
    if not subset:
        return None
    target, message = (
        path.target,
        f"{path.client.context}: {ref(found)} routes {path.service} to subset {subset}",
    )
    labels = _subset_labels(path, path.client, subset)
    rule = next(iter(destination_rules(path, path.client)), None)
    shown = ref(rule) if rule else "no DestinationRule"
    if labels is None:
        return Problem(
            code=Code.SUBSET_EMPTY,
            cluster=path.client.context,
            message=f"{message}, which is not defined",
            seen=f"{shown} of {path.client.context} defines no subset {subset}",
            expected=f"subset {subset} in a DestinationRule of {path.client.context}",
            hint=edit(path.client, rule or found, f"define subset {subset}: "),
        )
    if not any(_in_subset(path, one, labels) for one in target.endpoints):
        return Problem(
            code=Code.SUBSET_EMPTY,
            cluster=path.client.context,
            message=f"{message}, which is empty in {target.context}",
            seen=f"no ready pod of {target.context} has the labels {json.dumps(labels)}",
            expected="a ready pod with these labels",
            hint=edit(path.client, found, f"route to a subset that {target.context} has: "),
        )
    if path.through_gateway and _subset_labels(path, target, subset) is None:
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


def _in_subset(path: Path, endpoint: Endpoint, labels: Mapping[str, str]) -> bool:
    if endpoint.pod is None:
        return True  # unknown: nothing is said of it
    cluster = path.target.cluster
    added = {
        "topology.istio.io/cluster": cluster.cluster_id,
        NETWORK_LABEL: cluster.network,
        CLUSTER_LABEL: cluster.cluster_id,
    }
    return labels.items() <= {**added, **labels_of(endpoint.pod)}.items()


def _subset_labels(path: Path, view: ClusterView, subset: str) -> Mapping[str, str] | None:
    for rule in destination_rules(path, view):
        for one in (rule.get("spec") or {}).get("subsets") or []:
            if one.get("name") == subset:
                return dict(one.get("labels") or {})
    return None


def destination_rules(path: Path, view: ClusterView) -> Iterator[Object]:
    """The DestinationRules for the service that apply in a cluster, in the order of istiod's look-up.

    The client's namespace, that of the service, the root namespace; in the target's cluster it is the
    gateway that has them.
    """
    reader = path.client_namespace if view is path.client else SYSTEM_NAMESPACE
    for namespace in dict.fromkeys((reader, path.service.namespace, view.root_namespace)):
        for one in view.config.destination_rules:
            spec = one.get("spec") or {}
            if one["metadata"]["namespace"] != namespace or not is_visible(one, spec.get("exportTo"), reader):
                continue
            wanted = (spec.get("workloadSelector") or {}).get("matchLabels") or {}
            if view is path.client and not wanted.items() <= labels_of(view.client).items():
                continue
            if matches_host(full_host(str(spec.get("host")), namespace), path.service.host):
                yield one


def destination_rule(path: Path) -> Outcome:
    """The DestinationRules for the host keep mTLS, and calls are not kept in the client's cluster.

    The gateway of the target goes by the rule of its own cluster: where that turns mTLS off, it has no
    endpoints (seen on Istio 1.31.0).
    """
    if path.through_gateway:
        for view in (path.client, path.target):
            of_view = next(destination_rules(path, view), None)
            if of_view and (problem := _tls_problem(path, view, of_view)):
                return broken(problem)
    rule = next(destination_rules(path, path.client), None)
    if rule is None:
        return OK
    if path.crosses and (kept := _kept_by_locality(path, rule, list(_policies(rule, path.port)))):
        return Outcome(State.LOCAL, kept)
    return Outcome(State.OK, ref(rule))


def _policies(rule: Object, port: int) -> Iterable[Mapping[str, Any]]:
    """The traffic policies of a rule for a port, the one that counts first."""
    policy = (rule.get("spec") or {}).get("trafficPolicy") or {}
    for one in policy.get("portLevelSettings") or []:
        if (one.get("port") or {}).get("number") == port:
            yield one
    yield policy


def _tls_problem(path: Path, view: ClusterView, rule: Object) -> Problem | None:
    policies = list(_policies(rule, path.port))
    mode = next((one["tls"].get("mode", "DISABLE") for one in policies if one.get("tls")), None)
    if mode in (None, "ISTIO_MUTUAL"):
        return None
    metadata = rule["metadata"]
    patch = json.dumps({"spec": {"trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}})
    words = (
        "-n",
        metadata["namespace"],
        "patch",
        "destinationrule",
        metadata["name"],
        "--type",
        "merge",
        "-p",
        patch,
    )
    of_port = len(policies) > 1 and policies[0].get("tls")
    return Problem(
        code=Code.DESTINATION_RULE_TLS,
        cluster=view.context,
        message=f"{view.context}: {ref(rule)} turns mTLS off for {path.service}",
        seen=f"tls mode {mode}",
        expected="ISTIO_MUTUAL, or no tls: gateways forward mTLS only",
        hint=edit(view, rule, "set tls mode ISTIO_MUTUAL: ") if of_port else kubectl(view.context, *words),
    )


def _kept_by_locality(path: Path, rule: Object, policies: list[Mapping[str, Any]]) -> str:
    """Why calls stay in the client's cluster as long as its own endpoints are healthy; empty: they do not."""
    setting = dict(path.client.mesh_config.get("localityLbSetting") or {})
    for one in reversed(policies):
        setting |= (one.get("loadBalancer") or {}).get("localityLbSetting") or {}
    outlier = any(one.get("outlierDetection") for one in policies)
    if setting.get("enabled") is False or not path.client.endpoints:
        return ""
    if setting.get("distribute"):
        return f"{ref(rule)}: localityLbSetting.distribute decides which locality is called"
    if not outlier:
        return ""
    if "topology.istio.io/cluster" in map(str, setting.get("failoverPriority") or ()):
        return f"{ref(rule)}: failoverPriority keeps calls in the cluster while its endpoints are healthy"
    here = {one.zone for one in path.client.endpoints}
    there = {one.zone for one in path.target.endpoints}
    if here & there:
        return ""
    return (
        f"{ref(rule)} has outlierDetection: {path.target.context} is in other zones, and called only if "
        f"endpoints of {path.client.context} are unhealthy"
    )
