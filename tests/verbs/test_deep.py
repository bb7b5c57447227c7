"""verify --deep: whatever ends it, nothing of its pods is left, or the next run removes it."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

pytestmark = pytest.mark.thorough

DEEP = ("verify", "--deep", "--only", "data-path.deep", "-o", "json")


def probes(mesh: Mesh) -> list[str]:
    mesh.settle()
    return [name for one in mesh.clusters.values() for name in one.names("Namespace") if "probe" in name]


def test_an_image_that_cannot_be_pulled_is_named_and_its_pods_are_removed(installed: Mesh) -> None:
    for one in installed.clusters.values():
        one.stuck["probe"] = "ImagePullBackOff"
    result = installed.run(*DEEP, "--probe-image", "no.invalid/such:image", "--timeout", "20s").exits(4)
    errors = {error["cluster"]: error for error in result.json["errors"]}
    assert {error["code"] for error in errors.values()} == {"probe-not-running"}
    assert set(errors) == set(installed.names)
    assert "no.invalid/such:image" in errors["kt"]["expected"]
    assert probes(installed) == []


@pytest.mark.parametrize("stuck", [True, False], ids=["for its pod", "for a response"])
def test_ctrl_c_removes_what_was_made(installed: Mesh, stuck: bool) -> None:  # noqa: FBT001 - a parameter
    nhn = installed["nhn"]
    if stuck:
        nhn.stuck["probe"] = "ContainerCreating"
    else:
        installed["kt"].unreached.add("nhn")
    running = installed.start(*DEEP)
    stderr = running.process.stderr
    assert stderr
    line = "for its pod" if stuck else "for a response"
    assert any(re.search(f"deep waiting: {line}", text) for text in stderr)
    running.process.send_signal(signal.SIGINT)
    assert "the pods of --deep were removed" in running.wait().exits(130).stdout
    assert probes(installed) == []


def test_what_a_killed_run_left_is_removed_by_the_next(installed: Mesh) -> None:
    running = installed.start(*DEEP, killed_after="POST .*/pods$")
    assert running.wait().code == -9
    assert probes(installed) != []
    installed.run(*DEEP).exits(0)
    assert probes(installed) == []
