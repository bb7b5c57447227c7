"""Signals that end a run: the first one interrupts it, none interrupts its clean-up. Also a time limit.

Python runs a signal handler only in the main thread, between two of its own instructions. Therefore a second
thread also receives each signal, through a pipe. That thread ends the run if the main thread is blocked, for
example in a DNS look-up, or if a second signal shows that the user does not want to wait for the clean-up.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGXCPU)
"""Closed terminal, Ctrl-C, Ctrl-\\, `kill`, and `ulimit -t`: each ends a process by default."""

UNWIND_S = 20.0
"""Seconds that the main thread has to leave its block after a signal: clean-up in clusters takes up to 15."""
_STUCK_S = 3.0  # if the handler has not run after this time, the main thread is in a call that no signal ends
_REPEATED_S = 1.0  # a closing terminal sends SIGHUP twice, and the shell adds its own
_POLL_S = 0.5


class _State:
    """The signals that this process has received."""

    def __init__(self) -> None:
        self.is_program = False
        self.received: signal.Signals | None = None
        self.over = False
        self.deferred = 0
        self.put_off = False
        self.end = threading.RLock()


_state = _State()


def end_at_once() -> None:
    """Makes every ending signal end this process, without a traceback, until a run handles signals.

    Without this call no run handles signals: a program that imports this package has its own handlers.
    """
    _state.is_program = True
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not if it is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def interrupting(at_last: Callable[[], object]) -> Iterator[None]:
    """During a block, the first ending signal raises KeyboardInterrupt in the main thread.

    Signals that were ignored when the program started stay ignored: nohup and shells rely on that.

    Args:
        at_last: Ends the process; another thread calls it if the block does not end in time after a signal.
    """
    if _state.is_program:
        pipe, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(pipe, at_last), name="signals", daemon=True).start()
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _handle)
    try:
        yield
    finally:
        _state.over = _state.is_program


def received() -> signal.Signals | None:
    """The signal that interrupted this run; None: no signal interrupted it."""
    return _state.received


@contextmanager
def deferred() -> Iterator[None]:
    """Delays the KeyboardInterrupt of a signal to the end of a block that must not be interrupted halfway.

    It does not block signals: a child that starts in the block would inherit that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # other threads get no KeyboardInterrupt
        return
    _state.deferred += 1
    try:
        yield
    finally:
        _state.deferred -= 1
        if _state.put_off and not _state.deferred:
            _state.put_off = False
            raise KeyboardInterrupt


def end() -> None:
    """Lets only the calling thread end the process: no signal interrupts it, other callers wait."""
    _state.end.acquire()
    _state.over = True


def _handle(number: int, _frame: FrameType | None) -> None:
    if _state.over or _state.received:
        return
    _state.received = signal.Signals(number)
    if _state.deferred:
        _state.put_off = True
    else:
        raise KeyboardInterrupt


def _watch(pipe: int, at_last: Callable[[], object]) -> None:
    while (first := os.read(pipe, 1)[0]) not in ENDING:
        continue  # a signal with another handler
    begun = time.monotonic()
    while not _state.over:
        again = _arrives(pipe)
        passed = time.monotonic() - begun
        if passed > (UNWIND_S if _state.received else _STUCK_S):
            break
        if _state.received and again and passed > _REPEATED_S:
            break
        if not _state.received:
            # A signal that arrives just before the main thread begins to wait does not end the wait.
            signal.pthread_kill(threading.main_thread().ident or 0, first)
    if not _state.over:
        at_last()


def _arrives(pipe: int) -> bool:
    """Whether another ending signal arrives in time."""
    readable, _, _ = select.select([pipe], [], [], _POLL_S)
    return bool(readable) and os.read(pipe, 1)[0] in ENDING


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Ends a block that takes longer than `seconds`. Main thread only: only there Python handles signals.

    Raises:
        TimeoutError: The time is over.
    """

    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
