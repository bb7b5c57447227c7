"""Runs of istio-mc: in this process, as quick as can be, or as a process that can be killed."""

from __future__ import annotations

import gc
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
import warnings
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from istio_mc.domain import yamltext
from tests.support import command_line, quick

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DEADLINE_S = 60
_MARK = "ISTIO_MC_TESTS_RUN"


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
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = dict(os.environ)
    logger = logging.getLogger("istio_mc")
    logs = (logger.handlers[:], logger.level)
    quick.hurry()
    os.environ.clear()
    os.environ.update(_kept(before) | dict(env))
    try:
        with chdir(folder), _garbage_collected(), _yaml_read_once():
            done = command_line.run(_with_deadline(words))
    finally:
        os.environ.clear()
        os.environ.update(before)
        quick.calm_down()
        logger.handlers[:], logger.level = logs  # --verbose writes to a stream that ends with the run
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Result(tuple(words), done.exit_code, done.stdout, done.stderr)


@contextmanager
def _garbage_collected() -> Iterator[None]:
    """Ends what a run leaves to the end of its process, which is not this one's: sockets of port-forwards.

    What is left then is not looked through again: a mesh and its tests are much, a run is little.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()


_read: dict[str | bytes, bytes] = {}


@contextmanager
def _yaml_read_once() -> Iterator[None]:
    """Has what istioctl makes of the same document be parsed once for all runs."""
    kept = yamltext.load_all

    def load_all(text: str | bytes) -> list[Any]:
        if text not in _read:
            _read[text] = pickle.dumps(kept(text))
        found: list[Any] = pickle.loads(_read[text])  # noqa: S301 - our own, a line above
        return found

    yamltext.load_all = load_all
    try:
        yield
    finally:
        yamltext.load_all = kept


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
        mark: In its environment, and in that of all it starts.
    """

    words: tuple[str, ...]
    process: subprocess.Popen[str]
    mark: str

    def left_behind(self, timeout_s: float = 30.0) -> None:
        """Waits until what it had started has ended too: an istioctl goes on when istio-mc is killed.

        It is known by its environment, which only Linux tells of other processes; elsewhere, it is given a
        second.
        """
        until = time.monotonic() + timeout_s
        if not Path("/proc").is_dir():
            time.sleep(1)
            return
        while any(_is_marked(folder, self.mark) for folder in Path("/proc").iterdir()):
            assert time.monotonic() < until, f"what {self.words} had started does not end"
            time.sleep(0.02)

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


def _is_marked(folder: Path, mark: str) -> bool:
    try:
        return f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
    except OSError:  # it is no process, or has ended
        return False


def start(folder: Path, words: Sequence[str], env: Mapping[str, str]) -> Running:
    """Starts istio-mc as a process of its own, in a hurry."""
    root = quick.__file__.rpartition("/tests/")[0]
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.quick", *_with_deadline(words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**_kept(os.environ), **env, "PYTHONPATH": root, _MARK: mark},
    )
    return Running(tuple(words), process, mark)
