"""adopt: a mesh that K-PaaS's Ansible role installed is taken over; links of clusters to themselves go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mesh import remembering_mesh
from tests.support.scripts import ALLOCATE, ROLE, run_scripts
from tests.support.snapshots import changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.mesh import Mesh, State

NAMES = ("cluster1", "cluster2", "cluster3")
ALL = ",".join(NAMES)
SYSTEM = "istio-system"


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[Mesh, State]]:
    """Three clusters, each called as its context, as the role leaves them; certificates are under home."""
    with remembering_mesh(*NAMES) as mesh:
        run_scripts(mesh, habits=ROLE)
        yield mesh, mesh.state()


@pytest.fixture
def role(made: tuple[Mesh, State]) -> Mesh:
    mesh, state = made
    mesh.restore(state)
    return mesh


def adopt(mesh: Mesh, *words: str) -> dict[str, Any]:
    """Takes it over, and returns what was reported of each cluster."""
    options = ("--contexts", ALL, "--certs-dir", str(mesh.certs), "-o", "json")
    data = mesh.run("adopt", *options, *words).exits(0).data
    return {one["name"]: one for one in data["clusters"]}


def remote_secrets(mesh: Mesh) -> dict[str, list[str]]:
    """For which clusters each has a remote secret."""
    prefix = "istio-remote-secret-"
    return {
        name: sorted(
            found.removeprefix(prefix) for found in one.names("Secret", SYSTEM) if found.startswith(prefix)
        )
        for name, one in mesh.clusters.items()
    }


def warnings(mesh: Mesh, *checks: str) -> list[tuple[str, str]]:
    words = [word for check in checks for word in ("--only", check)]
    found = mesh.run("verify", *words, "-o", "json").exits(0).json["messages"]
    return [(one["code"], one["cluster"]) for one in found]


def test_every_cluster_becomes_a_member_and_nothing_but_labels_changes(role: Mesh) -> None:
    before = role.snapshots()
    found = adopt(role)
    assert {name: (one["clusterId"], one["network"]) for name, one in found.items()} == {
        name: (name, f"network{number}") for number, name in enumerate(NAMES, 1)
    }
    after = role.snapshots()
    for name in NAMES:
        assert changed(before[name], after[name]) == [f"Namespace {SYSTEM}"]


def test_a_network_label_that_failed_is_that_of_the_gateway(role: Mesh) -> None:
    namespace = role["cluster2"].get("Namespace", SYSTEM)
    role["cluster2"].edit(namespace, lambda item: item["metadata"]["labels"].pop("topology.istio.io/network"))
    assert adopt(role)["cluster2"]["network"] == "network2"
    labels = role["cluster2"].get("Namespace", SYSTEM)["metadata"]["labels"]
    assert labels["topology.istio.io/network"] == "network2"


def test_a_link_that_failed_is_reported_and_an_install_makes_it(role: Mesh) -> None:
    one = role["cluster1"]
    one.delete(one.get("Secret", "istio-remote-secret-cluster3", SYSTEM))
    pending = {step["name"]: step["reasons"] for step in adopt(role)["cluster1"]["pending"]}
    assert pending["link"] == [f"Secret {SYSTEM}/istio-remote-secret-cluster3 is missing"]
    role.run("install", "--contexts", ALL).exits(0)
    assert "cluster3" in remote_secrets(role)["cluster1"]


def test_a_remote_secret_for_itself_is_reported(role: Mesh) -> None:
    adopt(role)
    assert warnings(role, "link.own", "link.members") == [("remote-secret-of-itself", name) for name in NAMES]


def test_it_is_pruned_and_those_for_the_others_stay(role: Mesh) -> None:
    adopt(role)
    role.run("link", "--prune", "--yes").exits(0)
    assert remote_secrets(role) == {name: [one for one in NAMES if one != name] for name in NAMES}
    assert warnings(role, "link.own", "link.secret", "link.synced") == []


def test_a_dry_run_shows_that_an_install_without_them_drops_it(role: Mesh) -> None:
    pending = {step["name"]: step["reasons"] for step in adopt(role, "--dry-run")["cluster1"]["pending"]}
    assert ALLOCATE in str(pending["istio"])


@pytest.mark.thorough
def test_an_uninstall_leaves_no_remote_secret(role: Mesh) -> None:
    adopt(role)
    role.run("uninstall", "--yes").exits(0)
    assert not any(remote_secrets(role).values())
