"""Connections that NetworkPolicies block (networking.k8s.io/v1), and the rule that is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.hint import Advice, Command
from istio_mc.domain.kube.network_policies import (
    NAME_LABEL,
    Blocked,
    Direction,
    Flow,
    Outside,
    Pods,
    allowing,
    blocked,
    described,
    enforcing,
    pods_of,
    selecting,
)

if TYPE_CHECKING:
    from istio_mc.domain.hint import Hint

SYSTEM = "istio-system"
APP = "istio-ingressgateway"
LABELS = {"app": APP, "istio": "ingressgateway", "topology.istio.io/network": "network1"}
GATEWAY = Pods(SYSTEM, LABELS, ports={"mtls": 15443, "status": 15021})
SLEEP = Pods("shop", {"app": "sleep"}, {"team": "shop"}, addresses=("10.201.0.7",))
NEEDED = (15443, 15021)


def policy(name: str = "p", namespace: str = SYSTEM, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}, **spec}}


def opening(*ports: Any) -> dict[str, Any]:
    return policy(ingress=[{"ports": [{"port": port, "protocol": "TCP"} for port in ports]}])


def closed(*policies: dict[str, Any]) -> dict[int, list[str]]:
    """The needed ports of the gateway that are closed to the other clusters, and by which policies."""
    flows = [Flow(Direction.INGRESS, GATEWAY, Outside(), port) for port in NEEDED]
    return {
        one.flow.port: [policy["metadata"]["name"] for policy in one.policies]
        for one in blocked(policies, flows)
    }


# What istioctl 1.31.0 made of this tool's document with values.global.networkPolicy.enabled.
OF_ISTIO_1_31 = policy(
    "istio-ingressgateway",
    podSelector={"matchLabels": LABELS},
    policyTypes=["Ingress", "Egress"],
    ingress=[
        {"ports": [{"port": port, "protocol": "TCP"}]}
        for port in (15021, 15020, 15090, 15021, 8080, 8443, 31400, 15443, 15012, 15017)
    ],
    egress=[{}],
)


def test_the_policy_that_istio_1_31_makes_of_this_tools_document_blocks_nothing() -> None:
    assert closed(OF_ISTIO_1_31) == {}


def test_the_policy_of_a_gateway_without_the_guides_ports_blocks_15443() -> None:
    assert closed(opening(15021, 80, 443)) == {15443: ["p"]}


def test_without_a_policy_nothing_is_blocked() -> None:
    assert closed() == {}


@pytest.mark.parametrize("spec", [{}, {"ingress": []}, {"policyTypes": ["Ingress"]}], ids=str)
def test_a_policy_without_rules_blocks_everything(spec: dict[str, Any]) -> None:
    assert closed(policy(**spec)) == {15443: ["p"], 15021: ["p"]}


def test_a_policy_of_another_namespace_blocks_nothing() -> None:
    assert closed(policy(namespace="shop")) == {}


@pytest.mark.parametrize(
    "spec",
    [
        {"policyTypes": ["Egress"]},
        {"podSelector": {"matchLabels": {"app": "other"}}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["other"]}]}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [APP]}]}},
        {"podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}},
        {"ingress": [{}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "198.18.0.0/24"}}]}]},
        {"ingress": [{"ports": [{"port": 15000, "endPort": 15500}]}]},
        {"ingress": [{"ports": [{"protocol": "TCP"}]}]},
        {"ingress": [{"ports": [{"port": "mtls"}, {"port": "status"}]}]},
        {"ingress": [{"ports": [{"port": "a-name-of-no-container"}]}]},
        {"ingress": [{"ports": [{"port": 15443}]}, {"ports": [{"port": 15021}]}]},
    ],
    ids=str,
)
def test_a_policy_that_does_not_select_the_pod_or_allows_the_ports_blocks_nothing(
    spec: dict[str, Any],
) -> None:
    assert closed(policy(**spec)) == {}


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
        {"podSelector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": [APP]}]}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["other"]}]}},
        {"ingress": [{"ports": [{"port": 15443, "protocol": "UDP"}, {"port": 15400, "endPort": 15442}]}]},
        {"ingress": [{"from": [{"podSelector": {}}]}]},
        {"ingress": [{"from": [{"namespaceSelector": {}}]}]},
    ],
    ids=str,
)
def test_a_policy_that_selects_the_pod_and_allows_something_else_blocks_them(spec: dict[str, Any]) -> None:
    assert set(closed(policy(**spec))) == set(NEEDED)


def test_a_port_name_is_the_port_that_the_pod_gives_it_to() -> None:
    assert set(closed(policy(ingress=[{"ports": [{"port": "mtls"}]}]))) == {15021}


def test_what_one_policy_allows_another_does_not_block() -> None:
    assert closed(policy("deny"), opening(15443)) == {15021: ["deny", "p"]}


def egress(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return policy(namespace="shop", policyTypes=["Egress"], egress=list(rules), **spec)


ISTIOD = Pods(SYSTEM, {"app": "istiod"}, selector={"app": "istiod"})
TO_ISTIOD = Flow(Direction.EGRESS, SLEEP, ISTIOD, 15012, purpose="istiod")


def to(**peer: Any) -> dict[str, Any]:
    return {"to": [peer]}


def of(**labels: str) -> dict[str, Any]:
    return {"matchLabels": labels}


@pytest.mark.parametrize(
    ("found", "is_blocked"),
    [
        (egress(), True),
        (egress({}), False),
        (egress({"ports": [{"port": 15012}]}), False),
        (egress({"ports": [{"port": 15012, "protocol": "UDP"}]}), True),
        (egress(to(podSelector={})), True),  # pods of its own namespace
        (egress(to(podSelector=of(app="istiod"))), True),
        (egress(to(namespaceSelector={})), False),
        (egress(to(namespaceSelector=of(**{NAME_LABEL: SYSTEM}))), False),
        (egress(to(namespaceSelector=of(**{NAME_LABEL: "kube-system"}))), True),
        (egress(to(namespaceSelector={}, podSelector=of(app="istiod"))), False),
        (egress(to(namespaceSelector={}, podSelector=of(app="other"))), True),
        (egress(to(ipBlock={"cidr": "10.0.0.0/8"})), False),  # the address of istiod is not known
        (policy(namespace="shop"), False),  # without a rule for egress it is for ingress only
        (policy(namespace="shop", egress=[to(podSelector={})]), True),
    ],
    ids=str,
)
def test_egress_to_pods_is_blocked_unless_a_rule_names_them(
    found: dict[str, Any], *, is_blocked: bool
) -> None:
    assert bool(blocked([found], [TO_ISTIOD])) is is_blocked


@pytest.mark.parametrize(
    ("block", "is_blocked"),
    [
        ({"cidr": "0.0.0.0/0"}, False),
        ({"cidr": "198.18.0.21/32"}, False),
        ({"cidr": "198.18.0.22/32"}, True),
        ({"cidr": "0.0.0.0/0", "except": ["198.18.0.0/15"]}, True),
        ({"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}, False),
        ({"cidr": "::/0"}, True),
    ],
    ids=str,
)
def test_egress_to_a_known_address_is_blocked_unless_a_rule_contains_it(
    block: dict[str, Any], *, is_blocked: bool
) -> None:
    flow = Flow(Direction.EGRESS, SLEEP, Outside(("198.18.0.21",)), 15443)
    assert bool(blocked([egress(to(ipBlock=block))], [flow])) is is_blocked


def test_ingress_from_a_namespace_is_allowed_by_its_labels() -> None:
    flow = Flow(Direction.INGRESS, ISTIOD, SLEEP, 15012)
    allowed = policy(ingress=[{"from": [{"namespaceSelector": of(team="shop")}]}])
    other = policy(ingress=[{"from": [{"namespaceSelector": of(team="billing")}]}])
    assert not blocked([allowed], [flow])
    assert blocked([other], [flow])


def patches(command: Hint) -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Words and patch of each command."""
    assert isinstance(command, Command)
    return [(list(one.argv[:-1]), json.loads(one.argv[-1])) for one in (command, *command.then)]


