"""istiod's debug endpoints: since 1.29 (1.27.6, 1.28.4) they ask callers from other pods for a right.

Calls through a port-forward come from the pod's own localhost, and are asked for none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.mesh import Mesh


@pytest.mark.thorough
def test_istiods_and_proxies_are_called_through_port_forwards_alone(installed: Mesh) -> None:
    installed.run("verify")
    installed.run("status")
    installed.run("bundle", "--file", "bundle.tar.gz")
    for one in installed.clusters.values():
        paths = [request.path for request in one.faults.requests]
        assert any(path.endswith("/portforward") for path in paths)
        assert not any("/proxy" in path and "/pods/" in path for path in paths)
