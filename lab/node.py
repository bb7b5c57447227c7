"""A node: process 1 of its own namespaces, and the ways into them.

Everything a node is hangs on that one process. Its namespaces have no name on the machine, so that when
it dies, by whatever hand, its processes, mounts and cables are gone with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab import settings
from lab.proc import comm, namespace, processes, run, start, wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file in a second place, without a second copy where the file system allows."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def install_init(pause: Path) -> None:
    """Put process 1 where its processes are recognised by their path."""
    if not settings.INIT.exists():
        link_or_copy(pause, settings.INIT)


def find_init(name: str) -> int | None:
    """Return the process of that name's node, if it runs."""
    desired = [str(settings.INIT), name]
    return next((pid for pid, words in processes() if words == desired), None)


def start_init(name: str, *, network: bool = True) -> int:
    """Start process 1 of new namespaces and return it."""
    kinds = ["--mount", "--pid", "--uts", "--ipc", *(["--net"] if network else [])]
    command = ["unshare", *kinds, "--fork", "--kill-child", "--propagation", "private", "--mount-proc"]
    start([*command, settings.INIT, name], settings.LOGS / f"{name}-init.log")
    wait_for(f"{name}: namespaces", lambda: find_init(name) is not None, timeout=20, every=0.05)
    found = find_init(name)
    assert found is not None
    return found


def kill_init(pid: int) -> None:
    """End a node with all that runs in it, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    # Process 1 is gone only when all others of its namespace are.
    wait_for("a node's processes end", lambda: comm(pid) != settings.INIT.name, timeout=60)


@dataclass(frozen=True)
class Inside:
    """Commands in a node's namespaces."""

    pid: int

    def command(self, argv: Sequence[str | Path]) -> list[str | Path]:
        """Return the command line that runs another in here.

        Not `ip netns exec`: that would mount /sys anew, and runc would find no cgroups.
        """
        kinds = ["--mount", "--pid", "--uts", "--ipc", "--net"]
        return ["nsenter", "--target", str(self.pid), *kinds, "--", *argv]

    def run(
        self, argv: Sequence[str | Path], *, stdin: str = "", timeout: float = 300, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return run(self.command(argv), stdin=stdin, timeout=timeout, check=check)

    def start(self, argv: Sequence[str | Path], log: str) -> None:
        """Start a daemon."""
        start(self.command(argv), settings.LOGS / f"{log}.log")

    def find(self, program: str) -> int | None:
        """Return the daemon of that name, if it runs."""
        here = namespace(self.pid, "pid")
        for pid, words in processes():
            if words[0].rpartition("/")[2] == program and namespace(pid, "pid") == here:
                return pid
        return None

    def stop(self, program: str) -> None:
        """Ask a daemon to end, and wait until it has."""
        while (pid := self.find(program)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            wait_for(f"{program} ends", lambda pid=pid: not namespace(pid, "pid"), timeout=30)  # type: ignore[misc]
