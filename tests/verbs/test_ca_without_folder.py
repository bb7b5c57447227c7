"""ca rotate --without-folder: a change of the root is reverted or finished with the clusters' own Secrets."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from istio_mc.ops.rotation import root as op
from istio_mc.ops.upgrade import gate
from tests.support.rotating import at_write, certificates_in, proxies, unreachable, with_workloads
from tests.verbs.test_ca_rotate import PHASES, ROTATE, all_roots, has_new_root_alone

if TYPE_CHECKING:
    from cryptography import x509

    from tests.support.mesh import Mesh

pytestmark = pytest.mark.thorough

WITHOUT = ("ca", "rotate", "--without-folder", "-o", "json", "--timeout", "300s")
SIGNED = {"sign": PHASES["renew"] - 1, "renew": PHASES["finish"] - 1}
"""The last write of cacerts in phases that all clusters are in then."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(gate, "SETTLE_S", 0.0)
    monkeypatch.setattr(op, "GATE_S", 0.3)
    monkeypatch.setattr(op, "_POLL_S", 0.05)


@pytest.fixture
def serving(installed: Mesh) -> Mesh:
    """A mesh with a workload in each cluster, whose proxies have certificates."""
    return with_workloads(installed)


def stopped_at(mesh: Mesh, write: int) -> set[x509.Certificate]:
    """Stops a change after a write of cacerts, and loses the folder; returns the root that was before."""
    old = all_roots(mesh)
    at_write(mesh, write, lambda: unreachable(mesh))
    mesh.run(*ROTATE[:-2], "--timeout", "60s").exits(1)
    mesh.heal("ncloud")
    shutil.rmtree(mesh.folder / "certs")
    return old


def cas(mesh: Mesh) -> list[object]:
    """What each cluster has as its CA."""
    return [one.get("Secret", "cacerts", "istio-system")["data"] for one in mesh.clusters.values()]


def all_trusted(mesh: Mesh) -> bool:
    held = proxies(mesh)
    return all(root in trusted for trusted, _ in held for _, root in held)


@pytest.mark.parametrize("write", [1, 3])
def test_a_change_that_no_cluster_signs_under_yet_is_reverted(serving: Mesh, write: int) -> None:
    old = stopped_at(serving, write)
    serving.run(*WITHOUT).exits(0)
    (root,) = all_roots(serving)
    assert {root} == old
    assert proxies(serving) == [(frozenset([root]), root)] * 3


def test_a_change_that_all_clusters_sign_under_is_finished(serving: Mesh) -> None:
    old = stopped_at(serving, SIGNED["renew"])
    serving.run(*WITHOUT).exits(0)
    has_new_root_alone(serving, old)


def test_proxies_that_have_not_renewed_are_waited_for_and_named(serving: Mesh) -> None:
    old = stopped_at(serving, SIGNED["sign"])
    result = serving.run(*WITHOUT).exits(1)
    assert {code for code, _ in result.errors} == {"root-not-followed", "root-stopped"}
    assert all_trusted(serving)
    assert old < all_roots(serving)


def test_one_second_form_is_enough_to_have_all_proxies_renew(serving: Mesh) -> None:
    old = stopped_at(serving, PHASES["renew"])
    serving.run(*WITHOUT).exits(0)
    has_new_root_alone(serving, old)


def test_clusters_under_both_roots_need_the_folder_which_is_named(serving: Mesh) -> None:
    stopped_at(serving, PHASES["sign"])
    before = cas(serving)
    result = serving.run(*WITHOUT).exits(1)
    assert result.errors == [("root-folder-needed", None)]
    new = certificates_in(serving["kt"], "root-cert.pem")[1]
    (error,) = result.json["errors"]
    assert f"roots/{new.fingerprint(SHA256()).hex()}" in error["expected"]
    assert cas(serving) == before


@pytest.mark.parametrize("write", [2, 9])
def test_without_the_option_nothing_is_changed_and_the_folder_is_named(serving: Mesh, write: int) -> None:
    stopped_at(serving, write)
    before = cas(serving)
    result = serving.run(*ROTATE).exits(1)
    assert result.errors == [("root-folder-needed", None)]
    assert result.json["errors"][0]["hint"].endswith("istio-mc ca rotate --without-folder")
    assert cas(serving) == before


@pytest.mark.parametrize("writes", [1, 3])
def test_a_run_that_was_killed_is_finished_by_the_same_command(serving: Mesh, writes: int) -> None:
    old = stopped_at(serving, SIGNED["renew"])
    serving.run(*WITHOUT, dies_after=writes)
    assert all_trusted(serving)
    serving.run(*WITHOUT).exits(0)
    has_new_root_alone(serving, old)


def test_a_rehearsal_changes_nothing(serving: Mesh) -> None:
    stopped_at(serving, 3)
    before = serving.snapshots()
    serving.run(*WITHOUT, "--rehearse").exits(0)
    assert serving.snapshots() == before


@pytest.mark.parametrize(("stopped", "phase"), [(3, "finish"), (SIGNED["sign"], "renew")])
def test_a_rehearsal_names_the_phase_that_comes_next(serving: Mesh, stopped: int, phase: str) -> None:
    stopped_at(serving, stopped)
    assert serving.run(*WITHOUT, "--rehearse", "-o", "json").exits(0).data["nextPhase"] == phase


def test_where_no_change_has_begun_nothing_is_changed(serving: Mesh) -> None:
    before = serving.snapshots()
    serving.run(*WITHOUT).exits(0)
    assert serving.snapshots() == before


def test_intermediates_need_the_folder(serving: Mesh) -> None:
    assert serving.run("ca", "rotate", "--intermediates", "--without-folder").code == 2
