"""Clusters named as clouds name them go through every verb."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mesh import remembering_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.mesh import Mesh
    from tests.support.runs import Result

pytestmark = pytest.mark.thorough

SYSTEM = "istio-system"
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
NAMES = {
    "kt": f"nks_kr_kt_{UUID}",
    "ncloud": "arn:aws:eks:ap-northeast-2:123456789012:cluster/NCloud_Prod.v1",
    "nhn": ("NHN-Cloud-Production-" * 4)[:80],
}
ALL = ",".join(NAMES.values())


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Mesh, Any]]:
    """A mesh whose contexts and clusters have such names, and its state as `install` leaves it."""
    with remembering_mesh(*NAMES) as mesh:
        document = json.loads(mesh.kubeconfig.read_text())
        for (name, long), cluster, context in zip(
            NAMES.items(), document["clusters"], document["contexts"], strict=True
        ):
            assert context["name"] == name
            cluster["name"] = context["context"]["cluster"] = context["name"] = long
        document["current-context"] = NAMES["kt"]
        mesh.kubeconfig.write_text(json.dumps(document))
        mesh.run("install", "--contexts", ALL).exits(0)
        yield mesh, mesh.state()


@pytest.fixture
def renamed(shared: tuple[Mesh, Any]) -> Mesh:
    mesh, installed = shared
    mesh.restore(installed)
    return mesh


def ids(mesh: Mesh) -> dict[str, str]:
    found = mesh.run("contexts", "-o", "json").exits(0).data["contexts"]
    return {context["name"]: context["clusterId"] for context in found}


def names(result: Result) -> list[str]:
    return [cluster["name"] for cluster in result.data["clusters"]]


def test_each_gets_an_id_of_its_own_that_kubernetes_accepts(renamed: Mesh) -> None:
    found = ids(renamed)
    assert list(found) == list(NAMES.values())
    assert len(set(found.values())) == 3
    assert all(len(cluster_id) <= 63 for cluster_id in found.values())


def test_a_second_install_changes_nothing(renamed: Mesh) -> None:
    assert renamed.run("install", "--contexts", ALL, "-o", "json").exits(0).data["changed"] is False


def test_every_istiod_sees_every_other_cluster_by_its_id(renamed: Mesh) -> None:
    known = set(ids(renamed).values())
    for cluster in renamed.clusters.values():
        (istiod,) = cluster.istiods.running()
        rows = {row["id"]: row["syncStatus"] for row in cluster.istiods.clusterz(istiod)}
        assert rows == dict.fromkeys(known, "synced")


def test_verify_finds_no_fault(renamed: Mesh) -> None:
    renamed.run("verify").exits(0)


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("address",),
        ("tools", "list"),
        ("cilium", "status"),
        ("config", "show"),
        ("config", "init", "--stdout", "--contexts", ALL),
        ("uninstall", "--dry-run"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_verb_that_only_reads_accepts_such_names(renamed: Mesh, words: tuple[str, ...]) -> None:
    if words[:2] in (("config", "show"), ("tools", "list")):
        renamed.settings(clusters=[{"context": long} for long in NAMES.values()])
    assert NAMES["ncloud"] in json.dumps(renamed.run(*words, "-o", "json").exits(0).json)


def test_a_config_that_init_writes_is_read_back(renamed: Mesh) -> None:
    (renamed.folder / "mesh.yaml").unlink()
    renamed.run("config", "init", "--contexts", ALL).exits(0)
    settings = renamed.run("config", "show", "-o", "json").exits(0).data["settings"]
    (chosen,) = [setting["value"] for setting in settings if setting["key"] == "contexts"]
    assert chosen == list(NAMES.values())


def test_the_folders_of_their_cas_are_named_by_id(renamed: Mesh) -> None:
    shown = renamed.run("ca", "show", "-o", "json").exits(0).data["clusters"]
    assert {cluster["clusterId"] for cluster in shown} == set(ids(renamed).values())
    assert renamed.run("ca", "verify", "-o", "json").exits(0).data["ok"] is True


def test_link_writes_what_is_missing_between_them(renamed: Mesh) -> None:
    nhn = renamed["nhn"]
    for secret in nhn.store.of("Secret", SYSTEM):
        if (secret["metadata"].get("labels") or {}).get("istio/multiCluster"):
            nhn.delete(secret)
    linked = renamed.run("link", "-o", "json").exits(0).data["clusters"]
    assert [len(cluster["remoteSecrets"]) for cluster in linked] == [0, 0, 2]


def test_a_gateway_is_given_an_address_and_loses_it(renamed: Mesh) -> None:
    def external_ips() -> list[str] | None:
        found = renamed["kt"].get("Service", "istio-ingressgateway", SYSTEM)["spec"].get("externalIPs")
        return found or None

    renamed.run("address", "--set", f"{NAMES['kt']}=203.0.113.7", "--via", "external-ip").exits(0)
    assert external_ips() == ["203.0.113.7"]
    renamed.run("address", "--unset", NAMES["kt"], "--yes").exits(0)
    assert external_ips() is None


def test_they_are_adopted(renamed: Mesh) -> None:
    for cluster in renamed.clusters.values():
        cluster.edit(
            cluster.get("Namespace", SYSTEM),
            lambda copy: [
                copy["metadata"]["labels"].pop(f"istio-mc/{key}") for key in ("mesh-id", "cluster-id")
            ],
        )
    before = ids(renamed)
    adopted = renamed.run("adopt", "--contexts", ALL, "-o", "json").exits(0)
    assert names(adopted) == list(NAMES.values())
    assert names(renamed.run("status", "-o", "json").exits(0)) == list(NAMES.values())
    assert ids(renamed) == before


def test_a_report_names_them(renamed: Mesh) -> None:
    renamed.run("report").exits(0)
    page = (renamed.folder / "mesh-report.html").read_text()
    assert all(name in page for name in NAMES.values())


def test_the_sample_runs_in_each_and_every_version_answers(renamed: Mesh) -> None:
    renamed.run("sample", "deploy").exits(0)
    assert "9 of 9 pairs" in renamed.run("sample", "test").exits(0).stdout
    renamed.run("sample", "remove", "--yes").exits(0)


def test_one_leaves_and_the_rest_are_taken_away(renamed: Mesh) -> None:
    left = renamed.run("uninstall", "--contexts", NAMES["nhn"], "--yes", "-o", "json").exits(0)
    assert [cluster["status"] for cluster in left.data["clusters"]] == ["member", "member", "removed"]
    renamed.run("uninstall", "--yes").exits(0)
    assert not any(cluster.has("Namespace", SYSTEM) for cluster in renamed.clusters.values())
