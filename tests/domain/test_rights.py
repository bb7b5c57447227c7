"""Rules of RBAC: which rights they grant."""

from __future__ import annotations

import pytest

from istio_mc.domain.kube.rights import Right, is_granted

LIST_PODS = Right("list", "pods", "", "")
FORWARD = Right("create", "pods", "", "istio-system", "portforward")
EVERYTHING = Right("*", "*", "*", "")


def rule(verbs: str, resources: str, groups: str = "", names: str = "") -> dict[str, object]:
    return {
        "verbs": verbs.split(),
        "apiGroups": groups.split(",") if groups else [""],
        "resources": resources.split(),
        "resourceNames": names.split(),
    }


@pytest.mark.parametrize(
    ("right", "granting"),
    [
        (LIST_PODS, rule("get list", "pods services")),
        (LIST_PODS, rule("*", "pods")),
        (LIST_PODS, rule("list", "*")),
        (LIST_PODS, rule("list", "pods", "*")),
        (FORWARD, rule("create", "pods/portforward")),
        (FORWARD, rule("create", "*/portforward")),
        (FORWARD, rule("create", "*")),
        (EVERYTHING, rule("*", "*", "*")),
    ],
)
def test_a_rule_that_grants(right: Right, granting: dict[str, object]) -> None:
    assert is_granted(right, [rule("watch", "nodes"), granting])


@pytest.mark.parametrize(
    ("right", "other"),
    [
        (LIST_PODS, rule("get", "pods")),
        (LIST_PODS, rule("list", "pods", "apps")),
        (LIST_PODS, rule("list", "services")),
        (LIST_PODS, rule("list", "pods", names="istiod")),
        (LIST_PODS, rule("list", "pods/log")),
        (LIST_PODS, rule("list", "*/pods")),
        (FORWARD, rule("create", "pods")),
        (FORWARD, rule("create", "*/exec")),
        (FORWARD, rule("create", "services/portforward")),
        (EVERYTHING, rule("get list watch create", "*", "*")),
        (EVERYTHING, rule("*", "pods", "*")),
        (EVERYTHING, rule("*", "*", "apps")),
        (LIST_PODS, {"verbs": ["get"], "nonResourceURLs": ["*"]}),
    ],
)
def test_a_rule_that_does_not(right: Right, other: dict[str, object]) -> None:
    assert not is_granted(right, [other])
    assert not is_granted(right, [])
