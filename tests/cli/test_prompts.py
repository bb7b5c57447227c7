"""What removes something asks first, once for all clusters, on a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING

import pytest

from tests.cli.test_contract import NAMESPACE, namespace
from tests.support.fake_api import FakeApi, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.thorough

SAMPLE = "/api/v1/namespaces/sample"
OURS = {"metadata": {"name": "sample", "labels": {"app.kubernetes.io/managed-by": "istio-mc"}}}


@pytest.fixture
def pair(api: FakeApi, tmp_path: Path) -> Iterator[tuple[FakeApi, FakeApi]]:
    """Two members with a sample in them; the kubeconfig is where the program looks first."""
    with FakeApi().serve() as other:
        for number, server in enumerate((api, other), 1):
            server.on("/version", {"gitVersion": "v1.32.3"})
            server.on(NAMESPACE, namespace(cluster_id=f"c{number}", network=f"network{number}"))
            server.on(SAMPLE, OURS)
        write_kubeconfig(tmp_path / "config", {"kt": api.url, "nhn": other.url})
        yield api, other


def answered(
    folder: Path,
    answer: str | signal.Signals,
    *words: str,
    question: str = "[y/N]",
    stdout: IO[str] | None = None,
) -> tuple[int, str]:
    """Runs it on a terminal and answers its question; exit code, and what stood on the screen."""
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "istio_mc", *words],
        stdin=theirs,
        stdout=stdout or theirs,
        stderr=theirs,
        cwd=folder,
        env={**os.environ, "KUBECONFIG": str(folder / "config"), "HOME": str(folder), "TERM": "xterm"},
        start_new_session=True,
    )
    os.close(theirs)
    screen, prompted, until = "", False, time.monotonic() + 30
    while time.monotonic() < until and select.select([ours], [], [], 30)[0]:
        try:
            screen += os.read(ours, 4096).decode(errors="replace")
        except OSError:  # Linux tells the end of a terminal so
            break
        if not prompted and question in screen:
            prompted = True
            if isinstance(answer, str):
                os.write(ours, answer.encode())
            else:
                # It may have come to the question and not yet to waiting: Python would see a signal of just
                # then only at the next key. A person is slower than that, and may press again.
                time.sleep(0.5)
                run.send_signal(answer)
    os.close(ours)
    return run.wait(30), screen


def deleted(pair: tuple[FakeApi, FakeApi]) -> list[int]:
    return [sum(method == "DELETE" for method, _ in server.calls) for server in pair]


def test_no_means_that_nothing_is_changed(pair: tuple[FakeApi, FakeApi], tmp_path: Path) -> None:
    code, screen = answered(tmp_path, "n\n", "sample", "remove")
    assert code == 2
    assert "not confirmed; nothing was changed" in screen
    assert deleted(pair) == [0, 0]


def test_there_is_one_prompt_that_names_all_clusters(pair: tuple[FakeApi, FakeApi], tmp_path: Path) -> None:
    _, screen = answered(tmp_path, "n\n", "sample", "remove")
    assert screen.count("[y/N]") == 1
    assert "kt, nhn" in screen
    assert deleted(pair) == [0, 0]


def test_yes_does_it_in_all_clusters(pair: tuple[FakeApi, FakeApi], tmp_path: Path) -> None:
    code, screen = answered(tmp_path, "y\n", "sample", "remove", "--timeout", "2s")
    assert deleted(pair) == [1, 1]
    assert (code, "does not go" in screen or "still going" in screen) == (1, True), "it never goes here"


def test_ctrl_d_is_a_no(pair: tuple[FakeApi, FakeApi], tmp_path: Path) -> None:
    code, screen = answered(tmp_path, "\x04", "sample", "remove")
    assert code == 2
    assert "not confirmed; nothing was changed" in screen
    assert deleted(pair) == [0, 0]


def test_ctrl_c_at_the_question_changes_nothing(pair: tuple[FakeApi, FakeApi], tmp_path: Path) -> None:
    code, screen = answered(tmp_path, signal.SIGINT, "sample", "remove")
    assert code == 130
    assert "done by then: nothing" in screen
    assert "Traceback" not in screen
    assert deleted(pair) == [0, 0]


def test_results_alone_go_where_standard_output_was_sent(
    pair: tuple[FakeApi, FakeApi], tmp_path: Path
) -> None:
    assert pair
    with (tmp_path / "out").open("w") as out:
        code, screen = answered(tmp_path, "n\n", "sample", "remove", "-o", "json", stdout=out)
    assert code == 2
    assert "[y/N]" in screen
    assert (tmp_path / "out").read_text().startswith("{")


@pytest.fixture
def mesh(
    pair: tuple[FakeApi, FakeApi], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[FakeApi, FakeApi]:
    """The two members, and an istioctl that knows of nothing to remove but what the clusters show."""
    script = """#!/bin/sh
case "$1" in version) echo '{"clientVersion": {"version": "1.26.0"}}' ;; *) echo '{}' ;; esac
"""
    (tmp_path / "istioctl").write_text(script)
    (tmp_path / "istioctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return pair


TYPE_THE_MESH_ID = "Type the mesh ID mesh1 to confirm"


def test_the_whole_mesh_is_removed_only_after_its_id_is_typed(
    mesh: tuple[FakeApi, FakeApi], tmp_path: Path
) -> None:
    code, screen = answered(tmp_path, "mesh1\n", "uninstall", "--timeout", "2s", question=TYPE_THE_MESH_ID)
    assert code == 1, "the namespaces never go here"
    assert "not confirmed" not in screen
    assert all(changed(mesh))


@pytest.mark.parametrize("answer", ["y\n", "yes\n", "\n", "mesh2\n", "MESH1\n", "\x04"], ids=repr)
def test_another_answer_changes_nothing(mesh: tuple[FakeApi, FakeApi], tmp_path: Path, answer: str) -> None:
    code, screen = answered(tmp_path, answer, "uninstall", question=TYPE_THE_MESH_ID)
    assert code == 2
    assert "not confirmed; nothing was changed" in screen
    assert not any(changed(mesh))


def test_the_question_names_mesh_clusters_and_api_servers(
    mesh: tuple[FakeApi, FakeApi], tmp_path: Path
) -> None:
    _, screen = answered(tmp_path, "\n", "uninstall", question=TYPE_THE_MESH_ID)
    question = f"This removes the whole mesh mesh1 from 2 clusters: kt ({mesh[0].url}), nhn ({mesh[1].url})"
    assert question in screen


def test_yes_is_enough_without_a_person(mesh: tuple[FakeApi, FakeApi], tmp_path: Path) -> None:
    code, screen = answered(tmp_path, "", "uninstall", "--yes", "--timeout", "2s")
    assert (code, TYPE_THE_MESH_ID in screen) == (1, False), "the namespaces never go here"
    assert all(changed(mesh))


def changed(pair: tuple[FakeApi, FakeApi]) -> list[bool]:
    return [any(method not in ("GET", "POST") for method, _ in server.calls) for server in pair]
