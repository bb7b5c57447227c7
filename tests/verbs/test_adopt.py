"""adopt: a mesh that the guide's scripts installed is taken over as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.fixtures import made_once
from tests.support.snapshots import changed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.mesh import Mesh
    from tests.support.runs import Result

ADOPT = ("adopt", "--contexts", "kt,ncloud,nhn", "-o", "json")
SYSTEM = "istio-system"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def labels(mesh: Mesh) -> dict[str, dict[str, Any]]:
    return {name: one.get("Namespace", SYSTEM)["metadata"]["labels"] for name, one in mesh.clusters.items()}


def adopt(mesh: Mesh) -> Result:
    """Has the mesh that `scripted` is be taken over."""
    return made_once(mesh, "adopted", lambda: mesh.run(*ADOPT).exits(0))


def adopt_and_install(mesh: Mesh) -> None:
    def install() -> None:
        adopt(mesh)
        mesh.run("install", "--contexts", "kt,ncloud,nhn").exits(0)

    made_once(mesh, "adopted and installed", install)


def test_every_cluster_becomes_a_member_under_the_id_and_network_it_has(scripted: Mesh) -> None:
    data = adopt(scripted).data
    for cluster in data["clusters"]:
        found = labels(scripted)[cluster["name"]]
        assert found["istio-mc/mesh-id"] == data["meshID"]
        assert found["istio-mc/cluster-id"] == cluster["clusterId"] == scripted[cluster["name"]].cluster
        assert found["topology.istio.io/network"] == cluster["network"]


def test_nothing_but_the_labels_of_the_namespace_changes(scripted: Mesh) -> None:
    before, certificates = scripted.snapshots(), contents(scripted.certs)
    adopt(scripted)
    after = scripted.snapshots()
    assert {name: changed(before[name], after[name]) for name in before} == {
        name: [f"Namespace {SYSTEM}"] for name in scripted.names
    }
    assert contents(scripted.certs) == certificates


def test_a_second_run_changes_nothing(scripted: Mesh) -> None:
    adopt(scripted)
    before = scripted.writes
    scripted.run(*ADOPT).exits(0)
    assert scripted.writes == before


def test_a_dry_run_shows_the_future_members_and_changes_nothing(scripted: Mesh) -> None:
    before, files = scripted.writes, contents(scripted.folder)
    data = scripted.run(*ADOPT, "--dry-run").exits(0).data
    assert data["dryRun"] is True
    for cluster in data["clusters"]:
        (step,) = cluster["steps"]
        (namespace,) = step["documents"]
        assert namespace["metadata"]["labels"]["istio-mc/cluster-id"] == cluster["clusterId"]
        assert cluster["pending"]
    shown = scripted.run(*ADOPT[:3], "--dry-run").exits(0).stdout
    assert shown.count("to adopt") == len(scripted.names)
    assert (scripted.writes, contents(scripted.folder)) == (before, files)
    done = scripted.run(*ADOPT).exits(0).data
    assert [one["steps"][0]["reasons"] for one in done["clusters"]] == [
        one["steps"][0]["reasons"] for one in data["clusters"]
    ]


def test_changes_of_an_install_are_reported(scripted: Mesh) -> None:
    data = adopt(scripted).data
    pending = {cluster["name"]: [step["name"] for step in cluster["pending"]] for cluster in data["clusters"]}
    assert set(pending) == set(scripted.names)
    assert all("istio" in steps for steps in pending.values())


def test_clusters_without_istio_are_not_taken_over(mesh: Mesh) -> None:
    result = mesh.run(*ADOPT).exits(1)
    assert sorted(result.errors) == [("nothing-to-adopt", name) for name in sorted(mesh.names)]
    assert mesh.writes == 0 or not mesh["kt"].has("Namespace", SYSTEM)


def test_an_install_afterwards_brings_it_to_what_an_install_makes_under_the_same_ca(scripted: Mesh) -> None:
    before = {name: one.get("Secret", "cacerts", SYSTEM)["data"] for name, one in scripted.clusters.items()}
    adopt_and_install(scripted)
    assert {
        name: one.get("Secret", "cacerts", SYSTEM)["data"] for name, one in scripted.clusters.items()
    } == before
    written = scripted.writes
    scripted.run("install", "--contexts", "kt,ncloud,nhn").exits(0)
    assert scripted.writes == written


def test_verify_finds_the_members_and_reports_only_the_drift(scripted: Mesh) -> None:
    adopt(scripted)
    data = scripted.run("verify", "-o", "json").exits(4).data
    assert [cluster["name"] for cluster in data["clusters"]] == list(scripted.names)
    assert {cause["id"] for cause in data["rootCauses"]} == {"drift.none"}


def test_an_uninstall_leaves_what_the_scripts_made_themselves(scripted: Mesh) -> None:
    adopt_and_install(scripted)
    result = scripted.run("uninstall", "--yes", "-o", "json").exits(0)
    for name, one in scripted.clusters.items():
        left = {item["object"]: item["reason"] for item in result.cluster(name)["remaining"]}
        assert left[f"Namespace {SYSTEM}"] == "not created by istio-mc"
        assert left[f"Secret {SYSTEM}/cacerts"] == "not created by istio-mc"
        assert one.has("Secret", "cacerts", SYSTEM)
