"""SIGKILL, which no program can handle: the next run, whatever it does, removes what the killed one left."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_interrupted import finished, left_in, start
from tests.support.fresh_clusters import fresh_clusters

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.thorough


def unfinished(folder: Path) -> list[str]:
    return [path for path in left_in(folder) if path.endswith(".istio-mc.tmp")]


def test_credentials_that_an_install_left_are_removed_by_the_next_run_of_any_verb(tmp_path: Path) -> None:
    with fresh_clusters(tmp_path, "kt", "ncloud") as fresh:
        run = start(tmp_path, *fresh.words, path=fresh.path)
        pids = fresh.wait_for_istioctl(runs=2)
        run.kill()
        run.communicate()
        try:
            left = [path.read_text() for path in (tmp_path / "tmp").rglob("*.kubeconfig")]
            assert ["current-context" in text for text in left] == [True, True]

            finished(tmp_path, "config", "schema")

            assert left_in(tmp_path / "tmp") == []
        finally:
            for pid in pids:
                os.killpg(pid, signal.SIGKILL)


def test_what_a_run_that_lives_needs_is_not_removed(tmp_path: Path) -> None:
    with fresh_clusters(tmp_path, "kt") as fresh:
        run = start(tmp_path, *fresh.words, path=fresh.path)
        fresh.wait_for_istioctl(runs=1)
        before = left_in(tmp_path / "tmp")

        finished(tmp_path, "config", "schema")

        assert [path for path in before if path.endswith(".kubeconfig")]
        assert left_in(tmp_path / "tmp") == before
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=30)


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.04, 0.08, 0.16, 0.32])
def test_keys_that_a_run_was_writing_are_removed_by_the_next(tmp_path: Path, after_s: float) -> None:
    """At some moment after it has begun to write: nothing tells from outside at which."""
    ids = [word for number in range(6) for word in ("--cluster-id", f"c{number}")]
    finished(tmp_path, "ca", "init", "--key-type", "ec")
    run = start(tmp_path, "ca", "issue", "--key-type", "ec", *ids)
    deadline = time.monotonic() + 20
    while not unfinished(tmp_path) and run.poll() is None:
        assert time.monotonic() < deadline
    time.sleep(after_s)
    run.kill()
    run.communicate()

    finished(tmp_path, "config", "schema")

    assert unfinished(tmp_path) == []
    assert left_in(tmp_path / "tmp") == []
    finished(tmp_path, "ca", "issue", "--key-type", "ec", *ids)
    finished(tmp_path, "ca", "verify")
