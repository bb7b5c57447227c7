"""The one loop that waits."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from istio_mc.gateways.host import parallel
from istio_mc.gateways.host.parallel import looks


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes by sleeping alone."""
    now = [100.0]
    passes = SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    monkeypatch.setattr(parallel, "time", passes)
    return now


def test_there_is_a_look_where_time_is_over_already(clock: list[float]) -> None:
    assert list(looks(clock[0] - 5, 1.0)) == [0.0]


def test_each_look_knows_how_much_time_is_left(clock: list[float]) -> None:
    assert list(looks(clock[0] + 3.5, 1.0)) == [3.5, 2.5, 1.5, 0.5]


def test_nothing_sleeps_past_the_deadline(clock: list[float]) -> None:
    until = clock[0] + 3.0
    for _ in looks(until, 1.0):
        clock[0] += 0.7  # a look takes its time
    assert clock[0] <= until


def test_what_is_found_ends_the_wait_at_once() -> None:
    begun = time.monotonic()
    for _ in looks(begun + 60, 30.0):
        break
    assert time.monotonic() - begun < 15


def test_what_is_ended_elsewhere_is_not_looked_at_again() -> None:
    begun, ended = time.monotonic(), threading.Event()
    for left in looks(begun + 60, 30.0, ended):
        assert left > 0
        ended.set()
    assert time.monotonic() - begun < 15
