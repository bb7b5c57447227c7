"""A mesh that K-PaaS's Ansible role installed is taken over as it is, and finished by an install."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmarks import documents, steptool
from lab import settings
from tests.e2e.harness import SYSTEM, Site, clean, each, environment, get, write_kubeconfig
from tests.e2e_life.taken_over import ca_digest, digests, pods
from tests.support.scripts import ALLOCATE

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = Path(__file__).with_name("role.sh")
CLUSTERS = {"cluster1": "ncloud", "cluster2": "nhn"}
"""What the role calls each of the lab's clusters: context and cluster alike."""

ISTIO = os.environ.get("LAB_ROLE_ISTIO", "")
"""Another Istio of the lab than its main one."""

_DEADLINE_S = 300
_KEEPS = {"meshConfig": {"defaultConfig": {"proxyMetadata": {ALLOCATE: "true"}}}}
"""What mesh.yaml has for an install that leaves the role's setting."""


def kubeconfig(path: Path) -> str:
    """A file in which contexts and clusters have the role's names."""
    merged: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [],
        "users": [],
        "contexts": [],
    }
    for name, real in CLUSTERS.items():
        own = yaml.safe_load(settings.find(real).kubeconfig.read_text(encoding="utf-8"))
        merged["clusters"].append({"name": name, "cluster": own["clusters"][0]["cluster"]})
        merged["users"].append({"name": name, "user": own["users"][0]["user"]})
        merged["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    return write_kubeconfig(path, merged)


def write_documents(folder: Path, home: Path) -> str:
    """The role's IstioOperators, with the lab's values; the file with the CRDs of the Gateway API."""
    mesh = documents.settings_of(yaml.safe_load((home / "mesh.yaml").read_text(encoding="utf-8")))
    folder.mkdir()
    for number, name in enumerate(CLUSTERS, 1):
        control_plane = documents.control_plane(mesh, name, f"network{number}")
        both = {
            "control-plane": documents.laid_over(control_plane, {"spec": _KEEPS}),
            "gateway": documents.gateway(mesh, name, f"network{number}"),
        }
        for kind, document in both.items():
            (folder / f"{name}-{kind}.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    (folder / "expose.yaml").write_text(yaml.safe_dump(documents.expose()), encoding="utf-8")
    return mesh.gateway_api


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home directory after the role has run, with its certificates."""
    clean()
    folder = tmp_path_factory.mktemp("home")
    istio = settings.istio_home(ISTIO) if ISTIO else settings.STATE
    gateway_api = write_documents(folder / "documents", istio)
    more = {
        "HOME": str(folder),
        "KUBECONFIG": kubeconfig(folder / "config"),
        "STEP": str(steptool.gather()),
        "PATH": f"{istio / 'bin'}{os.pathsep}{environment()['PATH']}",
    }
    words = ["bash", str(ROLE), str(folder / "documents"), gateway_api, *CLUSTERS]
    subprocess.run(words, env=environment(**more), timeout=_DEADLINE_S, capture_output=True, check=True)
    (folder / "certs").chmod(0o700)
    yield folder
    clean()


@pytest.fixture(scope="module")
def site(home: Path) -> Site:
    """A folder with a mesh.yaml that names both clusters and nothing that the role set."""
    clusters = [{"context": name} for name in CLUSTERS]
    return Site.at(
        home / "site", kubeconfig=str(home / "config"), certs=home / "certs", istio=ISTIO, clusters=clusters
    )


Adopted = tuple[dict[str, Any], dict[str, Any]]
"""How it was before, and what adopt reported of each cluster."""


@pytest.fixture(scope="module")
def adopted(site: Site, home: Path) -> Adopted:
    real = CLUSTERS.values()
    before = {"pods": each(pods, real), "cacerts": each(ca_digest, real), "certs": digests(home / "certs")}
    data = site.run("adopt", "-o", "json").exits(0).data
    return before, {one["name"]: one for one in data["clusters"]}


def test_both_become_members_under_the_names_and_networks_that_they_have(adopted: Adopted) -> None:
    _, found = adopted
    assert {name: (one["clusterId"], one["network"]) for name, one in found.items()} == {
        name: (name, f"network{number}") for number, name in enumerate(CLUSTERS, 1)
    }
    for real in CLUSTERS.values():
        labels = get(real, "namespace", SYSTEM, namespace=None)["metadata"]["labels"]
        assert labels["istio-mc/mesh-id"] == "k-paas-lab"


def test_no_pod_restarts_and_no_certificate_changes(adopted: Adopted, home: Path) -> None:
    before, _ = adopted
    real = CLUSTERS.values()
    assert each(pods, real) == before["pods"]
    assert each(ca_digest, real) == before["cacerts"]
    assert digests(home / "certs") == before["certs"]


@pytest.mark.usefixtures("adopted")
def test_the_links_of_clusters_to_themselves_are_reported_and_pruned(site: Site) -> None:
    found = site.run("verify", "--only", "link.own", "-o", "json").exits(0).json["messages"]
    assert [(one["code"], one["cluster"]) for one in found] == [
        ("remote-secret-of-itself", name) for name in CLUSTERS
    ]

    site.run("link", "--prune", "--yes").exits(0)

    for name, real in CLUSTERS.items():
        listed = get(real, "secrets", "-l", "istio/multiCluster=true")["items"]
        (other,) = (one for one in CLUSTERS if one != name)
        assert [one["metadata"]["name"] for one in listed] == [f"istio-remote-secret-{other}"]


def of_proxies(cluster: dict[str, Any]) -> list[str]:
    """What an install would change in the MeshConfig of a cluster, which has the settings of all proxies."""
    return [
        reason
        for step in cluster["pending"]
        for reason in step["reasons"]
        if "ConfigMap istio-system/istio data.mesh " in reason
    ]


def test_an_install_would_remove_the_proxy_setting_unless_mesh_yaml_has_it(
    adopted: Adopted, site: Site
) -> None:
    _, found = adopted
    assert all(ALLOCATE in str(of_proxies(one)) for one in found.values())
    values = documents.laid_over(site.settings["values"], _KEEPS)
    keeping = Site.at(
        site.folder / "keeping",
        kubeconfig=site.kubeconfig,
        certs=site.certs,
        istio=ISTIO,
        clusters=site.settings["clusters"],
        values=values,
    )
    kept = keeping.run("adopt", "--dry-run", "-o", "json").exits(0).data["clusters"]
    assert [ALLOCATE in str(of_proxies(one)) for one in kept] == [False, False]


@pytest.mark.usefixtures("adopted")
def test_an_install_finishes_the_takeover(site: Site) -> None:
    site.run("install").exits(0)
    site.run("verify").exits(0)
    site.run("sample", "deploy").exits(0)
    site.run("sample", "test").exits(0)
