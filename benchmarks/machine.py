"""The machine and its load."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measured import QUIET
from lab import proc, settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_SAMPLE_S = 2.0


def about(step: Path | None, *, programs: bool) -> dict[str, str]:
    """The machine, with the versions of the programs if they were measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = {
        "processor": f"{os.cpu_count()} × {_processor()}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{_distribution()}, Linux {platform.release()}",
        "Python": platform.python_version(),
    }
    if programs:
        istioctl = json.loads(proc.run(["istioctl", "version", "--remote=false", "-o", "json"]).stdout)
        found |= {"Kubernetes": settings.KUBERNETES, "istioctl": istioctl["clientVersion"]["version"]}
    if step:
        # `Smallstep CLI/0.24.4 (linux/amd64)`, and more lines
        found["step"] = proc.run([step, "version"]).stdout.partition("/")[2].partition(" ")[0]
    return found


def date() -> str:
    """The day and the minute, in UTC."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def quiet(patience: float) -> float:
    """Waits until few cores are busy, or patience ends; returns the share of busy cores (0 to 1)."""
    end = time.monotonic() + patience
    while (share := _busy()) > QUIET and time.monotonic() < end:
        pass
    return share


def _busy() -> float:
    before = _ticks()
    time.sleep(_SAMPLE_S)
    after = _ticks()
    spent = {name: after[name] - before[name] for name in before}
    return 1 - (spent["idle"] + spent["iowait"]) / max(sum(spent.values()), 1)


def _ticks() -> Mapping[str, int]:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    words = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    return dict(zip(names, map(int, words), strict=False))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
