"""cilium: the settings that a mesh requires of Cilium, and the path back; agents read them at start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from istio_mc.ops import cilium as op
from tests.support.daemons import CHART, Cilium
from tests.support.store import By

if TYPE_CHECKING:
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

ONLY = ("--contexts", "ncloud", "--settle", "1s", "-o", "json")
FIX = ("cilium", "fix", *ONLY, "--yes")
REVERT = ("cilium", "revert", *ONLY, "--yes")
DESIRED = {"bpf-lb-sock-hostns-only": "true", "cni-exclusive": "false"}
FIXED = CHART | DESIRED


@pytest.fixture(autouse=True)
def _settles_in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches what was ready before for a fiftieth of the time: a stand-in needs no more."""
    carry_out = op.carry_out
    monkeypatch.setattr(op, "carry_out", lambda *words, settle_s: carry_out(*words, settle_s=settle_s / 50))


@pytest.fixture
def cilium(mesh: Mesh) -> Cilium:
    """Cilium in ncloud, as its chart installs it."""
    made = Cilium(mesh["ncloud"])
    made.install()
    return made


def status(mesh: Mesh) -> str:
    found: str = mesh.run("cilium", "status", *ONLY[:2], "-o", "json").exits(0).cluster("ncloud")["status"]
    return found


def test_a_fix_restarts_the_agents_with_the_settings_and_a_revert_restores_every_one(
    mesh: Mesh, cilium: Cilium
) -> None:
    fixed = mesh.run("cilium", "fix", *ONLY[2:], "--contexts", ",".join(mesh.names), "--yes").exits(0)
    assert [fixed.cluster(name)["status"] for name in mesh.names] == ["no Cilium", "fixed", "no Cilium"]
    assert (cilium.in_use, cilium.backup) == (FIXED, CHART)
    assert status(mesh) == "right"

    assert mesh.run(*REVERT).exits(0).cluster("ncloud")["status"] == "reverted"
    assert (cilium.settings, cilium.in_use, cilium.backup) == (CHART, CHART, None)
    assert status(mesh) == "to fix"


@pytest.mark.parametrize("words", [FIX, REVERT], ids=["fix", "revert"])
def test_a_second_run_changes_nothing_and_restarts_nothing(
    mesh: Mesh, cilium: Cilium, words: tuple[str, ...]
) -> None:
    mesh.run(*FIX).exits(0)
    mesh.run(*words).exits(0)
    agent, writes = cilium.agent, mesh.writes
    assert mesh.run(*words).exits(0).cluster("ncloud")["status"] == "unchanged"
    assert (cilium.agent, mesh.writes) == (agent, writes)


def test_k_paas_turns_the_l7_proxy_off_too_and_the_first_backup_stays(mesh: Mesh, cilium: Cilium) -> None:
    cilium.set(enable_l7_proxy=None)
    before = cilium.settings
    mesh.run(*FIX).exits(0)
    mesh.run(*FIX, "--k-paas").exits(0)
    assert cilium.in_use == before | DESIRED | {"enable-l7-proxy": "false"}
    assert cilium.backup == before
    mesh.run(*REVERT).exits(0)
    assert cilium.in_use == before


def test_a_dry_run_shows_the_difference_and_changes_nothing(mesh: Mesh, cilium: Cilium) -> None:
    agent, writes = cilium.agent, mesh.writes
    shown = mesh.run("cilium", "fix", "--contexts", "ncloud", "--dry-run").exits(0).stdout
    assert '- cni-exclusive: "true"\n  + cni-exclusive: "false"' in shown
    assert (cilium.agent, cilium.backup, mesh.writes) == (agent, None, writes)


def test_without_confirmation_nothing_is_changed(mesh: Mesh, cilium: Cilium) -> None:
    refused = mesh.run("cilium", "fix", *ONLY).exits(2)
    assert refused.errors == [("not-confirmed", None)]
    assert cilium.settings == CHART


def test_an_agent_that_was_not_restarted_is_shown_and_a_fix_restarts_it(mesh: Mesh, cilium: Cilium) -> None:
    cilium.set(bpf_lb_sock_hostns_only="true", cni_exclusive="false")
    found = mesh.run("cilium", "status", "--contexts", "ncloud", "-o", "json").exits(0).cluster("ncloud")
    assert (found["status"], found["agents"]["olderThanSettings"]) == ("to fix", [cilium.agent])

    fixed = mesh.run(*FIX).exits(0).cluster("ncloud")

    assert (fixed["status"], fixed["changes"]) == ("fixed", [])
    assert cilium.in_use == FIXED


