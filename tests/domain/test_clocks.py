"""A Date header tells how far a clock is ahead."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from istio_mc.domain.pki.chain import ahead_s

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Thu, 01 Jan 2026 12:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 12:05:00 GMT", 300.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", -3600.0),
    ],
)
def test_it_is_ahead_by_the_difference(header: str, seconds: float) -> None:
    assert ahead_s(header, NOW) == seconds


@pytest.mark.parametrize("header", [None, "", "today", "Thu, 01 Jan 2026 12:00:00"])
def test_a_date_without_a_zone_is_ignored(header: str | None) -> None:
    assert ahead_s(header, NOW) is None
