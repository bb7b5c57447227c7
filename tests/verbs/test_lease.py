"""One run at a time changes a mesh: the Lease in each of its clusters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain import lease
from istio_mc.gateways.host.process import holder
from istio_mc.ops.session import leases
from tests.support import faults

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh

LOCKED = "mesh-locked"
HOUR = timedelta(hours=1)
ELSEWHERE = lease.Holder("kim@bastion/4711/3fa1c2", "uninstall")


def held_by(one: Cluster, holder: lease.Holder = ELSEWHERE, *, ago: timedelta = timedelta()) -> None:
    """Has another run take the Lease of a cluster."""
    one.make(lease.claim(holder, datetime.now(UTC) - ago))


def lease_of(one: Cluster) -> dict[str, Any] | None:
    return one.store.find("Lease", lease.NAME, "istio-system")


def lease_writes(mesh: Mesh) -> list[str]:
    return [
        f"{name} {request.method}"
        for name, one in mesh.clusters.items()
        for request in one.faults.requests
        if "/leases" in request.path and request.method != "GET"
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("install", "--contexts", "kt,ncloud,nhn"),
        ("adopt", "--contexts", "kt,ncloud,nhn"),
        ("link",),
        ("address", "--set", "kt=203.0.113.7"),
        ("cilium", "fix", "--yes"),
        ("cilium", "revert", "--yes"),
        ("addons", "install", "metallb"),
        ("addons", "remove", "--yes"),
        ("addons", "default-storage", "nhn=standard"),
        ("uninstall", "--yes"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_second_operator_changes_nothing_and_gets_one_error(
    installed: Mesh, words: tuple[str, ...]
) -> None:
    held_by(installed["nhn"])
    before = installed.snapshots()
    result = installed.run(*words, "-o", "json").exits(1)
    assert result.errors == [(LOCKED, "nhn")]
    assert installed.snapshots() == before


def test_the_error_names_the_holder_its_start_and_its_command(installed: Mesh) -> None:
    held_by(installed["ncloud"])
    error = installed.run("link", "-o", "json").json["errors"][0]
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:")
    assert error["message"] == "ncloud is being changed by another run of istio-mc"
    assert error["seen"].startswith(f"istio-mc uninstall by kim@bastion since {since}")
    assert "run the same command again after" in error["hint"]


def test_a_lease_that_expired_is_taken_over(installed: Mesh) -> None:
    held_by(installed["nhn"], ago=HOUR)
    installed.run("link").exits(0)
    assert lease_of(installed["nhn"]) is None


def test_a_run_that_died_on_this_machine_is_taken_over_at_once(installed: Mesh) -> None:
    gone = holder().rpartition("/")[0] + "/999999999"
    held_by(installed["kt"], lease.Holder(f"kim@{gone}/3fa1c2", "link"))
    installed.run("link").exits(0)


def test_leases_are_taken_in_the_order_of_cluster_ids(installed: Mesh) -> None:
    taken: list[str] = []

    def note(name: str) -> None:
        if lease_of(installed[name]):
            taken.append(name)

    for name, one in installed.clusters.items():
        one.store.on_write.append(partial(note, name))
    try:
        installed.run("link", "--contexts", "nhn,ncloud,kt").exits(0)
    finally:
        for one in installed.clusters.values():
            one.store.on_write.pop()
    assert list(dict.fromkeys(taken)) == ["kt", "ncloud", "nhn"]


def test_a_lease_has_the_labels_of_what_istio_mc_makes(installed: Mesh) -> None:
    seen: list[dict[str, Any] | None] = []
    installed.when("PATCH .*/namespaces/istio-system$", lambda: seen.append(lease_of(installed["kt"])))
    installed["kt"].edit(
        installed["kt"].get("Namespace", "istio-system"),
        lambda item: item["metadata"]["labels"].pop("istio-mc/mesh-id"),
    )
    installed.run("install", "--contexts", "kt,ncloud,nhn").exits(0)
    assert seen[0]
    assert seen[0]["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "istio-mc"}


def test_a_finished_run_leaves_no_lease(installed: Mesh) -> None:
    installed.run("link").exits(0)
    assert lease_writes(installed)
    assert [name for name, one in installed.clusters.items() if lease_of(one)] == []


def test_a_dry_run_takes_none(installed: Mesh) -> None:
    for one in installed.clusters.values():
        one.faults.requests.clear()
    installed.run("uninstall", "--dry-run").exits(0)
    assert lease_writes(installed) == []


def test_an_install_takes_the_lease_of_a_bare_cluster_with_its_namespace(mesh: Mesh) -> None:
    held: list[bool] = []
    mesh.when("PATCH .*/secrets/cacerts$", lambda: held.append(lease_of(mesh["kt"]) is not None))
    mesh.run("install", "--contexts", "kt").exits(0)
    assert held == [True]
    assert lease_of(mesh["kt"]) is None


def test_a_run_without_the_right_to_leases_changes_nothing(installed: Mesh) -> None:
    installed["kt"].faults.denied.add("create leases")
    before = installed.snapshots()
    result = installed.run("link", "-o", "json").exits(1)
    assert result.errors == [("forbidden", "kt")]
    assert installed.snapshots() == before


def test_an_install_without_the_right_to_leases_reports_it_with_all_missing_rights(installed: Mesh) -> None:
    installed["kt"].faults.denied.add("create leases")
    before = installed.snapshots()["kt"]
    result = installed.run("install", "--contexts", "kt,ncloud,nhn", "-o", "json").exits(1)
    assert result.errors == [("rights-missing", "kt")]
    assert installed.snapshots()["kt"] == before


def test_a_cluster_that_cannot_be_reached_does_not_keep_the_others_from_their_leases(installed: Mesh) -> None:
    installed.cut("ncloud", faults.REFUSED)
    result = installed.run("link", "--contexts", "kt,ncloud,nhn", "-o", "json").exits(3)
    assert result.errors == [("cluster-unreachable", "ncloud")]


@pytest.mark.thorough
def test_a_run_that_was_killed_is_continued_by_the_same_command(installed: Mesh) -> None:
    installed.run("uninstall", "--yes", dies_after="DELETE .*/secrets/cacerts$")
    assert any(lease_of(one) for one in installed.clusters.values())
    installed.run("uninstall", "--yes", "--contexts", "kt,ncloud,nhn").exits(0)
    assert [name for name, one in installed.clusters.items() if lease_of(one)] == []


def test_a_lease_is_renewed_while_the_run_lasts(installed: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY_S", 0.01)
    installed["kt"].faults.slow_s = 0.02
    for one in installed.clusters.values():
        one.faults.requests.clear()
    installed.run("link").exits(0)
    assert "nhn PATCH" in lease_writes(installed)


def test_a_run_whose_lease_was_taken_over_stops_before_the_next_step(
    installed: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY_S", 0.01)
    kt = installed["kt"]
    kt.delete(kt.get("Deployment", "istiod", "istio-system"))
    kt.delete(kt.get("Gateway", "cross-network-gateway", "istio-system"))

    def take_over() -> None:
        live = lease_of(kt)
        assert live
        kt.edit(live, lambda item: item["spec"].update(holderIdentity=ELSEWHERE.identity))

    installed.when("PATCH .*/deployments/istiod$", take_over)
    result = installed.run("install", "--contexts", "kt,ncloud,nhn", "-o", "json").exits(3)
    assert ("lease-lost", "kt") in result.errors
    assert not kt.has("Gateway", "cross-network-gateway", "istio-system")
    assert lease_of(kt)  # the other run's stays
