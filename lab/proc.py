"""Child processes: run one and wait, start one that stays, find those that stayed."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import Cancelled, LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_TAIL = 1500
_stop = threading.Event()
_running: set[subprocess.Popen[str]] = set()
_guard = threading.Lock()


def cancel() -> None:
    """End what `run` waits for, in every thread, and let nothing new begin."""
    _stop.set()
    with _guard:
        for child in _running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def resume() -> None:
    """Let things begin again: cleaning up after a cancelled run needs children too."""
    _stop.clear()


def check_cancelled() -> None:
    """Raise where the run was told to stop."""
    if _stop.is_set():
        msg = "stopped as asked"
        raise Cancelled(msg)


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its failure carries the command and the end of its output."""
    check_cancelled()
    words = [str(word) for word in argv]
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **env} if env else None,
            cwd=cwd,
            # A group of its own: Ctrl-C reaches the lab alone, which then ends its children in order.
            start_new_session=True,
        )
    except FileNotFoundError as error:
        msg = f"{words[0]} is not there: expected it on PATH"
        raise LabError(msg) from error
    with _guard:
        _running.add(child)
    try:
        out, err = child.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        msg = f"`{shlex.join(words)}` did not end within {timeout:.0f} s"
        raise LabError(msg) from error
    finally:
        with _guard:
            _running.discard(child)
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    check_cancelled()
    if check and child.returncode:
        tail = (err.strip() or out.strip())[-_TAIL:]
        msg = f"`{shlex.join(words)}` ended with exit code {child.returncode}: {tail}"
        raise LabError(msg)
    return subprocess.CompletedProcess(words, child.returncode, out, err)


def start(argv: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
    """Start a process that outlives this one and its shell; its output goes to a file."""
    check_cancelled()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env} if env else None,
            cwd="/",
            start_new_session=True,
        )


def wait_for(what: str, ready: Callable[[], bool], timeout: float, every: float = 0.2) -> None:
    """Look again and again until something is so."""
    end = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > end:
            msg = f"{what}: not so after {timeout:.0f} s"
            raise LabError(msg)
        if _stop.wait(every):
            check_cancelled()


def pids() -> list[int]:
    """Every process on the machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def comm(pid: int) -> str:
    """Name of a process's program, which even a dying one has ("": it is dead)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    name, state = text.partition("(")[2].rpartition(") ")[::2]
    # A zombie is dead: where nobody waits for it, it stays so for ever.
    return "" if state.startswith(("Z", "X")) else name


def processes() -> Iterator[tuple[int, list[str]]]:
    """Every process on the machine with its command line; kernel threads and dying ones have none."""
    for pid in pids():
        with contextlib.suppress(OSError):
            if words := Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0"):
                yield pid, [word.decode(errors="replace") for word in words.split(b"\0")]


def namespace(pid: int, kind: str) -> str:
    """Identity of a namespace of a process ("": the process is gone)."""
    try:
        return Path(f"/proc/{pid}/ns/{kind}").readlink().name
    except OSError:
        return ""
