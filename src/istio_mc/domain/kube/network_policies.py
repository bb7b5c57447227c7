"""Which connections NetworkPolicies block, and the rule that is missing (networking.k8s.io/v1). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube.objects import selects
from istio_mc.domain.kube.policies import Policies
from istio_mc.domain.text import few

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from istio_mc.domain.hint import Hint
    from istio_mc.domain.kube.objects import Object

NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that the API server puts on each namespace."""

_ENFORCING = frozenset(
    {
        "anetd",
        "antrea-agent",
        "aws-node",
        "azure-npm",
        "calico-node",
        "canal",
        "cilium",
        "kindnet",
        "kube-network-policies",
        "kube-router",
        "ovnkube-node",
        "weave-net",
    }
)
"""DaemonSets of CNI plugins and agents that enforce NetworkPolicies; flannel and the bridge plugin do not."""


_SHOWN = 3
"""Groups of connections that are described; of more, how many there are."""

_PATCHED = 10
"""Policies that one command changes at most; longer ones cannot be read before they are pasted."""


class Direction(StrEnum):
    """The direction of a connection, seen from the pod that policies select."""

    INGRESS = "ingress"
    EGRESS = "egress"

    @property
    def peers(self) -> str:
        """The field of a rule that lists its peers."""
        return "from" if self is Direction.INGRESS else "to"


@dataclass(frozen=True, slots=True)
class Pods:
    """Pods with equal labels, as rules select them.

    Attributes:
        addresses: Their IP addresses; empty if unknown.
        selector: The labels that a rule for them should name; empty: all pods of the namespace.
    """

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outside:
    """Hosts outside the cluster."""

    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection that the mesh requires.

    Attributes:
        purpose: What needs it, such as `DNS`.
    """

    direction: Direction
    pods: Pods
    peer: Pods | Outside
    port: int
    protocol: str = "TCP"
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A flow that no rule allows.

    Attributes:
        policies: The policies that select the pods for this direction; not empty.
    """

    flow: Flow
    policies: tuple[Object, ...]

    @property
    def where(self) -> str:
        """The direction and the policies."""
        metadata = (one["metadata"] for one in self.policies)
        names = ", ".join(f"NetworkPolicy {one['namespace']}/{one['name']}" for one in metadata)
        return f"{self.flow.direction} blocked by {names}"

    @property
    def what(self) -> str:
        """The port and the purpose."""
        return f"{self.flow.port}/{self.flow.protocol} ({self.flow.purpose})"

    @property
    def rule(self) -> dict[str, Any]:
        """The rule that allows the flow."""
        flow = self.flow
        ports = [{"port": flow.port, "protocol": flow.protocol}]
        peers = _peers(flow.peer)
        return {flow.direction.peers: peers, "ports": ports} if peers else {"ports": ports}


def described(blocks: Iterable[Blocked]) -> str:
    """What is blocked, by direction and policies; of many policies the first few."""
    whats: dict[str, dict[str, None]] = {}
    for one in blocks:
        whats.setdefault(one.where, {})[one.what] = None
    return few((f"{where}: {', '.join(named)}" for where, named in whats.items()), _SHOWN, "; ")


def blocked(policies: Iterable[Object], flows: Iterable[Flow]) -> list[Blocked]:
    """The flows that NetworkPolicies block.

    A pod that a policy selects for a direction accepts only what a rule of one of these policies allows.
    A rule with an ipBlock is taken to allow a peer whose addresses are unknown.
    """
    indexed = Policies.of(policies)
    blocks = []
    for flow in flows:
        selecting = tuple(
            one
            for one in indexed.selecting((flow.pods.namespace,), (flow.pods.labels,))
            if flow.direction in directions(one["spec"])
            and selects(one["spec"].get("podSelector"), flow.pods.labels)
        )
        rules = ((one, rule) for one in selecting for rule in one["spec"].get(flow.direction) or [])
        if selecting and not any(_allows(policy, rule, flow) for policy, rule in rules):
            blocks.append(Blocked(flow, selecting))
    return blocks


def selecting(policies: Iterable[Object], namespace: str, labels: Mapping[str, str]) -> frozenset[str]:
    """Names of the policies that select a pod for either direction."""
    return frozenset(
        one["metadata"]["name"]
        for one in Policies.of(policies).selecting((namespace,), (labels,))
        if selects(one["spec"].get("podSelector"), labels)
    )


def directions(spec: Mapping[str, Any]) -> set[Direction]:
    """The directions that a policy is for: by default ingress, and egress if it has such rules."""
    implied = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    return {Direction(one.lower()) for one in spec.get("policyTypes") or implied}


