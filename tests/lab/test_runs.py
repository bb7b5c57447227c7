"""One run at a time, by root, on Linux; children that fail, hang, or are told to stop."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lab import __main__ as program
from lab import proc, settings
from lab.errors import Cancelled, LabError
from lab.lock import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def resumed() -> Iterator[None]:
    yield
    proc.resume()


@pytest.mark.parametrize("verb", ["up", "down", "status"])
def test_not_root_is_reported_in_one_line(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert program.main([verb]) == 1
    stderr = capsys.readouterr().err
    assert "needs root" in stderr
    assert stderr.count("\n") == 1


def test_not_linux_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert program.main(["up"]) == 1
    assert "needs Linux: this is darwin" in capsys.readouterr().err


def test_a_second_run_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(settings, "LOCK", tmp_path / "lock")
    with locked(settings.LOCK):
        for verb in ("up", "down"):
            begun = time.monotonic()
            assert program.main([verb]) == 1
            assert time.monotonic() - begun < 1
            assert f"another lab run (process {os.getpid()})" in capsys.readouterr().err


def test_the_lock_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("4711", encoding="ascii")  # of a run that was killed
    with locked(path):
        assert path.read_text(encoding="ascii") == str(os.getpid())
    assert not path.exists()
    with locked(path):
        pass


def test_env_needs_neither_root_nor_a_lab(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert program.main(["env"]) == 0
    assert capsys.readouterr().out.startswith("export KUBECONFIG=")


def test_a_failing_child_is_reported_with_command_and_output() -> None:
    with pytest.raises(LabError, match=r"`sh -c .*` ended with exit code 3: no such thing"):
        proc.run(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_a_missing_program_is_named() -> None:
    with pytest.raises(LabError, match="no-such-program is not there"):
        proc.run(["no-such-program"])


def test_a_child_that_hangs_is_ended() -> None:
    begun = time.monotonic()
    with pytest.raises(LabError, match="did not end within"):
        proc.run(["sleep", "30"], timeout=0.2)
    assert time.monotonic() - begun < 5


@pytest.mark.usefixtures("resumed")
def test_cancelling_ends_what_is_waited_for_and_lets_nothing_begin() -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            proc.run(["sleep", "30"])
        except LabError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.2)
    proc.cancel()
    thread.join(timeout=5)
    assert [type(error) for error in caught] == [Cancelled]
    with pytest.raises(Cancelled):
        proc.run(["true"])
    with pytest.raises(Cancelled):
        proc.wait_for("never", lambda: False, timeout=10)


def test_waiting_ends() -> None:
    with pytest.raises(LabError, match="the moon: not so after 0 s"):
        proc.wait_for("the moon", lambda: False, timeout=0.1, every=0.01)
