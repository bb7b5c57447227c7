"""Ctrl-C in the middle of a verb: for each cluster it is reported at which step it was."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import Mesh
    from tests.support.runs import Running

pytestmark = pytest.mark.thorough

THREE = "kt,ncloud,nhn"
SYSTEM = "istio-system"
ONE_BY_ONE = ("--concurrency", "1", "-o", "json")
"""So that kt is done, ncloud is at work, and nhn has not had its turn."""


def interrupted(running: Running, at: str) -> str:
    """What a run says of its clusters that is interrupted at a line of its progress."""
    stderr = running.process.stderr
    assert stderr
    for line in stderr:
        if re.search(at, line):
            break
    running.process.send_signal(signal.SIGINT)
    (error,) = running.wait().exits(130).json["errors"]
    found: str = error["seen"]
    return found


def test_install(mesh: Mesh) -> None:
    mesh["ncloud"].stuck["istiod"] = "ImagePullBackOff"
    run = mesh.start("install", "--contexts", THREE, *ONE_BY_ONE)
    done, begun, pending = interrupted(run, r"ncloud  istio started").rsplit("; ", 2)
    assert re.fullmatch("done by then: kt: namespace, .*; ncloud: namespace, cacerts", done)
    assert (begun, pending) == ("not finished: ncloud: istio", "not begun: nhn")


def test_link(installed: Mesh) -> None:
    for one in installed.clusters.values():
        for name in one.names("Secret", SYSTEM):
            if "remote-secret" in name:
                one.delete(one.get("Secret", name, SYSTEM))
    installed["ncloud"].controllers.held.add("tokens")
    run = installed.start("link", "--contexts", "ncloud,kt,nhn", *ONE_BY_ONE)
    assert interrupted(run, r"ncloud  link waiting: for a token") == (
        "done by then: nothing; not finished: ncloud: link; not begun: kt, nhn"
    )


def test_uninstall(installed: Mesh) -> None:
    installed["ncloud"].controllers.held.add("namespaces")
    run = installed.start("uninstall", "--yes", *ONE_BY_ONE)
    assert interrupted(run, r"ncloud  uninstall waiting: for namespace") == (
        "done by then: kt: uninstall; not finished: ncloud: uninstall; not begun: nhn"
    )


def test_a_cluster_that_leaves(installed: Mesh) -> None:
    installed["ncloud"].controllers.held.add("tokens")
    run = installed.start("uninstall", "--contexts", "nhn", "--yes", "-o", "json")
    assert interrupted(run, r"ncloud  forget waiting: for a token") == (
        "done by then: nothing; not finished: kt: forget; ncloud: forget; not begun: nhn"
    )


def test_sample_deploy(installed: Mesh) -> None:
    installed["ncloud"].stuck["sleep"] = "ImagePullBackOff"
    run = installed.start("sample", "deploy", *ONE_BY_ONE)
    assert interrupted(run, r"ncloud  sample waiting") == (
        "done by then: kt: sample; not finished: ncloud: sample; not begun: nhn"
    )


def test_sample_remove(installed: Mesh) -> None:
    installed.run("sample", "deploy").exits(0)
    installed["ncloud"].controllers.held.add("namespaces")
    run = installed.start("sample", "remove", "--yes", *ONE_BY_ONE)
    assert interrupted(run, r"ncloud  sample waiting") == (
        "done by then: kt: sample; not finished: ncloud: sample; not begun: nhn"
    )


def test_a_cluster_that_failed_before_is_reported_as_failed(installed: Mesh) -> None:
    installed["kt"].faults.denied.add("delete namespaces")
    installed["ncloud"].controllers.held.add("namespaces")
    run = installed.start("uninstall", "--yes", *ONE_BY_ONE)
    assert interrupted(run, r"ncloud  uninstall waiting: for namespace") == (
        "done by then: nothing; not finished: ncloud: uninstall; failed: kt: uninstall; not begun: nhn"
    )
