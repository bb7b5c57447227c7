"""Parameters of tests that `make test` runs and `make check` does not: they repeat what the others show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet


def in_thorough(*values: object) -> list[ParameterSet]:
    """Parameters for `make test` alone."""
    return [pytest.param(value, marks=pytest.mark.thorough) for value in values]
