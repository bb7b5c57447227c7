"""The lab as the tests of the guide's other steps have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import health
from tests.e2e.harness import Site, clean, set_cilium

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session", autouse=True)
def guide_lab() -> None:
    """The lab, up."""
    if found := health.faults():
        pytest.fail(
            f"the lab's clusters are not all up ({'; '.join(found)}): run `make lab-up` first", pytrace=False
        )
    set_cilium()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The three clusters as one mesh, under a CA of this module's own, every gateway with its address."""
    site = Site.at(tmp_path_factory.mktemp("guide"))
    clean()
    site.run("install", "-o", "json").exits(0)
    return site
