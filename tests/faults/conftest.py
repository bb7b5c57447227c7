"""The lab as the fault tests have it: a whole mesh with the sample on it, broken one way at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import lab, whole_network
from tests.e2e.harness import Site, clean, each, live_root
from tests.faults.harness import until_well

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["lab", "whole_network"]

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def whole_mesh(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Three clusters, one mesh, Cilium as it shall be, the sample in each; verify is green."""
    site = Site.at(tmp_path_factory.mktemp("faults"))
    if any(each(live_root).values()):
        clean()
    site.run("install", "-o", "json").exits(0)
    site.run("sample", "deploy").exits(0)
    until_well(site)
    return site


@pytest.fixture
def mesh(whole_mesh: Site, request: pytest.FixtureRequest) -> Iterator[Site]:
    """The mesh; where a test failed to mend it, it is mended for the next one."""
    failed = request.session.testsfailed
    yield whole_mesh
    # A test that passes ends with a verify that is green.
    if request.session.testsfailed > failed and whole_mesh.run("verify", "-o", "json").code != 0:
        whole_mesh.run("link", "--prune", "--yes")
        whole_mesh.run("install")
        whole_mesh.run("verify", "--wait", "60s", timeout_s=120)
