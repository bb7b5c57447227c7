"""install reads every cluster before its first change: what it lacks, and who else manages Istio there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

THREE = ("--contexts", "kt,ncloud,nhn")
INSTALL = ("install", *THREE, "-o", "json")
DRY_RUN = (*INSTALL, "--dry-run")
SYSTEM = "istio-system"
PAST_ITS_END = "1.26.0"


def deployment(name: str = "istiod", **metadata: Any) -> Object:
    """An istiod of revision default outside istio-system, scaled to zero."""
    labels = {"app": "istiod", "istio.io/rev": "default"}
    template = {
        "metadata": {"labels": {"app": "istiod"}},
        "spec": {"containers": [{"name": "discovery", "image": f"docker.io/istio/pilot:{PAST_ITS_END}"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "labels": labels, **metadata},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "istiod"}}, "template": template},
    }


def owned_by_the_sail_operator() -> Object:
    owner = {"apiVersion": "sailoperator.io/v1", "kind": "IstioRevision", "name": "default", "uid": "42"}
    return deployment(ownerReferences=[owner])


def ztunnel() -> Object:
    labels = {"app": "ztunnel"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "ztunnel", "namespace": "default", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": []}},
        },
    }


@pytest.mark.parametrize(
    ("of_others", "seen"),
    [
        (deployment(annotations={"meta.helm.sh/release-name": "istiod"}), "Helm"),
        (owned_by_the_sail_operator(), "Sail"),
        (deployment(), "istiod of revision default in default"),
        (ztunnel(), "ambient"),
    ],
    ids=["Helm", "Sail operator", "the same revision elsewhere", "ambient mode"],
)
def test_istio_under_another_manager_stops_every_cluster_before_the_first_change(
    mesh: Mesh, of_others: Object, seen: str
) -> None:
    ncloud = mesh["ncloud"]
    ncloud.controllers.held.add("garbage")  # which would miss the owner
    ncloud.make(of_others)
    before = mesh.snapshots()
    (problem,) = mesh.run(*INSTALL).exits(1).json["errors"]
    assert (problem["code"], problem["cluster"]) == ("managed-by-others", "ncloud")
    assert seen in problem["seen"]
    assert mesh.snapshots() == before


def test_rights_that_are_missing_are_named_before_the_first_change(mesh: Mesh) -> None:
    mesh["kt"].faults.denied.add("create secrets")
    before = mesh.snapshots()
    (problem,) = mesh.run(*INSTALL).exits(1).json["errors"]
    assert (problem["code"], problem["cluster"]) == ("rights-missing", "kt")
    assert f"create secrets in {SYSTEM}" in problem["seen"]
    assert mesh.snapshots() == before


def test_missing_requirements_of_a_cluster_are_a_warning_of_that_cluster(mesh: Mesh) -> None:
    for name in ("kt", "nhn"):
        mesh[name].delete(mesh[name].get("StorageClass", "standard"))
    mesh["nhn"].delete(mesh["nhn"].get("APIService", "v1beta1.metrics.k8s.io"))
    found = set(mesh.run(*DRY_RUN).exits(0).warnings)
    presets = {one for one in found if one[0] in ("no-default-storage-class", "no-metrics")}
    assert presets == {
        ("no-default-storage-class", "kt"),
        ("no-default-storage-class", "nhn"),
        ("no-metrics", "nhn"),
    }


def test_an_istio_past_its_end_of_life_is_a_warning_of_the_mesh(mesh: Mesh) -> None:
    mesh.settings(istio={"version": PAST_ITS_END})
    assert ("istio-end-of-life", None) in mesh.run(*DRY_RUN).exits(0).warnings


class TestStrict:
    @pytest.mark.parametrize("more", [(), ("--dry-run",)])
    def test_stops_at_an_istio_past_its_end_of_life_before_the_first_change(
        self, mesh: Mesh, more: tuple[str, ...]
    ) -> None:
        mesh.settings(istio={"version": PAST_ITS_END})
        before = mesh.snapshots()
        assert mesh.run(*INSTALL, "--strict", *more).exits(1).errors == [("istio-end-of-life", None)]
        assert mesh.snapshots() == before

    def test_may_stand_in_mesh_yaml(self, mesh: Mesh) -> None:
        mesh.settings(istio={"version": PAST_ITS_END}, strict=True)
        assert mesh.run(*DRY_RUN).exits(1).errors == [("istio-end-of-life", None)]

    def test_of_mesh_yaml_yields_to_the_command_line(self, mesh: Mesh) -> None:
        mesh.settings(istio={"version": PAST_ITS_END}, strict=True)
        mesh.run(*DRY_RUN, "--no-strict").exits(0)
