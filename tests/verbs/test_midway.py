"""A run that loses a cluster midway, or is killed, is finished by the same command later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
THREE = ("--contexts", "kt,ncloud,nhn")
OF_KT, OF_NCLOUD, OF_NHN = (f"istio-remote-secret-{name}" for name in ("kt-k2p", "ncloud-nks", "nhn-nks"))
REMOTE = {"kt": {OF_NCLOUD, OF_NHN}, "ncloud": {OF_KT, OF_NHN}, "nhn": {OF_KT, OF_NCLOUD}}
ADOPT = ("adopt", *THREE, "-o", "json")
PURGE = ("uninstall", "--purge-ca", "--yes", *THREE)


def remote(mesh: Mesh) -> dict[str, set[str]]:
    """The remote secrets of each cluster."""
    return {
        context: {name for name in one.names("Secret", SYSTEM) if name.startswith("istio-remote-secret-")}
        for context, one in mesh.clusters.items()
    }


def members(mesh: Mesh) -> set[str]:
    """The clusters whose namespace says that they are members."""
    return {
        name
        for name, one in mesh.clusters.items()
        if "istio-mc/mesh-id" in (one.get("Namespace", SYSTEM)["metadata"].get("labels") or {})
    }


class TestAClusterThatIsLostMidway:
    def test_an_install_makes_one_mesh_of_the_others_and_takes_it_in_later(self, mesh: Mesh) -> None:
        mesh.when("PATCH .*/deployments/istiod$", lambda: mesh.cut("nhn"))
        done = mesh.run("install", *THREE, "-o", "json").exits(3)
        assert {cluster for _, cluster in done.errors} == {"nhn"}
        mesh.heal("nhn")
        assert remote(mesh) == {"kt": {OF_NCLOUD}, "ncloud": {OF_KT}, "nhn": set()}
        mesh.run("install", *THREE).exits(0)
        assert remote(mesh) == REMOTE

    @pytest.mark.thorough
    def test_one_that_falls_silent_leaves_the_others_time_to_be_finished(self, installed: Mesh) -> None:
        nhn = installed["nhn"]
        nhn.delete(nhn.get("Secret", OF_KT, SYSTEM))
        installed.when(f"PATCH .*/secrets/{OF_KT}$", lambda: installed.cut("nhn", "silent"))
        done = installed.run("install", *THREE, "--timeout", "30s", "-o", "json").exits(3)
        assert {cluster for _, cluster in done.errors} == {"nhn"}

    def test_a_link_writes_what_the_others_need_and_the_rest_later(self, installed: Mesh) -> None:
        for name, secrets in REMOTE.items():
            for secret in secrets:
                installed[name].delete(installed[name].get("Secret", secret, SYSTEM))
        installed.when("PATCH .*/secrets/istio-remote-secret-", lambda: installed.cut("nhn"))
        done = installed.run("link", *THREE, "-o", "json").exits(3)
        assert {cluster for _, cluster in done.errors} == {"nhn"}
        installed.heal("nhn")
        assert OF_NCLOUD in remote(installed)["kt"]
        installed.run("link", *THREE).exits(0)
        assert remote(installed) == REMOTE

    def test_an_uninstall_clears_the_others_and_it_later(self, installed: Mesh) -> None:
        installed.when("DELETE .*/deployments/istiod$", lambda: installed.cut("nhn"))
        done = installed.run("uninstall", "--yes", *THREE, "-o", "json").exits(3)
        assert {cluster for _, cluster in done.errors} == {"nhn"}
        installed.heal("nhn")
        assert [name for name, one in installed.clusters.items() if one.has("Namespace", SYSTEM)] == ["nhn"]
        installed.run("uninstall", "--yes", *THREE).exits(0)
        assert not installed["nhn"].has("Namespace", SYSTEM)

    def test_a_cluster_leaves_though_one_that_stays_is_lost(self, installed: Mesh) -> None:
        installed.when(f"DELETE .*/secrets/{OF_NHN}$", lambda: installed.cut("kt"))
        leave = ("uninstall", "--contexts", "nhn", "--yes", "-o", "json")
        assert installed.run(*leave).code in (0, 3)
        installed.heal("kt")
        installed.run(*leave).exits(0)
        assert remote(installed) == {"kt": {OF_NCLOUD}, "ncloud": {OF_KT}, "nhn": set()}
        assert not installed["nhn"].has("Namespace", SYSTEM)


class TestAdopt:
    def test_that_was_killed_is_finished_by_the_next(self, scripted: Mesh) -> None:
        assert scripted.run(*ADOPT, dies_after="PATCH .*/namespaces/istio-system$").code == 1
        assert len(members(scripted)) < 3
        scripted.run(*ADOPT).exits(0)
        assert members(scripted) == {"kt", "ncloud", "nhn"}

    def test_takes_the_others_over_where_one_is_not_reached(self, scripted: Mesh) -> None:
        scripted.cut("nhn")
        done = scripted.run(*ADOPT).exits(3)
        assert {cluster for _, cluster in done.errors} == {"nhn"}
        scripted.heal("nhn")
        assert members(scripted) == {"kt", "ncloud"}


def test_the_ca_stays_after_a_killed_purge_and_the_next_one_removes_it(installed: Mesh) -> None:
    assert installed.run(*PURGE, dies_after="DELETE .*/namespaces/istio-system$").code == 1
    assert (installed.certs / "root-ca.key").exists()
    installed.run(*PURGE).exits(0)
    assert not installed.certs.exists()
