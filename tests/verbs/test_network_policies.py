"""NetworkPolicies: reported where they block what the mesh requires, with a command that adds the rule."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.daemons import Cilium

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
CHECKS = ("control-plane.network-policies", "services.network-policies", "cni.network-policies")
ONLY = tuple(word for check in CHECKS for word in ("--only", check))


def policy(*ports: int, **spec: Any) -> dict[str, Any]:
    """As a gateway's chart writes it where its ports are not the guide's."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "gateway", "namespace": SYSTEM},
        "spec": {
            "podSelector": {"matchLabels": {"istio": "ingressgateway"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": port, "protocol": "TCP"} for port in ports]}],
            **spec,
        },
    }


def deny(namespace: str, *directions: str) -> dict[str, Any]:
    """A policy that denies by default."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": list(directions)},
    }


@pytest.fixture
def enforced(installed: Mesh) -> Mesh:
    """A mesh whose clusters enforce NetworkPolicies."""
    Cilium(installed["kt"]).install()
    return installed


def follow(mesh: Mesh, hint: str) -> None:
    """Carries out the patches that a hint prints."""
    for command in hint.split(" && "):
        words = shlex.split(command)
        context, namespace, name, patch = words[2], words[4], words[7], json.loads(words[-1])
        found = mesh[context].get("NetworkPolicy", name, namespace)

        def change(item: dict[str, Any], patch: list[dict[str, Any]] = patch) -> None:
            for operation in patch:
                _, _, direction, *last = operation["path"].split("/")
                if last:
                    item["spec"][direction].append(operation["value"])
                else:
                    item["spec"][direction] = operation["value"]

        mesh[context].edit(found, change)


def test_a_closed_15443_is_an_error_of_its_cluster_and_its_fix_opens_it(enforced: Mesh) -> None:
    enforced["kt"].make(policy(15021, 8080, 8443))
    found = enforced.run("verify", *ONLY, "-o", "json").exits(4)
    assert found.errors == [("ports-closed", "kt")]
    assert "15443/TCP (calls of the other clusters)" in found.json["errors"][0]["seen"]
    follow(enforced, found.json["errors"][0]["hint"])
    enforced.run("verify", *ONLY, "-o", "json").exits(0)


def test_one_that_opens_the_ports_is_no_fault(enforced: Mesh) -> None:
    enforced["kt"].make(policy(15021, 15443))
    assert enforced.run("verify", *ONLY, "-o", "json").exits(0).errors == []


@pytest.mark.thorough
def test_istio_system_that_denies_by_default_lacks_every_rule_and_the_fix_adds_them(enforced: Mesh) -> None:
    enforced["kt"].make(deny(SYSTEM, "Ingress", "Egress"))
    found = enforced.run("verify", *ONLY, "-o", "json").exits(4)
    assert found.errors == [("ports-closed", "kt")]
    expected = found.json["errors"][0]["expected"]
    for port in ("15443/TCP", "15021/TCP", "15012/TCP", "15017/TCP", "53/UDP"):
        assert port in expected
    follow(enforced, found.json["errors"][0]["hint"])
    enforced.run("verify", *ONLY, "-o", "json").exits(0)


@pytest.mark.thorough
def test_blocked_sidecars_are_an_error_and_the_fix_allows_them(enforced: Mesh) -> None:
    enforced["kt"].deploy("reviews", "sample")
    enforced["kt"].make(deny("sample", "Egress"))
    found = enforced.run("verify", *ONLY, "-o", "json").exits(4)
    assert found.errors == [("workload-ports-closed", "kt")]
    for purpose in ("istiod", "DNS", "gateway of n"):
        assert purpose in found.json["errors"][0]["seen"]
    follow(enforced, found.json["errors"][0]["hint"])
    enforced.run("verify", *ONLY, "-o", "json").exits(0)


def test_a_namespace_without_sidecars_may_deny_any_call(enforced: Mesh) -> None:
    enforced["kt"].make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    enforced["kt"].make(deny("shop", "Ingress", "Egress"))
    assert enforced.run("verify", *ONLY, "-o", "json").exits(0).errors == []


def test_policies_that_no_cni_plugin_enforces_are_a_warning(installed: Mesh) -> None:
    installed["kt"].make(policy(15021))
    found = installed.run("verify", *ONLY, "-o", "json").exits(0)
    assert (found.errors, found.warnings) == ([], [("network-policies-not-enforced", "kt")])
    assert "if enforced: ingress blocked by NetworkPolicy istio-system/gateway: 15443/TCP" in str(found.json)


def test_a_user_who_may_not_list_policies_gets_no_false_answer(installed: Mesh) -> None:
    installed["kt"].faults.denied.add("list networkpolicies")
    found = installed.run("verify", "--only", CHECKS[1], "-o", "json").exits(4)
    states = {(row["id"], row["cluster"]): row["verdict"] for row in found.data["checks"]}
    assert states[CHECKS[1], "kt"] == "unknown"
