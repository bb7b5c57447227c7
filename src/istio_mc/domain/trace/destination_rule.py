"""The hop of the DestinationRules: mTLS, how connections are made, limits, and which locality is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.services import TLS_MODE_LABEL
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few
from istio_mc.domain.trace.authentication import only_mtls
from istio_mc.domain.trace.matching import patched, ref
from istio_mc.domain.trace.model import OK, Outcome, Path, State, broken
from istio_mc.domain.trace.routing import (
    LEAST_TIMEOUT_S,
    called_subsets,
    destination_rules,
    in_subset,
    is_http,
    seconds,
    subset_labels,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.trace.model import ClusterView

_SHOWN = 3
_MUTUAL, _PASSTHROUGH = "ISTIO_MUTUAL", "PASSTHROUGH"


def destination_rule(path: Path) -> Outcome:
    """The DestinationRules for the host keep mTLS, and calls are not kept in the client's cluster.

    The gateway of the target goes by the rule of its own cluster: where that turns mTLS off, it has no
    endpoints (seen on Istio 1.31.0). Within a cluster plain text is accepted unless it is refused there.
    """
    subsets = [one for one in called_subsets(path) if _has_endpoint(path, one)]
    for view in (path.client, path.target) if path.through_gateway else (path.client,):
        for subset in subsets:
            if problem := _tls_problem(path, view, subset) or _connection_problem(path, view, subset):
                return broken(problem)
    rules = destination_rules(path, path.client)
    by_subset = [_policies(rules, path.port, one) for one in subsets]
    if path.crosses:
        kept = [_kept(path, one) for one in by_subset]
        if kept and all(kept):
            return Outcome(State.LOCAL, kept[0])
    notes = [str(one.seen) for one in limits(path)]
    notes += [note for one in by_subset for note in _hash(one)]
    if notes:
        return Outcome(State.OK, few(dict.fromkeys(notes), _SHOWN, "; "), is_open=True)
    return Outcome(State.OK, ref(rules[0])) if rules else OK


def _has_endpoint(path: Path, subset: str) -> bool:
    """Whether the target has a ready endpoint in a subset, or in the whole service."""
    labels = subset_labels(path, path.client, subset) if subset else {}
    return labels is not None and any(in_subset(path, one, labels) for one in path.target.endpoints)


class _Policy(NamedTuple):
    """A traffic policy of a DestinationRule, and where it is in it."""

    rule: Object
    where: str
    value: Mapping[str, Any]


def _policies(rules: Sequence[Object], port: int, subset: str = "") -> list[_Policy]:
    """The traffic policies for a port of the service or of a subset, the one that counts first.

    Of rules that istiod merges the first that has a policy counts. That of a subset goes before it, field by
    field; that of a port inherits nothing (MergeSubsetTrafficPolicy in
    pilot/pkg/networking/core/cluster_traffic_policy.go, Istio 1.31.0).
    """
    found = []
    for rule in rules:
        for place, one in enumerate(rule["spec"].get("subsets") or []):
            if subset and one.get("name") == subset and one.get("trafficPolicy"):
                found.append(_Policy(rule, f"/spec/subsets/{place}/trafficPolicy", one["trafficPolicy"]))
    found = found[:1]
    whole = next((one for one in rules if one["spec"].get("trafficPolicy")), None)
    if whole:
        found.append(_Policy(whole, "/spec/trafficPolicy", whole["spec"]["trafficPolicy"]))
    of_port = [_of_number(one, port) for one in found]
    if of_port and of_port[0]:
        return [of_port[0]]
    return [own or one for one, own in zip(found, of_port, strict=True)]


def _of_number(policy: _Policy, port: int) -> _Policy | None:
    """What a policy has for one port alone."""
    for place, one in enumerate(policy.value.get("portLevelSettings") or []):
        if (one.get("port") or {}).get("number") == port:
            return _Policy(policy.rule, f"{policy.where}/portLevelSettings/{place}", one)
    return None


def _tls_problem(path: Path, view: ClusterView, subset: str) -> Problem | None:
    """Why calls are not mTLS where they must be: through a gateway, or where only mTLS is accepted."""
    if not path.through_gateway and not only_mtls(path):
        return None
    policies = _policies(destination_rules(path, view), path.port, subset)
    setting = _first(policies, "tls")
    if setting is None:
        return _automatic_off(path, view) if view.mesh_config.get("enableAutoMtls") is False else None
    mode = setting.value["tls"].get("mode", "DISABLE")
    if mode == "ISTIO_MUTUAL":
        return None
    of_subset = setting.where.startswith("/spec/subsets")
    change = {"op": "replace", "path": f"{setting.where}/tls", "value": {"mode": "ISTIO_MUTUAL"}}
    return Problem(
        code=Code.DESTINATION_RULE_TLS,
        cluster=view.context,
        message=f"{view.context}: {ref(setting.rule)} turns mTLS off for "
        + (f"subset {subset} of {path.service}" if of_subset else str(path.service)),
        seen=f"tls mode {mode}",
        expected="ISTIO_MUTUAL, or no tls: "
        + ("gateways forward mTLS only" if path.through_gateway else "its PeerAuthentication requires mTLS"),
        hint=patched(view, setting.rule, [change]),
    )


def _automatic_off(path: Path, view: ClusterView) -> Problem:
    return Problem(
        code=Code.DESTINATION_RULE_TLS,
        cluster=view.context,
        message=f"{view.context}: automatic mTLS is off, no DestinationRule turns it on for {path.service}",
        seen="enableAutoMtls: false in the MeshConfig",
        expected="enableAutoMtls: true, or tls mode ISTIO_MUTUAL",
        hint=Advice(
            "remove enableAutoMtls: false from the MeshConfig: ",
            kubectl(view.context, "-n", SYSTEM_NAMESPACE, "get", "configmap", "istio", "-o", "yaml"),
        ),
    )


def _first(policies: Sequence[_Policy], field: str) -> _Policy | None:
    """The policy whose value of a field counts; None where none has the field."""
    return next((one for one in policies if one.value.get(field) is not None), None)


def _connection_problem(path: Path, view: ClusterView, subset: str) -> Problem | None:
    """Why connections that a rule sets up are not accepted.

    Of the rule of the target's cluster a gateway takes over only limits and the choice of endpoints: it
    passes TLS through (applyTrafficPolicy in cluster_traffic_policy.go, Istio 1.31.0).
    """
    policies = _policies(destination_rules(path, view), path.port, subset)
    of_client = (_proxy_protocol, _without_server, _other_name, _other_account, _short_connect)
    finders = (*(of_client if view is path.client else ()), _original_address)
    return next((found for find in finders if (found := find(path, view, policies))), None)


def _refused(
    path: Path, view: ClusterView, policy: _Policy, change: Mapping[str, Any], **texts: str
) -> Problem:
    """The problem of a rule, and the patch that repairs it, whose path is below the policy."""
    return Problem(
        code=Code.DESTINATION_RULE_CONNECTION,
        cluster=view.context,
        message=f"{view.context}: calls of {path.service} fail by {ref(policy.rule)}",
        seen=texts["seen"],
        expected=texts["expected"],
        hint=patched(view, policy.rule, [{**change, "path": f"{policy.where}{change['path']}"}]),
    )


def _proxy_protocol(path: Path, view: ClusterView, policies: Sequence[_Policy]) -> Problem | None:
    """A PROXY header before TLS: neither gateways on 15443 nor sidecars expect one."""
    policy = _first(policies, "proxyProtocol")
    if policy is None or not any(one.meshed for one in path.called):
        return None
    version = policy.value["proxyProtocol"].get("version") or "V1"
    return _refused(
        path,
        view,
        policy,
        {"op": "remove", "path": "/proxyProtocol"},
        seen=f"proxyProtocol {version}: a PROXY header is sent before TLS",
        expected="no proxyProtocol: gateways and sidecars of the mesh do not accept it",
    )


def _mutual(policies: Sequence[_Policy]) -> _Policy | None:
    """The policy that sets mTLS itself, instead of leaving it to istiod."""
    policy = _first(policies, "tls")
    return policy if policy and policy.value["tls"].get("mode") == _MUTUAL else None


def _without_server(path: Path, view: ClusterView, policies: Sequence[_Policy]) -> Problem | None:
    """Mode ISTIO_MUTUAL for pods without a sidecar; without the setting istiod sends these plain text."""
    policy = _mutual(policies)
    pods = [one.pod for one in path.called if one.pod]
    has_sidecar = any(TLS_MODE_LABEL in labels_of(one) for one in pods)
    if policy is None or not pods or len(pods) < len(path.called) or has_sidecar:
        return None
    return _refused(
        path,
        view,
        policy,
        {"op": "remove", "path": "/tls"},
        seen=f"tls mode {_MUTUAL}, and its pods have no sidecar",
        expected="no tls: istiod then uses mTLS for pods with a sidecar only",
    )


def _other_name(path: Path, view: ClusterView, policies: Sequence[_Policy]) -> Problem | None:
    """Another SNI: gateways route by that of the service."""
    policy = _mutual(policies)
    given = str((policy.value["tls"].get("sni") if policy else "") or "")
    names = [f"outbound_.{path.port}_.{one}_.{path.service.host}" for one in ("", *called_subsets(path))]
    if policy is None or not given or not path.through_gateway:
        return None
    if given in (expected := [one.replace("_.._.", "_._.") for one in names]):
        return None
    return _refused(
        path,
        view,
        policy,
        {"op": "remove", "path": "/tls/sni"},
        seen=f"tls sni {given}",
        expected=f"no sni: gateways route {expected[0]}",
    )


def _other_account(path: Path, view: ClusterView, policies: Sequence[_Policy]) -> Problem | None:
    """Names that the server's certificate must have, and that no pod of the target has."""
    policy = _mutual(policies)
    names = list(map(str, (policy.value["tls"].get("subjectAltNames") if policy else ()) or ()))
    pods = [one.pod for one in path.called if one.pod]
    if policy is None or not names or len(pods) < len(path.called):
        return None
    identities = list(dict.fromkeys(_identity(path.target, one) for one in pods))
    if not identities or set(identities) & set(names):
        return None
    return _refused(
        path,
        view,
        policy,
        {"op": "remove", "path": "/tls/subjectAltNames"},
        seen=f"tls subjectAltNames {few(names, _SHOWN)}; pods have {few(identities, _SHOWN)}",
        expected="the name of the pods' service account, or no subjectAltNames",
    )


