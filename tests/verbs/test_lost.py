"""uninstall --lost: the others forget a cluster whose API server is gone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.ops.rotation import tokens as rotation
from tests.support.fixtures import made_once

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
LOST = ("uninstall", "--lost", "nhn", "--yes", "-o", "json")
OF_NHN = "istio-remote-secret-nhn-nks"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(rotation, "SETTLE_S", 0.3)
    monkeypatch.setattr(rotation, "_POLL_S", 0.05)
    monkeypatch.setattr(rotation, "PROPAGATION_S", 0.0)


def tokens(one: Cluster) -> set[str]:
    """The tokens of the reader that the cluster accepts."""
    return {token for token, (_, name) in one.tokens.items() if "reader" in name}


def synced(one: Cluster) -> dict[str, str]:
    (istiod,) = one.istiods.running()
    return {row["id"]: row["syncStatus"] for row in one.istiods.clusterz(istiod)}


def lose(mesh: Mesh) -> Result:
    """Has the others forget nhn, which does not respond."""

    def run() -> Result:
        mesh.cut("nhn")
        return mesh.run(*LOST).exits(0)

    return made_once(mesh, "lost nhn", run)


def test_the_others_forget_it_and_see_each_other(installed: Mesh) -> None:
    lose(installed)
    both = dict.fromkeys(("kt-k2p", "ncloud-nks"), "synced")
    for name in ("kt", "ncloud"):
        assert not installed[name].has("Secret", OF_NHN, SYSTEM)
        assert synced(installed[name]) == both


@pytest.mark.thorough
def test_the_tokens_it_had_are_accepted_no_more(installed: Mesh) -> None:
    before = {name: tokens(installed[name]) for name in ("kt", "ncloud")}
    lose(installed)
    for name, old in before.items():
        assert not old & tokens(installed[name])


def test_a_dry_run_changes_nothing(installed: Mesh) -> None:
    before = installed.snapshots()
    installed.cut("nhn")
    installed.run("uninstall", "--lost", "nhn", "--dry-run").exits(0)
    installed.heal("nhn")
    assert installed.snapshots() == before


def test_one_that_responds_is_not_lost(installed: Mesh) -> None:
    before = installed.snapshots()
    result = installed.run(*LOST).exits(2)
    assert result.errors == [("lost-responds", "nhn")]
    assert installed.snapshots() == before


@pytest.mark.thorough
def test_one_without_a_context_is_known_by_its_cluster_id(installed: Mesh) -> None:
    installed.cut("nhn")
    installed.run("uninstall", "--lost", "nhn-nks", "--yes").exits(0)
    assert not installed["kt"].has("Secret", OF_NHN, SYSTEM)


def test_one_that_no_cluster_is_linked_with_is_refused(installed: Mesh) -> None:
    result = installed.run("uninstall", "--lost", "aws", "--yes", "-o", "json").exits(2)
    assert result.errors == [("not-a-member", "aws")]


@pytest.mark.thorough
def test_one_that_comes_back_is_no_member(installed: Mesh) -> None:
    lose(installed)
    installed.heal("nhn")
    result = installed.run("link", "-o", "json").exits(0)
    assert ("context-lost", "nhn") in result.warnings
    assert [one["name"] for one in result.data["clusters"]] == ["kt", "ncloud"]
    assert not installed["kt"].has("Secret", OF_NHN, SYSTEM)


@pytest.mark.thorough
def test_one_that_joins_again_is_a_member(installed: Mesh) -> None:
    lose(installed)
    installed.heal("nhn")
    installed.run("install", "--contexts", "kt,ncloud,nhn").exits(0)
    everyone = dict.fromkeys(("kt-k2p", "ncloud-nks", "nhn-nks"), "synced")
    assert [synced(one) for one in installed.clusters.values()] == [everyone] * 3
    result = installed.run("link", "-o", "json").exits(0)
    assert [one["name"] for one in result.data["clusters"]] == ["kt", "ncloud", "nhn"]
    assert ("context-lost", "nhn") not in result.warnings


@pytest.mark.thorough
def test_objects_that_still_point_to_it_are_reported_and_stay(installed: Mesh) -> None:
    kt = installed["kt"]
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {
            "host": "reviews",
            "subsets": [{"name": "far", "labels": {"topology.istio.io/cluster": "nhn-nks"}}],
        },
    }
    kt.make(rule)
    result = lose_now(installed)
    assert ("lost-references", "kt") in result.warnings
    assert kt.has("DestinationRule", "reviews", "default")


def _label(region: str, node: dict[str, Any]) -> None:
    node["metadata"]["labels"] = {"topology.kubernetes.io/region": region}


def with_regions(mesh: Mesh, **regions: str) -> None:
    """Has the nodes of each cluster be in a region."""
    for name, region in regions.items():
        one = mesh[name]
        one.edit(one.get("Node", name), partial(_label, region))
        one.deploy("shop", "shop")
    mesh.settle()


DISTRIBUTE = {"distribute": [{"from": "near/*", "to": {"near/*": 80, "far/a/*": 20}}]}
LOCALITY = {
    "failover": {"failover": [{"from": "near", "to": "far"}]},
    "distribution": DISTRIBUTE,
    "priority": {"failoverPriority": ["topology.kubernetes.io/region=far"]},
}


@pytest.mark.thorough
@pytest.mark.parametrize("setting", LOCALITY.values(), ids=LOCALITY)
def test_settings_of_locality_that_name_its_region_are_reported(
    installed: Mesh, setting: dict[str, Any]
) -> None:
    with_regions(installed, kt="near", ncloud="near", nhn="far")
    installed["kt"].make(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": "reviews", "namespace": "default"},
            "spec": {
                "host": "reviews",
                "trafficPolicy": {"loadBalancer": {"localityLbSetting": setting}},
            },
        }
    )
    result = lose_now(installed)
    (warning,) = [one for one in result.json["messages"] if one["code"] == "lost-references"]
    assert warning["seen"].startswith("DestinationRule default/reviews (")
    assert "far" in warning["seen"]


@pytest.mark.thorough
def test_a_region_in_which_another_cluster_is_too_is_not_reported(installed: Mesh) -> None:
    with_regions(installed, kt="near", ncloud="far", nhn="far")
    installed["kt"].make(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": {"name": "vm", "namespace": "default"},
            "spec": {"address": "192.0.2.7", "locality": "far/a"},
        }
    )
    assert "lost-references" not in [code for code, _ in lose_now(installed).warnings]


@pytest.mark.thorough
def test_services_that_live_only_there_are_reported(installed: Mesh) -> None:
    installed["nhn"].deploy("orders", "shop")
    installed.settle()
    result = lose_now(installed)
    (warning,) = [one for one in result.json["messages"] if one["code"] == "lost-services"]
    assert "shop/orders" in warning["seen"]


def lose_now(mesh: Mesh) -> Result:
    mesh.cut("nhn")
    return mesh.run(*LOST).exits(0)


@pytest.mark.parametrize("writes", [pytest.param(n, marks=pytest.mark.thorough) for n in (1, 3, 5, 7, 9)])
def test_a_run_that_was_killed_is_finished_by_the_same_command(installed: Mesh, writes: int) -> None:
    before = {name: tokens(installed[name]) for name in ("kt", "ncloud")}
    installed.cut("nhn")
    installed.run(*LOST, dies_after=writes)
    installed.run(*LOST).exits(0)
    for name, old in before.items():
        assert not installed[name].has("Secret", OF_NHN, SYSTEM)
        assert not old & tokens(installed[name])


@pytest.mark.thorough
def test_where_another_does_not_respond_the_old_tokens_stay_until_it_does(installed: Mesh) -> None:
    before = tokens(installed["kt"])
    installed.cut("nhn")
    installed.cut("ncloud")
    result = installed.run(*LOST).exits(3)
    (message,) = [one for one in result.json["messages"] if one["code"] == "tokens-kept"]
    assert message["hint"] == "istio-mc uninstall --lost nhn"
    assert before <= tokens(installed["kt"])
    installed.heal("ncloud")
    installed.run(*LOST).exits(0)
    assert not before & tokens(installed["kt"])


@pytest.mark.thorough
def test_verify_reports_since_when_a_cluster_is_silent_and_the_services_only_there(installed: Mesh) -> None:
    installed["nhn"].deploy("cart", "shop")
    installed.settle()
    installed.cut("nhn")
    result = installed.run("verify", "-o", "json", "--contexts", "kt,ncloud,nhn").exits(4)
    (found,) = [
        one for one in result.data["checks"] if (one["id"], one["cluster"]) == ("discovery.silent", "nhn")
    ]
    assert found["problem"]["code"] == "cluster-silent"
    assert found["seen"].startswith("responded at or after ")
    assert "only there: " in found["seen"]
    assert "shop/cart" in found["seen"]
