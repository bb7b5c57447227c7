"""One worker of `make mutants`: a pytest run that has loaded all tests, and forks for each mutant.

A fork has every module, test and state of the stand-in mesh ready, and ends at the first test that fails. The
worker is spoken to in lines of JSON: on standard output, what each test of its share runs and how long it
takes, then a verdict for each mutant that is read from standard input.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from mutmut.configuration import config
from mutmut.mutation import trampoline
from mutmut.state import state

from tests.support import fixtures, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

_DEADLINE_S = 20
"""How long a verb may run in a test of a mutant that keeps it from ending."""

_HANGS_S = 120.0
"""How long a fork may take for one test before it is killed; a test itself ends before that."""
_BEGINS = b"."
"""What a fork writes before each test."""


@dataclass(frozen=True)
class Order:
    """A mutant to judge.

    Attributes:
        mutant: mutmut's name for it.
        tests: Those that may notice it, in the order in which they are to run.
        fresh: Whether it also makes the states that tests of the stand-in mesh begin with.
        budget_s: Seconds of a processor after which no other test begins.
    """

    mutant: str
    tests: list[str]
    fresh: bool
    budget_s: float


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        mutant: mutmut's name for it.
        killer: The test that failed.
        ran: How many tests ran.
        cpu_s: Seconds of a processor that they took.
        ended: Whether it came to an end; if not, it was killed, or ended by itself.
    """

    mutant: str
    killer: str | None
    ran: int
    cpu_s: float
    ended: bool = True


@dataclass
class Measured:
    """What one test does without a mutant.

    Attributes:
        seconds: How long it takes.
        functions: Those it runs that have mutants.
        restores: Whether it begins with a state of the mesh that a run of istio-mc has made.
        failure: Why it fails, if it does.
    """

    seconds: float = 0.0
    functions: list[str] = field(default_factory=list)
    restores: bool = False
    failure: str = ""


def _under_test(mutant: str) -> None:
    """Has calls go to a mutant; `stats`: has them noted; empty: to what was written."""
    trampoline.set_mutant_under_test(mutant)
    os.environ.pop("MUTANT_UNDER_TEST", None)  # it is looked at in the process too, which is quicker


def _used_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