def _identity(view: ClusterView, pod: Object) -> str:
    account = pod.get("spec", {}).get("serviceAccountName") or "default"
    return f"spiffe://{view.trust_domain}/ns/{pod['metadata']['namespace']}/sa/{account}"


def _short_connect(path: Path, view: ClusterView, policies: Sequence[_Policy]) -> Problem | None:
    """A connectTimeout that ends before TCP and TLS to another network are through."""
    policy = _first(policies, "connectionPool")
    timeout = ((policy.value["connectionPool"].get("tcp") or {}) if policy else {}).get("connectTimeout")
    if policy is None or not path.through_gateway or not 0 < seconds(timeout) < LEAST_TIMEOUT_S:
        return None
    return _refused(
        path,
        view,
        policy,
        {"op": "remove", "path": "/connectionPool/tcp/connectTimeout"},
        seen=f"connectTimeout {timeout}",
        expected=f"at least {LEAST_TIMEOUT_S * 1000:g} ms: gateways are reached over TCP and TLS",
    )


def _original_address(path: Path, view: ClusterView, policies: Sequence[_Policy]) -> Problem | None:
    """The address that was called is called: a gateway has none, a client without own endpoints reaches none.

    See LoadBalancerSettings_PASSTHROUGH in pilot/pkg/networking/core/cluster_traffic_policy.go, Istio 1.31.0.
    """
    policy = _passes_through(policies)
    if policy is None or not path.crosses or (view is path.client and path.client.endpoints):
        return None
    where = "the gateway has no endpoint then" if view is path.target else "kube-proxy has no endpoint for it"
    return _refused(
        path,
        view,
        policy,
        {"op": "replace", "path": "/loadBalancer/simple", "value": "LEAST_REQUEST"},
        seen=f"loadBalancer simple {_PASSTHROUGH}: {where}",
        expected="another loadBalancer: this one calls the address of the Service itself",
    )


