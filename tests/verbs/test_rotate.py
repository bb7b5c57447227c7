"""link --rotate: the readers' tokens are replaced on stand-in clusters, one after another."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from istio_mc.ops.rotation import tokens as op
from istio_mc.ops.upgrade import gate, rollout
from tests.support import refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
READER = "istio-reader-service-account"
ROTATE = ("link", "--rotate", "-o", "json")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(gate, "SETTLE_S", 0.0)
    monkeypatch.setattr(op, "SETTLE_S", 0.2)
    monkeypatch.setattr(op, "_POLL_S", 0.05)
    monkeypatch.setattr(op, "PROPAGATION_S", 0.0)
    monkeypatch.setattr(rollout, "_POLL_S", 0.02)
    monkeypatch.setattr(rollout, "MOST_LACKING_S", 0.3)


def accepted(one: Cluster) -> set[str]:
    """The tokens of the reader that the cluster accepts."""
    return {token for token, (_, name) in one.tokens.items() if name == READER}


def used(mesh: Mesh, name: str) -> set[str]:
    """The tokens with which the other clusters read this one."""
    found = set()
    for other in mesh.clusters.values():
        for secret in other.store.of("Secret", SYSTEM):
            if (secret["metadata"].get("labels") or {}).get("istio/multiCluster") != "true":
                continue
            for cluster_id, value in secret["data"].items():
                if cluster_id == mesh[name].cluster:
                    kubeconfig = yaml.safe_load(base64.b64decode(value))
                    found.add(kubeconfig["users"][0]["user"]["token"])
    return found


def tokens(mesh: Mesh) -> dict[str, set[str]]:
    return {name: accepted(one) for name, one in mesh.clusters.items()}


def all_replaced(mesh: Mesh, before: dict[str, set[str]]) -> None:
    """Each cluster accepts one token, which it did not accept before, and the others have it."""
    for name, one in mesh.clusters.items():
        assert len(accepted(one)) == 1
        assert not accepted(one) & before[name]
        assert used(mesh, name) == accepted(one)


def statuses(result: Result) -> dict[str, str]:
    return {one["name"]: one["status"] for one in result.data["clusters"]}


@pytest.mark.thorough
def test_every_cluster_gets_a_new_token_and_the_old_one_is_accepted_no_more(installed: Mesh) -> None:
    before = tokens(installed)
    result = installed.run(*ROTATE).exits(0)
    all_replaced(installed, before)
    assert statuses(result) == dict.fromkeys(installed.names, "rotated")


@pytest.mark.thorough
def test_all_istiods_see_all_clusters_afterwards(installed: Mesh) -> None:
    installed.run(*ROTATE).exits(0)
    for one in installed.clusters.values():
        (istiod,) = one.istiods.running()
        assert {row["syncStatus"] for row in one.istiods.clusterz(istiod)} == {"synced"}


def test_a_dry_run_changes_nothing(installed: Mesh) -> None:
    before = installed.snapshots()
    result = installed.run(*ROTATE, "--dry-run").exits(0)
    assert installed.snapshots() == before
    assert statuses(result) == dict.fromkeys(installed.names, "to rotate")


@pytest.mark.thorough
def test_the_named_clusters_alone_get_new_tokens(installed: Mesh) -> None:
    before = tokens(installed)
    installed.run(*ROTATE, "--contexts", "ncloud").exits(0)
    after = tokens(installed)
    assert after["ncloud"] != before["ncloud"]
    assert (after["kt"], after["nhn"]) == (before["kt"], before["nhn"])


@pytest.mark.thorough
def test_a_second_rotation_replaces_the_tokens_again(installed: Mesh) -> None:
    installed.run(*ROTATE).exits(0)
    before = tokens(installed)
    installed.run(*ROTATE).exits(0)
    all_replaced(installed, before)


@pytest.mark.thorough
def test_linking_afterwards_finds_nothing_to_change(installed: Mesh) -> None:
    installed.run(*ROTATE).exits(0)
    before = installed.snapshots()
    installed.run("link").exits(0)
    assert installed.snapshots() == before


@pytest.mark.thorough
def test_an_istiod_that_loses_endpoints_stops_it_and_the_old_token_is_accepted(installed: Mesh) -> None:
    before = tokens(installed)
    (istiod,) = installed["ncloud"].istiods.running()
    installed.when("PATCH .*/secrets/istio-remote-secret-kt-k2p$", lambda: istiod.blind.add("kt-k2p"))
    result = installed.run(*ROTATE, "--canary", "kt").exits(1)
    assert ("rotation-stopped", "kt") in result.errors
    assert ("discovery-gateway", "ncloud") in result.errors
    assert before["kt"] < accepted(installed["kt"])
    assert accepted(installed["nhn"]) == before["nhn"]


@pytest.mark.thorough
def test_a_check_that_fails_after_a_cluster_stops_it_and_the_same_command_again(installed: Mesh) -> None:
    before = tokens(installed)
    kt = installed["kt"]
    gateway = kt.get("Gateway", "cross-network-gateway", SYSTEM)
    installed.when("DELETE .*/secrets/istio-reader", lambda: kt.delete(gateway))
    for _ in range(2):
        result = installed.run(*ROTATE, "--canary", "kt").exits(1)
        assert result.errors[0] == ("rotation-gate", "kt")
        assert accepted(installed["ncloud"]) == before["ncloud"]


@pytest.mark.thorough
def test_the_same_command_goes_on_after_the_repair(installed: Mesh) -> None:
    before = tokens(installed)
    (istiod,) = installed["ncloud"].istiods.running()
    installed.when("PATCH .*/secrets/istio-remote-secret-kt-k2p$", lambda: istiod.blind.add("kt-k2p"))
    installed.run(*ROTATE, "--canary", "kt").exits(1)
    made = accepted(installed["kt"]) - before["kt"]
    istiod.blind.clear()
    installed.run(*ROTATE, "--canary", "kt").exits(0)
    all_replaced(installed, before)
    assert accepted(installed["kt"]) == made


@pytest.mark.thorough
def test_the_canary_is_the_first(installed: Mesh) -> None:
    order: list[str] = []
    for name in installed.names:
        installed[name].store.on_write.append(
            lambda name=name: order.append(name) if len(accepted(installed[name])) > 1 else None  # type: ignore[misc]
        )
    try:
        installed.run(*ROTATE, "--canary", "nhn").exits(0)
    finally:
        for one in installed.clusters.values():
            one.store.on_write.pop()
    assert order[0] == "nhn"


PHASES = {
    "token": "POST .*/secrets$",
    "remote secret": "PATCH .*/secrets/istio-remote-secret-",
    "old token": f"DELETE .*/secrets/{READER}-istio-remote-secret-token$",
}
"""A write of each phase of a cluster's rotation."""


