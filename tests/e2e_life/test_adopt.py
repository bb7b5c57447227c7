"""A mesh that the published scripts installed is taken over as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import sides, steptool
from tests.e2e.harness import CLUSTER_IDS, SYSTEM, Site, clean, each, get
from tests.e2e_life.taken_over import ca_digest, digests, pods

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


Adopted = tuple[Site, dict[str, Any], dict[str, Any]]
"""Where it was taken over from, how it was before, and what adopt said."""


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a mesh installed by the scripts' sequence, from their first command to their last."""
    clean()
    folder = tmp_path_factory.mktemp("scripts")
    done = sides.scripts(folder, 0.0, steptool.gather())
    assert not done.faults
    (folder / "certs").chmod(
        0o700
    )  # the scripts leave it open to others, and a CA that is open signs nothing
    yield folder
    clean()


@pytest.fixture(scope="module")
def adopted(scripted: Path, tmp_path_factory: pytest.TempPathFactory) -> Adopted:
    site = Site.at(tmp_path_factory.mktemp("adopting"), certs=scripted / "certs")
    before = {
        "pods": each(pods),
        "cacerts": each(ca_digest),
        "certs": digests(scripted / "certs"),
    }
    return site, before, site.run("adopt", "-o", "json").exits(0).data


def test_every_cluster_becomes_a_member_under_the_ids_and_networks_it_has(
    adopted: Adopted,
) -> None:
    _, _, data = adopted
    for cluster in data["clusters"]:
        labels = get(cluster["name"], "namespace", SYSTEM, namespace=None)["metadata"]["labels"]
        assert labels["istio-mc/mesh-id"] == data["meshID"]
        assert labels["topology.istio.io/network"] == cluster["network"]
        assert cluster["clusterId"] == CLUSTER_IDS[cluster["name"]]


def test_no_pod_restarts_and_no_certificate_changes(adopted: Adopted, scripted: Path) -> None:
    _, before, _ = adopted
    assert each(pods) == before["pods"]
    assert each(ca_digest) == before["cacerts"]
    assert digests(scripted / "certs") == before["certs"]


def test_changes_of_an_install_are_reported_and_not_made(
    adopted: Adopted,
) -> None:
    _, _, data = adopted
    for cluster in data["clusters"]:
        pending = {step["name"]: step["reasons"] for step in cluster["pending"]}
        assert "cacerts" not in pending
        assert list(pending) == ["istio"]
        assert any("differences" in reason for reason in pending["istio"])


def test_an_install_finishes_the_takeover_under_the_same_root(
    adopted: Adopted,
) -> None:
    site, before, data = adopted
    installed = site.run("install", "-o", "json").exits(0).data
    assert installed["rootFingerprint"] == data["rootFingerprint"]
    assert each(ca_digest) == before["cacerts"]
    site.run("verify").exits(0)
    site.run("sample", "deploy").exits(0)
    site.run("sample", "test").exits(0)
