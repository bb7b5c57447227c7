"""NetworkPolicy checks: required connections that are blocked, and whether the cluster enforces policies."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from istio_mc.checks.model import Check, Facts, Finding, Observation, Severity, Target, cached
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio.istiod import gateway_addresses
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT, STATUS_PORT
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.network_policies import (
    Blocked,
    Direction,
    Flow,
    Outside,
    Pods,
    allowing,
    blocked,
    described,
    pods_of,
    selecting,
)
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import plural
from istio_mc.domain.trace.sources import Configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.kube.objects import Object

POLICIES = "control-plane.network-policies"
WORKLOADS = "services.network-policies"

_ISTIOD, _GATEWAY = {"app": "istiod"}, {"istio": "ingressgateway"}
_CONFIGURATION_PORT, _WEBHOOK_PORT, _DNS_PORT, _HTTPS_PORT = 15012, 15017, 53, 443
_DNS = {"k8s-app": "kube-dns"}
_KUBE_SYSTEM = "kube-system"
_INGRESS, _EGRESS = Direction.INGRESS, Direction.EGRESS


def _control_plane(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    blocks = _blocked(facts).get(name, {}).get(SYSTEM_NAMESPACE, [])
    return _finding(
        facts, name, blocks, Code.PORTS_CLOSED, "NetworkPolicies block ports that the mesh requires"
    )


def _workloads(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    of_workloads = [
        one
        for namespace, blocks in _blocked(facts).get(name, {}).items()
        for one in blocks
        if namespace != SYSTEM_NAMESPACE
    ]
    return _finding(facts, name, of_workloads, Code.WORKLOAD_PORTS_CLOSED, "NetworkPolicies block sidecars")


def _finding(facts: Facts, name: str, blocks: list[Blocked], code: Code, message: str) -> Finding:
    policies = _configuration(facts, name).network_policies
    if policies is None:
        return Finding("the user may not list NetworkPolicies of all namespaces", unknown=True)
    if not blocks:
        return Finding("" if policies else "no NetworkPolicy")
    if not _configuration(facts, name).enforcing:
        return Finding(f"not enforced: {described(blocks)}")
    problem = Problem(
        code=code,
        message=message,
        seen=described(blocks),
        expected="a rule for "
        + ", ".join(dict.fromkeys(f"{one.flow.port}/{one.flow.protocol}" for one in blocks)),
        hint=allowing(name, blocks),
    )
    return Finding(plural(len(dict.fromkeys(one.what for one in blocks)), "connection"), problem)


def _enforced(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    configuration = _configuration(facts, name)
    policies = configuration.network_policies
    if not policies:
        return Finding("no NetworkPolicy" if policies is not None else "not read")
    if configuration.enforcing:
        return Finding(", ".join(configuration.enforcing))
    blocks = [
        one for blocks_of_namespace in _blocked(facts).get(name, {}).values() for one in blocks_of_namespace
    ]
    seen = f"{plural(len(policies), 'NetworkPolicy', 'NetworkPolicies')}, no DaemonSet that enforces them"
    if blocks:
        seen += f"; if enforced: {described(blocks)}"
    problem = Problem(
        code=Code.NETWORK_POLICIES_NOT_ENFORCED,
        message="NetworkPolicies are not enforced",
        seen=seen,
        expected="a CNI plugin that enforces them, such as Calico or Cilium, or no NetworkPolicy",
        hint=Advice("see the agents of the CNI plugin: ", kubectl(name, "get", "daemonsets", "-A")),
    )
    return Finding(plural(len(policies), "NetworkPolicy", "NetworkPolicies"), problem)


@cached
def _blocked(facts: Facts) -> dict[str, dict[str, list[Blocked]]]:
    """What is blocked, by context and namespace."""
    return {name: _of_cluster(facts, name) for name in facts.configuration}


def _of_cluster(facts: Facts, name: str) -> dict[str, list[Blocked]]:
    policies = _configuration(facts, name).network_policies
    if not policies:
        return {}
    by_namespace: dict[str, list[Blocked]] = {}
    for one in blocked(
        policies, [*_of_istiod(facts, name), *_of_gateway(facts, name), *_of_sidecars(facts, name)]
    ):
        by_namespace.setdefault(one.flow.pods.namespace, []).append(one)
    return by_namespace


def _configuration(facts: Facts, name: str) -> Configuration:
    return facts.configuration.get(name) or Configuration()


def _deployment(facts: Facts, name: str, deployment: str, selector: dict[str, str]) -> Pods | None:
    live = facts.observed[name].find(objects.DEPLOYMENT, deployment)
    return pods_of(live, _labels(facts, name, SYSTEM_NAMESPACE), selector) if live else None


def _labels(facts: Facts, name: str, namespace: str) -> dict[str, str]:
    return dict(_configuration(facts, name).namespaces.get(namespace) or {})


def _sidecar_pods(facts: Facts, name: str) -> Iterator[Pods]:
    """Pods with a sidecar: one for each namespace and set of policies that select it."""
    policies = _configuration(facts, name).network_policies or ()
    seen = set()
    for pod in _configuration(facts, name).pods:
        namespace = pod["metadata"]["namespace"]
        key = namespace, selecting(policies, namespace, objects.labels_of(pod))
        if namespace == SYSTEM_NAMESPACE or pod["spec"].get("hostNetwork") or key in seen:
            continue
        seen.add(key)
        yield pods_of(pod, _labels(facts, name, namespace), {})


def _of_istiod(facts: Facts, name: str) -> Iterator[Flow]:
    istiod = _deployment(facts, name, facts.mesh_of(name).istiod, _ISTIOD)
    if istiod is None:
        return
    gateway = _deployment(facts, name, EAST_WEST_GATEWAY, _GATEWAY)
    callers = [*_sidecar_pods(facts, name), *([gateway] if gateway else [])]
    for caller in {one.namespace: one for one in callers}.values():
        yield Flow(_INGRESS, istiod, caller, _CONFIGURATION_PORT, purpose=f"sidecars of {caller.namespace}")
    yield Flow(_INGRESS, istiod, Outside(), _WEBHOOK_PORT, purpose="webhooks, from the API server")
    yield _dns(istiod)
    for host, port in _own_api_server(facts, name):
        yield Flow(_EGRESS, istiod, _outside(host), port, purpose="API server")
    for remote in facts.remotes.get(name, ()):
        if remote.access and not remote.access.proxy:
            url = urlsplit(remote.access.server)
            purpose = f"API server of {remote.cluster_id}"
            yield Flow(
                _EGRESS, istiod, _outside(url.hostname or ""), url.port or _HTTPS_PORT, purpose=purpose
            )


def _of_gateway(facts: Facts, name: str) -> Iterator[Flow]:
    gateway = _deployment(facts, name, EAST_WEST_GATEWAY, _GATEWAY)
    if gateway is None:
        return
    yield Flow(_INGRESS, gateway, Outside(), CROSS_NETWORK_PORT, purpose="calls of the other clusters")
    yield Flow(_INGRESS, gateway, Outside(), STATUS_PORT, purpose="health checks")
    yield from _to_istiod(facts, name, gateway)


def _of_sidecars(facts: Facts, name: str) -> Iterator[Flow]:
    for pods in _sidecar_pods(facts, name):
        yield from _to_istiod(facts, name, pods)
        for other, observed in facts.observed.items():
            if facts.clusters[other].network == facts.clusters[name].network:
                continue
            for address in gateway_addresses(observed.find(objects.SERVICE, EAST_WEST_GATEWAY)):
                purpose = f"gateway of {other}"
                yield Flow(_EGRESS, pods, _outside(address), CROSS_NETWORK_PORT, purpose=purpose)


def _to_istiod(facts: Facts, name: str, pods: Pods) -> Iterator[Flow]:
    yield _dns(pods)
    if istiod := _deployment(facts, name, facts.mesh_of(name).istiod, _ISTIOD):
        yield Flow(_EGRESS, pods, istiod, _CONFIGURATION_PORT, purpose="istiod")


def _dns(pods: Pods) -> Flow:
    return Flow(_EGRESS, pods, Pods(_KUBE_SYSTEM, _DNS, selector=_DNS), _DNS_PORT, "UDP", "DNS")


def _own_api_server(facts: Facts, name: str) -> Iterator[tuple[str, int]]:
    """Address and port of the cluster's own API servers, behind the Service default/kubernetes."""
    for one in facts.services[name].slices if name in facts.services else ():
        if one["metadata"].get("namespace") == "default" and _service_of(one) == "kubernetes":
            for port in one.get("ports") or []:
                for endpoint in one.get("endpoints") or []:
                    yield from ((address, int(port["port"])) for address in endpoint.get("addresses") or [])


