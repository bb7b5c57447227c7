"""The lab as the end-to-end tests have it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import faults, health
from tests.e2e.harness import CONTEXTS, Site, clean, each, live_root, set_cilium

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent

# The state of the clusters flows from file to file: what begins with empty clusters comes first and last,
# what looks at a whole mesh shares one in between.
_ORDER = ("test_killed.py", "test_cut_off.py", "test_plugins.py")
_LAST = ("test_sticky.py",)


def _place(item: pytest.Item) -> int:
    name = item.path.name
    if name in _ORDER:
        return _ORDER.index(name)
    return len(_ORDER) + 1 if name in _LAST else len(_ORDER)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if _HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.lab)
    others = [item for item in items if _HERE not in item.path.parents]
    items[:] = others + sorted(ours, key=_place)


@pytest.fixture(scope="session", autouse=True)
def lab() -> Iterator[None]:
    """The lab, up and without faults, before and after."""
    if found := health.faults():
        pytest.fail(
            f"the lab's clusters are not all up ({'; '.join(found)}): run `make lab-up` first", pytrace=False
        )
    _mend()
    set_cilium()
    yield
    _mend()


@pytest.fixture(autouse=True)
def whole_network() -> Iterator[None]:
    """No test leaves a cluster cut off."""
    yield
    _mend()


def _mend() -> None:
    for name in CONTEXTS:
        faults.heal(name)
        faults.undrop(name)
        faults.unswallow(name)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The folder that most tests run istio-mc from."""
    return Site.at(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def mesh(site: Site) -> Site:
    """The three clusters, joined into one mesh under the site's CA."""
    foreign = [name for name, root in each(live_root).items() if root not in (None, site.root)]
    if foreign:
        clean()
    site.run("install", "-o", "json").exits(0)
    return site
