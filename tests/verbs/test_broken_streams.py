"""A port-forward that breaks on a busy cluster is no fault of the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.mesh import remembering_mesh

if TYPE_CHECKING:
    from tests.support.mesh import Mesh


def break_every(count: int, mesh: Mesh) -> None:
    """Has every so many-th port-forward of each cluster break, counted from now on."""
    for one in mesh.clusters.values():
        one.faults.breaks_every, one.faults.forwards = count, 0


@pytest.mark.thorough
def test_verify_of_a_mesh_whose_every_third_port_forward_breaks_ends_0(installed: Mesh) -> None:
    break_every(3, installed)  # each cluster has five, and two more for those that broke
    found = installed.run("verify", "-v").exits(0)
    assert [one.faults.forwards for one in installed.clusters.values()] == [7, 7, 7]
    assert found.stderr.count("tried once more") == 6


def test_verify_of_a_mesh_whose_every_port_forward_breaks_is_undecided(installed: Mesh) -> None:
    break_every(1, installed)
    found = installed.run("verify", "-o", "json").exits(4)
    assert {code for code, _ in found.errors} == {"stream-failed"}


@pytest.mark.timeout(400)
@pytest.mark.thorough
def test_verify_of_fifty_clusters_whose_every_third_port_forward_breaks_ends_0() -> None:
    contexts = [f"c{number}" for number in range(50)]
    with remembering_mesh(*contexts) as mesh:
        mesh.run("install", "--contexts", ",".join(contexts), "--timeout", "10m").exits(0)
        break_every(3, mesh)
        mesh.run("verify", "--timeout", "5m").exits(0)
        assert all(one.faults.forwards == 7 for one in mesh.clusters.values())
