"""Ctrl-C in the middle of a verb: for each cluster it is reported at which step it was."""

from __future__ import annotations

import re
import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.daemons import CHART, Cilium

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.mesh import Mesh
    from tests.support.runs import Result, Running

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
    assert interrupted(run, r"ncloud  token waiting: for a token") == (
        "done by then: kt: verify, token, discovery, old token; ncloud: verify, remote secrets; "
        "not finished: kt: forget; ncloud: forget, token; not begun: nhn"
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


@dataclass(frozen=True)
class Case:
    """A verb that is interrupted while a write of it is not yet answered.

    Attributes:
        words: Its command line.
        write: `METHOD path` of that write.
        said: What the message says of the next run.
        before: Prepares what the verb is to do.
        done: Whether all is done, once the same command was run again.
    """

    words: tuple[str, ...]
    write: str
    text: str
    done: Callable[[Mesh], bool]
    before: Callable[[Mesh], object] = lambda _mesh: None


def without_labels(mesh: Mesh) -> None:
    for one in mesh.clusters.values():
        one.edit(
            one.get("Namespace", SYSTEM),
            lambda copy: [
                copy["metadata"]["labels"].pop(f"istio-mc/{key}") for key in ("mesh-id", "cluster-id")
            ],
        )


def are_members(mesh: Mesh) -> bool:
    labels = [one.get("Namespace", SYSTEM)["metadata"]["labels"] for one in mesh.clusters.values()]
    return all("istio-mc/mesh-id" in found for found in labels)


def external_ips(mesh: Mesh) -> list[str]:
    return mesh["kt"].get("Service", "istio-ingressgateway", SYSTEM)["spec"].get("externalIPs") or []


def in_use(mesh: Mesh) -> dict[str, str]:
    return Cilium(mesh["ncloud"]).in_use


def with_cilium(mesh: Mesh) -> None:
    Cilium(mesh["ncloud"]).install()


def fixed(mesh: Mesh) -> None:
    with_cilium(mesh)
    mesh.run("cilium", "fix", *CILIUM).exits(0)


CILIUM = ("--contexts", "ncloud", "--yes", "--settle", "1s")
NAT = "203.0.113.7"
PATCHED = "PATCH .*/services/istio-ingressgateway$"
CASES = {
    "adopt": Case(
        ("adopt", "--contexts", THREE),
        f"PATCH .*/namespaces/{SYSTEM}$",
        "remaining clusters",
        are_members,
        without_labels,
    ),
    "address, given": Case(
        ("address", "--set", f"kt={NAT}", "--via", "external-ip"),
        PATCHED,
        "remaining changes",
        lambda mesh: external_ips(mesh) == [NAT],
    ),
    "address, removed": Case(
        ("address", "--unset", "kt", "--yes"),
        PATCHED,
        "remaining changes",
        lambda mesh: external_ips(mesh) == [],
        lambda mesh: mesh.run("address", "--set", f"kt={NAT}", "--via", "external-ip").exits(0),
    ),
    "cilium fix": Case(
        ("cilium", "fix", *CILIUM),
        "PATCH .*/configmaps/cilium-config$",
        "restarts the agents",
        lambda mesh: in_use(mesh)["cni-exclusive"] == "false",
        with_cilium,
    ),
    "cilium revert": Case(
        ("cilium", "revert", *CILIUM),
        "PATCH .*/configmaps/cilium-config$",
        "restarts the agents",
        lambda mesh: in_use(mesh) == CHART,
        fixed,
    ),
}


def assert_reported(result: Result, text: str) -> None:
    (error,) = result.exits(130).json["errors"]
    assert error["seen"].startswith("done by then: ")
    assert text in error["message"] + error["seen"] + error["expected"] + error["hint"]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", CASES)
def test_the_same_command_does_the_rest(installed: Mesh, name: str) -> None:
    case = CASES[name]
    case.before(installed)
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        over.wait(60)

    installed.when(case.write, hold)
    running = installed.start(*case.words, "-o", "json")
    try:
        assert begun.wait(60)
        running.process.send_signal(signal.SIGINT)
        assert_reported(running.wait(), case.text)
    finally:
        over.set()
    installed.run(*case.words).exits(0)
    assert case.done(installed)


@pytest.mark.parametrize(
    "words",
    [("verify",), ("status",), ("status", "--watch"), ("sample", "test")],
    ids=" ".join,
)
def test_a_verb_that_only_reads_has_changed_nothing(installed: Mesh, words: tuple[str, ...]) -> None:
    installed.run("sample", "deploy").exits(0)
    writes = installed.writes
    installed.cut("nhn", "silent")
    running = installed.start(*words, "-o", "json")
    assert installed["nhn"].faults.kept.wait(60)
    running.process.send_signal(signal.SIGINT)
    assert_reported(running.wait(), "nothing was changed")
    assert installed.writes == writes
