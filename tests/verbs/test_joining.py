"""install: what each cluster gets where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
THREE = "kt,ncloud,nhn"
GATEWAYS = "gateways.gateway.networking.k8s.io"
OURS = ("app.kubernetes.io/managed-by", "istio-mc")


@pytest.mark.thorough
def test_a_joining_cluster_gets_the_gateway_api_and_existing_ones_stay_unchanged(mesh: Mesh) -> None:
    mesh.run("install", "--contexts", "kt").exits(0)
    before = mesh["kt"].get("CustomResourceDefinition", GATEWAYS)
    mesh.run("install", "--contexts", "kt,nhn").exits(0)
    crd = mesh["nhn"].get("CustomResourceDefinition", GATEWAYS)
    assert OURS in crd["metadata"]["labels"].items()
    assert mesh["kt"].get("CustomResourceDefinition", GATEWAYS) == before


def test_the_gateway_api_is_not_installed_where_mesh_yaml_disables_it(mesh: Mesh) -> None:
    mesh.settings(gatewayAPI={"install": False})
    data = mesh.run("install", "--contexts", "kt", "-o", "json").exits(0).data
    assert "gateway-api" not in [step["name"] for step in data["clusters"][0]["steps"]]
    assert not mesh["kt"].has("CustomResourceDefinition", GATEWAYS)
    assert mesh["kt"].has("Deployment", "istiod", SYSTEM)


def test_a_dry_run_names_the_services_that_the_mesh_merges(installed: Mesh) -> None:
    for name in ("kt", "nhn"):
        installed[name].deploy("reviews", "shop")
    installed.settle()
    data = installed.run("install", "--contexts", THREE, "--dry-run", "-o", "json").exits(0).data
    assert [(one["namespace"], one["name"]) for one in data["mergedServices"]] == [("shop", "reviews")]