def _service_of(endpoint_slice: Object) -> str | None:
    return objects.labels_of(endpoint_slice).get("kubernetes.io/service-name")


def _outside(host: str) -> Outside:
    try:
        return Outside((str(ip_address(host)),))
    except ValueError:  # a host name: its addresses are those of the cluster's DNS
        return Outside()


OF_CONTROL_PLANE = (
    Check(
        id=POLICIES,
        title="NetworkPolicies of istio-system",
        passes="no NetworkPolicy blocks a required port",
        looks_at=(
            "the NetworkPolicies of `istio-system`, and what istiod and the gateway accept and connect to: "
            "15443, 15021, 15012, 15017, DNS, API servers"
        ),
        usual_cause=(
            "a gateway's chart with `global.networkPolicy.enabled`, or a policy that denies by default"
        ),
        fix="add the missing rules",
        evaluate=_control_plane,
        reads=(Observation.CONFIGURATION, Observation.SERVICES),
        docs="troubleshooting.md#ports-closed",
    ),
)

OF_WORKLOADS = (
    Check(
        id=WORKLOADS,
        title="NetworkPolicies of workloads",
        passes="no NetworkPolicy blocks a sidecar",
        looks_at=(
            "the NetworkPolicies that select pods with a sidecar, and what these connect to: istiod, DNS, "
            "the other clusters' gateways"
        ),
        usual_cause="a policy that denies egress by default, without rules for the mesh",
        fix="add the missing rules",
        evaluate=_workloads,
        reads=(Observation.CONFIGURATION, Observation.SERVICES),
        docs="troubleshooting.md#workload-ports-closed",
    ),
)

ENFORCED = (
    Check(
        id="cni.network-policies",
        title="NetworkPolicy enforcement",
        passes="NetworkPolicies are enforced",
        looks_at="whether a DaemonSet runs that enforces NetworkPolicies, where there are any",
        usual_cause="a CNI plugin such as flannel or bridge, which accepts NetworkPolicies without effect",
        fix="use a CNI plugin that enforces them, or remove them",
        severity=Severity.WARNING,
        evaluate=_enforced,
        reads=(Observation.CONFIGURATION, Observation.SERVICES),
        docs="troubleshooting.md#network-policies-not-enforced",
    ),
)
