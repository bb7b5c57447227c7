"""How long `istio-mc --help` takes beside `istioctl --help`."""

from __future__ import annotations

import subprocess
import threading
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
        seconds(command)
    pairs = [tuple(seconds(command) for command in commands) for _ in range(runs)]
    return Help(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def seconds(command: Sequence[str], deadline: float = _DEADLINE_S) -> float:
    """Run a command and return how long it took, in seconds.

    Its end is waited for, not looked for: `subprocess` with a timeout looks ever more seldom, at last twenty
    times a second, and so turns 66 ms into 114 ms.

    Raises:
        subprocess.CalledProcessError: It failed; killed after the deadline, its exit code is -9.
    """
    begin = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        late = threading.Timer(deadline, child.kill)
        late.start()
        try:
            code = child.wait()
        finally:
            late.cancel()
    taken = time.perf_counter() - begin
    if code:
        raise subprocess.CalledProcessError(code, command)
    return taken
