"""The one loop that waits."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from istio_mc.gateways.host import parallel
from istio_mc.gateways.host.parallel import poll_rounds


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes by sleeping alone."""
    now = [100.0]
    passes = SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    monkeypatch.setattr(parallel, "time", passes)
    return now


def test_there_is_one_probe_after_an_expired_deadline(clock: list[float]) -> None:
    assert list(poll_rounds(clock[0] - 5, 1.0)) == [0.0]


def test_each_probe_gets_the_remaining_time(clock: list[float]) -> None:
    assert list(poll_rounds(clock[0] + 3.5, 1.0)) == [3.5, 2.5, 1.5, 0.5]


def test_nothing_sleeps_past_the_deadline(clock: list[float]) -> None:
    until = clock[0] + 3.0
    for _ in poll_rounds(until, 1.0):
        clock[0] += 0.7  # a look takes its time
    assert clock[0] <= until


def test_what_is_found_ends_the_wait_at_once() -> None:
    begun = time.monotonic()
    for _ in poll_rounds(begun + 60, 30.0):
        break
    assert time.monotonic() - begun < 15


def test_a_call_that_ended_elsewhere_is_not_probed_again() -> None:
    begun, ended = time.monotonic(), threading.Event()
    for left in poll_rounds(begun + 60, 30.0, ended):
        assert left > 0
        ended.set()
    assert time.monotonic() - begun < 15
