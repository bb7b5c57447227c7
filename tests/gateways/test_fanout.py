"""Work on all clusters at once: all are waited for, all faults come back."""

from __future__ import annotations

import math
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest

from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host import parallel
from istio_mc.gateways.host.parallel import Watch, all_of, fan_out, in_time, once, results_in_time

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

NAMES = ["kt", "ncloud", "nhn"]
FAULT = Problem(code=Code.STREAM_FAILED, message="it failed")


def fail(*names: str) -> None:
    raise ProblemError(*(Problem(code=Code.STREAM_FAILED, message=name) for name in names))


class TestFanOut:
    def test_results_stand_in_the_order_of_the_names(self) -> None:
        def work(name: str) -> str:
            time.sleep(0.05 if name == "kt" else 0)
            return name.upper()

        found, failures = fan_out(NAMES, work, concurrency=3, until=math.inf)
        assert list(found.items()) == [("kt", "KT"), ("ncloud", "NCLOUD"), ("nhn", "NHN")]
        assert failures == {}

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        found, failures = fan_out(
            NAMES, lambda name: fail("x") if name == "kt" else name, concurrency=3, until=math.inf
        )
        assert list(found) == ["ncloud", "nhn"]
        assert list(failures) == ["kt"]

    def test_every_problem_names_its_cluster(self) -> None:
        _, failures = fan_out(["kt"], lambda _: fail("a", "b"), concurrency=1, until=math.inf)
        assert [(problem.message, problem.cluster) for problem in failures["kt"]] == [
            ("a", "kt"),
            ("b", "kt"),
        ]

    def test_a_problem_that_names_another_cluster_keeps_it(self) -> None:
        def work(_: str) -> None:
            raise ProblemError(FAULT.on("nhn"))

        assert fan_out(["kt"], work, concurrency=1, until=math.inf)[1]["kt"][0].cluster == "nhn"

    def test_all_run_at_once(self) -> None:
        together = threading.Barrier(3)
        found, _ = fan_out(NAMES, lambda _: together.wait(5), concurrency=3, until=math.inf)
        assert len(found) == 3

    @pytest.mark.parametrize("concurrency", [1, 2])
    def test_no_more_run_at_once_than_allowed(self, concurrency: int) -> None:
        running, most, lock = 0, 0, threading.Lock()

        def work(_: str) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.02)
            with lock:
                running -= 1

        fan_out([*NAMES, "a", "b"], work, concurrency=concurrency, until=math.inf)
        assert most == concurrency

    def test_nothing_to_do(self) -> None:
        assert fan_out([], fail, concurrency=3, until=math.inf) == ({}, {})

    def test_an_interrupt_does_not_wait(self) -> None:
        release = threading.Event()

        def work(name: str) -> None:
            if name == "kt":
                raise KeyboardInterrupt
            release.wait(5)

        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            fan_out(NAMES, work, concurrency=3, until=math.inf)
        waited = time.monotonic() - begun
        release.set()
        assert waited < 3

    def test_an_interrupt_that_does_not_wake_the_wait_ends_it_all_the_same(self) -> None:
        release = threading.Event()

        def work(_name: str) -> None:
            # To this thread: the main one sleeps on, as it does where a signal comes just before its wait.
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            release.wait(5)

        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            fan_out(["kt"], work, concurrency=1, until=math.inf)
        waited = time.monotonic() - begun
        release.set()
        assert waited < 3


class TestTheDeadline:
    def test_work_without_an_end_of_its_own_is_abandoned_and_named(self) -> None:
        release = threading.Event()
        found, failures = fan_out(
            NAMES,
            lambda name: release.wait(60) if name == "nhn" else name,
            concurrency=3,
            until=time.monotonic() + 0.2,
        )
        release.set()
        assert list(found) == ["kt", "ncloud"]
        (problem,) = failures["nhn"]
        assert (problem.code, problem.cluster) == ("no-answer-in-time", "nhn")

    def test_work_that_was_not_begun_by_then_is_not_begun_later(self) -> None:
        release, begun = threading.Event(), []

        def work(name: str) -> None:
            begun.append(name)
            release.wait(60)

        _, failures = fan_out(NAMES, work, concurrency=1, until=time.monotonic() + 0.2)
        release.set()
        assert (begun, list(failures)) == (["kt"], NAMES)

    def test_the_time_of_every_call_counts_from_the_beginning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ends: list[float] = []

        def a_slow_one(future: Future[object], until: float) -> object:
            monkeypatch.setattr(time, "monotonic", lambda: 1007.0)
            ends.append(until)
            return future.result(30)

        monkeypatch.setattr(parallel, "result_of", a_slow_one)
        monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
        results_in_time({"first": (8.0, list), "second": (9.0, list)}, context="kt")
        assert ends == [1008.0, 1009.0]

    def test_a_call_has_no_more_time_than_the_run(self) -> None:
        release = threading.Event()
        calls = {"drift": (60.0, lambda: release.wait(60))}
        _, failures = results_in_time(calls, context="kt", until=time.monotonic() + 0.2)
        release.set()
        (problem,) = failures["drift"]
        assert (problem.code, problem.message) == (Code.NO_ANSWER_IN_TIME, "drift not read in time")

    @pytest.mark.parametrize(("concurrency", "most"), [(None, 5), (2, 2)])
    def test_calls_of_a_cluster_are_made_at_once_or_so_many_at_a_time(
        self, concurrency: int | None, most: int
    ) -> None:
        running, seen, lock = 0, 0, threading.Lock()

        def call() -> None:
            nonlocal running, seen
            with lock:
                running += 1
                seen = max(seen, running)
            time.sleep(0.1)
            with lock:
                running -= 1

        calls = {str(number): (math.inf, call) for number in range(5)}
        found, failures = results_in_time(calls, context="kt", concurrency=concurrency)
        assert (list(found), failures, seen) == (list(calls), {}, most)

    def test_a_call_that_fails_in_time_fails_as_it_did(self) -> None:
        with pytest.raises(ZeroDivisionError):
            in_time(lambda: 1 / 0, time.monotonic() + 60)
        with pytest.raises(TimeoutError, match="its own"):
            in_time(self.too_slow, time.monotonic() + 60)

    @staticmethod
    def too_slow() -> None:
        raise TimeoutError("its own")


