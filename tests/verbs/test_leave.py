"""uninstall --contexts: one cluster leaves; the others forget it and replace the tokens it had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from istio_mc.ops.rotation import tokens as rotation
from tests.support import refusals
from tests.support.fixtures import made_once
from tests.support.snapshots import changed

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
LEAVE = ("uninstall", "--contexts", "nhn", "--yes", "-o", "json")
OF_NHN = "istio-remote-secret-nhn-nks"
READER = "istio-reader-service-account-istio-remote-secret-token"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(rotation, "SETTLE_S", 0.3)
    monkeypatch.setattr(rotation, "_POLL_S", 0.05)
    monkeypatch.setattr(rotation, "PROPAGATION_S", 0.0)


def tokens(one: Cluster) -> list[str]:
    """The tokens of the reader that the cluster accepts."""
    return sorted(token for token, (_, name) in one.tokens.items() if "reader" in name)


def synced(one: Cluster) -> dict[str, str]:
    (istiod,) = one.istiods.running()
    return {row["id"]: row["syncStatus"] for row in one.istiods.clusterz(istiod)}


def leave(mesh: Mesh) -> Result:
    """Has nhn leave the mesh that `installed` is."""
    return made_once(mesh, "left by nhn", lambda: mesh.run(*LEAVE).exits(0))


def leave_without_ncloud(mesh: Mesh) -> Result:
    """The same, while ncloud, which stays, does not respond; afterwards it does."""

    def run() -> Result:
        mesh.cut("ncloud")
        result = mesh.run(*LEAVE).exits(3)
        mesh.heal("ncloud")
        return result

    return made_once(mesh, "left by nhn without ncloud", run)


def test_nothing_of_the_mesh_stays_in_it(installed: Mesh) -> None:
    leave(installed)
    assert not installed["nhn"].has("Namespace", SYSTEM)


def test_the_others_forget_it(installed: Mesh) -> None:
    leave(installed)
    assert not installed["kt"].has("Secret", OF_NHN, SYSTEM)
    assert not installed["ncloud"].has("Secret", OF_NHN, SYSTEM)


def test_those_that_stay_see_each_other_and_no_other(installed: Mesh) -> None:
    leave(installed)
    both = dict.fromkeys(("kt-k2p", "ncloud-nks"), "synced")
    assert (synced(installed["kt"]), synced(installed["ncloud"])) == (both, both)


def test_the_tokens_it_had_are_accepted_no_more(installed: Mesh) -> None:
    before = {name: tokens(installed[name]) for name in ("kt", "ncloud")}
    leave(installed)
    for name, old in before.items():
        assert len(old) == len(tokens(installed[name])) == 1
        assert tokens(installed[name]) != old


def test_the_tokens_of_a_cluster_that_stays_alone_are_accepted_no_more(installed: Mesh) -> None:
    assert tokens(installed["kt"])
    installed.run("uninstall", "--contexts", "ncloud,nhn", "--yes").exits(0)
    assert tokens(installed["kt"]) == []


def test_what_went_is_reported_for_each_cluster(installed: Mesh) -> None:
    result = leave(installed)
    assert f"Secret {SYSTEM}/{OF_NHN}" in result.cluster("kt")["removed"]
    assert f"Secret {SYSTEM}/{READER} (reader token, replaced)" in result.cluster("kt")["removed"]
    assert f"Namespace {SYSTEM}" in result.cluster("nhn")["removed"]


def test_a_dry_run_changes_nothing(installed: Mesh) -> None:
    before = installed.snapshots()
    installed.run("uninstall", "--contexts", "nhn", "--dry-run").exits(0)
    assert installed.snapshots() == before


def test_those_that_stay_keep_all_but_the_links(installed: Mesh) -> None:
    before = installed.snapshots()["kt"]
    leave(installed)
    kinds = {name.split()[0] for name in changed(before, installed.snapshots()["kt"])}
    assert kinds == {"Secret"}


def test_it_may_join_again_under_the_same_root(installed: Mesh) -> None:
    leave(installed)
    installed.run("install", "--contexts", "kt,ncloud,nhn").exits(0)
    assert synced(installed["kt"]) == dict.fromkeys(("kt-k2p", "ncloud-nks", "nhn-nks"), "synced")


class TestWhereAClusterThatStaysDoesNotAnswer:
    def test_the_others_old_tokens_live_on(self, installed: Mesh) -> None:
        before = tokens(installed["kt"])
        leave_without_ncloud(installed)
        assert set(before) <= set(tokens(installed["kt"]))

    def test_that_is_a_warning_with_the_command_that_finishes_it(self, installed: Mesh) -> None:
        result = leave_without_ncloud(installed)
        (message,) = [one for one in result.json["messages"] if one["code"] == "tokens-kept"]
        assert message["hint"].endswith("uninstall --contexts nhn")

    def test_the_cluster_leaves_all_the_same(self, installed: Mesh) -> None:
        leave_without_ncloud(installed)
        assert not installed["nhn"].has("Namespace", SYSTEM)
        assert not installed["kt"].has("Secret", OF_NHN, SYSTEM)

    def test_the_same_command_later_ends_the_old_tokens(self, installed: Mesh) -> None:
        before = {name: tokens(installed[name]) for name in ("kt", "ncloud")}
        leave_without_ncloud(installed)
        installed.run(*LEAVE).exits(0)
        for name, old in before.items():
            assert not set(old) & set(tokens(installed[name]))
        assert synced(installed["ncloud"]) == dict.fromkeys(("kt-k2p", "ncloud-nks"), "synced")

    def test_it_stays_a_member_though_it_is_not_among_the_named(self, installed: Mesh) -> None:
        result = leave_without_ncloud(installed)
        assert [error for error in result.errors if error[1] == "ncloud"]


def test_a_lost_cluster_leaves_without_responding(installed: Mesh) -> None:
    installed.cut("nhn")
    result = installed.run(*LEAVE).exits(3)
    assert [cluster for _, cluster in result.errors] == ["nhn"]
    assert not installed["kt"].has("Secret", OF_NHN, SYSTEM)
    assert len(tokens(installed["kt"])) == 1


def test_a_named_cluster_is_a_member_even_if_silent_and_without_links(
    installed: Mesh,
) -> None:
    for name in ("kt", "ncloud"):
        installed[name].delete(installed[name].get("Secret", OF_NHN, SYSTEM))
    installed.cut("nhn")
    result = installed.run(*LEAVE).exits(3)
    assert result.errors == [("cluster-unreachable", "nhn")]
    assert ("context-skipped", "nhn") not in result.warnings


@pytest.mark.parametrize(
    ("failing", "kept"), [("POST", "kt"), pytest.param("PATCH", "ncloud", marks=pytest.mark.thorough)]
)
def test_an_old_token_lives_on_where_the_new_one_could_not_be_distributed(
    installed: Mesh, failing: str, kept: str
) -> None:
    before = {name: tokens(installed[name]) for name in ("kt", "ncloud")}
    installed["kt"].faults.refuse(refusals.Refused(500, "InternalError", "no"), failing, path="/secrets")
    result = installed.run(*LEAVE).exits(3)
    assert "tokens-kept" in [code for code, _ in result.warnings]
    assert {name for name, old in before.items() if set(old) & set(tokens(installed[name]))} == {kept}


@pytest.mark.thorough
def test_old_tokens_live_on_where_an_istiod_does_not_sync_with_the_new(installed: Mesh) -> None:
    kt = installed["kt"]
    before = tokens(kt)
    for name in kt.names("ClusterRoleBinding"):
        if "reader" in name:
            kt.delete(kt.get("ClusterRoleBinding", name))
    installed.run(*LEAVE, "--timeout", "8s").exits(3)
    assert synced(installed["ncloud"])["kt-k2p"] == "timeout"
    assert set(before) <= set(tokens(kt))


_SOME = (8,)


@pytest.mark.parametrize(
    "writes", [*_SOME, *(pytest.param(n, marks=pytest.mark.thorough) for n in range(1, 13) if n not in _SOME)]
)
def test_a_leave_that_was_killed_is_finished_by_the_same_command(installed: Mesh, writes: int) -> None:
    before = {name: tokens(installed[name]) for name in ("kt", "ncloud")}
    installed.run(*LEAVE, dies_after=writes)
    installed.run(*LEAVE).exits(0)
    assert not installed["nhn"].has("Namespace", SYSTEM)
    for name, old in before.items():
        assert not installed[name].has("Secret", OF_NHN, SYSTEM)
        assert not set(old) & set(tokens(installed[name]))
        assert synced(installed[name]) == dict.fromkeys(("kt-k2p", "ncloud-nks"), "synced")
