"""Clusters named as clouds name them go through every verb."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import yaml

from lab import settings
from tests.e2e.harness import Site, clean, get, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    [("status",), ("address",), ("tools", "list"), ("cilium", "status"), ("config", "show")],
    ids=" ".join,
)
def test_verbs_that_only_look_take_such_names(renamed: Site, words: tuple[str, ...]) -> None:
    document = renamed.run(*words, "-o", "json").exits(0).json
    assert NAMES["ncloud"] in json.dumps(document)


def test_one_such_cluster_leaves_and_the_rest_are_taken_away(renamed: Site) -> None:
    left = renamed.run("uninstall", "--contexts", NAMES["nhn"], "--yes", "-o", "json").exits(0)
    assert [cluster["status"] for cluster in left.data["clusters"]] == ["member", "member", "removed"]
    rest = ",".join((NAMES["kt"], NAMES["ncloud"]))
    renamed.run("sample", "test", "--contexts", rest).exits(0)
    renamed.run("uninstall", "--yes").exits(0)
    assert all(get(context, "namespace", "istio-system", namespace=None) is None for context in NAMES)
