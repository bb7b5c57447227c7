"""Child processes: the one module that starts them.

Every child has a deadline, an argument list (never a shell), a closed standard input, and its own session, so
that it and its children can be stopped together, and Ctrl-C on the terminal reaches this program first.
`holder` identifies this run to others.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host import signals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

GRACE_S = 2.0
"""Seconds between SIGTERM and SIGKILL."""

_LEAST_S = 0.1  # for a child that is started at the deadline
_POLL_S = 0.1  # how soon a cancel is noticed; output and exit are noticed at once
_HELD_PIPE_S = 0.5  # how long to read on after a child has ended, if one of its children keeps its pipes open
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass(frozen=True, slots=True)
class Completed:
    """A child that ended by itself, with any exit code.

    Attributes:
        returncode: Exit code; negative: the number of the signal that ended it.
        stdout: Its whole standard output; not in `repr`, because it can be a credential.
    """

    returncode: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    seconds: float


class ProcessStartError(ProblemError):
    """The program could not be started.

    Attributes:
        missing: True if the program does not exist; False if it exists but cannot be executed.
    """

    def __init__(self, problem: Problem, *, missing: bool) -> None:
        super().__init__(problem)
        self.missing = missing


class ProcessTimeout(ProblemError):  # noqa: N818 - as in subprocess.TimeoutExpired: the name says what happened
    """The child did not exit within its deadline; it and all its children were stopped."""

    def __init__(self, problem: Problem, *, stderr: bytes) -> None:
        super().__init__(problem)
        self.stderr = stderr


class ProcessCancelled(ProblemError):  # noqa: N818 - as above
    """The child was stopped, or not started, because the whole run ends early."""


class _Child:
    """A running child and whether `stop_all` has signalled it."""

    def __init__(self, popen: subprocess.Popen[bytes], *, own_group: bool) -> None:
        self.popen = popen
        self.own_group = own_group
        self.stopped = False

    def signal(self, number: signal.Signals) -> None:
        # PermissionError: macOS raises it for a process group in which only zombies are left.
        with suppress(ProcessLookupError, PermissionError):
            if self.own_group:
                os.killpg(self.popen.pid, number)
            else:
                self.popen.send_signal(number)

    def gone(self) -> bool:
        ended = self.popen.poll() is not None
        if not self.own_group or not ended:
            return ended
        try:
            os.killpg(self.popen.pid, 0)
        except (ProcessLookupError, PermissionError):
            return True
        return False


# Re-entrant: a signal handler may call stop_all while the same thread is in the middle of starting a child.
_lock = threading.RLock()
_running: set[_Child] = set()
_over = threading.Event()
"""Set once no more children may be started."""


def command_to_paste(argv: Sequence[str | Path]) -> str:
    """The command as a line for a shell, with quotes around arguments that need them."""
    return shlex.join([str(part) for part in argv])


def tail(output: bytes, *, lines: int = 15, characters: int = 2000) -> str:
    """The end of a child's output for messages: at most so many lines and characters, without colours."""
    text = _ESCAPES.sub("", output.decode(errors="replace")).replace("\r\n", "\n").strip()
    kept = "\n".join(text.splitlines()[-lines:])
    return kept if len(kept) <= characters else f"…{kept[-characters:]}"


def within(longest_s: float, deadline: float) -> float:
    """Time limit of a child in seconds: `longest_s`, but not later than `deadline` (`time.monotonic()`)."""
    return max(_LEAST_S, min(longest_s, deadline - time.monotonic()))


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    name: str,
    env: Mapping[str, str] | None = None,
    cancel: threading.Event | None = None,
    interactive: bool = False,
) -> Completed:
    """Runs a program to its end. Safe to call from many threads at once.

    Args:
        argv: Program (a path, or a name to find on PATH) and its arguments.
        timeout_s: Deadline in seconds; then SIGTERM to the child's process group, and SIGKILL 2 s later.
        cancel: An event shared by many calls: when it is set, they all stop their children.
        interactive: Give it this program's own terminal: standard input and standard error are inherited
            (`Completed.stderr` is then empty). It stays in this session, so that it can ask for a password.

    Returns:
        Exit code, output and time. An exit code other than 0 is not an error here.

    Raises:
        ProcessStartError: The program does not exist or cannot be executed.
        ProcessTimeout: The deadline passed.
        ProcessCancelled: `cancel` was set, or `stop_all` was called.
    """
    if cancel is not None and cancel.is_set():
        raise _cancelled(name, argv)
    started = time.monotonic()
    child: _Child | None = None
    try:
        # Otherwise a child that has just started, but is not registered yet, would keep running.
        with signals.deferred():
            child = _start(
                [str(part) for part in argv],
                name=name,
                env=env,
                interactive=interactive,
            )
        stdout, stderr = _communicate(child, deadline=started + timeout_s, cancel=cancel)
    except TimeoutError as error:
        (written,) = error.args
        raise _timeout(name, argv, timeout_s, written) from None
    except InterruptedError:
        raise _cancelled(name, argv) from None
    finally:
        if child is not None:
            _end(child)
    if child.stopped:
        raise _cancelled(name, argv)
    ended = Completed(child.popen.returncode, stdout, stderr, time.monotonic() - started)
    # Its arguments may contain a credential, so only its name is logged.
    _log.debug("%s: exit code %d after %.2f s", name, ended.returncode, ended.seconds)
    return ended


def stop_all(*, for_good: bool = False) -> None:
    """Ends all running children: SIGTERM to all at once, SIGKILL after 2 s to those that still run.

    The `run` calls that wait for them raise ProcessCancelled. Children started later are not affected: their
    callers pass a `cancel` event.

    Args:
        for_good: Start no more children: other threads may still try to while the program ends.
    """
    with _lock:
        if for_good:
            _over.set()
        children = list(_running)
        for child in children:
            child.stopped = True
    _stop(children)


