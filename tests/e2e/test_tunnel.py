"""An API server that this machine reaches by a tunnel: its address in the kubeconfig is for nobody else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.e2e.harness import SYSTEM, Site, get, kubectl, merged_kubeconfig, write_kubeconfig
from tests.support.connect_proxy import tunnel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "istio-remote-secret-kt-k2p"  # noqa: S105 - a name


@pytest.fixture
def tunnelled(mesh: Site, tmp_path: Path) -> Iterator[Site]:
    """The site, with kt's API server at a port of this machine, and no other way to it in the settings."""
    document = merged_kubeconfig()
    (entry,) = [each["cluster"] for each in document["clusters"] if each["name"] == "kt-k2p"]
    url = urlsplit(entry["server"])
    assert url.hostname
    assert url.port
    with tunnel(url.hostname, url.port) as port:
        entry |= {"server": f"https://127.0.0.1:{port}", "tls-server-name": "kubernetes"}
        yield replace(mesh, kubeconfig=write_kubeconfig(tmp_path / "kubeconfig", document))


def test_a_mesh_that_is_linked_keeps_the_address_it_is_linked_with(tunnelled: Site) -> None:
    before = get("nhn", "secret", SECRET)["metadata"]["resourceVersion"]

    again = tunnelled.run("install", "-o", "json").exits(0)

    assert {cluster["status"] for cluster in again.data["clusters"]} == {"unchanged"}
    assert get("nhn", "secret", SECRET)["metadata"]["resourceVersion"] == before


def test_without_links_it_is_refused_before_the_first_change_until_an_address_is_named(
    mesh: Site, tunnelled: Site
) -> None:
    for name in ("ncloud", "nhn"):
        kubectl(name, "delete", "secret", SECRET, "-n", SYSTEM)
    for line in (("install",), ("link",)):
        (error,) = tunnelled.run(*line, "-o", "json").exits(2).json["errors"]
        assert (error["code"], error["cluster"]) == ("api-server-for-us-only", "kt")
    assert get("nhn", "secret", SECRET) is None

    real = urlsplit(merged_kubeconfig()["clusters"][0]["cluster"]["server"]).netloc
    tunnelled.run("link", "--api-server", f"kt=https://{real}").exits(0)

    mesh.run("verify", "--wait", "30s").exits(0)
