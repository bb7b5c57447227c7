"""The lab as the tests of a mesh's later life have it: taken over, left, taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import lab, mesh, site, whole_network

__all__ = ["lab", "mesh", "site", "whole_network"]

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)
