"""Runs of istio-mc: in this process, as quick as can be, or as a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import chdir
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from tests.support import quick

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEADLINE_S = 60


@dataclass(frozen=True)
class Result:
    """What one run of istio-mc left.

    Attributes:
        words: Its arguments.
        code: Its exit code; negative: the number of the signal that ended it.
        stdout: Its standard output.
        stderr: Its standard error.
    """

    words: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output as the one JSON document it is to be, with `-o json`."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def data(self) -> dict[str, Any]:
        """The envelope's data."""
        found: dict[str, Any] = self.json["data"]
        return found

    @property
    def errors(self) -> list[tuple[str, str | None]]:
        """Code and cluster of each error in the envelope."""
        return [(one["code"], one.get("cluster")) for one in self.json["errors"]]

    @property
    def warnings(self) -> list[tuple[str, str | None]]:
        """Code and cluster of each warning in the envelope."""
        return [(one["code"], one.get("cluster")) for one in self.json["messages"]]

    def cluster(self, name: str) -> dict[str, Any]:
        """What the envelope's data tell of one cluster."""
        found: dict[str, Any] = next(one for one in self.data["clusters"] if one["name"] == name)
        return found

    def exits(self, code: int) -> Result:
        """This result, if that is its exit code."""
        assert self.code == code, f"istio-mc {' '.join(self.words)}: exit code {self.code}\n{self}"
        return self

    def __str__(self) -> str:
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


def run(folder: Path, words: Sequence[str], env: Mapping[str, str]) -> Result:
    """Runs istio-mc in this process to its end, with nobody at the keyboard."""
    from istio_mc.cli.app import app

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = dict(os.environ)
    quick.hurry()
    os.environ.clear()
    os.environ.update(_kept(before) | dict(env))
    try:
        with chdir(folder):
            done = CliRunner().invoke(app, _with_deadline(words), catch_exceptions=False)
    finally:
        os.environ.clear()
        os.environ.update(before)
        quick.calm_down()
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Result(tuple(words), done.exit_code, done.stdout, done.stderr)


def _kept(env: Mapping[str, str]) -> dict[str, str]:
    """What a run needs of this process's environment."""
    return {name: env[name] for name in ("TMPDIR", "LANG", "LC_ALL", "COVERAGE_PROCESS_START") if name in env}


def _with_deadline(words: Sequence[str]) -> list[str]:
    """The arguments, with a deadline where they name none: a test that hangs shall end."""
    return [*words] if "--timeout" in words else [*words, "--timeout", f"{DEADLINE_S}s"]


@dataclass
class Running:
    """A run that has not ended yet.

    Attributes:
        words: Its arguments.
        process: Its process.
    """

    words: tuple[str, ...]
    process: subprocess.Popen[str]

    def wait(self, timeout_s: float = 90.0) -> Result:
        """Its result, once it has ended."""
        try:
            stdout, stderr = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            stdout, stderr = self.process.communicate()
            raise AssertionError(
                f"istio-mc {' '.join(self.words)} does not end:\n{stdout}\n{stderr}"
            ) from None
        return Result(self.words, self.process.returncode, stdout, stderr)


def start(folder: Path, words: Sequence[str], env: Mapping[str, str]) -> Running:
    """Starts istio-mc as a process of its own, in a hurry."""
    root = quick.__file__.rpartition("/tests/")[0]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.quick", *_with_deadline(words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**_kept(os.environ), **env, "PYTHONPATH": root},
    )
    return Running(tuple(words), process)
