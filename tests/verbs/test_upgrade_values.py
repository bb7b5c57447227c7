"""upgrade without a mesh.yaml: values of Istio that the default settings would reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.kept_values import VALUE, keep_a_value
from tests.support.snapshots import changed
from tests.verbs.test_upgrade import NEW, SYSTEM, TO, older_mesh, quick, run
from tests.verbs.test_upgrade_revision import REVISION

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

__all__ = ["older_mesh", "quick"]

THREE = "kt,ncloud,nhn"


def lost(mesh: Mesh, *words: str) -> list[str]:
    """What a dry run warns of."""
    result = run(mesh, *words, "--dry-run").exits(0)
    return [one["seen"] for one in result.json["messages"] if one["code"] == "values-lost"]


@pytest.mark.parametrize("words", [TO, REVISION], ids=["in place", "by revision"])
def test_an_upgrade_that_would_reset_values_changes_nothing(old: Mesh, words: tuple[str, ...]) -> None:
    keep_a_value(old)
    before = old.snapshots()
    result = run(old, *words).exits(2)
    assert result.errors == [("values-lost", "kt")]
    assert result.json["errors"][0]["seen"].endswith(f"set in the cluster: {VALUE}")
    assert changed(before, old.snapshots()) == []


@pytest.mark.parametrize("words", [TO, REVISION], ids=["in place", "by revision"])
def test_a_dry_run_warns_of_values_that_an_upgrade_would_reset(old: Mesh, words: tuple[str, ...]) -> None:
    keep_a_value(old)
    (seen,) = lost(old, *words)
    assert seen.endswith(f"set in the cluster: {VALUE}")


@pytest.mark.parametrize("words", [TO, REVISION], ids=["in place", "by revision"])
def test_the_default_values_are_not_warned_of(old: Mesh, words: tuple[str, ...]) -> None:
    (old.folder / "mesh.yaml").unlink()
    assert lost(old, *words) == []


@pytest.mark.thorough
def test_an_interrupted_upgrade_by_revision_does_not_go_on_without_its_values(old: Mesh) -> None:
    run(old, *REVISION, "--canary", "kt", dies_after="PATCH .*/mutatingwebhookconfigurations/istio-rev")
    keep_a_value(old, "1-31")
    assert run(old, *REVISION, "--canary", "kt").exits(2).errors == [("values-lost", "kt")]


def test_an_install_of_another_version_that_would_reset_values_changes_nothing(old: Mesh) -> None:
    keep_a_value(old)
    before = old.snapshots()
    result = run(old, "install", "--contexts", THREE, "--istio-version", NEW).exits(2)
    assert result.errors == [("values-lost", "kt")]
    assert changed(before, old.snapshots()) == []


@pytest.mark.thorough
def test_an_install_without_the_revision_of_the_control_planes_changes_nothing(old: Mesh) -> None:
    run(old, *REVISION).exits(0)
    (old.folder / "mesh.yaml").unlink()
    before = old.snapshots()
    result = run(old, "install", "--contexts", THREE, "--istio-version", NEW).exits(2)
    assert result.errors == [("values-lost", name) for name in old.names]
    assert "istio.revision" in result.json["errors"][0]["seen"]
    assert changed(before, old.snapshots()) == []


def test_an_install_that_would_restore_an_istiod_without_its_values_changes_nothing(old: Mesh) -> None:
    old["kt"].delete(old["kt"].get("Deployment", "istiod", SYSTEM))
    keep_a_value(old)
    result = run(old, "install", "--contexts", THREE).exits(2)
    assert result.errors == [("values-lost", "kt")]
