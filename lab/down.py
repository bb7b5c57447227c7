"""Taking the lab away, from whatever state it is in."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

from lab import kernel, network, settings
from lab.proc import comm, pids, processes, run, wait_for

_CGROUPS = Path("/sys/fs/cgroup")


def own_processes() -> list[tuple[int, list[str]]]:
    """Return the lab's processes on the machine; what runs in nodes ends with these."""
    return [
        (pid, words)
        for pid, words in processes()
        if words[0].startswith(f"{settings.SBIN}/") or (words[0] == "unshare" and str(settings.INIT) in words)
    ]


def _end_processes() -> None:
    # All at once: a node's end takes seconds, for its file systems are written to disk.
    for pid, _ in own_processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for("the lab's processes end", lambda: not own_processes() and not _dying(), timeout=60, every=0.05)


def _dying() -> list[int]:
    """Return killed nodes that still end: no command line any more, but the name of their program."""
    return [pid for pid in pids() if comm(pid) == settings.INIT.name]


def cgroups() -> list[Path]:
    """Return the control groups of the nodes' containers.

    containerd names them by the containers alone, in one folder for the whole machine; whose they are
    is known by the nodes' own list of containers.
    """
    containers = settings.STATE.glob("nodes/*/var/lib/containerd/io.containerd.runtime.v2.task/k8s.io/*")
    return [group for one in containers for home in _homes() if (group := home / one.name).exists()]


def _homes() -> list[Path]:
    """Containerd's folder in every hierarchy: one with version 2, one a controller with version 1."""
    return [home for home in (_CGROUPS / "k8s.io", *_CGROUPS.glob("*/k8s.io")) if home.exists()]


def mounts() -> list[str]:
    """Return mounts of the machine under the lab's folder, the innermost first."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    points = [line.split()[4] for line in text.splitlines()]
    return sorted((point for point in points if point.startswith(f"{settings.STATE}/")), reverse=True)


def _cgroups_gone() -> bool:
    for path in cgroups():
        with contextlib.suppress(OSError):
            path.rmdir()
    for home in _homes():
        with contextlib.suppress(OSError):  # not empty: another containerd's
            home.rmdir()
    return not cgroups()


def clear() -> None:
    """Remove everything of the lab but its cache."""
    _end_processes()
    network.down()
    network.unname_hosts()
    kernel.put_back()
    for point in mounts():
        run(["umount", "--lazy", point])
    with contextlib.suppress(Exception):
        # The kernel empties the groups of what it has just killed a moment later.
        wait_for("control groups empty", _cgroups_gone, timeout=10)
    if settings.STATE.exists():
        shutil.rmtree(settings.STATE)
    shutil.rmtree(settings.cache() / "tmp", ignore_errors=True)


def left() -> list[str]:
    """Tell what of the lab is on the machine, its cache left out ([]: nothing)."""
    found = [f"process {pid} ({words[0]})" for pid, words in own_processes()]
    found += [f"link {name}" for name in network.links()]
    found += [f"mount {point}" for point in mounts()]
    found += [f"control group {path}" for path in cgroups()]
    hosts = Path("/etc/hosts").read_text(encoding="utf-8")
    if network.without_names(hosts) != hosts:
        found.append("lines in /etc/hosts")
    if settings.STATE.exists():
        found.append(f"folder {settings.STATE}")
    return found
