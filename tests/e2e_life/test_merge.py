"""Two meshes with different roots come under one, on three real clusters: no request fails meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import CONTEXTS, Site, clean, live_root
from tests.e2e_life.test_keys import done, without_a_failed_request

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST, SECOND = "kt,ncloud", "nhn"
ALL = ",".join(CONTEXTS)
CLUSTERS = [
    {"context": "kt", "gatewayAddress": "198.18.0.21", "network": "network1"},
    {"context": "ncloud", "network": "network2"},
    {"context": "nhn", "network": "network3"},
]
"""Networks are named: two installs would each begin with the first."""
VERSIONS = {"kt": {"v1", "v2"}, "ncloud": {"v1", "v2"}, "nhn": {"v1"}}
"""Those of its own mesh respond to each cluster."""


@pytest.fixture(scope="module")
def two_meshes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """kt and ncloud under the root of the folder, nhn under that of another folder; a sample in each mesh."""
    clean()
    made = Site.at(tmp_path_factory.mktemp("merge") / "site", clusters=CLUSTERS)
    other = str(made.folder / "other-certs")
    made.run("install", "--contexts", FIRST, "--timeout", "170s", timeout_s=180).exits(0)
    made.run("install", "--contexts", SECOND, "--certs-dir", other, "--timeout", "170s", timeout_s=180).exits(
        0
    )
    for contexts in (FIRST, SECOND):
        made.run("sample", "deploy", "--contexts", contexts).exits(0)
        made.run("sample", "test", "--contexts", contexts).exits(0)
    yield made
    clean()


def test_two_roots_are_merged_without_a_failed_request(two_meshes: Site) -> None:
    before = {name: live_root(name) for name in CONTEXTS}
    assert before["kt"] == before["ncloud"] != before["nhn"]
    with without_a_failed_request("ca rotate --merge", versions=VERSIONS):
        done(two_meshes.run("ca", "rotate", "--merge", "--contexts", ALL, "--canary", "nhn", timeout_s=350))
    assert {live_root(name) for name in CONTEXTS} == {two_meshes.root}


def test_the_merged_clusters_become_one_mesh(two_meshes: Site) -> None:
    two_meshes.run("install", "--contexts", ALL, "--timeout", "170s", timeout_s=180).exits(0)
    two_meshes.run("sample", "deploy", "--contexts", ALL).exits(0)
    two_meshes.run("sample", "test", "--contexts", ALL).exits(0)
    two_meshes.run("verify", "--contexts", ALL, "--wait", "30s").exits(0)
