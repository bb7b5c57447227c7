"""The lab as the fault tests have it: the shared mesh with the sample on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e import shared
from tests.e2e.conftest import lab, site, whole_network
from tests.faults.harness import until_well

if TYPE_CHECKING:
    from tests.e2e.harness import Site

__all__ = ["lab", "site", "whole_network"]

_HERE = f"{Path(__file__).parent}/"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if str(item.path).startswith(_HERE):
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def mesh(site: Site) -> Site:
    """Three clusters, one mesh, the sample in each; verify is green before and after each test."""
    shared.make_whole(site)
    site.run("sample", "deploy").exits(0)
    until_well(site)
    return site
