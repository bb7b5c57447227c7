"""install: one mesh of bare clusters, and nothing to do the second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.snapshots import changed

if TYPE_CHECKING:
    from tests.support import Mesh

THREE = "kt,ncloud,nhn"
SYSTEM = "istio-system"


def steps(mesh_data: dict[str, object], name: str) -> list[str]:
    (cluster,) = [one for one in mesh_data["clusters"] if one["name"] == name]  # type: ignore[attr-defined]
    return [step["name"] for step in cluster["steps"]]


def test_every_cluster_gets_every_step(mesh: Mesh) -> None:
    data = mesh.run("install", "--contexts", THREE, "-o", "json").exits(0).data
    whole = ["namespace", "cacerts", "istio", "expose", "gateway-api", "link"]
    assert [steps(data, name) for name in mesh.names] == [whole, whole, whole]


def test_every_istiod_sees_every_other_cluster(installed: Mesh) -> None:
    for one in installed.clusters.values():
        (istiod,) = one.istiods.running()
        seen = {row["id"]: row["syncStatus"] for row in one.istiods.clusterz(istiod)}
        assert seen == dict.fromkeys(("kt-k2p", "ncloud-nks", "nhn-nks"), "synced")


def test_every_istiod_signs_with_a_ca_of_its_own_under_one_root(installed: Mesh) -> None:
    issuers = [one.istiods.running()[0].issuer for one in installed.clusters.values()]
    assert len({issuer.root for issuer in issuers}) == 1
    assert len({issuer.certificate for issuer in issuers}) == 3


def test_a_second_run_changes_nothing(installed: Mesh) -> None:
    before = installed.snapshots()
    data = installed.run("install", "--contexts", THREE, "-o", "json").exits(0).data
    assert [steps(data, name) for name in installed.names] == [[], [], []]
    assert installed.snapshots() == before


def test_a_second_run_does_not_even_write_what_is_there_already(installed: Mesh) -> None:
    installed.run("install", "--contexts", THREE).exits(0)
    assert [one.faults.writes for one in installed.clusters.values()] == [[], [], []]


def test_a_dry_run_changes_nothing_in_the_clusters_or_on_disk(mesh: Mesh) -> None:
    before = mesh.snapshots()
    data = mesh.run("install", "--contexts", THREE, "--dry-run", "-o", "json").exits(0).data
    assert "istio" in steps(data, "kt")
    assert mesh.snapshots() == before
    assert not mesh.certs.exists()


def test_what_somebody_changed_is_put_right_and_nothing_else(installed: Mesh) -> None:
    kt = installed["kt"]
    kt.edit(kt.get("Service", "istiod", SYSTEM), lambda item: item["spec"].update(selector={"app": "nobody"}))
    before = installed.snapshots()
    installed.run("install", "--contexts", THREE).exits(0)
    after = installed.snapshots()
    assert kt.get("Service", "istiod", SYSTEM)["spec"]["selector"]["app"] == "istiod"
    assert changed(before["ncloud"], after["ncloud"]) == changed(before["nhn"], after["nhn"]) == []
