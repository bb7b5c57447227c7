"""install and uninstall: what is refused before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.identity import move_to_mesh, move_to_network

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
INSTALL = ("install", "--contexts", "kt,ncloud,nhn", "-o", "json")


class TestInstall:
    def test_a_member_of_another_mesh(self, installed: Mesh) -> None:
        move_to_mesh(installed, "kt", "another")
        before = installed.snapshots()
        assert installed.run(*INSTALL).exits(2).errors == [("member-of-another-mesh", "kt")]
        assert installed.snapshots() == before

    def test_members_of_the_mesh_whose_id_is_changed_in_mesh_yaml(self, installed: Mesh) -> None:
        installed.settings(meshID="another")
        before = installed.writes
        errors = installed.run(*INSTALL).exits(2).errors
        assert errors == [("member-of-another-mesh", name) for name in installed.names]
        assert installed.writes == before

    def test_an_istioctl_of_another_version_than_the_mesh(self, mesh: Mesh) -> None:
        mesh.settings(istio={"version": "1.26.1"})
        assert mesh.run(*INSTALL).exits(2).errors == [("istioctl-version", None)]
        assert mesh.writes == 0 or not mesh["kt"].has("Namespace", SYSTEM)
        assert not mesh.certs.exists()

    def test_two_clusters_of_one_network(self, installed: Mesh) -> None:
        move_to_network(installed, "kt", "network2")
        before = installed.writes
        assert ("identity-shared", None) in installed.run(*INSTALL).exits(2).errors
        assert installed.writes == before

    def test_an_api_server_whose_address_means_this_machine(self, mesh: Mesh) -> None:
        flags = ("--api-server", "kt=https://127.0.0.1:6443")
        assert mesh.run(*INSTALL, *flags).exits(2).errors == [("api-server-for-us-only", "kt")]
        assert not mesh["ncloud"].has("Namespace", SYSTEM)
        assert not mesh.certs.exists()

    def test_a_cluster_to_replace_the_ca_of_that_is_not_in_the_run(self, mesh: Mesh) -> None:
        refused = mesh.run("install", "--contexts", "kt", "--replace-ca", "nhn", "-o", "json").exits(2)
        assert refused.errors == [("not-in-this-run", None)]

    def test_one_cluster_that_may_not_be_read_stops_all(self, mesh: Mesh) -> None:
        mesh["kt"].faults.denied.add("list secrets")
        refused = mesh.run(*INSTALL)
        assert {cluster for _, cluster in refused.errors} == {"kt"}
        assert not mesh["ncloud"].has("Namespace", SYSTEM)
        assert not mesh.certs.exists()

    def test_a_right_that_an_install_needs_and_the_user_lacks(self, mesh: Mesh) -> None:
        mesh["kt"].faults.denied.add("create clusterroles")
        refused = mesh.run(*INSTALL)
        assert {cluster for _, cluster in refused.errors} == {"kt"}
        assert refused.code != 0
        assert not mesh["ncloud"].has("Namespace", SYSTEM)


class TestLink:
    def test_an_api_server_whose_address_means_this_machine(self, installed: Mesh) -> None:
        before = installed.writes
        flags = ("--api-server", "kt=https://127.0.0.1:6443")
        refused = installed.run("link", *flags, "-o", "json").exits(2)
        assert refused.errors == [("api-server-for-us-only", "kt")]
        assert installed.writes == before


@pytest.mark.parametrize("verb", [("link",), ("uninstall", "--yes"), ("verify",)], ids=lambda verb: verb[0])
def test_without_a_member_no_verb_of_a_mesh_does_anything(mesh: Mesh, verb: tuple[str, ...]) -> None:
    assert mesh.run(*verb, "-o", "json").exits(2).errors == [("no-members", None)]
