"""Run a command, and write what it used into a file: a process of its own, and a small one.

What a child is told to have used at most includes what its parent held when it was started (Linux keeps that
mark over an exec), so a large parent must not measure its child itself.

Usage: python usage.py FILE SECONDS COMMAND…
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

_KIB_IN_MIB = 1024


def main(file: str, patience: str, *command: str) -> int:
    """Write seconds, CPU seconds and peak memory in MiB; return the command's exit code.

    Raises:
        subprocess.TimeoutExpired: It had not ended in time, and was killed.
    """
    begin = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=float(patience), check=False)
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "seconds": seconds,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss / _KIB_IN_MIB,
    }
    Path(file).write_text(json.dumps(found), encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