def test_the_missing_rules_are_added_to_a_policy_that_blocks_and_they_suffice() -> None:
    gateway = Flow(Direction.EGRESS, SLEEP, Outside(("198.18.0.21",)), 15443)
    deny = egress()
    command = allowing("kt", blocked([deny], [TO_ISTIOD, gateway]))
    ((words, patch),) = patches(command)
    assert words == [
        "kubectl",
        "--context",
        "kt",
        "-n",
        "shop",
        "patch",
        "networkpolicy",
        "p",
        "--type",
        "json",
        "-p",
    ]
    assert [(one["op"], one["path"]) for one in patch] == [("add", "/spec/egress")]
    deny["spec"]["egress"] = patch[0]["value"]
    assert not blocked([deny], [TO_ISTIOD, gateway])
    assert blocked([deny], [Flow(Direction.EGRESS, SLEEP, Outside(("203.0.113.1",)), 443)])


def test_a_rule_is_added_behind_those_that_a_policy_has() -> None:
    command = allowing("kt", blocked([egress(to(podSelector={}))], [TO_ISTIOD]))
    ((_, patch),) = patches(command)
    rule = {
        "to": [
            {"namespaceSelector": of(**{NAME_LABEL: SYSTEM}), "podSelector": of(app="istiod")},
        ],
        "ports": [{"port": 15012, "protocol": "TCP"}],
    }
    assert patch == [{"op": "add", "path": "/spec/egress/-", "value": rule}]


