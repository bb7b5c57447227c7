"""How often tokens that expire are renewed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from istio_mc.domain.links.renewal import schedule
from istio_mc.domain.text import duration


@pytest.mark.parametrize(
    ("lifetime", "when"),
    [
        (timedelta(days=90), "0 3 1 * *"),
        (timedelta(days=61), "0 3 * * 1"),
        (timedelta(days=13), "0 3 * * *"),
        (timedelta(days=2), "0 3 * * *"),
        (timedelta(hours=24), "0 */12 * * *"),
        (timedelta(hours=12), "0 */6 * * *"),
        (timedelta(hours=1), "0 * * * *"),
    ],
)
def test_it_is_renewed_at_least_twice_in_its_life_where_hours_allow_it(
    lifetime: timedelta, when: str
) -> None:
    assert schedule(lifetime) == when


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (timedelta(days=90), "90 days"),
        (timedelta(days=1), "24 hours"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=10), "10 minutes"),
    ],
)
def test_a_length_of_time_is_shown_in_its_largest_fitting_unit(time: timedelta, text: str) -> None:
    assert duration(time) == text
