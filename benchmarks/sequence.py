"""`istio-mc verify` beside the same questions asked with istioctl, one after another over the clusters."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import clean, machine
from benchmarks.comparison import SEQUENCE, VERIFY, Comparison, Turn
from benchmarks.sides import CONTEXTS, ISTIO_MC
from lab.errors import LabError
from lab.log import log_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def commands(context: str) -> list[list[str]]:
    """Return what a person asks a cluster with istioctl.

    analyze looks at the linked clusters too. Left to itself it reads them with the tokens of the remote
    secrets, which may not read all that it asks for, and does not end (1.26.0 with the Gateway API's CRDs);
    so it is told to read them as the user.
    """
    others = [word for other in CONTEXTS if other != context for word in ("--remote-contexts", other)]
    command_lines = (["remote-clusters"], ["analyze", "-A", *others], ["proxy-status"])
    return [["istioctl", *words, "--context", context] for words in command_lines]


_DEADLINE_S = 600
_TAIL = 1200
_FOUND_SOMETHING = 79
"""`istioctl analyze`: it ran, and has something to say (istioctl/pkg/analyze, Istio 1.26.0)."""
_OF_THE_RUN = ("--contexts", ",".join(CONTEXTS), "--no-progress")


def measure(rounds: int, patience: float) -> Comparison:
    """Let the sides take turns over one mesh that works and carries the sample.

    A mesh that stands is used and left as it was; where there is none, one is made, and taken away again.

    Raises:
        LabError: There is no mesh that verify finds no fault with, and none could be made.
    """
    done: list[Turn] = []
    with _cilium(), _mesh(), _sample():
        for _ in range(rounds):
            for side, turn in ((SEQUENCE, _sequence), (VERIFY, _verify)):
                busy = machine.quiet(patience)
                begin = time.perf_counter()
                answers = turn()
                one = Turn(side, time.perf_counter() - begin, answers, busy)
                done.append(one)
                log_line(f"{side}: {one.seconds:.1f} s")
    return Comparison(tuple(done))


def _sequence() -> int:
    all_commands = [command for context in CONTEXTS for command in commands(context)]
    for command in all_commands:
        code, _, stderr = _run(command)
        if code not in (0, _FOUND_SOMETHING):
            raise LabError(f"{' '.join(command)} ended with exit code {code}: {stderr[-_TAIL:]}")
    return len(all_commands)


def _verify() -> int:
    code, out, stderr = _run([str(ISTIO_MC), "verify", *_OF_THE_RUN, "-o", "json"])
    if code:
        raise LabError(f"istio-mc verify ended with exit code {code}: {stderr[-_TAIL:]}")
    return len(json.loads(out)["data"]["checks"])


@contextmanager
def _cilium() -> Iterator[None]:
    """Have Cilium set as a mesh needs it: on the lab it is not, at first."""
    if _run([str(ISTIO_MC), "verify", "--only", "cni", *_OF_THE_RUN])[0] == 0:
        yield
        return
    _must([str(ISTIO_MC), "cilium", "fix", "--yes", *_OF_THE_RUN])
    try:
        yield
    finally:
        _must([str(ISTIO_MC), "cilium", "revert", "--yes", *_OF_THE_RUN])


@contextmanager
def _mesh() -> Iterator[None]:
    if _run([str(ISTIO_MC), "verify", *_OF_THE_RUN])[0] == 0:
        yield
        return
    clean.clean(CONTEXTS)
    try:
        with tempfile.TemporaryDirectory(prefix="istio-mc-bench-") as folder:
            certs = str(Path(folder) / "certs")
            _must([str(ISTIO_MC), "install", *_OF_THE_RUN, "--certs-dir", certs])
            yield
    finally:
        clean.clean(CONTEXTS)


@contextmanager
def _sample() -> Iterator[None]:
    """Have something meshed in each cluster, as a mesh in use does."""
    there = all(_run(["kubectl", "--context", name, "get", "ns", "sample"])[0] == 0 for name in CONTEXTS)
    if there:
        yield
        return
    _must([str(ISTIO_MC), "sample", "deploy", *_OF_THE_RUN])
    try:
        yield
    finally:
        _must([str(ISTIO_MC), "sample", "remove", "--yes", *_OF_THE_RUN])


def _must(command: Sequence[str]) -> None:
    code, _, stderr = _run(command)
    if code:
        raise LabError(f"{' '.join(command)} ended with exit code {code}: {stderr[-_TAIL:]}")


def _run(command: Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