def _passes_through(policies: Sequence[_Policy]) -> _Policy | None:
    policy = _first(policies, "loadBalancer")
    return policy if policy and policy.value["loadBalancer"].get("simple") == _PASSTHROUGH else None


_FEW = 10
"""Limits below this are reported: a handful of calls at the same time exceeds them."""

_OF_HTTP = (("http", "http1MaxPendingRequests"), ("http", "http2MaxRequests"))
_OF_CONNECTIONS = (("tcp", "maxConnections"), ("http", "http1MaxPendingRequests"))


def limits(path: Path) -> list[Problem]:
    """A warning of each rule whose connection pool refuses all but a few calls at the same time.

    An HTTP client's calls wait for a connection, up to the number of pending requests; calls over TCP, which
    those through a gateway are for the gateway, are refused beyond the number of connections.
    """
    found = {}
    for view in (path.client, path.target) if path.through_gateway else (path.client,):
        keys = _OF_HTTP if view is path.client and is_http(path) else _OF_CONNECTIONS
        for subset in called_subsets(path):
            policy = _first(_policies(destination_rules(path, view), path.port, subset), "connectionPool")
            if policy and (small := dict(_small(policy.value["connectionPool"], keys))):
                found[view.context] = _limit(path, view, policy, small)
    return list(found.values())


