"""Ports that NetworkPolicies close, by the rules of networking.k8s.io/v1."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.kube.network_policies import closed_ports

APP = "istio-ingressgateway"
GATEWAY = {"app": APP, "istio": "ingressgateway", "topology.istio.io/network": "network1"}
NEEDED = (15443, 15021)


def policy(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"podSelector": {}, **spec}}


def opening(*ports: Any) -> dict[str, Any]:
    return policy(ingress=[{"ports": [{"port": port, "protocol": "TCP"} for port in ports]}])


# What istioctl 1.31.0 made of this tool's document with values.global.networkPolicy.enabled.
OF_ISTIO_1_31 = policy(
    "istio-ingressgateway",
    podSelector={"matchLabels": GATEWAY},
    policyTypes=["Ingress", "Egress"],
    ingress=[
        {"ports": [{"port": port, "protocol": "TCP"}]}
        for port in (15021, 15020, 15090, 15021, 8080, 8443, 31400, 15443, 15012, 15017)
    ],
    egress=[{}],
)


def test_the_policy_that_istio_1_31_makes_of_this_tools_document_closes_nothing() -> None:
    assert closed_ports([OF_ISTIO_1_31], GATEWAY, NEEDED) == {}


def test_the_policy_of_a_gateway_without_the_guides_ports_closes_15443() -> None:
    assert closed_ports([opening(15021, 80, 443)], GATEWAY, NEEDED) == {15443: ["p"]}


def test_without_a_policy_nothing_is_closed() -> None:
    assert closed_ports([], GATEWAY, NEEDED) == {}


@pytest.mark.parametrize("spec", [{}, {"ingress": []}, {"policyTypes": ["Ingress"]}], ids=str)
def test_a_policy_without_rules_closes_everything(spec: dict[str, Any]) -> None:
    assert closed_ports([policy(**spec)], GATEWAY, NEEDED) == {15443: ["p"], 15021: ["p"]}


@pytest.mark.parametrize(
    "spec",
    [
        {"policyTypes": ["Egress"]},
        {"podSelector": {"matchLabels": {"app": "other"}}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["other"]}]}},
        {
            "podSelector": {
                "matchExpressions": [{"key": "app", "operator": "NotIn", "values": [GATEWAY["app"]]}]
            }
        },
        {"podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}},
        {"ingress": [{}]},
        {"ingress": [{"from": [{"ipBlock": {"cidr": "198.18.0.0/24"}}]}]},
        {"ingress": [{"ports": [{"port": 15000, "endPort": 15500}]}]},
        {"ingress": [{"ports": [{"protocol": "TCP"}]}]},
        {"ingress": [{"ports": [{"port": "mtls"}]}]},
        {"ingress": [{"ports": [{"port": 15443}]}, {"ports": [{"port": 15021}]}]},
    ],
    ids=str,
)
def test_a_policy_that_does_not_select_the_pod_or_lets_the_ports_in_closes_nothing(
    spec: dict[str, Any],
) -> None:
    assert closed_ports([policy(**spec)], GATEWAY, NEEDED) == {}


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
        {"podSelector": {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": [APP]}]}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["other"]}]}},
        {"ingress": [{"ports": [{"port": 15443, "protocol": "UDP"}, {"port": 15400, "endPort": 15442}]}]},
    ],
    ids=str,
)
def test_a_policy_that_selects_the_pod_and_lets_in_something_else_closes_them(spec: dict[str, Any]) -> None:
    assert set(closed_ports([policy(**spec)], GATEWAY, NEEDED)) == set(NEEDED)


def test_what_one_policy_lets_in_another_does_not_close() -> None:
    assert closed_ports([policy("deny"), opening(15443)], GATEWAY, NEEDED) == {15021: ["deny", "p"]}