# No child survives the program: not after an internal error, and not if its result is no longer needed.
atexit.register(stop_all, for_good=True)


def _start(
    argv: list[str],
    *,
    name: str,
    env: Mapping[str, str] | None,
    interactive: bool,
) -> _Child:
    # With the lock held, so that stop_all either sees the child or runs before it starts.
    with _lock:
        if _over.is_set():
            raise _cancelled(name, argv)
        try:
            popen = subprocess.Popen(  # the caller's `finally` closes it
                argv,
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if interactive else subprocess.PIPE,
                env=env,
                start_new_session=not interactive,
            )
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError) and not _is_there(argv[0], env)
            problem = Problem(
                code=Code.PROGRAM_MISSING if missing else Code.PROGRAM_NOT_STARTED,
                message=f"{name}: program {argv[0]} not found" if missing else f"{name}: {_why(error, argv)}",
                hint=Advice(f"The command: {command_to_paste(argv)}"),
            )
            raise ProcessStartError(problem, missing=missing) from error
        child = _Child(popen, own_group=not interactive)
        _running.add(child)
    return child


def _is_there(program: str, env: Mapping[str, str] | None) -> bool:
    """Whether the program file exists: then its interpreter or dynamic loader is missing."""
    return (
        shutil.which(program, path=(os.environ if env is None else env).get("PATH", os.defpath)) is not None
    )


def _why(error: OSError | ValueError, argv: Sequence[str]) -> str:
    """Why a program could not be started, without arguments or variables, which may be secret."""
    if isinstance(error, FileNotFoundError) and error.filename == argv[0]:
        return f"{argv[0]}: its interpreter or dynamic loader is not on this machine"
    if isinstance(error, OSError):
        return f"{error.filename or argv[0]}: {error.strerror}"
    return "an argument or an environment variable contains a NUL byte or is otherwise invalid"


def _end(child: _Child) -> None:
    """Stops a child that is still alive: after its deadline, a cancel or a KeyboardInterrupt."""
    if child.popen.poll() is None:
        _stop([child])
    _close(child.popen)
    with _lock:
        _running.discard(child)


def _communicate(child: _Child, *, deadline: float, cancel: threading.Event | None) -> tuple[bytes, bytes]:
    """Reads the child's output until it ends.

    Raises:
        TimeoutError: With its standard error so far.
        InterruptedError: It was cancelled.
    """
    ended: float | None = None
    while True:
        patience = _POLL_S if ended is None else _HELD_PIPE_S
        slice_s = max(0.0, min(patience, deadline - time.monotonic()))
        try:
            stdout, stderr = child.popen.communicate(timeout=slice_s)
        except subprocess.TimeoutExpired as waiting:
            now = time.monotonic()
            if child.popen.poll() is not None:
                # The child has ended, but one of its children (a background agent) keeps its pipes open; or
                # the machine is so busy that its output is not read yet. That output must not be lost.
                ended = ended or now
                if now >= deadline or (now - ended >= _HELD_PIPE_S and not _readable(child.popen)):
                    return waiting.stdout or b"", waiting.stderr or b""
            elif cancel is not None and cancel.is_set():
                raise InterruptedError from None
            elif now >= deadline:
                raise TimeoutError(waiting.stderr or b"") from None
            else:
                continue
            time.sleep(0.01)  # past the deadline a slice is zero long
        else:
            return stdout or b"", stderr or b""


def _readable(popen: subprocess.Popen[bytes]) -> bool:
    """Whether output of a child, or its end of file, is ready to be read."""
    with selectors.DefaultSelector() as selector:
        for pipe in (popen.stdout, popen.stderr):
            if pipe is not None and not pipe.closed:
                selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.get_map()) and bool(selector.select(0))


def _stop(children: Iterable[_Child]) -> None:
    left = list(children)
    for child in left:
        child.signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while left and time.monotonic() < deadline:
        left = [child for child in left if not child.gone()]
        if left:
            time.sleep(0.02)
    for child in left:
        child.signal(signal.SIGKILL)
    for child in left:
        with suppress(subprocess.TimeoutExpired):
            child.popen.wait(GRACE_S)


def _close(popen: subprocess.Popen[bytes]) -> None:
    for pipe in (popen.stdout, popen.stderr):
        if pipe is not None:
            with suppress(OSError):  # the reader of the pipe has closed it
                pipe.close()


def _timeout(name: str, argv: Sequence[str | Path], timeout_s: float, stderr: bytes) -> ProcessTimeout:
    return ProcessTimeout(
        Problem(
            code=Code.PROCESS_TIMEOUT,
            message=f"{name} did not exit within {timeout_s:g} s and was stopped",
            seen=tail(stderr) or None,
            hint=Advice(f"The command: {command_to_paste(argv)}"),
        ),
        stderr=stderr,
    )


def _cancelled(name: str, argv: Sequence[str | Path]) -> ProcessCancelled:
    return ProcessCancelled(
        Problem(
            code=Code.PROCESS_CANCELLED,
            message=f"{name} was stopped before it exited",
            hint=Advice(f"The command: {command_to_paste(argv)}"),
        )
    )


def holder() -> str:
    """Identifies this run: host name and process ID."""
    return f"{socket.gethostname()}/{os.getpid()}"


def has_ended(text: str) -> bool:
    """Whether a run has certainly ended: it was on this machine, and its process does not exist any more."""
    machine, _, number = text.rpartition("/")
    if machine != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # it belongs to another user, so it exists
    return False