def _small(pool: Mapping[str, Any], keys: Sequence[tuple[str, str]]) -> Iterator[tuple[str, int]]:
    for part, key in keys:
        value = int((pool.get(part) or {}).get(key) or 0)
        if 0 < value < _FEW:
            yield key, value


def _limit(path: Path, view: ClusterView, policy: _Policy, small: Mapping[str, int]) -> Problem:
    listed = ", ".join(f"{key} {value}" for key, value in small.items())
    where = " in the gateway, for all clients together" if view is path.target and path.crosses else ""
    removed = patched(view, policy.rule, [{"op": "remove", "path": f"{policy.where}/connectionPool"}])
    return Problem(
        code=Code.CONNECTION_POOL_SMALL,
        cluster=view.context,
        message=f"{view.context}: {ref(policy.rule)} refuses all but a few calls of {path.service} at a time",
        seen=f"{ref(policy.rule)}: {listed}{where}",
        expected="limits above the number of calls at the same time: others get status 503",
        hint=Advice("raise its limits, or remove them: ", removed),
    )


_KEYS_OF_HASH = ("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName")


def _hash(policies: Sequence[_Policy]) -> Iterator[str]:
    """What consistentHash goes by: equal ones always get the same endpoint, which may be a local one."""
    policy = _first(policies, "loadBalancer")
    given = (policy.value["loadBalancer"].get("consistentHash") if policy else None) or {}
    key = next((one for one in _KEYS_OF_HASH if given.get(one)), "")
    if policy and key:
        yield f"{ref(policy.rule)}: consistentHash by {key} sends equal calls to one endpoint"


def _kept(path: Path, policies: Sequence[_Policy]) -> str:
    """Why calls stay in the client's cluster as long as its own endpoints are healthy; empty: they do not.

    The setting of a rule replaces that of the MeshConfig (pilot/pkg/networking/core/loadbalancer,
    GetLocalityLbSetting, Istio 1.31.0).
    """
    if not path.client.endpoints:
        return ""
    if policy := _passes_through(policies):
        return f"{ref(policy.rule)}: loadBalancer simple {_PASSTHROUGH} calls the Service's own address"
    of_mesh = path.client.mesh_config.get("localityLbSetting") or {}
    balancer = _first(policies, "loadBalancer")
    own = balancer.value["loadBalancer"].get("localityLbSetting") if balancer else None
    setting: Mapping[str, Any] = of_mesh if own is None else own
    source = ref(balancer.rule) if balancer and own is not None else f"MeshConfig of {path.client.context}"
    if setting.get("enabled") is False:
        return ""
    if setting.get("distribute"):
        return f"{source}: localityLbSetting.distribute decides which locality is called"
    outlier = _first(policies, "outlierDetection")
    return _kept_by_failover(path, setting, source, ref(outlier.rule)) if outlier else ""


def _kept_by_failover(path: Path, setting: Mapping[str, Any], source: str, outlier: str) -> str:
    if "topology.istio.io/cluster" in map(str, setting.get("failoverPriority") or ()):
        return f"{source}: failoverPriority keeps calls in the cluster while its endpoints are healthy"
    here = {one.zone for one in path.client.endpoints}
    there = {one.zone for one in path.target.endpoints}
    if here & there:
        return ""
    return (
        f"{outlier} has outlierDetection: {path.target.context} is in other zones, and called only if "
        f"endpoints of {path.client.context} are unhealthy"
    )
