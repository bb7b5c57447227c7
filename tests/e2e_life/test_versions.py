"""The oldest Istio version that the lab has: one whole life of a mesh with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lab import settings
from tests.e2e.harness import CONTEXTS, Site, clean, each, get, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator


LIVES = tuple(os.environ.get("LAB_LIVES", "").split()) or settings.ISTIO[-1:]
"""Istio versions to live with: the oldest; LAB_LIVES names others, for a lab that was brought up with these.

test_upgrade.py begins with the one between.
"""


@pytest.fixture(scope="module", params=LIVES, name="other")
def site_of_another_version(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A site whose mesh.yaml names another Istio than the lab's own, with that one's istioctl."""
    clean()
    yield Site.at(tmp_path_factory.mktemp("other"), istio=request.param)
    clean()


def test_a_mesh_of_this_version_works_stays_unchanged_and_is_removed_completely(other: Site) -> None:
    version = other.settings["istio"]["version"]
    other.run("install", "-o", "json").exits(0)
    for context in CONTEXTS:
        (container,) = get(context, "deployment", "istiod")["spec"]["template"]["spec"]["containers"]
        assert container["image"] == f"docker.io/istio/pilot:{version}"
    other.run("verify", "-o", "json").exits(0)
    other.run("sample", "deploy").exits(0)
    tested = other.run("sample", "test", "-o", "json").exits(0)
    assert all(len(found["responses"]) == len(CONTEXTS) for found in tested.data["clusters"])
    assert "Nothing to change" in other.run("install").exits(0).stdout
    other.run("uninstall", "--yes").exits(0)
    assert each(_istios) == dict.fromkeys(CONTEXTS, "")


def _istios(context: str) -> str:
    """What is left of Istio in a cluster."""
    kinds = (
        "namespaces,crd,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,"
        "validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings,configmaps"
    )
    listed = kubectl(context, "get", kinds, "-A", "-o", "name").split()
    ours = "configmap/istio-mc-cilium-backup"
    kept = (name for name in listed if name != ours)
    return " ".join(name for name in kept if "istio" in name or "gateway.networking.k8s.io" in name)
