"""uninstall: nothing of ours stays, and what is of others does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import refusals
from tests.support.fixtures import made_once
from tests.support.identity import move_to_mesh, move_to_network

if TYPE_CHECKING:
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {}}],
    },
}


def test_nothing_stays_of_what_install_put_there(mesh: Mesh) -> None:
    before = {name: set(found) for name, found in mesh.snapshots().items()}
    mesh.run("install", "--contexts", "kt,ncloud,nhn").exits(0)
    mesh.run("uninstall", "--yes").exits(0)
    assert {name: set(found) for name, found in mesh.snapshots().items()} == before


def test_a_dry_run_changes_nothing(installed: Mesh) -> None:
    before = installed.snapshots()
    data = installed.run("uninstall", "--dry-run", "-o", "json").exits(0).data
    assert "Deployment istio-system/istiod" in data["clusters"][0]["removed"]
    assert installed.snapshots() == before


def test_without_a_yes_nothing_goes(installed: Mesh) -> None:
    before = installed.snapshots()
    assert installed.run("uninstall", "-o", "json").exits(2).errors == [("not-confirmed", None)]
    assert installed.snapshots() == before


def test_the_root_key_stays(installed: Mesh) -> None:
    data = installed.run("uninstall", "--yes", "-o", "json").exits(0).data
    assert (data["purgedCA"], data["keptCA"]) == (None, str(installed.certs))
    assert (installed.certs / "root-ca.key").exists()


def test_a_namespace_with_objects_of_others_stays_and_loses_our_labels(installed: Mesh) -> None:
    kt = installed["kt"]
    of_others = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "of-others", "namespace": SYSTEM},
    }
    kt.make(of_others)
    installed.run("uninstall", "--yes").exits(0)
    assert kt.has("ConfigMap", "of-others", SYSTEM)
    assert not kt.has("Deployment", "istiod", SYSTEM)
    labels = kt.get("Namespace", SYSTEM)["metadata"]["labels"]
    assert not [label for label in labels if label.startswith("istio-mc/")]


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": SYSTEM, **metadata},
    }


def left(result: Result, context: str) -> dict[str, str]:
    return {one["object"]: one["reason"] for one in result.cluster(context)["remaining"]}


class TestBesideAnotherRevision:
    """nhn runs a second istiod, which others installed."""

    @pytest.fixture
    def beside(self, installed: Mesh) -> Mesh:
        labels = {"app": "istiod", "istio.io/rev": "canary"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "d", "image": "i"}]}}
        installed["nhn"].make(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "istiod-canary", "namespace": SYSTEM, "labels": labels},
                "spec": {"selector": {"matchLabels": labels}, "template": template},
            }
        )
        return installed

    @pytest.fixture
    def result(self, beside: Mesh) -> Result:
        words = ("uninstall", "--yes", "-o", "json")
        return made_once(beside, "uninstalled beside another revision", lambda: beside.run(*words))

    def test_every_cluster_is_done(self, result: Result) -> None:
        assert result.exits(0).errors == []

    def test_what_it_needs_stays(self, beside: Mesh, result: Result) -> None:
        nhn = beside["nhn"]
        assert not nhn.has("Deployment", "istiod", SYSTEM)
        assert nhn.has("Deployment", "istiod-canary", SYSTEM)
        assert nhn.has("Secret", "cacerts", SYSTEM)
        assert nhn.has("ServiceAccount", "istio-reader-service-account", SYSTEM)
        assert nhn.has("CustomResourceDefinition", "virtualservices.networking.istio.io")
        assert left(result, "nhn")[f"Deployment {SYSTEM}/istiod-canary"] == "another revision of Istio"

    def test_the_root_certificates_that_it_gives_to_namespaces_stay(self, result: Result) -> None:
        root = "ConfigMap default/istio-ca-root-cert"
        assert root not in result.cluster("nhn")["removed"]
        assert root in result.cluster("kt")["removed"]

    @pytest.mark.usefixtures("result")
    def test_the_cluster_is_no_member_any_more(self, beside: Mesh) -> None:
        labels = beside["nhn"].get("Namespace", SYSTEM)["metadata"]["labels"]
        assert not [label for label in labels if label.startswith("istio-mc/")]


class TestWhatIsOfOthers:
    @pytest.fixture
    def result(self, installed: Mesh) -> Result:
        """An uninstall of all three clusters, in each of which is something of others."""
        return made_once(installed, "uninstalled beside others", lambda: self.uninstall(installed))

    @staticmethod
    def uninstall(mesh: Mesh) -> Result:
        kt, ncloud = mesh["kt"], mesh["ncloud"]
        metadata = {"name": "of-others", "namespace": "default"}
        for kind in ("VirtualService", "Gateway"):
            kt.make({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": {}})
        kt.make(WIDGETS)
        former = {"name": "istio-remote-secret-former", "namespace": SYSTEM}
        labels = {"labels": {"istio/multiCluster": "true"}}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {**former, **labels}}
        kt.apply({**secret, "stringData": {"former": "{}"}}, manager="istio-mc")
        ours = {"app.kubernetes.io/managed-by": "istio-mc"}
        kt.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sample", "labels": ours}})
        ncloud.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sample"}})
        root = ncloud.get("ConfigMap", "istio-ca-root-cert", "default")
        ncloud.edit(root, lambda copy: copy["metadata"].pop("labels"))
        ncloud.controllers.held.add("istiods")  # it would write them again
        return mesh.run("uninstall", "--yes", "-o", "json").exits(0)

    def test_their_custom_resources_stay_and_so_do_the_crds_of_these(
        self, installed: Mesh, result: Result
    ) -> None:
        kt = installed["kt"]
        assert left(result, "kt") == {
            "CustomResourceDefinition virtualservices.networking.istio.io": "in use: default/of-others",
            "CustomResourceDefinition gateways.networking.istio.io": "in use: default/of-others",
        }
        assert kt.has("VirtualService", "of-others", "default")
        assert not kt.has("CustomResourceDefinition", "envoyfilters.networking.istio.io")

    @pytest.mark.usefixtures("result")
    def test_a_crd_of_others_stays_though_nothing_uses_it(self, installed: Mesh) -> None:
        assert installed["kt"].has("CustomResourceDefinition", "widgets.example.com")

    def test_a_root_certificate_goes_from_every_namespace_that_stays(
        self, installed: Mesh, request: pytest.FixtureRequest
    ) -> None:
        assert installed["kt"].has("ConfigMap", "istio-ca-root-cert", "default")
        request.getfixturevalue("result")
        assert not installed["kt"].has("ConfigMap", "istio-ca-root-cert", "default")

    @pytest.mark.usefixtures("result")
    def test_a_config_map_of_that_name_that_istiod_did_not_write_stays(self, installed: Mesh) -> None:
        assert installed["ncloud"].has("ConfigMap", "istio-ca-root-cert", "default")

    @pytest.mark.usefixtures("result")
    def test_a_remote_secret_of_a_former_member_goes_for_its_writer_is_known(self, installed: Mesh) -> None:
        assert not installed["kt"].has("Secret", "istio-remote-secret-former", SYSTEM)

    def test_the_question_names_pods_that_lose_their_control_plane(
        self, installed: Mesh, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        requested: list[str] = []
        monkeypatch.setattr("istio_mc.cli.edge.confirm", lambda question, **_: requested.append(question))
        installed["kt"].deploy("shop", "shop")
        installed.settle()
        installed.run("uninstall").exits(0)
        assert "1 pod loses its control plane: shop/shop-" in requested[0]

    @pytest.mark.usefixtures("result")
    def test_the_samples_namespace_goes_where_it_is_ours(self, installed: Mesh) -> None:
        assert not installed["kt"].has("Namespace", "sample")

    @pytest.mark.usefixtures("result")
    def test_a_namespace_of_that_name_of_others_stays(self, installed: Mesh) -> None:
        assert installed["ncloud"].has("Namespace", "sample")


class TestRefusals:
    def test_an_istio_of_others_is_left_alone(self, installed: Mesh) -> None:
        kt = installed["kt"]
        kt.edit(kt.get("Namespace", SYSTEM), lambda copy: copy["metadata"]["labels"].pop("istio-mc/mesh-id"))
        before = installed.snapshots()
        result = installed.run("uninstall", "--contexts", "kt", "--yes", "-o", "json").exits(2)
        assert result.errors == [("not-a-member", "kt")]
        assert installed.snapshots() == before

    def test_members_of_two_meshes_are_named(self, installed: Mesh) -> None:
        move_to_mesh(installed, "kt", "other")
        before = installed.snapshots()
        result = installed.run("uninstall", "--yes", "-o", "json").exits(2)
        assert result.errors == [("two-meshes", None)]
        assert "other: kt" in result.json["errors"][0]["seen"]
        assert installed.snapshots() == before

    def test_a_cluster_that_shares_its_network_may_leave_though_link_refuses_it(
        self, installed: Mesh
    ) -> None:
        move_to_network(installed, "kt", "network2")
        refused = installed.run("link", "-o", "json").exits(2)
        assert [code for code, _ in refused.errors] == ["identity-shared"]
        leaving = installed.run("uninstall", "--contexts", "kt", "--dry-run", "-o", "json").exits(0)
        assert [one["status"] for one in leaving.data["clusters"]] == ["planned", "member", "member"]

    def test_where_two_of_those_that_stay_share_a_network_nothing_is_done(self, installed: Mesh) -> None:
        move_to_network(installed, "kt", "network2")
        before = installed.snapshots()
        refused = installed.run("uninstall", "--contexts", "nhn", "--yes", "-o", "json").exits(2)
        assert [code for code, _ in refused.errors] == ["identity-shared"]
        assert installed.snapshots() == before

    def test_without_any_member_there_is_nothing_to_take_away(self, mesh: Mesh) -> None:
        assert mesh.run("uninstall", "--yes", "-o", "json").exits(2).errors == [("no-members", None)]


class TestWhereAClusterDoesNotAnswer:
    def test_the_others_are_cleared_and_it_is_an_error(self, installed: Mesh) -> None:
        installed.cut("nhn")
        words = ("uninstall", "--contexts", "kt,ncloud,nhn", "--yes", "-o", "json")
        result = installed.run(*words).exits(3)
        assert result.errors == [("cluster-unreachable", "nhn")]
        assert not installed["kt"].has("Namespace", SYSTEM)
        assert not installed["ncloud"].has("Namespace", SYSTEM)
        installed.heal("nhn")
        assert installed["nhn"].has("Deployment", "istiod", SYSTEM)

    def test_a_member_that_others_are_linked_with_counts_though_it_is_not_named(
        self, installed: Mesh
    ) -> None:
        installed.cut("nhn")
        result = installed.run("uninstall", "--yes", "-o", "json").exits(3)
        assert result.errors == [("cluster-unreachable", "nhn")]

    def test_the_same_command_later_clears_it(self, installed: Mesh) -> None:
        installed.cut("nhn")
        installed.run("uninstall", "--yes").exits(3)
        installed.heal("nhn")
        installed.run("uninstall", "--yes").exits(0)
        assert not installed["nhn"].has("Namespace", SYSTEM)

    def test_one_that_falls_silent_midway_keeps_the_others_from_nothing(self, installed: Mesh) -> None:
        gone = refusals.Refused(500, "InternalError", "etcd is gone")
        installed["kt"].faults.refuse(gone, "DELETE")
        result = installed.run("uninstall", "--yes", "-o", "json").exits(3)
        assert {cluster for _, cluster in result.errors} == {"kt"}
        assert not installed["nhn"].has("Namespace", SYSTEM)


class TestThePurgeOfTheCa:
    PURGE = ("uninstall", "--yes", "--purge-ca", "-o", "json")

    def test_all_goes_that_a_dry_run_names(self, installed: Mesh) -> None:
        dry_run = installed.run("uninstall", "--dry-run", "--purge-ca", "-o", "json").exits(0)
        assert installed.certs.exists()
        done = installed.run(*self.PURGE).exits(0)
        assert done.data["purgedCA"] == str(installed.certs)
        assert not installed.certs.exists()
        for name in installed.names:
            assert set(dry_run.cluster(name)["removed"]) == set(done.cluster(name)["removed"])

    def test_a_cluster_that_is_not_done_keeps_it(self, installed: Mesh) -> None:
        installed["kt"].faults.refuse(refusals.Refused(500, "InternalError", "no"), "DELETE")
        data = installed.run(*self.PURGE).exits(3).data
        assert (data["purgedCA"], data["keptCA"]) == (None, str(installed.certs))
        assert (installed.certs / "root-ca.key").exists()

    def test_a_cluster_that_does_not_answer_keeps_it(self, installed: Mesh) -> None:
        installed.cut("kt")
        installed.run(*self.PURGE).exits(3)
        assert (installed.certs / "root-ca.key").exists()

    def test_clusters_that_stay_keep_it_and_nothing_is_touched(self, installed: Mesh) -> None:
        before = installed.snapshots()
        result = installed.run(*self.PURGE, "--contexts", "nhn").exits(2)
        assert result.errors == [("ca-in-use", None)]
        assert installed.snapshots() == before

    def test_the_ca_of_another_mesh_is_refused_and_nothing_is_touched(self, installed: Mesh) -> None:
        folder = installed.folder / "of-another"
        installed.run("ca", "init", "--certs-dir", folder).exits(0)
        before = installed.snapshots()
        result = installed.run(*self.PURGE, "--certs-dir", folder).exits(2)
        assert result.errors == [("ca-of-another-mesh", None)]
        assert (folder / "root-ca.key").exists()
        assert installed.snapshots() == before

    def test_a_folder_without_a_ca_is_refused_and_nothing_is_touched(self, installed: Mesh) -> None:
        before = installed.snapshots()
        result = installed.run(*self.PURGE, "--certs-dir", installed.folder / "nowhere").exits(2)
        assert result.errors == [("ca-absent", None)]
        assert installed.snapshots() == before

    def test_what_else_lies_in_the_folder_stays(self, installed: Mesh) -> None:
        (installed.certs / "notes.txt").write_text("of mine")
        installed.run(*self.PURGE).exits(0)
        assert (installed.certs / "notes.txt").exists()
        assert not (installed.certs / "root-ca.key").exists()


@pytest.mark.thorough
def test_a_namespace_that_a_finalizer_holds_is_named_at_the_deadline(installed: Mesh) -> None:
    nhn = installed["nhn"]
    ours = {"app.kubernetes.io/managed-by": "istio-mc"}
    nhn.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sample", "labels": ours}})
    nhn.make(config_map("held", namespace="sample", finalizers=["example.com/held"]))
    result = installed.run("uninstall", "--yes", "-o", "json", "--timeout", "10s").exits(3)
    assert result.errors == [("namespace-stuck", "nhn")]
    assert "example.com/held" in result.json["errors"][0]["seen"]
    assert not installed["kt"].has("Namespace", SYSTEM)
