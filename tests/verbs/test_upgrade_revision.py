"""upgrade --revision: a control plane beside the old one on stand-in clusters, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import refusals
from tests.verbs.test_upgrade import (
    NEW,
    OLD,
    SYSTEM,
    TO,
    gateway_pods,
    held,
    older_mesh,
    quick,
    record_of,
    run,
    statuses,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh

__all__ = ["older_mesh", "quick"]


REVISION = (*TO, "--revision", "1-31")


def control_planes(mesh: Mesh) -> dict[str, list[str]]:
    """The istiods of each cluster, by the names of their Deployments."""
    return {
        name: sorted(
            item["metadata"]["name"]
            for item in one.store.of("Deployment", SYSTEM)
            if item["metadata"]["labels"].get("app") == "istiod"
        )
        for name, one in mesh.clusters.items()
    }


@pytest.mark.thorough
def test_by_revision_the_new_control_plane_takes_over_and_the_old_one_goes(old: Mesh) -> None:
    result = run(old, *REVISION).exits(0)
    assert control_planes(old) == {name: ["istiod-1-31"] for name in old.names}
    assert statuses(result) == dict.fromkeys(old.names, "upgraded")
    assert {name: gateway_pods(one) for name, one in old.clusters.items()} == {
        name: {NEW} for name in old.names
    }
    assert held(old) == []


def tags(mesh: Mesh) -> dict[str, str]:
    """The revision that the tag `default` of each cluster points to."""
    hooks = {
        name: one.get("MutatingWebhookConfiguration", "istio-revision-tag-default")
        for name, one in mesh.clusters.items()
    }
    return {name: hook["metadata"]["labels"]["istio.io/rev"] for name, hook in hooks.items()}


def left_of(one: Cluster, revision: str) -> list[str]:
    """What a cluster has of the control plane of a revision, and of its tags."""
    labels = {"operator.istio.io/component": "Pilot", "istio.io/rev": revision}
    return [
        f"{item['kind']} {item['metadata']['name']}"
        for item in one.store.everything().values()
        if labels.items() <= (item["metadata"].get("labels") or {}).items()
        and not item["metadata"].get("ownerReferences")
    ]


def with_shop(mesh: Mesh) -> None:
    """A workload with a proxy of the older version in kt."""
    mesh["kt"].deploy("shop", "shop")
    mesh.settle()


@pytest.mark.thorough
def test_nothing_is_left_of_the_old_control_plane_and_verify_finds_no_fault(old: Mesh) -> None:
    run(old, *REVISION).exits(0)
    assert tags(old) == dict.fromkeys(old.names, "1-31")
    assert [line for one in old.clusters.values() for line in left_of(one, "default")] == []
    run(old, "verify", "--skip", "drift").exits(0)


@pytest.mark.thorough
def test_a_second_run_by_revision_finds_nothing_to_change(old: Mesh) -> None:
    run(old, *REVISION).exits(0)
    before = old.snapshots()
    assert statuses(run(old, *REVISION).exits(0)) == dict.fromkeys(old.names, "unchanged")
    assert old.snapshots() == before


@pytest.mark.thorough
def test_the_old_control_plane_stays_for_workloads_until_they_are_restarted(old: Mesh) -> None:
    with_shop(old)
    kept = run(old, *REVISION).exits(0)
    assert control_planes(old)["kt"] == ["istiod", "istiod-1-31"]
    assert kept.cluster("kt")["oldRevisionKeptFor"] == ["Deployment shop/shop"]
    run(old, *REVISION, "--restart-workloads", "--yes").exits(0)
    assert control_planes(old)["kt"] == ["istiod-1-31"]


@pytest.mark.thorough
def test_a_removal_of_the_old_control_plane_has_a_gate_that_the_next_run_comes_back_to(old: Mesh) -> None:
    with_shop(old)
    run(old, *REVISION).exits(0)
    kt, gateway = old["kt"], old["kt"].get("Gateway", "cross-network-gateway", SYSTEM)
    kt.delete(kt.get("Deployment", "shop", "shop"))
    old.settle()
    old.when(PHASES["old control plane"], lambda: kt.delete(gateway))
    for _ in range(2):
        result = run(old, *REVISION, "--canary", "kt").exits(1)
        assert result.errors[0] == ("upgrade-gate", "kt")
        assert control_planes(old)["kt"] == ["istiod-1-31"]


@pytest.mark.thorough
def test_mesh_yaml_may_name_the_revision_before_the_workloads_are_restarted(old: Mesh) -> None:
    with_shop(old)
    run(old, *REVISION).exits(0)
    old.settings(istio={"revision": "1-31"})
    run(old, *REVISION, "--restart-workloads", "--yes").exits(0)
    assert control_planes(old)["kt"] == ["istiod-1-31"]


@pytest.mark.thorough
def test_back_by_revision_installs_the_old_control_plane_again_and_removes_the_new(old: Mesh) -> None:
    run(old, *REVISION).exits(0)
    result = run(old, "upgrade", "--back").exits(0)
    assert statuses(result) == dict.fromkeys(old.names, "returned")
    assert control_planes(old) == {name: ["istiod"] for name in old.names}
    assert tags(old) == dict.fromkeys(old.names, "default")
    assert [record_of(one) for one in old.clusters.values()] == [None, None, None]
    assert [line for one in old.clusters.values() for line in left_of(one, "1-31")] == []


@pytest.mark.thorough
def test_back_while_the_old_control_plane_still_serves_moves_tags_and_gateway_back(old: Mesh) -> None:
    with_shop(old)
    run(old, *REVISION).exits(0)
    run(old, "upgrade", "--back", "--contexts", "kt").exits(0)
    assert control_planes(old) == {"kt": ["istiod"], "ncloud": ["istiod-1-31"], "nhn": ["istiod-1-31"]}
    assert gateway_pods(old["kt"]) == {OLD}
    run(old, "verify", "--skip", "drift").exits(0)


@pytest.mark.thorough
def test_a_gate_that_fails_in_the_canary_leaves_the_others_with_their_control_plane(old: Mesh) -> None:
    gateway = old["kt"].get("Gateway", "cross-network-gateway", SYSTEM)
    old.when("PATCH .*/deployments/istio-ingressgateway$", lambda: old["kt"].delete(gateway))
    result = run(old, *REVISION, "--canary", "kt").exits(1)
    assert result.errors[0] == ("upgrade-gate", "kt")
    assert [control_planes(old)[name] for name in ("ncloud", "nhn")] == [["istiod"], ["istiod"]]


@pytest.mark.thorough
def test_the_gateway_waits_until_the_new_istiod_has_what_the_old_one_has(old: Mesh) -> None:
    old["kt"].istiods.born_blind = {"nhn-nks"}
    result = run(old, *REVISION, "--canary", "kt").exits(1)
    assert result.errors[0] == ("discovery-endpoints", "kt")
    assert gateway_pods(old["kt"]) == {OLD}
    assert tags(old)["kt"] == "default"


PHASES = {
    "record": "PATCH .*/configmaps/istio-mc-upgrade$",
    "CRDs": "PATCH .*/customresourcedefinitions/",
    "new control plane": "PATCH .*/services/istiod-1-31$",
    "gateway": "PATCH .*/horizontalpodautoscalers/istio-ingressgateway$",
    "tags": "PATCH .*/mutatingwebhookconfigurations/istio-revision-tag-default$",
    # What is deleted after the webhooks is deleted at once: one of these may be the last write of the run.
    "old control plane": "DELETE .*/mutatingwebhookconfigurations/istio-sidecar-injector$",
}
"""A write of each phase of a cluster's upgrade by revision, never its last: what happens at it matters."""


