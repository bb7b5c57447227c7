"""A wrong label of istio-system, or a wrong remote secret, is named as the fault and moves no cluster."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.support.identity import label_namespace
from tests.support.snapshots import changed

if TYPE_CHECKING:
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
NETWORK = "topology.istio.io/network"
CLUSTER_ID = "istio-mc/cluster-id"
MESH_ID = "istio-mc/mesh-id"
INSTALL = ("install", "--contexts", "kt,ncloud,nhn", "-o", "json")


def labels(mesh: Mesh, context: str) -> dict[str, str]:
    found: dict[str, str] = mesh[context].get("Namespace", SYSTEM)["metadata"]["labels"]
    return found


def run_kubectl_label(mesh: Mesh, command: str) -> None:
    """Does what a `kubectl label namespace` that a hint prints does."""
    *start, label, overwrite = shlex.split(command)
    assert [*start[:2], *start[3:], overwrite] == [
        *("kubectl", "--context", "label", "namespace", SYSTEM, "--overwrite")
    ]
    label_namespace(mesh, start[2], **dict([label.split("=")]))


def roots(result: Result) -> list[tuple[str, str | None]]:
    return [(one["id"], one["cluster"]) for one in result.data["rootCauses"]]


MISLABELLED = {
    "network": ("names.network", {NETWORK: "network9"}),
    "network of another cluster": ("names.network", {NETWORK: "network2"}),
    "cluster ID": ("names.cluster-id", {CLUSTER_ID: "kt-k3p"}),
    "cluster ID of another cluster": ("names.cluster-id", {CLUSTER_ID: "ncloud-nks"}),
}


@pytest.mark.parametrize("name", MISLABELLED)
class TestAMistypedLabel:
    def test_is_the_root_cause_and_the_suggested_command_fixes_it(self, installed: Mesh, name: str) -> None:
        check, wrong = MISLABELLED[name]
        before = labels(installed, "kt")
        label_namespace(installed, "kt", **wrong)
        found = installed.run("verify", "-o", "json").exits(4)
        assert roots(found) == [(check, "kt")]
        (hint,) = (
            one["problem"]["hint"]
            for one in found.data["checks"]
            if (one["id"], one["cluster"]) == (check, "kt")
        )
        run_kubectl_label(installed, hint)
        assert labels(installed, "kt") == before

    def test_is_restored_by_an_install_which_changes_nothing_else(self, installed: Mesh, name: str) -> None:
        before = installed.snapshots()
        label_namespace(installed, "kt", **MISLABELLED[name][1])
        installed.run(*INSTALL).exits(0)
        after = installed.snapshots()
        assert {one: changed(before[one], after[one]) for one in after} == {
            "kt": ["Namespace istio-system"],
            "ncloud": [],
            "nhn": [],
        }
        assert labels(installed, "kt") == before["kt"]["Namespace istio-system"]["metadata"]["labels"]

    def test_changes_no_remote_secret_when_the_clusters_are_linked(self, installed: Mesh, name: str) -> None:
        label_namespace(installed, "kt", **MISLABELLED[name][1])
        before = installed.snapshots()
        installed.run("link", "--prune", "-o", "json").exits(0)
        assert installed.snapshots() == before


class TestAMistypedMeshID:
    def test_is_the_root_cause_where_the_clusters_are_named(self, installed: Mesh) -> None:
        label_namespace(installed, "kt", **{MESH_ID: "mash1"})
        found = installed.run("verify", "--contexts", "kt,ncloud,nhn", "-o", "json").exits(4)
        assert roots(found) == [("names.identity", None)]

    def test_is_the_error_where_none_is_named_and_the_suggested_command_fixes_it(
        self, installed: Mesh
    ) -> None:
        label_namespace(installed, "kt", **{MESH_ID: "mash1"})
        refused = installed.run("verify", "-o", "json").exits(2)
        assert refused.errors == [("mesh-label-differs", "kt")]
        run_kubectl_label(installed, refused.json["errors"][0]["hint"])
        assert installed.run("verify", "-o", "json").code == 0

    def test_is_restored_by_an_install(self, installed: Mesh) -> None:
        label_namespace(installed, "kt", **{MESH_ID: "mash1"})
        installed.run(*INSTALL).exits(0)
        assert labels(installed, "kt")[MESH_ID] == "mesh1"


def test_a_mesh_yaml_that_names_the_network_of_the_wrong_label_is_refused(installed: Mesh) -> None:
    label_namespace(installed, "kt", **{NETWORK: "network9"})
    installed.settings(clusters=[{"context": "kt", "network": "network9"}])
    before = installed.snapshots()
    assert installed.run("install", "-o", "json").exits(2).errors == [("identity-changed", "kt")]
    assert installed.snapshots() == before


def test_a_mesh_yaml_that_names_the_network_istio_runs_with_restores_the_label(installed: Mesh) -> None:
    label_namespace(installed, "kt", **{NETWORK: "network9"})
    installed.settings(clusters=[{"context": "kt", "network": "network1"}])
    installed.run("install", "-o", "json").exits(0)
    assert labels(installed, "kt")[NETWORK] == "network1"


def test_status_shows_the_network_istio_runs_with(installed: Mesh) -> None:
    label_namespace(installed, "kt", **{NETWORK: "network9"})
    (kt,) = (
        one for one in installed.run("status", "-o", "json").exits(0).data["clusters"] if one["name"] == "kt"
    )
    assert kt["network"] == "network1"


def test_a_network_label_of_the_gateway_service_has_no_effect_without_one_on_the_namespace(
    installed: Mesh,
) -> None:
    kt = installed["kt"]
    kt.edit(kt.get("Namespace", SYSTEM), lambda copy: copy["metadata"]["labels"].pop(NETWORK))
    kt.edit(
        kt.get("Service", "istio-ingressgateway", SYSTEM),
        lambda copy: copy["metadata"]["labels"].update({NETWORK: "network9"}),
    )
    installed.run(*INSTALL).exits(0)
    assert labels(installed, "kt")[NETWORK] == "network1"


def test_the_fix_for_two_clusters_with_one_network_restores_the_network_in_partial_use(
    installed: Mesh,
) -> None:
    kt = installed["kt"]
    label_namespace(installed, "kt", **{NETWORK: "network2"})
    kt.edit(
        kt.get("Service", "istio-ingressgateway", SYSTEM),
        lambda copy: copy["metadata"]["labels"].update({NETWORK: "network2"}),
    )
    refused = installed.run(*INSTALL).exits(2)
    assert refused.errors == [("identity-shared", None)]
    assert refused.json["errors"][0]["hint"].startswith("kubectl --context kt label")