class TestAllOf:
    def test_results_by_name(self) -> None:
        assert all_of({"a": lambda: 1, "b": lambda: 2}) == {"a": 1, "b": 2}

    def test_the_same_problem_is_reported_once(self) -> None:
        with pytest.raises(ProblemError) as error:
            all_of({"a": lambda: fail("same"), "b": lambda: fail("same"), "c": lambda: fail("other")})
        assert [problem.message for problem in error.value.problems] == ["same", "other"]


class TestWatch:
    def test_a_probe_that_fails_again_and_again_sets_gone(self) -> None:
        def probe() -> None:
            raise ProblemError(FAULT)

        with Watch(probe, every_s=0.01, failures=3) as watch:
            assert watch.gone.wait(5)
        assert watch.problems == (FAULT,)

    def test_one_failure_between_successes_does_not(self) -> None:
        calls = 0
        enough = threading.Event()

        def probe() -> None:
            nonlocal calls
            calls += 1
            if calls > 10:
                enough.set()
            if calls % 2:
                raise ProblemError(FAULT)

        with Watch(probe, every_s=0.005, failures=2) as watch:
            assert enough.wait(5)
            assert not watch.gone.is_set()


class TestOnce:
    def test_it_is_done_once_for_each_name(self) -> None:
        names: list[str] = []
        read = once(lambda name: names.append(name) or len(names))  # type: ignore[func-returns-value]
        assert [read("kt"), read("nhn"), read("kt")] == [1, 2, 1]

    def test_a_caller_during_a_running_call_waits_for_its_result(self) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slow(_: str) -> object:
            begun.set()
            assert go_on.wait(5)
            return object()

        read = once(slow)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(read, "kt")
            assert begun.wait(5)
            second = pool.submit(read, "kt")
            go_on.set()
            assert first.result(5) is second.result(5)

    def test_a_fault_is_everybodys(self) -> None:
        def fails(name: str) -> None:
            raise ProblemError(Problem(code=Code.NO_METRICS, message=name))

        read = once(fails)
        for _ in range(2):
            with pytest.raises(ProblemError, match="kt"):
                read("kt")


class TestAllOfInAThreadThatWaits:
    """A cluster's calls are made by the thread that works on the cluster and by a few more."""

    @staticmethod
    def in_a_thread(work: Callable[[], T]) -> T:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result(10)

    def test_it_does_its_share(self) -> None:
        def work() -> tuple[int, dict[str, int]]:
            together = threading.Barrier(3)

            def call() -> int:
                together.wait(5)
                return threading.get_ident()

            return threading.get_ident(), all_of(dict.fromkeys("abc", call))

        me, found = self.in_a_thread(work)
        assert (list(found), len({*found.values()})) == (["a", "b", "c"], 3)
        assert me in found.values()

    def test_no_more_run_at_once_than_allowed(self) -> None:
        threads = self.in_a_thread(
            lambda: all_of({str(n): threading.get_ident for n in range(9)}, concurrency=2)
        )
        assert len({*threads.values()}) <= 2

    def test_a_few_threads_are_enough_for_calls_that_are_quick(self) -> None:
        threads = self.in_a_thread(lambda: all_of({str(n): threading.get_ident for n in range(99)}))
        assert len({*threads.values()}) <= parallel._THREADS

    def test_slow_calls_bring_more_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parallel, "_SLOW_S", 0.0)
        together = threading.Barrier(8)
        calls: dict[str, Callable[[], object]] = {str(n): partial(time.sleep, 0.01) for n in range(4)}
        calls |= {str(n): partial(together.wait, 5) for n in range(4, 12)}
        assert len(self.in_a_thread(lambda: all_of(calls))) == 12

    def test_every_fault_comes_back(self) -> None:
        calls = {"a": lambda: fail("x"), "b": lambda: None, "c": lambda: fail("y")}
        with pytest.raises(ProblemError) as error:
            self.in_a_thread(lambda: all_of(calls))
        assert [problem.message for problem in error.value.problems] == ["x", "y"]

    def test_what_is_no_problem_is_raised_as_it_is(self) -> None:
        def call() -> None:
            raise IndexError("a bug")

        with pytest.raises(IndexError, match="a bug"):
            self.in_a_thread(lambda: all_of({"a": call, "b": call}))