def ended_well(mesh: Mesh) -> None:
    run(mesh, *REVISION, "--canary", "kt").exits(0)
    assert control_planes(mesh) == {name: ["istiod-1-31"] for name in mesh.names}
    assert tags(mesh) == dict.fromkeys(mesh.names, "1-31")
    assert held(mesh) == []
    assert [line for one in mesh.clusters.values() for line in left_of(one, "default")] == []


@pytest.mark.thorough
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_by_revision_that_was_killed_is_continued_by_the_same_command(old: Mesh, phase: str) -> None:
    run(old, *REVISION, "--canary", "kt", dies_after=PHASES[phase])
    ended_well(old)


def unreachable(mesh: Mesh) -> None:
    mesh.cut("kt")


def refused(mesh: Mesh) -> None:
    denied = refusals.Refused(403, "Forbidden", "a policy forbids it")
    mesh["kt"].faults.refuse(denied, "PATCH", "PUT", "DELETE")


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [unreachable, refused])
@pytest.mark.parametrize("phase", PHASES)
def test_a_fault_in_any_phase_by_revision_stops_it_before_the_next_cluster(
    old: Mesh, phase: str, fault: Callable[[Mesh], None]
) -> None:
    old.when(PHASES[phase], lambda: fault(old))
    result = run(old, *REVISION, "--canary", "kt", "--timeout", "20s")
    assert result.code != 0
    assert [control_planes(old)[name] for name in ("ncloud", "nhn")] == [["istiod"], ["istiod"]]
    old.heal("kt")
    old["kt"].faults.rules.clear()
    ended_well(old)