WRITTEN = "PATCH .*/configmaps/cilium-config$"


def test_a_fix_that_was_killed_before_the_restart_is_finished_by_the_next(mesh: Mesh, cilium: Cilium) -> None:
    mesh.run(*FIX, dies_after=WRITTEN)
    assert (cilium.settings, cilium.in_use) == (FIXED, CHART)
    mesh.run(*FIX).exits(0)
    assert (cilium.in_use, cilium.backup) == (FIXED, CHART)


def test_a_revert_that_was_killed_before_the_restart_is_finished_by_the_next(
    mesh: Mesh, cilium: Cilium
) -> None:
    mesh.run(*FIX).exits(0)
    mesh.run(*REVERT, dies_after=WRITTEN)
    assert (cilium.settings, cilium.in_use) == (CHART, FIXED)
    mesh.run(*REVERT).exits(0)
    assert (cilium.in_use, cilium.backup) == (CHART, None)


class TestSettingsThatOthersChangedSince:
    @pytest.fixture(autouse=True)
    def _changed(self, mesh: Mesh, cilium: Cilium) -> None:
        mesh.run(*FIX).exits(0)
        cilium.set(debug="true", somebodys_key="1")

    def test_are_named_and_nothing_is_reverted(self, mesh: Mesh, cilium: Cilium) -> None:
        before = cilium.settings
        (error,) = mesh.run(*REVERT).exits(1).json["errors"]
        assert (error["code"], error["cluster"]) == ("changed-since-backup", "ncloud")
        assert 'debug: "false" -> "true"' in error["seen"]
        assert cilium.settings == before

    def test_stay_with_keep_others(self, mesh: Mesh, cilium: Cilium) -> None:
        mesh.run(*REVERT, "--keep-others").exits(0)
        assert cilium.in_use == CHART | {"debug": "true", "somebodys-key": "1"}

    def test_go_with_force(self, mesh: Mesh, cilium: Cilium) -> None:
        mesh.run(*REVERT, "--force").exits(0)
        assert cilium.in_use == CHART


def nowhere(copy: Object) -> None:
    copy["spec"]["template"]["spec"]["nodeSelector"] = {"no-such": "node"}


def test_a_rollout_to_no_node_fails_at_the_deadline_and_is_finished_once_one_matches(
    mesh: Mesh, cilium: Cilium
) -> None:
    cilium.edit(nowhere)
    failed = mesh.run(*FIX, "--timeout", "2s").exits(1)
    (error,) = failed.json["errors"]
    assert (error["code"], error["cluster"]) == ("agents-not-rolled-out", "ncloud")
    assert "no node runs an agent" in error["seen"]
    assert "istio-mc cilium revert --contexts ncloud" in error["hint"]

    cilium.edit(lambda copy: copy["spec"]["template"]["spec"].pop("nodeSelector"))
    mesh.run(*FIX).exits(0)
    assert cilium.in_use == FIXED


def test_pods_that_lose_their_readiness_are_named_with_the_path_back(mesh: Mesh, cilium: Cilium) -> None:
    cluster = mesh["ncloud"]
    cluster.deploy("needs-api", "default")
    cluster.settle()
    (name,) = cluster.names("Pod", "default")

    def lose_readiness() -> None:
        cluster.stuck["needs-api"] = "CrashLoopBackOff"
        cluster.set_status(cluster.get("Pod", name, "default"), {}, By("kubelet", subresource="status"))

    mesh.when("PATCH .*/daemonsets/cilium$", lose_readiness)
    lost = mesh.run(*FIX).exits(1)
    (error,) = lost.json["errors"]
    assert (error["code"], error["seen"]) == ("readiness-lost", f"pod default/{name}")
    assert "istio-mc cilium revert --contexts ncloud" in error["hint"]
    assert cilium.in_use == FIXED


def test_a_cluster_that_does_not_answer_does_not_stop_the_others(mesh: Mesh, cilium: Cilium) -> None:
    mesh.cut("nhn")
    partial = mesh.run(*FIX, "--contexts", "nhn").exits(3)
    assert partial.errors == [("cluster-unreachable", "nhn")]
    assert [partial.cluster(name)["status"] for name in ("ncloud", "nhn")] == ["fixed", "failed"]
    assert cilium.in_use == FIXED
