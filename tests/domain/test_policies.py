"""Policies are found by the labels of the pods that they select."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.kube.policies import Policies

SELECTORS = (
    ("selector", "matchLabels"),
    ("workloadSelector", "labels"),
    ("podSelector", "matchLabels"),
)


def policy(policy_name: str, *, of: str = "shop", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": policy_name, "namespace": of}, "spec": spec}


def selecting(field: str, key: str, app: str) -> dict[str, Any]:
    return {field: {key: {"app": app, "tier": "web"}}}


def names(found: list[dict[str, Any]]) -> list[str]:
    return [one["metadata"]["name"] for one in found]


@pytest.mark.parametrize(("field", "key"), SELECTORS)
def test_one_that_requires_another_label_is_left_out(field: str, key: str) -> None:
    policies = Policies(policy(app, **selecting(field, key, app)) for app in ("a", "b"))
    assert names(policies.selecting(["shop"], [{"app": "a"}])) == ["a"]
    assert names(policies.selecting(["shop"], [{"app": "b"}, {"app": "a"}])) == ["a", "b"]
    assert names(policies.selecting(["shop"], [])) == []


def test_one_without_a_selector_is_for_every_pod_of_its_namespace() -> None:
    policies = Policies([policy("all"), policy("other", of="billing"), policy("root", of="istio-system")])
    assert names(policies.selecting(["shop", "istio-system"], [{"app": "a"}])) == ["all", "root"]
    assert names(policies.selecting(["shop"], [])) == ["all"]


def test_they_are_returned_once_and_in_the_order_that_they_have() -> None:
    of_a: dict[str, Any] = {"selector": {"matchLabels": {"app": "a"}}}
    policies = Policies([policy("3", **of_a), policy("1"), policy("2", **of_a)])
    assert names(policies.selecting(["shop", "shop"], [{"app": "a"}, {"app": "a"}])) == ["3", "1", "2"]


def test_a_policy_without_a_spec_is_for_every_pod() -> None:
    policies = Policies([{"metadata": {"name": "empty", "namespace": "shop"}}])
    assert names(policies.selecting(["shop"], [{"app": "a"}])) == ["empty"]


def test_the_index_is_made_only_once() -> None:
    policies = Policies([policy("all")])
    assert Policies.of(policies) is policies
    assert names(list(Policies.of([policy("all")]))) == ["all"]
