"""uninstall: nothing of ours stays, and what is of others does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support import Mesh

SYSTEM = "istio-system"


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


def test_a_namespace_in_which_others_keep_something_stays_without_our_labels(installed: Mesh) -> None:
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
