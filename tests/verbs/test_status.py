"""status: all clusters on one screen, once or again and again, whichever of them respond."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.mesh import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.mesh import Mesh
    from tests.support.runs import Running

WATCH = ("status", "--watch", "--every", "1s")


def test_a_cluster_that_does_not_respond_is_shown_as_such_beside_the_others(installed: Mesh) -> None:
    installed.cut("nhn")
    shown = installed.run("status", "--no-progress").exits(3)
    assert "not reachable" in shown.stdout
    assert installed["kt"].gateway.address in shown.stdout
    assert "error[cluster-unreachable] nhn: " in shown.stderr


def test_a_report_is_written_whatever_the_checks_find(installed: Mesh) -> None:
    installed.cut("nhn")
    shown = installed.run("report", "-o", "json").exits(0)
    page = (installed.folder / "mesh-report.html").read_text()
    assert shown.data["failed"] > 0
    assert all(name in page for name in installed.names)
    assert "not reachable" in page


def last_is(status: str) -> Callable[[list[str]], bool]:
    """Whether the last document has that status."""
    return lambda found: bool(json.loads(found[-1])["status"] == status)


def lines(running: Running, enough: Callable[[list[str]], bool]) -> list[str]:
    """What a watch prints, until that is enough."""
    assert running.process.stdout
    seen: list[str] = []
    for line in running.process.stdout:
        seen.append(line)
        if enough(seen):
            return seen
    raise AssertionError(f"the watch ended: {seen}")


@pytest.mark.thorough
class TestWatch:
    def test_with_json_prints_one_envelope_on_each_line_and_ctrl_c_ends_it_with_0(
        self, installed: Mesh
    ) -> None:
        running = installed.start(*WATCH, "-o", "json")
        seen = lines(running, lambda found: len(found) == 3)
        running.process.send_signal(signal.SIGINT)
        ended = running.wait().exits(0)
        assert {json.loads(line)["status"] for line in seen} == {"success"}
        assert [line for line in ended.stderr.splitlines() if "runpy" not in line] == []

    def test_goes_on_while_a_cluster_is_away_and_when_it_is_back(self, installed: Mesh) -> None:
        running = installed.start(*WATCH, "-o", "json")
        changes: list[tuple[Callable[[], object], str]] = [
            (lambda: None, "success"),
            (lambda: installed.cut("nhn"), "partial"),
            (lambda: installed.heal("nhn"), "success"),
        ]
        for change, status in changes:
            change()
            lines(running, last_is(status))
        running.process.send_signal(signal.SIGINT)
        running.wait().exits(0)

    def test_in_a_pipe_prints_one_block_each_time(self, installed: Mesh) -> None:
        running = installed.start(*WATCH)
        heads = list(installed.names)
        lines(running, lambda found: sum(line.split() == heads for line in found) == 2)
        running.process.send_signal(signal.SIGINT)
        running.wait().exits(0)

    def test_on_a_terminal_redraws_and_leaves_the_last_reading_there(self, installed: Mesh) -> None:
        ours, theirs = pty.openpty()
        env = environment(installed.folder, TERM="xterm", COLUMNS="120", LINES="60")
        with subprocess.Popen(
            [sys.executable, "-m", "tests.support.quick", *WATCH],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=installed.folder,
            env={**env, "PYTHONPATH": str(Path(__file__).parents[2])},
            start_new_session=True,
        ) as process:
            os.close(theirs)
            try:
                seen = read(ours, lambda text: text.count("Ctrl-C to quit") > 1)
                assert seen.count("Ctrl-C to quit") > 1, "it was drawn again"
                process.send_signal(signal.SIGINT)
                seen += read(ours, lambda _: False)
                assert process.wait(30) == 0
            finally:
                process.kill()
        os.close(ours)

        kept = seen.rpartition("\x1b[?1049l")[2]  # what stays once the redrawn screen has been left
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", kept)
        assert "Ctrl-C" not in text
        assert all(name in text for name in installed.names)


def read(terminal: int, enough: Callable[[str], bool], timeout_s: float = 60) -> str:
    """What is written to a terminal, until that is enough, or the other side is closed."""
    seen = ""
    deadline = time.monotonic() + timeout_s
    while not enough(seen) and time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        seen += part.decode(errors="replace")
    return seen
