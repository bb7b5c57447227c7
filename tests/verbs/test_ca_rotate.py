"""ca rotate: another root for a mesh of stand-in clusters, phase by phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.rotating import (
    at_write,
    certificates_in,
    files,
    look_often,
    proxies,
    refused,
    unreachable,
    with_workloads,
)
from tests.support.store import By

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from tests.support.mesh import Mesh
    from tests.support.runs import Result

ROTATE = ("ca", "rotate", "--canary", "kt", "-o", "json", "--timeout", "300s")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    look_often(monkeypatch)


@pytest.fixture
def serving(installed: Mesh) -> Mesh:
    """A mesh with a workload in each cluster, whose proxies have certificates."""
    return with_workloads(installed)


def all_roots(mesh: Mesh) -> set[x509.Certificate]:
    return {root for one in mesh.clusters.values() for root in certificates_in(one, "root-cert.pem")}


def statuses(result: Result) -> list[str]:
    return [one["status"] for one in result.data["phases"]]


def has_new_root_alone(mesh: Mesh, old: set[x509.Certificate]) -> None:
    """Every cluster and every proxy has one root, the same, which is not the old one."""
    (root,) = all_roots(mesh)
    assert root not in old
    assert proxies(mesh) == [(frozenset([root]), root)] * 3


@pytest.mark.thorough
def test_every_cluster_and_every_proxy_has_the_new_root_alone(serving: Mesh) -> None:
    old = all_roots(serving)
    result = serving.run(*ROTATE).exits(0)
    has_new_root_alone(serving, old)
    assert statuses(result) == ["done"] * 4


@pytest.mark.thorough
def test_no_proxy_ever_meets_a_certificate_that_it_does_not_trust(serving: Mesh) -> None:
    faults: list[str] = []

    def look() -> None:
        held = proxies(serving)
        faults.extend("untrusted" for trusted, _ in held for _, root in held if root not in trusted)

    for one in serving.clusters.values():
        one.store.on_write.append(look)
    try:
        serving.run(*ROTATE).exits(0)
    finally:
        for one in serving.clusters.values():
            one.store.on_write.pop()
    assert faults == []


@pytest.mark.thorough
def test_nothing_in_the_folder_is_overwritten_and_install_goes_on_with_the_new_root(serving: Mesh) -> None:
    before = files(serving.folder / "certs")
    serving.run(*ROTATE).exits(0)
    after = files(serving.folder / "certs")
    assert before.items() <= after.items()
    new = all_roots(serving)
    serving.run("install", "--contexts", "kt,ncloud,nhn").exits(0)
    assert all_roots(serving) == new


@pytest.mark.thorough
def test_a_second_change_makes_a_third_root(serving: Mesh) -> None:
    first = all_roots(serving)
    serving.run(*ROTATE).exits(0)
    second = all_roots(serving)
    serving.run(*ROTATE).exits(0)
    has_new_root_alone(serving, first | second)


@pytest.mark.thorough
def test_a_check_that_fails_after_a_phase_stops_it_and_the_same_command_again(serving: Mesh) -> None:
    def break_link() -> None:
        kt = serving["kt"]
        kt.delete(kt.get("Secret", "istio-remote-secret-nhn-nks", "istio-system"))

    old = all_roots(serving)
    at_write(serving, 3, break_link)
    for _ in range(2):
        result = serving.run(*ROTATE).exits(1)
        assert result.errors[0][0] == "root-gate"
        assert statuses(result)[1:] == ["not begun"] * 3
    assert old < all_roots(serving)


def test_a_rehearsal_changes_nothing(serving: Mesh) -> None:
    before, kept = serving.snapshots(), files(serving.folder / "certs")
    result = serving.run("ca", "rotate", "--rehearse", "-o", "json").exits(0)
    assert serving.snapshots() == before
    assert files(serving.folder / "certs") == kept
    assert statuses(result) == ["planned"] * 4


PHASES = {"trust": 1, "sign": 4, "renew": 7, "finish": 10}
"""The number of the first write of cacerts in each phase."""


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [unreachable, refused])
@pytest.mark.parametrize("phase", PHASES)
def test_a_fault_in_any_phase_stops_it_and_the_same_command_goes_on(
    serving: Mesh, phase: str, fault: Callable[[Mesh], None]
) -> None:
    old = all_roots(serving)
    at_write(serving, PHASES[phase], lambda: fault(serving))
    result = serving.run(*ROTATE[:-2], "--timeout", "60s")
    assert result.code != 0
    held = proxies(serving)
    assert [root for trusted, _ in held for _, root in held if root not in trusted] == []
    serving.heal("ncloud")
    serving["ncloud"].faults.rules.clear()
    serving.run(*ROTATE).exits(0)
    has_new_root_alone(serving, old)


@pytest.mark.thorough
@pytest.mark.parametrize("writes", [2, 6, 9, 12])
def test_a_run_that_was_killed_is_continued_by_the_same_command(serving: Mesh, writes: int) -> None:
    old = all_roots(serving)
    serving.run(*ROTATE, dies_after=writes)
    serving.run(*ROTATE).exits(0)
    has_new_root_alone(serving, old)


@pytest.mark.thorough
def test_a_run_that_was_killed_after_its_last_write_is_ended_and_not_begun_again(serving: Mesh) -> None:
    old = all_roots(serving)
    at_write(serving, 12, lambda: serving.cut("ncloud"))
    serving.run(*ROTATE[:-2], "--timeout", "60s").exits(1)
    serving.heal("ncloud")
    new = all_roots(serving)
    serving.run(*ROTATE).exits(0)
    assert all_roots(serving) == new
    has_new_root_alone(serving, old)


@pytest.mark.thorough
def test_a_proxy_that_keeps_the_old_root_stops_it_before_the_next_phase(serving: Mesh) -> None:
    old = all_roots(serving)
    serving["nhn"].istiods.keeps = {"shop"}
    result = serving.run(*ROTATE).exits(1)
    assert result.errors == [("root-not-followed", "nhn"), ("root-stopped", None)]
    assert "rollout restart deployment/shop" in result.json["errors"][0]["hint"]
    assert statuses(result) == ["failed", "not begun", "not begun", "not begun"]
    assert {issuer for _, issuer in proxies(serving)} == old
    serving["nhn"].istiods.keeps = set()
    serving.run(*ROTATE).exits(0)
    has_new_root_alone(serving, old)


@pytest.mark.thorough
@pytest.mark.parametrize(("app", "write", "done"), [("shop", 1, 0), ("istiod", 4, 1)])
def test_pods_that_are_not_ready_are_waited_for_as_long_as_they_run(
    serving: Mesh, app: str, write: int, done: int
) -> None:
    """As after the API server of a node was silent: all its pods run on, and none counts as ready."""
    nhn = serving["nhn"]
    nhn.istiods.keeps = {app}

    def lose_sight() -> None:
        nhn.stuck[app] = "NodeLost"
        for pod in nhn.store.of("Pod"):
            if pod["metadata"]["name"].startswith(app):
                conditions = [{"type": "Ready", "status": "False"}]
                status = pod["status"] | {"conditions": conditions}
                nhn.set_status(pod, status, By("node controller", subresource="status"))

    at_write(serving, write, lose_sight)
    result = serving.run(*ROTATE)
    assert ("root-stopped", None) in result.errors
    assert {cluster for _, cluster in result.errors} == {"nhn", None}
    assert statuses(result).index("failed") == done


def test_a_member_that_cannot_be_reached_stops_it_before_the_first_change(serving: Mesh) -> None:
    old = all_roots(serving)
    serving.cut("nhn")
    result = serving.run(*ROTATE, "--contexts", "kt,ncloud,nhn").exits(1)
    assert ("cluster-unreachable", "nhn") in result.errors
    assert all_roots(serving) == old


def test_a_cluster_outside_the_run_stops_it_before_the_first_change(serving: Mesh) -> None:
    old = all_roots(serving)
    result = serving.run(*ROTATE, "--contexts", "kt,ncloud").exits(1)
    assert {code for code, _ in result.errors} == {"rotation-reader-outside"}
    assert all_roots(serving) == old


def test_proxies_that_do_not_follow_stop_it_before_the_first_change(serving: Mesh) -> None:
    old = all_roots(serving)
    (pod,) = serving["kt"].store.of("Pod", "shop")

    def change(item: dict[str, Any]) -> None:
        item["spec"]["containers"][-1]["env"] = []

    serving["kt"].edit(pod, change)
    result = serving.run(*ROTATE).exits(1)
    assert result.errors == [("root-settings", "kt")]
    assert "deployment/shop" in result.json["errors"][0]["seen"]
    assert all_roots(serving) == old


@pytest.mark.thorough
def test_purging_the_ca_removes_all_roots(serving: Mesh) -> None:
    serving.run(*ROTATE).exits(0)
    serving.run("uninstall", "--yes", "--purge-ca").exits(0)
    assert files(serving.folder / "certs") == {}