def test_policies_of_two_namespaces_are_patched_one_after_the_other() -> None:
    flows = [TO_ISTIOD, Flow(Direction.INGRESS, ISTIOD, SLEEP, 15012)]
    command = allowing("kt", blocked([egress(), policy("deny")], flows))
    assert [words[4] for words, _ in patches(command)] == ["shop", SYSTEM]
    assert " && " in str(command)


def blocked_by(count: int) -> list[Blocked]:
    """What so many policies block, each the connections of its own pods."""
    names = [f"app-{number}" for number in range(count)]
    flows = [
        Flow(Direction.EGRESS, Pods("shop", {"app": name}), ISTIOD, 15012, purpose="istiod") for name in names
    ]
    selected = [egress() for _ in names]
    for one, name in zip(selected, names, strict=True):
        one["metadata"]["name"] = name
        one["spec"]["podSelector"] = of(app=name)
    return blocked(selected, flows)


def test_more_policies_than_one_command_can_change_are_advice_with_the_first_of_them() -> None:
    assert len(patches(allowing("kt", blocked_by(10)))) == 10
    hint = allowing("kt", blocked_by(11))
    assert isinstance(hint, Advice)
    assert str(hint).startswith(
        "add such rules to 11 NetworkPolicies, to the first of them: kubectl --context kt -n shop "
        "patch networkpolicy app-0 "
    )


def test_of_what_many_policies_block_the_first_few_are_described() -> None:
    assert described(blocked_by(2000)).endswith(
        "egress blocked by NetworkPolicy shop/app-2: 15012/TCP (istiod) and 1997 more"
    )


def test_what_is_blocked_is_described_by_direction_and_policies() -> None:
    dns = Flow(Direction.EGRESS, SLEEP, Pods("kube-system"), 53, "UDP", "DNS")
    found = blocked([egress()], [TO_ISTIOD, dns, TO_ISTIOD])
    assert described(found) == ("egress blocked by NetworkPolicy shop/p: 15012/TCP (istiod), 53/UDP (DNS)")


def test_the_policies_that_select_a_pod_are_those_of_its_namespace_that_match() -> None:
    found = [policy("a"), policy("b", podSelector=of(app="other")), policy("c", namespace="shop")]
    assert selecting(found, SYSTEM, LABELS) == {"a"}


def test_pods_of_a_deployment_have_the_labels_and_port_names_of_its_template() -> None:
    container = {"ports": [{"name": "mtls", "containerPort": 15443}, {"containerPort": 80}]}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
    found = pods_of({"metadata": {"namespace": SYSTEM}, "spec": {"template": template}}, {}, {})
    assert (found.namespace, found.labels, found.ports) == (SYSTEM, LABELS, {"mtls": 15443})


def test_a_pod_has_its_addresses() -> None:
    pod = {"metadata": {"namespace": "shop"}, "spec": {}, "status": {"podIPs": [{"ip": "10.0.0.1"}]}}
    assert pods_of(pod, {}, {}).addresses == ("10.0.0.1",)


def test_cni_plugins_that_enforce_policies_are_known_by_their_daemon_sets() -> None:
    names = ("kube-proxy", "calico-node", "kube-flannel-ds")
    assert enforcing([{"metadata": {"name": name}} for name in names]) == ("calico-node",)
