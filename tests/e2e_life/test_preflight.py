"""What install looks at before its first change, each fault provoked in a real cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.e2e.harness import SYSTEM, Site, clean, get, kubectl, set_cilium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ_ONLY = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test-read-only}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-read-only}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: test-read-only}
subjects: [{kind: ServiceAccount, name: test-read-only, namespace: default}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: test-read-only, namespace: default}
"""

STORAGE_CLASS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: test-default
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: example.com/none
"""

ISTIOD = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: istiod
  namespace: default
  labels: {app: istiod, istio.io/rev: default}
  annotations: {}
spec:
  replicas: 0
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec: {containers: [{name: discovery, image: docker.io/istio/pilot:1.26.0}]}
"""

ZTUNNEL = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ztunnel, namespace: default, labels: {app: ztunnel}}
spec:
  selector: {matchLabels: {app: ztunnel}}
  template:
    metadata: {labels: {app: ztunnel}}
    spec:
      nodeSelector: {test: no-node}
      containers: [{name: ztunnel, image: docker.io/istio/pilot:1.26.0}]
"""


@pytest.fixture(scope="module", autouse=True)
def _empty_clusters() -> None:
    clean()


def apply(context: str, manifest: str) -> None:
    kubectl(context, "apply", "-f", "-", stdin=manifest)


@pytest.fixture
def deployed() -> Iterator[list[tuple[str, str]]]:
    """Manifests to take away again: context and text of each."""
    placed: list[tuple[str, str]] = []
    yield placed
    for context, manifest in placed:
        kubectl(context, "delete", "--ignore-not-found", "-f", "-", stdin=manifest)


def place(placed: list[tuple[str, str]], context: str, manifest: str) -> None:
    placed.append((context, manifest))
    apply(context, manifest)


def untouched(*contexts: str) -> bool:
    return all(get(context, "namespace", SYSTEM, namespace=None) is None for context in contexts)


def codes(document: dict[str, object], key: str) -> set[tuple[str, str]]:
    found = document[key]
    assert isinstance(found, list)
    return {(problem["code"], problem["cluster"]) for problem in found}


@pytest.fixture
def cilium_as_it_comes() -> Iterator[None]:
    """ncloud's Cilium with the settings of a default installation."""
    where = ("-n", "kube-system", "--type=merge", "-p")
    default = '{"data":{"bpf-lb-sock-hostns-only":"false"}}'
    kubectl("ncloud", "patch", "configmap", "cilium-config", *where, default)
    yield
    set_cilium()


@pytest.mark.usefixtures("cilium_as_it_comes")
def test_presets_that_are_missing_are_told_of_all_clusters_together(site: Site) -> None:
    document = site.run("install", "--dry-run", "-o", "json").exits(0).json
    found = codes(document, "messages")
    missing = ("no-default-storage-class", "no-metrics")
    assert {(code, name) for code in missing for name in ("kt", "ncloud", "nhn")} <= found
    assert ("cilium-settings", "ncloud") in found
    assert ("cilium-settings", "kt") not in found
    assert ("istio-end-of-life", None) in found


def test_a_default_storage_class_ends_that_warning_for_its_cluster(
    site: Site, deployed: list[tuple[str, str]]
) -> None:
    place(deployed, "kt", STORAGE_CLASS)
    found = codes(site.run("install", "--dry-run", "-o", "json").exits(0).json, "messages")
    assert ("no-default-storage-class", "kt") not in found
    assert ("no-default-storage-class", "nhn") in found


def test_strict_stops_at_an_istio_past_its_end_of_life(site: Site) -> None:
    document = site.run("install", "--strict", "-o", "json").exits(1).json
    assert codes(document, "errors") == {("istio-end-of-life", None)}
    assert untouched("kt", "ncloud", "nhn")


def test_strict_may_stand_in_mesh_yaml_and_the_command_line_wins(site: Site) -> None:
    strict = Site.at(site.folder / "strict", certs=site.certs, strict=True)
    document = strict.run("install", "--dry-run", "-o", "json").exits(1).json
    assert codes(document, "errors") == {("istio-end-of-life", None)}
    told = strict.run("install", "--no-strict", "--dry-run", "-o", "json").exits(0).json
    assert ("istio-end-of-life", None) in codes(told, "messages")


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (ISTIOD.replace("annotations: {}", "annotations: {meta.helm.sh/release-name: istiod}"), "Helm"),
        (ISTIOD, "istiod of revision default in default"),
        (ZTUNNEL, "ambient"),
    ],
    ids=["installed by Helm", "the same revision elsewhere", "ambient mode"],
)
def test_istio_under_another_manager_stops_every_cluster_before_the_first_change(
    site: Site, deployed: list[tuple[str, str]], manifest: str, told: str
) -> None:
    place(deployed, "ncloud", manifest)
    document = site.run("install", "-o", "json").exits(1).json
    (problem,) = document["errors"]
    assert (problem["code"], problem["cluster"]) == ("managed-by-others", "ncloud")
    assert told in problem["seen"]
    assert untouched("kt", "ncloud", "nhn")


def test_an_istio_that_the_sail_operator_owns_is_left_to_it(
    site: Site, deployed: list[tuple[str, str]]
) -> None:
    place(deployed, "nhn", ISTIOD)
    owner = {
        "apiVersion": "sailoperator.io/v1",
        "kind": "IstioRevision",
        "name": "default",
        "uid": get("nhn", "namespace", "default", namespace=None)["metadata"]["uid"],
    }
    patch = json.dumps({"metadata": {"ownerReferences": [owner]}})
    kubectl("nhn", "-n", "default", "patch", "deployment", "istiod", "--type=merge", "-p", patch)
    (problem,) = site.run("install", "-o", "json").exits(1).json["errors"]
    assert "Sail" in problem["seen"]


def test_a_user_without_the_rights_is_told_which_are_missing(
    site: Site, deployed: list[tuple[str, str]], tmp_path: Path
) -> None:
    place(deployed, "kt", READ_ONLY)
    token = kubectl("kt", "-n", "default", "create", "token", "test-read-only").strip()
    cluster = json.loads(kubectl("kt", "config", "view", "--raw", "--minify", "-o", "json"))["clusters"][0]
    path = tmp_path / "kt.yaml"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": "reader", "user": {"token": token}}],
        "contexts": [{"name": "kt", "context": {"cluster": cluster["name"], "user": "reader"}}],
    }
    path.write_text(yaml.safe_dump(document))
    mine = Site(site.folder, f"{path}:{site.kubeconfig}")
    result = mine.run("install", "-o", "json").exits(1)
    (problem,) = result.json["errors"]
    assert (problem["code"], problem["cluster"]) == ("rights-missing", "kt")
    assert "create secrets in istio-system" in problem["seen"]
    assert token not in result.stdout + result.stderr
    assert untouched("kt", "ncloud", "nhn")
