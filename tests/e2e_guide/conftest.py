"""The lab as the tests of the guide's other steps have it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e import shared
from tests.e2e.conftest import lab, site, whole_network

if TYPE_CHECKING:
    from tests.e2e.harness import Site

__all__ = ["lab", "site", "whole_network"]

_HERE = f"{Path(__file__).parent}/"
_FIRST = ("test_guide.py", "test_addons.py")
"""The road to a mesh, which the others then use; and the add-ons that it installed, removed again."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if str(item.path).startswith(_HERE)]
    for item in ours:
        item.add_marker(pytest.mark.lab)
    others = [item for item in items if not str(item.path).startswith(_HERE)]
    order = {name: place for place, name in enumerate(_FIRST)}
    items[:] = others + sorted(ours, key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def whole(site: Site) -> Site:
    """The three clusters as one mesh, every gateway with its address."""
    shared.make_whole(site)
    return site
