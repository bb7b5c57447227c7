"""Each Istio that the stand-in was recorded of: installed, found as wanted, upgraded to, taken away whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import istioctl
from tests.support.istioctl_serving import bin_dir
from tests.support.marks import in_thorough
from tests.support.recording import NETWORK_POLICY, TRUST_BUNDLE

if TYPE_CHECKING:
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
CONTEXTS = "kt"
OLD, NEW = istioctl.VERSIONS


def run(mesh: Mesh, version: str, *words: str, **settings: Any) -> Result:
    """A run with the istioctl and the settings of one Istio version."""
    mesh.settings(istio={"version": version}, **settings)
    return mesh.run(*words, ISTIO_MC_BIN_DIR=str(bin_dir(version))).exits(0)


@pytest.mark.parametrize("version", [NEW, *in_thorough(OLD)])
def test_an_uninstall_leaves_nothing_of_what_that_version_put_there(mesh: Mesh, version: str) -> None:
    before = {name: set(found) for name, found in mesh.snapshots().items()}
    run(mesh, version, "install", "--contexts", CONTEXTS)
    assert (
        mesh["kt"]
        .get("Deployment", "istiod", SYSTEM)["spec"]["template"]["spec"]["containers"][0]["image"]
        .endswith(f"/pilot:{version}")
    )
    run(mesh, version, "uninstall", "--yes")
    assert {name: set(found) for name, found in mesh.snapshots().items()} == before


@pytest.mark.parametrize("version", [NEW, *in_thorough(OLD)])
def test_a_second_install_of_that_version_finds_nothing_to_change(mesh: Mesh, version: str) -> None:
    run(mesh, version, "install", "--contexts", CONTEXTS)
    before = mesh.snapshots()
    result = run(mesh, version, "install", "--contexts", CONTEXTS, "-o", "json")
    assert [cluster["status"] for cluster in result.data["clusters"]] == ["unchanged"]
    assert mesh.snapshots() == before


@pytest.mark.thorough
def test_an_uninstall_after_an_upgrade_leaves_nothing_of_either_version(mesh: Mesh) -> None:
    """The older makes PodDisruptionBudgets; the newer does not, and istioctl leaves them where they are."""
    before = {name: set(found) for name, found in mesh.snapshots().items()}
    run(mesh, OLD, "install", "--contexts", CONTEXTS)
    run(mesh, NEW, "install", "--contexts", CONTEXTS)
    assert mesh["kt"].has("PodDisruptionBudget", "istiod", SYSTEM)
    run(mesh, NEW, "uninstall", "--yes")
    assert {name: set(found) for name, found in mesh.snapshots().items()} == before


def test_a_namespace_that_stays_keeps_nothing_that_istiod_wrote(mesh: Mesh) -> None:
    """What it was elected by would make the next one wait until it has expired."""
    of_others = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "of-others", "namespace": SYSTEM},
    }
    run(mesh, NEW, "install", "--contexts", CONTEXTS)
    assert mesh["kt"].has("ConfigMap", "istio-ca-crl", "default")
    mesh["kt"].make(of_others)
    run(mesh, NEW, "uninstall", "--yes")
    assert mesh["kt"].names("ConfigMap", SYSTEM) == ["kube-root-ca.crt", "of-others"]
    assert mesh["kt"].names("Lease", SYSTEM) == []
    assert not mesh["kt"].has("ConfigMap", "istio-ca-crl", "default")


@pytest.mark.thorough
def test_objects_of_kinds_that_only_some_values_make_are_read_repaired_and_removed(mesh: Mesh) -> None:
    policy = ("NetworkPolicy", "istiod", SYSTEM)
    before = {name: set(found) for name, found in mesh.snapshots().items()}
    run(mesh, NEW, "install", "--contexts", CONTEXTS, values=NETWORK_POLICY)
    again = run(mesh, NEW, "install", "--contexts", CONTEXTS, "-o", "json", values=NETWORK_POLICY)
    assert [cluster["status"] for cluster in again.data["clusters"]] == ["unchanged"]
    mesh["kt"].delete(mesh["kt"].get(*policy))
    run(mesh, NEW, "install", "--contexts", CONTEXTS, values=NETWORK_POLICY)
    assert mesh["kt"].has(*policy)
    checked = run(mesh, NEW, "verify", "--only", "control-plane,drift", "-o", "json", values=NETWORK_POLICY)
    assert {one["verdict"] for one in checked.data["checks"]} == {"ok"}
    removed = run(mesh, NEW, "uninstall", "--yes", "-o", "json", values=NETWORK_POLICY)
    assert "NetworkPolicy istio-system/istiod" in removed.cluster("kt")["removed"]
    assert {name: set(found) for name, found in mesh.snapshots().items()} == before


@pytest.mark.thorough
def test_a_trust_bundle_of_another_name_is_read_and_taken_away(mesh: Mesh) -> None:
    before = {name: set(found) for name, found in mesh.snapshots().items()}
    run(mesh, NEW, "install", "--contexts", CONTEXTS, values=TRUST_BUNDLE)
    kt = mesh["kt"]
    assert kt.has("ConfigMap", "our-roots", "default")
    assert not kt.has("ConfigMap", "istio-ca-root-cert", "default")
    again = run(mesh, NEW, "install", "--contexts", CONTEXTS, "-o", "json", values=TRUST_BUNDLE)
    assert [cluster["status"] for cluster in again.data["clusters"]] == ["unchanged"]
    checked = run(mesh, NEW, "verify", "--only", "trust.namespaces", "-o", "json", values=TRUST_BUNDLE)
    found = {one["id"]: one["seen"] for one in checked.data["checks"] if one["verdict"] == "ok"}
    assert found["trust.namespaces"] == "3 namespaces"
    run(mesh, NEW, "uninstall", "--yes", values=TRUST_BUNDLE)
    assert {name: set(found) for name, found in mesh.snapshots().items()} == before
