"""ncloud runs Cilium: `cilium fix` gives it what a mesh needs, `cilium revert` takes it back.

The lab's agent reads its settings once, at start, and tells at :9879/config what it runs with: each test
sees not only what the ConfigMap says, but what the agent does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lab import images
from lab.quirks import CILIUM_CONFIG
from lab.settings import find
from tests.e2e.harness import (
    REQUIRED_CILIUM_SETTINGS,
    Result,
    Site,
    cilium_running,
    get,
    kubectl,
    restart_cilium,
    set_cilium,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACE = "kube-system"
BACKUP = "istio-mc-cilium-backup"
ADDRESS = find("ncloud").address
FIX = ("cilium", "fix", "--contexts", "ncloud", "--yes", "--settle", "1s", "-o", "json")
REVERT = ("cilium", "revert", "--contexts", "ncloud", "--yes", "--settle", "1s", "-o", "json")


def raw() -> str:
    """The ConfigMap's data, byte for byte as the API server has it."""
    return kubectl("ncloud", "get", "configmap", "cilium-config", "-n", SPACE, "-o", "jsonpath={.data}")


def backup() -> dict[str, str] | None:
    found = get("ncloud", "configmap", BACKUP, namespace=SPACE)
    return found["data"] if found else None


def edit(kind: str, name: str, body: dict[str, Any]) -> None:
    kubectl("ncloud", "patch", kind, name, "-n", SPACE, "--type=merge", "-p", json.dumps(body))


def cluster(result: Result) -> dict[str, Any]:
    (found,) = [cluster for cluster in result.data["clusters"] if cluster["name"] == "ncloud"]
    return dict(found)


def as_built() -> None:
    """Cilium as the lab's cluster was built with it."""
    kubectl("ncloud", "delete", "configmap", BACKUP, "-n", SPACE, "--ignore-not-found")
    live = get("ncloud", "configmap", "cilium-config", namespace=SPACE)["data"]
    body = {
        key: CILIUM_CONFIG.get(key) for key in live | CILIUM_CONFIG if live.get(key) != CILIUM_CONFIG.get(key)
    }
    if body:
        edit("configmap", "cilium-config", {"data": body})
    if cilium_running() != CILIUM_CONFIG:
        restart_cilium()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A folder with the lab's mesh.yaml; at the end ncloud's Cilium is as a mesh needs it, for the others."""
    yield Site.at(tmp_path_factory.mktemp("cilium"))
    set_cilium()


@pytest.fixture(autouse=True)
def cilium() -> Iterator[None]:
    """Cilium as the lab's cluster was built with it, before and after."""
    as_built()
    yield
    as_built()


def test_fix_restarts_the_agents_with_the_settings_and_revert_restores_every_byte(site: Site) -> None:
    edit("configmap", "cilium-config", {"data": {"enable-l7-proxy": None}})
    restart_cilium()
    before = raw()

    fixed = site.run(*FIX, "--k-paas").exits(0)

    assert cluster(fixed)["status"] == "fixed"
    assert cilium_running() == json.loads(before) | REQUIRED_CILIUM_SETTINGS | {"enable-l7-proxy": "false"}
    assert backup() == json.loads(before)

    site.run(*REVERT).exits(0)

    assert (raw(), cilium_running(), backup()) == (before, json.loads(before), None)


def test_agents_that_do_not_start_are_named_at_the_deadline_and_the_next_fix_finishes(site: Site) -> None:
    template = get("ncloud", "daemonset", "cilium", namespace=SPACE)["spec"]["template"]["spec"]
    strategic = ("patch", "daemonset", "cilium", "-n", SPACE, "--type=strategic", "-p")
    broken = {"containers": [{"name": "cilium-agent", "image": "docker.io/lab/no-such-image:1"}]}
    kubectl("ncloud", *strategic, json.dumps({"spec": {"template": {"spec": broken}}}))
    try:
        failed = site.run(*FIX, "--timeout", "8s").exits(1)
    finally:
        repaired = {"containers": template["containers"]}
        kubectl("ncloud", *strategic, json.dumps({"spec": {"template": {"spec": repaired}}}))

    (error,) = failed.json["errors"]
    assert (error["code"], error["cluster"]) == ("agents-not-rolled-out", "ncloud")
    assert "Pod cilium-" in error["seen"]

    site.run(*FIX).exits(0)

    assert cilium_running() == CILIUM_CONFIG | REQUIRED_CILIUM_SETTINGS


def test_pods_that_lose_their_readiness_are_named_with_the_way_back(site: Site) -> None:
    # A pod that is ready only while the agent runs with the old setting, as one that needs the API server was
    # on the clusters of cilium's issue 17738.
    probe = f'curl -sf http://{ADDRESS}:9879/config | grep -q \'"bpf-lb-sock-hostns-only":"false"\''
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "needs-api", "namespace": "default"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "app",
                    "image": images.CURL,
                    "command": ["sleep", "3600"],
                    "readinessProbe": {
                        "exec": {"command": ["sh", "-c", probe]},
                        "periodSeconds": 1,
                        "failureThreshold": 1,
                        "timeoutSeconds": 5,
                    },
                }
            ],
        },
    }
    kubectl("ncloud", "apply", "-f", "-", stdin=json.dumps(pod))
    try:
        kubectl("ncloud", "wait", "--for=condition=Ready", "pod/needs-api", "--timeout=30s")

        lost = site.run(*(*FIX, "--settle", "4s")).exits(1)

        (error,) = lost.json["errors"]
        assert (error["code"], error["seen"]) == ("readiness-lost", "pod default/needs-api")
        assert "istio-mc cilium revert --contexts ncloud" in error["hint"]

        site.run(*REVERT).exits(0)

        kubectl("ncloud", "wait", "--for=condition=Ready", "pod/needs-api", "--timeout=30s")
    finally:
        kubectl("ncloud", "delete", "pod", "needs-api", "--ignore-not-found", "--wait=false")
