"""Parallel work on all clusters, which waits for all and returns all faults; and the polling loop."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.kube.refusal import merged
from istio_mc.domain.problem import Code, Problem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

T = TypeVar("T")

Failures = dict[str, tuple[Problem, ...]]

_TICK_S = 0.25
_LONGEST_WAIT_S = 3600.0
_THREADS = 4
"""Initial number of threads for the calls of one cluster; equals its number of parallel requests."""

_SLOW_S = 1.0
"""Seconds. A call that takes longer adds a thread, up to the allowed number."""


def fan_out(
    names: Iterable[str], work: Callable[[str], T], *, concurrency: int, until: float
) -> tuple[dict[str, T], Failures]:
    """Runs `work` for each cluster, `concurrency` of them at a time.

    Args:
        work: Called with each name; it has its own deadlines.
        until: `time.monotonic()` value at which unfinished work is abandoned. DNS has no deadline, and
            a server that sends single bytes slowly never reaches a read timeout. Infinite if the caller
            itself is abandoned at the deadline.

    Returns:
        The results in the order of the names, and the Problems of those that failed.

    Raises:
        KeyboardInterrupt: Immediately on Ctrl-C, without waiting for running work.
    """
    results, errors = _gather({name: partial(work, name) for name in names}, concurrency, until)
    failures: Failures = {
        name: tuple(problem if problem.cluster else problem.on(name) for problem in error.problems)
        for name, error in errors.items()
    }
    return results, failures


def all_of(calls: Mapping[str, Callable[[], T]], *, concurrency: int = 8) -> dict[str, T]:
    """Runs independent calls of one cluster at once.

    A thread that would only wait does some of the calls itself, with a few other threads, and more if calls
    are slow. The main thread does none, because it must see Ctrl-C.

    Raises:
        ProblemError: With the Problems of those that failed; missing permissions are merged into one Problem.
    """
    is_main = threading.current_thread() is threading.main_thread()
    results, errors = _gather(calls, concurrency) if is_main else _shared(calls, concurrency)
    if errors:
        raise ProblemError(*merged(problem for error in errors.values() for problem in error.problems))
    return results


def once(work: Callable[[str], T]) -> Callable[[str], T]:
    """Wraps `work` so that it runs once per name: parallel callers wait and get the same result or error.

    How long that takes is limited only by the timeouts in `work`.
    """
    futures: dict[str, Future[T]] = {}
    lock = threading.Lock()

    def result(name: str) -> T:
        with lock:
            first = name not in futures
            future = futures.setdefault(name, Future())
        if first:
            _settle(future, partial(work, name))
        return future.result()

    return result


def in_time(call: Callable[[], T], until: float) -> T:
    """Returns the result of a call; abandons it at `until` (`time.monotonic()`).

    Raises:
        TimeoutError: The call was abandoned.
    """
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        return result_of(pool.submit(call), until)
    finally:
        pool.shutdown(wait=False)


def results_in_time(
    calls: Mapping[str, tuple[float, Callable[[], T]]],
    *,
    context: str,
    until: float = math.inf,
    concurrency: int | None = None,
) -> tuple[dict[str, T], Failures]:
    """Runs independent calls of one cluster at once, each with its own deadline in seconds.

    No deadline is later than `until` (`time.monotonic()`). A call without a result by then is abandoned:
    its own timeouts end it, and nothing waits for it.

    Args:
        calls: Each with its time limit in seconds; infinite if its own timeouts are enough.

    Returns:
        The results, and the Problems of those that failed or were abandoned.
    """
    results: dict[str, T] = {}
    failures: Failures = {}
    if not calls:
        return results, failures
    pool = ThreadPoolExecutor(max_workers=min(concurrency or len(calls), len(calls)))
    begun = time.monotonic()
    futures = {name: (patience, pool.submit(call)) for name, (patience, call) in calls.items()}
    try:
        for name, (patience, future) in futures.items():
            try:
                results[name] = result_of(future, min(until, begun + patience))
            except ProblemError as error:
                failures[name] = tuple(p if p.cluster else p.on(context) for p in error.problems)
            except TimeoutError:
                failures[name] = (_too_late(name, context, max(0.0, min(patience, until - begun))),)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return results, failures


def _too_late(what: str, context: str, patience_s: float) -> Problem:
    return Problem(
        code=Code.NO_ANSWER_IN_TIME,
        cluster=context,
        message=f"{what} not read in time",
        seen=f"no response for {patience_s:.0f} s",
        expected=f"a response within {patience_s:.0f} s",
        hint=Advice(istio_mc("verify", "--verbose")),
    )


def _gather(
    calls: Mapping[str, Callable[[], T]], concurrency: int, until: float = math.inf
) -> tuple[dict[str, T], dict[str, ProblemError]]:
    results: dict[str, T] = {}
    errors: dict[str, ProblemError] = {}
    if not calls:
        return results, errors
    pool = ThreadPoolExecutor(max_workers=max(1, min(concurrency, len(calls))))
    futures: dict[str, Future[T]] = {name: pool.submit(call) for name, call in calls.items()}
    try:
        for name, future in futures.items():
            try:
                results[name] = result_of(future, until)
            except ProblemError as error:
                errors[name] = error
            except TimeoutError:
                errors[name] = ProblemError(_abandoned(name))
    finally:
        # After Ctrl-C or the deadline, the command line stops what still runs: nothing here may wait for it.
        pool.shutdown(wait=all(future.done() for future in futures.values()), cancel_futures=True)
    return results, errors


def _shared(
    calls: Mapping[str, Callable[[], T]], concurrency: int
) -> tuple[dict[str, T], dict[str, ProblemError]]:
    """Like `_gather`, without a deadline; this thread does some of the calls."""
    waiting = deque(calls.items())
    futures: dict[str, Future[T]] = {name: Future() for name in calls}
    spare = deque(range(min(concurrency, len(calls)) - 1))

    def help_out() -> None:
        if waiting:
            with suppress(IndexError):  # the maximum number of threads runs
                spare.pop()
                threading.Thread(target=work, daemon=True).start()

    def work() -> None:
        with suppress(IndexError):  # no call is left
            while True:
                name, call = waiting.popleft()
                begun = time.monotonic()
                _settle(futures[name], call)
                if time.monotonic() - begun > _SLOW_S:
                    help_out()

    for _ in range(_THREADS - 1):
        help_out()
    work()
    results: dict[str, T] = {}
    errors: dict[str, ProblemError] = {}
    for name, future in futures.items():
        try:
            results[name] = future.result()
        except ProblemError as error:
            errors[name] = error
    return results, errors


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    """Runs a call and sets the future to its result or exception."""
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
        future.set_exception(error)


def _abandoned(name: str) -> Problem:
    return Problem(
        code=Code.NO_ANSWER_IN_TIME,
        message=f"{name} was not done by the run's deadline",
        seen="a request that had not finished",
        expected="completion before the deadline",
        hint=Advice("increase --timeout; --verbose shows slow requests"),
    )


def result_of(future: Future[T], until: float = math.inf) -> T:
    """Returns the result of a call; the main thread waits for it in small steps.

    CPython notices a signal that arrives just before a wait only when the wait ends (CPython 3.11,
    Python/thread_pthread.h: the signal does not wake a wait that has not begun), so a long wait would ignore
    Ctrl-C. Only the main thread gets signals: other threads wait without steps.

    Raises:
        TimeoutError: There is no result at `until` (`time.monotonic()`).
    """
    tick_s = _TICK_S if threading.current_thread() is threading.main_thread() else _LONGEST_WAIT_S
    while True:
        left = until - time.monotonic()
        try:
            return future.result(timeout=max(0.0, min(tick_s, left)))
        except TimeoutError:
            if future.done():  # then the call raised it, or the result has just arrived
                return future.result()
            if left <= 0:
                raise


class Watch:
    """Calls a probe every few seconds in its own thread, and sets `gone` after repeated failures."""

    def __init__(
        self,
        probe: Callable[[], object],
        *,
        every_s: float = 5.0,
        failures: int = 3,
        gone: threading.Event | None = None,
    ) -> None:
        self.gone = gone or threading.Event()
        self.problems: tuple[Problem, ...] = ()
        self._probe = probe
        self._every_s = every_s
        self._failures = failures
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _run(self) -> None:
        failed = 0
        while not self._stop.wait(self._every_s):
            try:
                self._probe()
                failed = 0
            except ProblemError as error:
                failed += 1
                if failed >= self._failures:
                    self.problems = error.problems
                    self.gone.set()
                    return


def poll_rounds(until: float, every_s: float, ended: threading.Event | None = None) -> Iterator[float]:
    """Yields once per attempt until the deadline; after the last attempt the loop ends.

    There is always a first attempt, and none that would begin after the deadline::

        for left in poll_rounds(session.run.deadline, every_s=0.5):
            if is_ready():
                return
            report(f"{left:.0f} s left")
        raise ProblemError(...)

    Args:
        every_s: Seconds from the end of one attempt to the next.
        ended: Event that ends the loop.

    Yields:
        Seconds left until the deadline.
    """
    while True:
        yield max(0.0, until - time.monotonic())
        if until - time.monotonic() <= every_s:
            return
        if ended is None:
            time.sleep(every_s)
        elif ended.wait(every_s):
            return
