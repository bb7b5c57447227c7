"""What a step waits for is reported once, and again while it lasts."""

from __future__ import annotations

import time

import pytest

from istio_mc.domain.events import Event, State
from istio_mc.ops.session.wait_report import REMIND_S, WaitReport


class Reported:
    """A report of waits, and what it reported; time passes as it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[Event] = []
        self._now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self._now)
        self._report = WaitReport(self.events.append, "kt", "sample")

    def after(self, seconds: float, text: str, left_s: float = 540.0, remedy: str = "") -> None:
        """Waits, and reports."""
        self._now += seconds
        self._report(text, left_s, remedy)

    @property
    def texts(self) -> list[str]:
        return [event.detail for event in self.events]


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> Reported:
    return Reported(monkeypatch)


def test_a_new_reason_is_reported_at_once(reported: Reported) -> None:
    reported.after(0, "for pods")
    reported.after(0.5, "for a namespace")
    assert reported.events == [
        Event("kt", "sample", State.WAITING, "for pods"),
        Event("kt", "sample", State.WAITING, "for a namespace"),
    ]


def test_the_same_reason_is_not_reported_again_a_moment_later(reported: Reported) -> None:
    reported.after(0, "for pods")
    reported.after(REMIND_S - 0.5, "for pods")
    assert reported.texts == ["for pods"]


def test_a_reason_that_lasts_is_reported_again_and_again_with_the_seconds_left(reported: Reported) -> None:
    reported.after(0, "for pods", 600)
    reported.after(REMIND_S, "for pods", 570)
    reported.after(REMIND_S, "for pods", 540)
    assert reported.texts == ["for pods", "for pods; 570 s left", "for pods; 540 s left"]


def test_what_helps_is_reported_only_where_the_wait_lasts(reported: Reported) -> None:
    reported.after(0, "for an address", 600, "set one")
    reported.after(REMIND_S, "for an address", 570, "set one")
    assert reported.texts == ["for an address", "for an address; 570 s left; set one"]