def allowing(context: str, blocks: Sequence[Blocked]) -> Hint:
    """What adds the missing rules, to the first policy that blocks each flow.

    It is a command, unless there are too many policies for one.
    """
    policies: dict[tuple[str, str], Object] = {}
    rules: dict[tuple[str, str], dict[Direction, list[dict[str, Any]]]] = {}
    for one in blocks:
        metadata = one.policies[0]["metadata"]
        key = metadata["namespace"], metadata["name"]
        policies[key] = one.policies[0]
        added = rules.setdefault(key, {}).setdefault(one.flow.direction, [])
        if one.rule not in added:
            added.append(one.rule)
    first, *others = (
        kubectl(context, "-n", namespace, "patch", "networkpolicy", name, "--type", "json", "-p", patch)
        for (namespace, name), policy in policies.items()
        for patch in (_patch(policy, rules[namespace, name]),)
    )
    if len(others) >= _PATCHED:
        return Advice(f"add such rules to {len(policies)} NetworkPolicies, to the first of them: ", first)
    return replace(first, then=tuple(others))


def _patch(policy: Object, rules: Mapping[Direction, Sequence[Mapping[str, Any]]]) -> str:
    operations: list[dict[str, Any]] = []
    for direction, added in rules.items():
        path = f"/spec/{direction}"
        if policy["spec"].get(direction):
            operations += [{"op": "add", "path": f"{path}/-", "value": rule} for rule in added]
        else:
            operations.append({"op": "add", "path": path, "value": added})
    return json.dumps(operations, separators=(",", ":"))


def _peers(peer: Pods | Outside) -> list[dict[str, Any]]:
    if isinstance(peer, Outside):
        return [{"ipBlock": {"cidr": str(ip_network(one))}} for one in peer.addresses]
    selector: dict[str, Any] = {"namespaceSelector": {"matchLabels": {NAME_LABEL: peer.namespace}}}
    if peer.selector:
        selector["podSelector"] = {"matchLabels": dict(peer.selector)}
    return [selector]


def _allows(policy: Object, rule: Mapping[str, Any] | None, flow: Flow) -> bool:
    rule = rule or {}
    ports: Collection[Mapping[str, Any]] = rule.get("ports") or ()
    if ports and not any(_is_port(one, flow) for one in ports):
        return False
    peers: Collection[Mapping[str, Any]] = rule.get(flow.direction.peers) or ()
    return not peers or any(_is_peer(policy, one, flow.peer) for one in peers)


def _is_port(entry: Mapping[str, Any], flow: Flow) -> bool:
    if entry.get("protocol", "TCP") != flow.protocol:
        return False
    first = entry.get("port")
    if first is None:
        return True
    if not isinstance(first, int):
        server = flow.pods if flow.direction is Direction.INGRESS else flow.peer
        known = server.ports if isinstance(server, Pods) else {}
        # The ports of pods that were not read are unknown: a name may be this one.
        return first not in known or known[first] == flow.port
    return first <= flow.port <= int(entry.get("endPort") or first)


def _is_peer(policy: Object, entry: Mapping[str, Any], peer: Pods | Outside) -> bool:
    if block := entry.get("ipBlock"):
        return not peer.addresses or all(_is_in(block, address) for address in peer.addresses)
    if isinstance(peer, Outside):
        return False
    if "namespaceSelector" in entry:
        known = {NAME_LABEL: peer.namespace, **peer.namespace_labels}
        if not selects(entry["namespaceSelector"], known):
            return False
    elif policy["metadata"]["namespace"] != peer.namespace:
        return False
    return selects(entry.get("podSelector"), peer.labels)


def _is_in(block: Mapping[str, Any], address: str) -> bool:
    one = ip_address(address)

    def covers(cidr: str) -> bool:
        network = ip_network(cidr, strict=False)
        return network.version == one.version and one in network

    return covers(block["cidr"]) and not any(covers(excepted) for excepted in block.get("except") or [])


def pods_of(item: Object, namespace_labels: Mapping[str, str], selector: Mapping[str, str]) -> Pods:
    """A pod, or the pods of a Deployment's template, as rules select them."""
    template = item["spec"].get("template") or item
    spec = template.get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    named = (port for container in containers for port in container.get("ports") or [] if port.get("name"))
    addresses = (one["ip"] for one in (item.get("status") or {}).get("podIPs") or [])
    return Pods(
        item["metadata"]["namespace"],
        (template.get("metadata") or {}).get("labels") or {},
        namespace_labels,
        tuple(addresses),
        {str(port["name"]): int(port["containerPort"]) for port in named},
        selector,
    )


def enforcing(daemon_sets: Iterable[Object]) -> tuple[str, ...]:
    """Names of the DaemonSets that enforce NetworkPolicies, such as `calico-node`."""
    return tuple(sorted({one["metadata"]["name"] for one in daemon_sets} & _ENFORCING))
