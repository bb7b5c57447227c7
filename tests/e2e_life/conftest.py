"""The lab as the tests of a mesh's later life have it: taken over, left, taken away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import lab, mesh, site, whole_network, with_sample

__all__ = ["lab", "mesh", "site", "whole_network", "with_sample"]

_HERE = f"{Path(__file__).parent}/"


_BY_HAND = ["test_upgrade_phases.py", "test_keys_phases.py", "test_merge.py", "test_own_root.py"]
"""What `make lab-phases` alone runs."""

collect_ignore = [] if "LAB_PHASES" in os.environ else _BY_HAND
if "LAB_ROLE_ISTIO" not in os.environ:
    collect_ignore = [*collect_ignore, "test_adopt_role.py"]  # make lab-adopt

# The shared mesh comes first, also where its keys change; its end leaves empty clusters, as the others want
# them.
_ORDER = (
    "test_leaving.py",
    "test_keys.py",
    "test_keys_phases.py",
    "test_own_root.py",
    "test_uninstall.py",
    "test_stand_in.py",
    "test_adopt.py",
    "test_adopt_role.py",
    "test_merge.py",
    "test_upgrade.py",
    "test_upgrade_phases.py",
    "test_versions.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if str(item.path).startswith(_HERE)]
    for item in ours:
        item.add_marker(pytest.mark.lab)
    others = [item for item in items if not str(item.path).startswith(_HERE)]
    items[:] = others + sorted(ours, key=lambda item: _ORDER.index(item.path.name))
