"""Clusters named as clouds name them go through every verb."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
import yaml

from lab import settings
from tests.e2e.harness import SYSTEM, Site, clean, get, kubectl, set_cilium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
NAMES = {
    "kt": f"nks_kr_kt_{UUID}",
    "ncloud": "arn:aws:eks:ap-northeast-2:123456789012:cluster/NCloud_Prod.v1",
    "nhn": ("NHN-Cloud-Production-" * 4)[:80],
}


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The lab's clusters under names such as clouds give them, contexts and clusters alike."""
    clean()
    folder = tmp_path_factory.mktemp("names")
    paths = []
    for name, long in NAMES.items():
        config = json.loads(kubectl(name, "config", "view", "--raw", "--minify", "-o", "json"))
        user = config["users"][0]["name"]
        config["clusters"][0]["name"] = long
        config["contexts"] = [{"name": long, "context": {"cluster": long, "user": user}}]
        config["current-context"] = long
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)
        paths.append(str(path))
    address = next(cluster.gateway for cluster in settings.CLUSTERS if cluster.name == "kt")
    clusters = [{"context": long} for long in NAMES.values()]
    clusters[0]["gatewayAddress"] = address
    yield Site.at(folder, kubeconfig=os.pathsep.join(paths), clusters=clusters)
    clean()


def test_the_ids_are_shown_before_anything_is_done(renamed: Site) -> None:
    shown = renamed.run("contexts", "-o", "json").exits(0).data["contexts"]
    ids = {context["name"]: context["clusterId"] for context in shown}
    assert list(ids) == list(NAMES.values())
    assert all(len(cluster_id) <= 63 for cluster_id in ids.values())
    assert len(set(ids.values())) == 3


def test_the_whole_job_is_done_under_such_names(renamed: Site) -> None:
    installed = renamed.run("install", "-o", "json").exits(0).data["clusters"]
    for context, cluster in zip(NAMES, installed, strict=True):
        assert get(context, "deployment", "istiod")
        others = {other["clusterId"] for other in installed if other is not cluster}
        assert all(get(context, "secret", f"istio-remote-secret-{other}") for other in others)
    again = renamed.run("install", "-o", "json").exits(0).data
    assert again["changed"] is False
    renamed.run("verify", "-o", "json").exits(0)
    renamed.run("sample", "deploy").exits(0)
    renamed.run("sample", "test").exits(0)
    assert renamed.run("ca", "verify", "-o", "json").exits(0).data["ok"] is True
    linked = renamed.run("link", "--dry-run", "-o", "json").exits(0).data["clusters"]
    assert all(cluster["remoteSecrets"] == [] for cluster in linked)