@pytest.mark.thorough
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_was_killed_is_continued_by_the_same_command(installed: Mesh, phase: str) -> None:
    before = tokens(installed)
    installed.run(*ROTATE, "--canary", "kt", dies_after=PHASES[phase])
    middle = tokens(installed)
    result = installed.run(*ROTATE, "--canary", "kt").exits(0)
    all_replaced(installed, before)
    assert result.data["continued"]
    assert accepted(installed["kt"]) <= middle["kt"]  # what the first run made is used, not made again


@pytest.mark.thorough
def test_a_finished_cluster_is_not_begun_again_after_a_kill(installed: Mesh) -> None:
    before = tokens(installed)
    second = "PATCH .*/secrets/istio-remote-secret-ncloud-nks$"
    installed.run(*ROTATE, "--canary", "kt", dies_after=second)
    finished = accepted(installed["kt"])
    result = installed.run(*ROTATE, "--canary", "kt").exits(0)
    assert statuses(result) == {"kt": "unchanged", "ncloud": "rotated", "nhn": "rotated"}
    assert accepted(installed["kt"]) == finished
    all_replaced(installed, before)


def unreachable(mesh: Mesh) -> None:
    mesh.cut("kt")


def refused(mesh: Mesh) -> None:
    rule = refusals.Refused(403, "Forbidden", "a policy forbids it")
    for verb in ("PATCH", "DELETE", "POST"):
        mesh["kt"].faults.refuse(rule, verb, path="/secrets")


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [unreachable, refused])
@pytest.mark.parametrize("phase", [name for name in PHASES if name != "old token"])
def test_a_fault_in_any_phase_stops_it_and_the_same_command_goes_on(
    installed: Mesh, phase: str, fault: Callable[[Mesh], None]
) -> None:
    before = tokens(installed)
    installed.when(PHASES[phase], lambda: fault(installed))
    result = installed.run(*ROTATE, "--canary", "ncloud", "--timeout", "20s")
    assert result.code != 0
    for name, old in before.items():  # every link works with what the others have of it
        assert used(installed, name) <= accepted(installed[name])
        assert old & accepted(installed[name]) or used(installed, name) == accepted(installed[name])
    installed.heal("kt")
    installed["kt"].faults.rules.clear()
    installed.run(*ROTATE, "--canary", "ncloud").exits(0)
    all_replaced(installed, before)