class _Worker:
    """The plugin that runs the tests.

    Args:
        share: Of how many workers it is which: it looks at its share of the files of tests.
        orders: Where mutants are read from.
        answers: Where verdicts are written to.
    """

    def __init__(self, share: tuple[int, int], orders: TextIO, answers: TextIO) -> None:
        self._share = share
        self._orders = orders
        self._answers = answers
        self._failure = ""
        self._items: dict[str, pytest.Item] = {}
        self._restored = False
        self._built: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes that a test fails."""
        if report.failed and not self._failure:
            self._failure = report.longreprtext or "it fails"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All tests without a mutant, then the mutants."""
        self._items = {item.nodeid: item for item in session.items}
        self._watch_states()
        _under_test("stats")
        mesh = fixtures.mesh_of_process()
        self._send(
            {"tests": {name: asdict(one) for name, one in self._measure(self._of_share(session.items))}}
        )
        self._send({"built": sorted(self._built)})
        mesh.pause()
        _wait_for_threads()
        for line in self._orders:
            self._send(asdict(self._judge(Order(**json.loads(line)), mesh.resume)))
        return True

    def _send(self, what: dict[str, Any]) -> None:
        self._answers.write(json.dumps(what) + "\n")
        self._answers.flush()

    # --- without a mutant

    def _of_share(self, items: list[pytest.Item]) -> list[pytest.Item]:
        number, count = self._share
        files = list(dict.fromkeys(item.path for item in items))[number::count]
        return [item for item in items if item.path in files]

    def _measure(self, items: list[pytest.Item]) -> Iterator[tuple[str, Measured]]:
        for item, following in zip(items, [*items[1:], None], strict=True):
            seen = self._run(item, following)
            if seen.failure:  # once more: it may be the machine
                seen = self._run(item, following)
            yield item.nodeid, seen
        _under_test("")

    def _run(self, item: pytest.Item, following: pytest.Item | None) -> Measured:
        state()._stats.clear()  # noqa: SLF001 - mutmut has no other door
        self._failure, self._restored = "", False
        began = time.monotonic()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        hit = sorted(state()._stats)  # noqa: SLF001 - likewise
        return Measured(time.monotonic() - began, hit, self._restored, self._failure)

    def _watch_states(self) -> None:
        """Keeps apart what runs while a state is made, which is once for all tests."""
        made_once = fixtures.made_once

        def apart(make: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it gives
            self._restored = True
            hit = state()._stats  # noqa: SLF001 - likewise
            before = set(hit)
            result = make()
            self._built |= hit
            hit.clear()
            hit |= before
            return result

        for name in ("_installed", "_scripted"):
            kept = getattr(fixtures, name)
            setattr(fixtures, name, _watched(kept, apart))
        watched = lambda mesh, name, make: apart(lambda: made_once(mesh, name, make))  # noqa: E731 - one line
        for module in list(sys.modules.values()):
            if getattr(module, "made_once", None) is made_once:
                vars(module)["made_once"] = watched

    # --- with one

    def _judge(self, order: Order, resume: Callable[[], None]) -> Verdict:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            self._be(order, resume, writing)
        os.close(writing)
        try:
            return self._heard(order, reading)
        finally:
            os.close(reading)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    @staticmethod
    def _heard(order: Order, reading: int) -> Verdict:
        """A fork's verdict, or that it gave none."""
        data = b""
        while select.select([reading], [], [], _HANGS_S)[0]:
            piece = os.read(reading, 65536)
            if not piece:
                break
            data += piece
            if data.endswith(b"\n"):
                return Verdict(**json.loads(data.lstrip(_BEGINS)))
        return Verdict(order.mutant, None, len(data), 0.0, ended=False)

    def _be(self, order: Order, resume: Callable[[], None], writing: int) -> None:
        """The fork for a mutant: never returns."""
        os.setpgid(0, 0)
        code = 1
        try:
            resume()
            runs.DEADLINE_S = _DEADLINE_S
            if order.fresh:
                fixtures.forget_states()
            _under_test(order.mutant)
            os.write(writing, json.dumps(asdict(self._with_retries(order, writing))).encode() + b"\n")
            code = 0
        finally:
            os._exit(code)

    def _with_retries(self, order: Order, writing: int) -> Verdict:
        began, ran = _used_s(), 0
        chosen = [self._items[name] for name in order.tests]
        for item, following in zip(chosen, [*chosen[1:], None], strict=True):
            if _used_s() - began > order.budget_s:
                break
            ran += 1
            os.write(writing, _BEGINS)
            if self._run(item, following).failure:
                return Verdict(order.mutant, item.nodeid, ran, _used_s() - began)
        return Verdict(order.mutant, None, ran, _used_s() - began)


def _watched(kept: Any, apart: Callable[[Callable[[], Any]], Any]) -> Any:  # noqa: ANN401 - functools.cache has no type
    def watched() -> Any:  # noqa: ANN401 - likewise
        return apart(kept)

    vars(watched)["cache_clear"] = kept.cache_clear
    return watched


def _wait_for_threads(timeout_s: float = 20.0) -> None:
    """Waits until connections that were closed have let their threads go: a fork has none of them."""
    until = time.monotonic() + timeout_s
    while len([one for one in threading.enumerate() if one.name != "istioctl"]) > 1:
        if time.monotonic() > until:
            raise TimeoutError(f"still at work: {threading.enumerate()}")
        time.sleep(0.02)


def main() -> int:
    """Speaks on standard input and output; what the tests write there goes to standard error."""
    config()  # it is read from this folder, and runs work in others
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a device
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    # Of pyproject.toml's options, -ra is the terminal's.
    number, count, *given = sys.argv[1:]
    arguments = ["-p", "no:terminal", "-o", "addopts=--import-mode=importlib", *given]
    return int(pytest.main(arguments, plugins=[_Worker((int(number), int(count)), orders, answers)]))


if __name__ == "__main__":
    sys.exit(main())