def test_several_minors_at_once_are_refused_by_revision(old: Mesh) -> None:
    before = old.snapshots()
    result = run(old, "upgrade", "--to", "1.32.0", "--revision", "1-32").exits(2)
    assert result.errors == [("upgrade-revision", None)]
    assert old.snapshots() == before


def test_a_dry_run_by_revision_changes_nothing_and_warns_of_mesh_yaml(old: Mesh) -> None:
    before = old.snapshots()
    result = run(old, *REVISION, "--dry-run").exits(0)
    assert old.snapshots() == before
    assert result.data["revision"] == "1-31"
    assert ("upgrade-pinned", None) in result.warnings


@pytest.mark.parametrize("name", ["default", "1.31"])
def test_a_name_that_is_no_label_or_default_is_refused(old: Mesh, name: str) -> None:
    assert ("option-malformed", None) in run(old, *TO, "--revision", name).exits(2).errors


@pytest.mark.thorough
def test_in_place_after_a_move_that_mesh_yaml_does_not_name_is_refused(old: Mesh) -> None:
    run(old, *REVISION).exits(0)
    result = run(old, *TO).exits(2)
    assert result.errors == [("upgrade-revision", None)]


@pytest.mark.thorough
def test_a_revision_set_in_mesh_yaml_too_early_is_an_error_with_the_command_to_continue(
    old: Mesh,
) -> None:
    run(old, *REVISION, "--contexts", "kt").exits(0)
    old.settings(istio={"revision": "1-31"})
    refused = run(old, *REVISION).exits(2)
    assert refused.errors == [("upgrade-revision", name) for name in ("ncloud", "nhn")]
    first = refused.json["errors"][0]
    assert first["seen"] == "istiod of revision default; istio.revision: 1-31"
    assert f"upgrade --to {NEW} --revision 1-31" in first["hint"]


def test_verify_names_the_revision_that_runs_where_mesh_yaml_names_another(old: Mesh) -> None:
    old.settings(istio={"revision": "1-31"})
    result = run(old, "verify", "--only", "control-plane.istiod").exits(4)
    problems = [one["problem"] for one in result.data["checks"] if one["id"] == "control-plane.istiod"]
    assert {one["seen"] for one in problems} == {"istiod of revision default; istio.revision: 1-31"}
