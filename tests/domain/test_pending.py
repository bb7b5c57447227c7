"""A gate that a cluster has not passed, as its ConfigMap keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from istio_mc.domain.upgrade import pending
from istio_mc.domain.upgrade.pending import FailedChecks, Pending, document_of, read_pending

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FEW = [("gateway.address", "kt"), ("gateway.address", "nhn")]
MANY = [("data-path.deep", f"c{number}") for number in range(5)]


def kept(*failed: tuple[str, str]) -> FailedChecks:
    """What a ConfigMap has of failed checks."""
    found = read_pending(document_of("upgrade", Pending(FailedChecks(frozenset(failed)), NOW, "sign")), NOW)
    assert found
    assert (found.at, found.step) == (NOW, "sign")
    return found.failed


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "_MOST_FAILED", 3)


def test_what_failed_is_kept_with_its_targets() -> None:
    assert kept(*FEW) == FailedChecks(frozenset(FEW))


def test_another_target_of_a_check_that_failed_is_new() -> None:
    assert kept(*FEW).beyond([*FEW, ("gateway.address", "ncloud")]) == {("gateway.address", "ncloud")}


def test_what_there_is_no_room_for_is_not_new_in_the_next_run() -> None:
    assert kept(*FEW, *MANY).beyond([*FEW, *MANY]) == frozenset()


def test_of_too_many_targets_more_than_before_are_new() -> None:
    more = ("data-path.deep", "c9")
    assert more in kept(*FEW, *MANY).beyond([*FEW, *MANY, more])


def test_the_targets_of_the_other_checks_are_still_compared() -> None:
    other = ("gateway.address", "ncloud")
    assert kept(*FEW, *MANY).beyond([other, *MANY]) == {other}


def test_what_was_shortened_stays_so_in_the_next_run() -> None:
    first = kept(*FEW, *MANY)
    again = read_pending(document_of("upgrade", Pending(first, NOW)), NOW)
    assert again
    assert again.failed == first
    assert len(first) == len(FEW) + len(MANY)


def test_a_gate_of_a_week_ago_does_not_count() -> None:
    document = document_of("upgrade", Pending(FailedChecks(), NOW))
    assert read_pending(document, NOW + timedelta(days=7, seconds=1)) is None


@pytest.mark.parametrize("change", [{"counts": "[1]"}, {"failed": "{"}, {"failed": "[1]"}, {"at": "now"}])
def test_a_gate_that_cannot_be_read_does_not_count(change: dict[str, str]) -> None:
    document = document_of("upgrade", Pending(FailedChecks(), NOW))
    document["data"] |= change
    assert read_pending(document, NOW) is None
