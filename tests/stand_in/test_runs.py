"""Runs on the stand-ins: faults reach them, and they end where they are told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.client import call
from tests.support.refusals import Refused

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

THREE = "kt,ncloud,nhn"
VERSION = "/version"


def test_a_disconnected_server_refuses_connections_until_it_is_reconnected(mesh: Mesh) -> None:
    mesh.cut("kt")
    with pytest.raises(ConnectionRefusedError):
        call(mesh["kt"], "GET", VERSION)
    mesh.heal("kt")
    assert call(mesh["kt"], "GET", VERSION).code == 200


def test_a_server_that_keeps_silent_answers_once_it_is_healed(mesh: Mesh) -> None:
    mesh.cut("kt", "silent")
    with pytest.raises(TimeoutError):
        call(mesh["kt"], "GET", VERSION, timeout_s=0.2)
    mesh.heal("kt")
    assert call(mesh["kt"], "GET", VERSION).code == 200


def test_a_refusal_is_sent_the_given_number_of_times(mesh: Mesh) -> None:
    mesh["kt"].faults.refuse(Refused(429, "TooManyRequests", "later"), "GET", path="^/version$", times=1)
    codes = [call(mesh["kt"], "GET", VERSION).code for _ in range(2)]
    assert codes == [429, 200]


def test_a_denied_right_is_reviewed_as_denied_and_enforced(mesh: Mesh) -> None:
    kt = mesh["kt"]
    kt.faults.denied.add("list secrets")
    assert call(kt, "GET", "/api/v1/namespaces/default/secrets").reason == "Forbidden"
    assert call(kt, "GET", "/api/v1/namespaces/default/configmaps").code == 200


def test_a_server_that_is_slow_answers_later(mesh: Mesh) -> None:
    mesh["kt"].faults.slow_s = 0.05
    begun = time.monotonic()
    assert call(mesh["kt"], "GET", VERSION).code == 200
    assert time.monotonic() - begun >= 0.05


def test_a_killed_run_leaves_only_its_finished_writes(mesh: Mesh) -> None:
    before = mesh.writes
    assert mesh.run("install", "--contexts", "kt", dies_after=2).code != 0
    assert mesh.writes == before + 2
    assert mesh["kt"].has("Secret", "cacerts", "istio-system")
    assert not mesh["kt"].has("Deployment", "istiod", "istio-system")


@pytest.mark.thorough
def test_a_process_that_is_killed_leaves_what_it_had_written(mesh: Mesh) -> None:
    result = mesh.start("install", "--contexts", "kt", killed_after=2).wait()
    assert result.code == -9
    assert mesh["kt"].has("Secret", "cacerts", "istio-system")
    assert not mesh["kt"].has("Deployment", "istiod", "istio-system")


def test_a_mesh_is_put_back_as_it_was(mesh: Mesh) -> None:
    state, before = mesh.state(), mesh.snapshots()
    mesh.run("install", "--contexts", "kt").exits(0)
    mesh.cut("nhn")
    mesh.restore(state)
    assert mesh.snapshots() == before
    assert not mesh.certs.exists()
    assert call(mesh["nhn"], "GET", VERSION).code == 200
