"""A run that is killed, wherever that is, is finished by the next one; and nothing is done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import remembering_mesh
from tests.support.comparing import Compared, compared, differences

if TYPE_CHECKING:
    from tests.support import Mesh

INSTALL = ("install", "--contexts", "kt,ncloud")
KILLED_AT = [
    "PATCH .*/namespaces/istio-system$",
    "PATCH .*/secrets/cacerts$",
    "PATCH .*/customresourcedefinitions/gateways.networking.istio.io$",
    "PATCH .*/deployments/istiod$",
    "PATCH .*/deployments/istio-ingressgateway$",
    "PUT .*/mutatingwebhookconfigurations/istio-sidecar-injector$",
    "PATCH .*/mutatingwebhookconfigurations/istio-revision-tag-default$",
    "PATCH .*/validatingwebhookconfigurations/istiod-default-validator$",
    "PATCH .*/gateways/cross-network-gateway$",
    "PATCH .*/customresourcedefinitions/httproutes.gateway.networking.k8s.io$",
    "PATCH .*/customresourcedefinitions/gatewayclasses.gateway.networking.k8s.io$",
    "POST .*/secrets$",
    "PATCH .*/secrets/istio-remote-secret-.*",
]
"""The last write of a run: one for each step of an install, and several for those of many writes."""


def held(mesh: Mesh) -> dict[str, Compared]:
    mesh.settle()
    return {name: compared(one.store.everything().values()) for name, one in mesh.clusters.items()}


def unlike(before: dict[str, Compared], after: dict[str, Compared]) -> list[str]:
    return [line for name in before for line in differences(before[name], after[name])]


@pytest.mark.parametrize("write", KILLED_AT)
def test_an_install_that_was_killed_is_finished_by_the_next(
    mesh: Mesh, whole: dict[str, Compared], write: str
) -> None:
    assert mesh.run(*INSTALL, dies_after=write).code == 1
    mesh.run(*INSTALL).exits(0)
    assert unlike(whole, held(mesh)) == []


@pytest.fixture(scope="module")
def whole() -> dict[str, Compared]:
    """What an install leaves that nothing has interrupted."""
    with remembering_mesh() as mesh:
        mesh.run(*INSTALL).exits(0)
        return held(mesh)


def test_the_run_after_the_next_finds_nothing_to_do(mesh: Mesh) -> None:
    mesh.run(*INSTALL, dies_after="PATCH .*/deployments/istiod$")
    mesh.run(*INSTALL).exits(0)
    before = mesh.writes
    mesh.run(*INSTALL).exits(0)
    assert mesh.writes == before


@pytest.mark.parametrize(
    "write",
    [
        "DELETE .*/deployments/istiod$",
        "DELETE .*/secrets/cacerts$",
        "DELETE .*/customresourcedefinitions/",
        "DELETE .*/namespaces/istio-system$",
    ],
)
def test_an_uninstall_that_was_killed_is_finished_by_the_next(installed: Mesh, write: str) -> None:
    assert installed.run("uninstall", "--yes", dies_after=write).code == 1
    installed.run("uninstall", "--yes", "--contexts", "kt,ncloud,nhn").exits(0)
    installed.settle()
    left = [
        key for one in installed.clusters.values() for key in one.store.everything() if "istio" in str(key)
    ]
    assert left == []


@pytest.mark.thorough
def test_a_process_that_is_killed_is_finished_by_the_next_beside_the_istioctl_that_goes_on(
    mesh: Mesh, whole: dict[str, Compared]
) -> None:
    running = mesh.start(*INSTALL, killed_after="PATCH .*/deployments/istiod$")
    assert running.wait().code == -9
    mesh.run(*INSTALL).exits(0)
    running.left_behind()
    assert unlike(whole, held(mesh)) == []


@pytest.mark.thorough
def test_an_install_may_be_killed_after_any_write(mesh: Mesh, whole: dict[str, Compared]) -> None:
    bare = mesh.state()
    before = mesh.writes
    mesh.run(*INSTALL).exits(0)
    for count in range(1, mesh.writes - before):
        mesh.restore(bare)
        mesh.run(*INSTALL, dies_after=count)
        mesh.run(*INSTALL).exits(0)
        assert unlike(whole, held(mesh)) == [], f"killed after write {count}"
