"""A run that is killed, wherever that is, is finished by the next one; and nothing is done twice."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.support.comparing import Compared, compared, differences
from tests.support.marks import in_thorough
from tests.support.mesh import remembering_mesh

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

ONE = ("install", "--contexts", "kt")
TWO = ("install", "--contexts", "kt,ncloud")
STEPS = (
    "PATCH .*/namespaces/istio-system$",
    "PATCH .*/secrets/cacerts$",
    "PATCH .*/deployments/istiod$",
    "PATCH .*/gateways/cross-network-gateway$",
)
"""A write of each step that comes after another; istiod's Deployment is first written ahead of istioctl."""

BY_ISTIOCTL = ("PATCH .*/deployments/istiod$", 2)

BESIDE = "PATCH .*/customresourcedefinitions/httproutes.gateway.networking.k8s.io$"
"""The Gateway API is installed while istiod starts."""

KILLED_AT = (
    *STEPS,
    BY_ISTIOCTL,
    "PATCH .*/customresourcedefinitions/gateways.networking.istio.io$",
    "PATCH .*/deployments/istio-ingressgateway$",
    "PUT .*/mutatingwebhookconfigurations/istio-sidecar-injector$",
    "PATCH .*/mutatingwebhookconfigurations/istio-revision-tag-default$",
    "PATCH .*/validatingwebhookconfigurations/istiod-default-validator$",
    "PATCH .*/customresourcedefinitions/gatewayclasses.gateway.networking.k8s.io$",
)
"""The last write of a run: for a step of many writes several of them."""

UNINSTALLED_AT = (
    "DELETE .*/deployments/istiod$",
    "DELETE .*/secrets/cacerts$",
    "DELETE .*/customresourcedefinitions/",
    "DELETE .*/namespaces/istio-system$",
)
_PARTS = 12
LINKED_AT = in_thorough("POST .*/secrets$", "PATCH .*/secrets/istio-remote-secret-ncloud-nks$")
"""The same, for what several clusters have to do with each other."""


def held(mesh: Mesh) -> dict[str, Compared]:
    mesh.settle()
    return {name: compared(one.store.everything().values()) for name, one in mesh.clusters.items()}


def unlike(before: dict[str, Compared], after: dict[str, Compared]) -> list[str]:
    return [line for name in before for line in differences(before[name], after[name])]


@cache
def whole(words: tuple[str, ...]) -> dict[str, Compared]:
    """What an install leaves that nothing has interrupted."""
    with remembering_mesh() as mesh:
        mesh.run(*words).exits(0)
        return held(mesh)


def test_an_install_killed_in_each_step_is_finished_by_the_last_run(mesh: Mesh) -> None:
    for write in STEPS:
        assert mesh.run(*ONE, dies_after=write).code == 1
    mesh.run(*ONE).exits(0)
    assert unlike(whole(ONE), held(mesh)) == []


@pytest.mark.parametrize("write", [BESIDE, *in_thorough(*KILLED_AT)])
def test_an_install_that_was_killed_is_finished_by_the_next(mesh: Mesh, write: str | tuple[str, int]) -> None:
    assert mesh.run(*ONE, dies_after=write).code == 1
    mesh.run(*ONE).exits(0)
    assert unlike(whole(ONE), held(mesh)) == []


@pytest.mark.parametrize("write", LINKED_AT)
def test_clusters_whose_linking_was_killed_are_linked_by_the_next_run(mesh: Mesh, write: str) -> None:
    assert mesh.run(*TWO, dies_after=write).code == 1
    mesh.run(*TWO).exits(0)
    assert unlike(whole(TWO), held(mesh)) == []


@pytest.mark.thorough
def test_the_run_after_the_next_finds_nothing_to_do(mesh: Mesh) -> None:
    mesh.run(*ONE, dies_after="PATCH .*/deployments/istiod$")
    mesh.run(*ONE).exits(0)
    before = mesh.writes
    mesh.run(*ONE).exits(0)
    assert mesh.writes == before


def of_istio(mesh: Mesh) -> list[object]:
    mesh.settle()
    return [key for one in mesh.clusters.values() for key in one.store.everything() if "istio" in str(key)]


@pytest.mark.thorough
def test_an_uninstall_killed_repeatedly_is_finished_by_the_last_run(installed: Mesh) -> None:
    for write in UNINSTALLED_AT:
        assert installed.run("uninstall", "--yes", "--contexts", "kt,ncloud,nhn", dies_after=write).code == 1
    installed.run("uninstall", "--yes", "--contexts", "kt,ncloud,nhn").exits(0)
    assert of_istio(installed) == []


@pytest.mark.parametrize("write", in_thorough(*UNINSTALLED_AT))
def test_an_uninstall_that_was_killed_is_finished_by_the_next(installed: Mesh, write: str) -> None:
    assert installed.run("uninstall", "--yes", dies_after=write).code == 1
    installed.run("uninstall", "--yes", "--contexts", "kt,ncloud,nhn").exits(0)
    assert of_istio(installed) == []


@pytest.mark.thorough
def test_the_next_run_finishes_a_killed_one_while_its_istioctl_still_runs(
    mesh: Mesh,
) -> None:
    running = mesh.start(*TWO, killed_after=("PATCH .*/deployments/istiod$", 3))  # two are ahead of istioctl
    assert running.wait().code == -9
    mesh.run(*TWO).exits(0)
    running.left_behind()
    assert unlike(whole(TWO), held(mesh)) == []


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(_PARTS))
def test_an_install_may_be_killed_after_any_write(mesh: Mesh, part: int) -> None:
    bare = mesh.state()
    before = mesh.writes
    mesh.run(*ONE).exits(0)
    for count in range(1 + part, mesh.writes - before, _PARTS):
        mesh.restore(bare)
        mesh.run(*ONE, dies_after=count)
        mesh.run(*ONE).exits(0)
        assert unlike(whole(ONE), held(mesh)) == [], f"killed after write {count}"
