"""How long `istio-mc --help` takes beside `istioctl --help`."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.measured import Help
from benchmarks.sides import ISTIO_MC

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNS = 20
_DEADLINE_S = 60


def measure(runs: int = RUNS) -> Help:
    """Run both in turns, after one run each that does not count: files are then in memory."""
    commands = ([str(ISTIO_MC), "--help"], ["istioctl", "--help"])
    for command in commands:
        _seconds(command)
    pairs = [tuple(_seconds(command) for command in commands) for _ in range(runs)]
    return Help(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def _seconds(command: Sequence[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=_DEADLINE_S
    )
    return time.perf_counter() - begin