def test_a_member_that_cannot_be_reached_stops_it_before_the_first_change(installed: Mesh) -> None:
    before = tokens(installed)
    installed.cut("nhn")
    result = installed.run(*ROTATE, "--contexts", "kt")
    assert ("cluster-unreachable", "nhn") in result.errors
    assert tokens(installed) == before


def test_a_reader_outside_the_run_stops_it_before_the_first_change(installed: Mesh) -> None:
    before = tokens(installed)
    metadata = {"name": "of-others", "namespace": SYSTEM, "labels": {"istio/multiCluster": "true"}}
    installed["kt"].make(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"aws": "e30="}}
    )
    result = installed.run(*ROTATE).exits(1)
    assert [code for code, _ in result.errors] == ["rotation-reader-outside"]
    assert tokens(installed) == before


def of_another_tool(holder: Cluster, cluster_id: str) -> None:
    """Has a remote secret have a name that istio-mc does not give."""
    own = holder.get("Secret", f"istio-remote-secret-{cluster_id}", SYSTEM)
    metadata = {**own["metadata"], "name": cluster_id}
    holder.delete(own)
    holder.make({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": own["data"]})


def test_a_token_in_a_secret_of_another_tool_stops_it_before_the_first_change(installed: Mesh) -> None:
    before = tokens(installed)
    of_another_tool(installed["kt"], "nhn-nks")
    result = installed.run(*ROTATE).exits(1)
    assert result.errors == [("rotation-not-replaced", "kt")]
    assert tokens(installed) == before


def versioned(one: Cluster, version: str) -> None:
    """Has a cluster's istiod be of another version."""

    def change(item: dict[str, Any]) -> None:
        (container,) = item["spec"]["template"]["spec"]["containers"]
        container["image"] = f"docker.io/istio/pilot:{version}"

    one.edit(one.get("Deployment", "istiod", SYSTEM), change)
    one.settle()


def test_istiods_that_lose_a_cluster_whose_remote_secret_is_replaced_stop_it(installed: Mesh) -> None:
    before = tokens(installed)
    versioned(installed["ncloud"], "1.30.3")
    result = installed.run(*ROTATE).exits(1)
    assert result.errors == [("rotation-defect", "ncloud")]
    assert tokens(installed) == before


@pytest.mark.thorough
def test_istiods_that_ignore_a_replaced_remote_secret_are_restarted(installed: Mesh) -> None:
    before = tokens(installed)
    versioned(installed["ncloud"], "1.29.1")
    pods = {one.pod["metadata"]["uid"] for one in installed["ncloud"].istiods.running()}
    result = installed.run(*ROTATE, "--contexts", "kt").exits(0)
    assert not pods & {one.pod["metadata"]["uid"] for one in installed["ncloud"].istiods.running()}
    assert "minReadySeconds" not in installed["ncloud"].get("Deployment", "istiod", SYSTEM)["spec"]
    assert result.cluster("kt")["restarts"] == ["ncloud"]
    assert not accepted(installed["kt"]) & before["kt"]


@pytest.mark.thorough
def test_a_token_secret_of_another_tool_stays(installed: Mesh) -> None:
    annotations = {"kubernetes.io/service-account.name": READER}
    metadata = {"name": "monitoring", "namespace": SYSTEM, "annotations": annotations}
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token"}
    installed["kt"].make({**kind, "metadata": metadata})
    installed.settle()
    result = installed.run(*ROTATE, "--contexts", "kt").exits(0)
    assert installed["kt"].has("Secret", "monitoring", SYSTEM)
    assert result.cluster("kt")["remaining"] == ["monitoring"]


def test_canary_requires_rotate_and_rotate_excludes_prune(installed: Mesh) -> None:
    assert installed.run("link", "--canary", "kt").code == 2
    assert installed.run("link", "--rotate", "--prune").code == 2
