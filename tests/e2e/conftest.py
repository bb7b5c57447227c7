"""The lab as the end-to-end tests have it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e import shared
from tests.e2e.harness import Site, set_cilium

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = f"{Path(__file__).parent}/"
_OF_THE_SHARED_MESH = {"mesh", "whole", "whole_mesh"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if str(item.path).startswith(_HERE):
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session", autouse=True)
def lab() -> Iterator[None]:
    """The lab, up and without faults, before and after."""
    shared.lab_is_up()
    set_cilium()
    yield
    shared.heal()


@pytest.fixture(autouse=True)
def whole_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a cluster cut off; one that failed does not leave a broken mesh either."""
    failed = request.session.testsfailed
    yield
    shared.heal()
    if request.session.testsfailed > failed and _OF_THE_SHARED_MESH & set(request.fixturenames):
        shared.repair(shared.shared_site())


@pytest.fixture(scope="session")
def site() -> Site:
    """The folder that most tests run istio-mc from."""
    return shared.shared_site()


@pytest.fixture(scope="session")
def mesh(site: Site) -> Site:
    """The three clusters, joined into one mesh under the site's CA; each test leaves it so."""
    shared.make_whole(site)
    return site


@pytest.fixture(scope="module")
def with_sample(mesh: Site) -> Site:
    """The shared mesh with the sample in it, as every version answers."""
    mesh.run("sample", "deploy").exits(0)
    mesh.run("sample", "test").exits(0)
    return mesh