@pytest.mark.parametrize(
    "words",
    [
        ("contexts",),
        ("status",),
        ("address",),
        ("tools", "list"),
        ("cilium", "status"),
        ("config", "show"),
        ("config", "init", "--stdout", "--contexts", ",".join(NAMES.values())),
        ("install", "--dry-run"),
        ("uninstall", "--dry-run"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_verbs_that_only_look_take_such_names(renamed: Site, words: tuple[str, ...]) -> None:
    document = renamed.run(*words, "-o", "json").exits(0).json
    assert NAMES["ncloud"] in json.dumps(document)


def test_a_config_that_init_writes_for_such_names_is_read_back(renamed: Site, tmp_path: Path) -> None:
    site = Site(tmp_path, kubeconfig=renamed.kubeconfig)
    site.run("config", "init", "--contexts", ",".join(NAMES.values())).exits(0)
    settings = site.run("config", "show", "-o", "json").exits(0).data["settings"]
    (chosen,) = [setting["value"] for setting in settings if setting["key"] == "contexts"]
    assert chosen == list(NAMES.values())


def test_the_cas_folders_are_named_by_id(renamed: Site) -> None:
    shown = renamed.run("ca", "show", "-o", "json").exits(0).data
    ids = {context["clusterId"] for context in renamed.run("contexts", "-o", "json").data["contexts"]}
    assert {cluster["clusterId"] for cluster in shown["clusters"]} == ids
    issued = renamed.run("ca", "issue", "-o", "json").exits(0).data["clusters"]
    assert {cluster["outcome"] for cluster in issued} == {"kept"}


def test_link_mends_a_link_between_such_clusters(renamed: Site) -> None:
    kubectl("nhn", "delete", "secret", "-n", SYSTEM, "-l", "istio/multiCluster=true")
    linked = renamed.run("link", "-o", "json").exits(0).data["clusters"]
    assert {cluster["name"]: len(cluster["remoteSecrets"]) for cluster in linked} == {
        NAMES["kt"]: 0,
        NAMES["ncloud"]: 0,
        NAMES["nhn"]: 2,
    }
    renamed.run("verify", "--wait", "30s", "--skip", "cni").exits(0)


def test_an_address_is_taken_and_given_under_such_a_name(renamed: Site) -> None:
    name = NAMES["kt"]
    renamed.run("address", "--unset", name, "--yes").exits(0)
    assert not get("kt", "service", "istio-ingressgateway")["spec"].get("externalIPs")
    renamed.run("address", "--set", f"{name}={settings.find('kt').gateway}").exits(0)
    renamed.run("verify", "--only", "gateway.address").exits(0)


def test_cilium_is_fixed_and_reverted_under_such_a_name(renamed: Site) -> None:
    data = '{"data":{"cni-exclusive":"true"}}'
    kubectl("ncloud", "patch", "configmap", "cilium-config", "-n", "kube-system", "--type=merge", "-p", data)
    only = ("--contexts", NAMES["ncloud"])
    for verb, status in (("fix", "right"), ("revert", "to fix")):
        renamed.run("cilium", verb, *only, "--yes", "--settle", "1s").exits(0)
        (cluster,) = renamed.run("cilium", "status", *only, "-o", "json").data["clusters"]
        assert cluster["status"] == status
    set_cilium()


def test_such_clusters_are_adopted(renamed: Site) -> None:
    for name in NAMES:
        kubectl(name, "label", "namespace", SYSTEM, "istio-mc/mesh-id-", "istio-mc/cluster-id-")
    adopted = renamed.run("adopt", "-o", "json").exits(0).data["clusters"]
    assert [cluster["name"] for cluster in adopted] == list(NAMES.values())
    members = Site.at(
        renamed.folder / "members", kubeconfig=renamed.kubeconfig, certs=renamed.certs, clusters=None
    )
    found = members.run("status", "-o", "json").exits(0).data["clusters"]
    assert [cluster["name"] for cluster in found] == list(NAMES.values())


def test_a_report_of_such_clusters_names_them(renamed: Site) -> None:
    renamed.run("report", "--force").exits(0)
    page = (renamed.folder / "mesh-report.html").read_text()
    assert all(name in page for name in NAMES.values())


def test_a_bundle_of_such_clusters_has_a_folder_of_each(renamed: Site, tmp_path: Path) -> None:
    site = replace(renamed, folder=tmp_path)
    clusters = ",".join(NAMES.values())
    site.run("bundle", "--contexts", clusters, "--lines", "5", "-f", "bundle.tar.gz").exits(0)
    with tarfile.open(tmp_path / "bundle.tar.gz") as archive:
        below = [PurePosixPath(name).parts[1:] for name in archive.getnames()]
    assert len({parts[1] for parts in below if len(parts) > 2 and parts[0] == "clusters"}) == 3
    assert all(".." not in parts for parts in below)


def test_one_such_cluster_leaves_and_the_rest_are_taken_away(renamed: Site) -> None:
    left = renamed.run("uninstall", "--contexts", NAMES["nhn"], "--yes", "-o", "json").exits(0)
    assert [cluster["status"] for cluster in left.data["clusters"]] == ["member", "member", "removed"]
    rest = ",".join((NAMES["kt"], NAMES["ncloud"]))
    renamed.run("sample", "test", "--contexts", rest).exits(0)
    renamed.run("sample", "remove", "--contexts", rest, "--yes").exits(0)
    renamed.run("uninstall", "--yes").exits(0)
    assert all(get(context, "namespace", "istio-system", namespace=None) is None for context in NAMES)
