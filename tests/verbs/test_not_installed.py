"""verify of clusters without Istio: one error for each, which explains everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.mesh import Mesh


def test_a_cluster_without_istio_has_one_root_cause_with_the_install_that_repairs_it(mesh: Mesh) -> None:
    result = mesh.run("verify", "--contexts", "kt,ncloud,nhn", "-o", "json").exits(4)
    assert {code for code, _ in result.errors} == {"not-installed"}
    assert {one["hint"] for one in result.json["errors"]} == {"istio-mc install --contexts kt,ncloud,nhn"}


def test_a_cluster_that_has_not_joined_yet_is_named_alone(mesh: Mesh) -> None:
    mesh.run("install", "--contexts", "kt,ncloud").exits(0)
    result = mesh.run("verify", "--contexts", "kt,ncloud,nhn", "-o", "json").exits(4)
    assert ("not-installed", "nhn") in result.errors
