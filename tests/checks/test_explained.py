"""Every check is told in words: what it sees, why it usually fails, and what mends that."""

from __future__ import annotations

import pytest

from istio_mc.checks.catalogue import EVERY, PREFLIGHT
from istio_mc.checks.explained import EXPLAINED, Explained

IDS = {check.id for check in (*EVERY, *PREFLIGHT)}


def test_each_check_is_told_and_nothing_else_is() -> None:
    assert set(EXPLAINED) == IDS


@pytest.mark.parametrize(("check_id", "told"), EXPLAINED.items(), ids=list(EXPLAINED))
def test_each_part_is_a_clause_that_fits_into_a_sentence(check_id: str, told: Explained) -> None:
    assert check_id
    for part in told:
        assert part
        assert part == part.strip().rstrip(".")
