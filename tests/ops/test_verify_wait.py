"""verify --wait: what is not true yet is asked again, and nothing else; at the end everything once more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube import objects
from tests.support.fake_api import Reply, status
from tests.support.fake_mesh import FakeMesh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.thorough

SECRETS = objects.SECRET.path("istio-system")
STORAGE = objects.STORAGE_CLASS.path()
LINK = "istio-remote-secret-c2-k"


@pytest.fixture
def mesh() -> Iterator[FakeMesh]:
    with FakeMesh(2).serve() as made:
        yield made


Ran = subprocess.CompletedProcess[str]


def verify(mesh: FakeMesh, folder: Path, *more: str) -> Ran:
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(mesh.kubeconfig()))
    # A process of its own: the Kubernetes client leaves the sockets of port-forwards to its end.
    return subprocess.run(
        [sys.executable, "-m", "istio_mc", "verify", "--kubeconfig", kubeconfig, *more],
        capture_output=True,
        text=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "ISTIO_MC_CONFIG"},
        timeout=60,
        check=False,
    )


def unlinked(mesh: FakeMesh) -> dict[str, Any]:
    """The Secrets of c1 without that of c2."""
    body: Any = mesh.servers["c1"].reply(SECRETS).body
    return {"items": [item for item in body["items"] if item["metadata"]["name"] != LINK]}


def times(mesh: FakeMesh, path: str) -> int:
    return sum(called == path for _, called in mesh.servers["c1"].calls)


@pytest.fixture(name="later", scope="module")
def _later(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeMesh, Ran]]:
    """A run that waits for a link which is there from the second reading on."""
    with FakeMesh(2).serve() as mesh:
        there = mesh.servers["c1"].reply(SECRETS)
        mesh.servers["c1"].on(SECRETS, unlinked(mesh), there)
        yield mesh, verify(mesh, tmp_path_factory.mktemp("later"), "--wait", "30s")


def test_a_link_that_comes_later_is_waited_for(later: tuple[FakeMesh, Ran]) -> None:
    assert later[1].returncode == 0, later[1].stdout


def test_what_is_waited_for_is_named(later: tuple[FakeMesh, Ran]) -> None:
    assert "mesh  verify waiting: not true yet: link.secret c1 → c2; " in later[1].stderr


def test_a_failed_check_is_repeated_and_all_others_run_once_at_the_end(later: tuple[FakeMesh, Ran]) -> None:
    assert (times(later[0], SECRETS), times(later[0], STORAGE)) == (3, 2)


def test_a_condition_that_never_holds_is_reported_at_the_deadline(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.servers["c1"].on(SECRETS, unlinked(mesh))
    ran = verify(mesh, tmp_path, "--wait", "5s", "-o", "short", "--no-progress")
    assert ran.returncode == 4
    assert (
        ran.stdout.startswith("warning[versions.end-of-life]") or "error[link.secret] c1 → c2" in ran.stdout
    )


def test_a_cluster_that_answers_only_later_is_waited_for(mesh: FakeMesh, tmp_path: Path) -> None:
    mesh.servers["c2"].on("/version", status(500, "not yet"), Reply({"gitVersion": "v1.32.3"}))
    ran = verify(mesh, tmp_path, "--wait", "30s")
    assert ran.returncode == 0, ran.stdout
    assert "not true yet: access.reachable c2" in ran.stderr


def test_a_member_that_is_unreachable_at_first_is_waited_for(mesh: FakeMesh, tmp_path: Path) -> None:
    path = objects.NAMESPACE.path(name="istio-system")
    there = mesh.servers["c2"].reply(path)
    mesh.servers["c2"].on(path, status(500, "not yet"), there)
    ran = verify(mesh, tmp_path, "--wait", "30s")
    assert ran.returncode == 0, ran.stdout
    assert "not true yet: access.reachable c2" in ran.stderr


@pytest.mark.parametrize("skipped", ["access", "access,link,gateway,data-path,control-plane,trust,names"])
def test_an_unreachable_cluster_is_not_a_success_even_if_access_is_skipped(
    mesh: FakeMesh, tmp_path: Path, skipped: str
) -> None:
    mesh.servers["c2"].on("/version", status(500, "no"))
    ran = verify(mesh, tmp_path, "--skip", skipped, "-o", "short", "--no-progress")
    assert ran.returncode == 4
    assert "error[access.reachable] c2: " in ran.stdout
