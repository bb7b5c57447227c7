"""ncloud runs Cilium: `cilium fix` gives it what a mesh needs, `cilium revert` takes it back.

The lab's agent reads its settings once, at start, and tells at :9879/config what it runs with: each test
sees not only what the ConfigMap says, but what the agent does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lab import faults, images
from lab.quirks import CILIUM_CONFIG
from lab.settings import find
from tests.e2e.harness import (
    CILIUM_WANTED,
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


def set_config(**data: str | None) -> None:
    edit(
        "configmap", "cilium-config", {"data": {key.replace("_", "-"): value for key, value in data.items()}}
    )


def agent() -> str:
    """The uid of the one agent."""
    (pod,) = get("ncloud", "pods", "-l", "k8s-app=cilium", namespace=SPACE)["items"]
    return str(pod["metadata"]["uid"])


def cluster(result: Result, name: str = "ncloud") -> dict[str, Any]:
    (found,) = [cluster for cluster in result.data["clusters"] if cluster["name"] == name]
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
    faults.heal("nhn")
    as_built()


def test_fix_restarts_the_agents_with_the_settings_and_revert_gives_back_every_byte(site: Site) -> None:
    before = raw()
    assert cilium_running() == CILIUM_CONFIG

    fixed = site.run("cilium", "fix", "--yes", "--settle", "1s", "-o", "json").exits(0)

    assert {c["name"]: c["status"] for c in fixed.data["clusters"]} == {
        "kt": "no Cilium",
        "ncloud": "fixed",
        "nhn": "no Cilium",
    }
    assert cilium_running() == CILIUM_CONFIG | CILIUM_WANTED
    assert backup() == CILIUM_CONFIG

    reverted = site.run(*REVERT).exits(0)

    assert cluster(reverted)["status"] == "reverted"
    assert raw() == before
    assert cilium_running() == CILIUM_CONFIG
    assert backup() is None


def test_a_second_fix_and_a_second_revert_change_nothing_and_restart_nothing(site: Site) -> None:
    site.run(*FIX).exits(0)
    uid = agent()

    assert cluster(site.run(*FIX).exits(0))["status"] == "unchanged"
    assert agent() == uid

    site.run(*REVERT).exits(0)
    uid = agent()

    assert cluster(site.run(*REVERT).exits(0))["status"] == "unchanged"
    assert agent() == uid


def test_k_paas_turns_the_l7_proxy_off_too_and_the_first_backup_stays(site: Site) -> None:
    set_config(enable_l7_proxy=None)
    restart_cilium()
    before = raw()
    site.run(*FIX).exits(0)

    site.run(*FIX, "--k-paas").exits(0)

    assert cilium_running() == json.loads(before) | CILIUM_WANTED | {"enable-l7-proxy": "false"}
    assert backup() == json.loads(before)

    site.run(*REVERT).exits(0)

    assert raw() == before
    assert "enable-l7-proxy" not in (cilium_running() or {})


def test_a_dry_run_shows_the_difference_and_touches_nothing(site: Site) -> None:
    before = get("ncloud", "configmap", "cilium-config", namespace=SPACE)["metadata"]["resourceVersion"]
    uid = agent()

    told = site.run("cilium", "fix", "--contexts", "ncloud", "--dry-run").exits(0)

    assert '- cni-exclusive: "true"\n  + cni-exclusive: "false"' in told.stdout
    assert (
        get("ncloud", "configmap", "cilium-config", namespace=SPACE)["metadata"]["resourceVersion"] == before
    )
    assert (agent(), backup()) == (uid, None)


def test_without_a_terminal_and_without_yes_nothing_is_changed(site: Site) -> None:
    before = raw()

    refused = site.run("cilium", "fix", "--contexts", "ncloud", "-o", "json").exits(2)

    assert [error["code"] for error in refused.json["errors"]] == ["not-confirmed"]
    assert raw() == before


def test_an_agent_that_was_not_restarted_shows_and_fix_restarts_it(site: Site) -> None:
    set_config(bpf_lb_sock_hostns_only="true", cni_exclusive="false")
    assert cilium_running() == CILIUM_CONFIG

    seen = cluster(site.run("cilium", "status", "--contexts", "ncloud", "-o", "json").exits(0))

    assert seen["status"] == "to fix"
    assert len(seen["agents"]["olderThanSettings"]) == 1
    assert [setting["live"] for setting in seen["settings"]] == ["true", "false"]

    fixed = cluster(site.run(*FIX).exits(0))

    assert (fixed["status"], fixed["changes"]) == ("fixed", [])
    assert cilium_running() == CILIUM_CONFIG | CILIUM_WANTED
    assert cluster(site.run("cilium", "status", "-o", "json").exits(0))["status"] == "right"


def test_a_fix_killed_between_the_settings_and_the_restart_is_finished_by_the_next(site: Site) -> None:
    before = raw()
    killed = site.start(*FIX)
    killed.until("settings written")
    killed.kill()
    assert raw() != before
    assert cilium_running() == CILIUM_CONFIG

    site.run(*FIX).exits(0)

    assert cilium_running() == CILIUM_CONFIG | CILIUM_WANTED
    site.run(*REVERT).exits(0)
    assert raw() == before


def test_a_revert_killed_between_the_settings_and_the_restart_is_finished_by_the_next(site: Site) -> None:
    before = raw()
    site.run(*FIX).exits(0)
    killed = site.start(*REVERT)
    killed.until("settings written")
    killed.kill()
    assert raw() == before
    assert cilium_running() == CILIUM_CONFIG | CILIUM_WANTED

    site.run(*REVERT).exits(0)

    assert (raw(), cilium_running(), backup()) == (before, CILIUM_CONFIG, None)


def test_revert_names_keys_that_others_changed_since_and_leaves_all_as_it_is(site: Site) -> None:
    site.run(*FIX).exits(0)
    set_config(debug="true")
    changed = raw()

    refused = site.run(*REVERT).exits(1)

    (error,) = refused.json["errors"]
    assert (error["code"], error["cluster"], error["seen"]) == (
        "changed-since-backup",
        "ncloud",
        'debug: "false" -> "true"',
    )
    assert raw() == changed

    site.run(*REVERT, "--keep-others").exits(0)

    assert cilium_running() == CILIUM_CONFIG | {"debug": "true"}


def test_revert_with_force_restores_what_others_changed_too(site: Site) -> None:
    before = raw()
    site.run(*FIX).exits(0)
    set_config(debug="true", somebodys_key="1")

    site.run(*REVERT, "--force").exits(0)

    assert raw() == before
    assert cilium_running() == CILIUM_CONFIG


NOWHERE = {"nodeSelector": {"lab.test/no-such": "node"}}
NO_IMAGE = {"containers": [{"name": "cilium-agent", "image": "docker.io/lab/no-such-image:1"}]}


@pytest.mark.parametrize(
    ("broken", "seen"),
    [
        (NOWHERE, r"no node is to carry an agent"),
        (NO_IMAGE, "Pod cilium-"),
    ],
    ids=["no node matches", "no such image"],
)
def test_a_rollout_that_does_not_end_fails_at_the_deadline_and_is_finished_once_mended(
    site: Site, broken: dict[str, Any], seen: str
) -> None:
    template = get("ncloud", "daemonset", "cilium", namespace=SPACE)["spec"]["template"]["spec"]
    strategic = ("patch", "daemonset", "cilium", "-n", SPACE, "--type=strategic", "-p")
    kubectl("ncloud", *strategic, json.dumps({"spec": {"template": {"spec": broken}}}))
    try:
        failed = site.run(*FIX, "--timeout", "12s").exits(1)
    finally:
        mended = {"nodeSelector": None, "containers": template["containers"]}
        kubectl("ncloud", *strategic, json.dumps({"spec": {"template": {"spec": mended}}}))

    assert failed.seconds < 12 + 5
    (error,) = failed.json["errors"]
    assert (error["code"], error["cluster"]) == ("agents-not-rolled-out", "ncloud")
    assert seen in error["seen"]
    assert "istio-mc cilium revert --contexts ncloud" in error["hint"]

    site.run(*FIX).exits(0)

    assert cilium_running() == CILIUM_CONFIG | CILIUM_WANTED


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
                        "timeoutSeconds": 5,
                    },
                }
            ],
        },
    }
    kubectl("ncloud", "apply", "-f", "-", stdin=json.dumps(pod))
    try:
        kubectl("ncloud", "wait", "--for=condition=Ready", "pod/needs-api", "--timeout=30s")

        lost = site.run(*(*FIX, "--settle", "10s")).exits(1)

        (error,) = lost.json["errors"]
        assert (error["code"], error["seen"]) == ("readiness-lost", "pod default/needs-api")
        assert "istio-mc cilium revert --contexts ncloud" in error["hint"]

        site.run(*REVERT).exits(0)

        kubectl("ncloud", "wait", "--for=condition=Ready", "pod/needs-api", "--timeout=30s")
    finally:
        kubectl("ncloud", "delete", "pod", "needs-api", "--ignore-not-found", "--wait=false")


def test_a_cluster_that_does_not_answer_keeps_the_others_from_nothing(site: Site) -> None:
    faults.cut("nhn")

    partial = site.run(*FIX, "--contexts", "nhn").exits(3)

    assert [(e["cluster"], e["code"]) for e in partial.json["errors"]] == [("nhn", "cluster-unreachable")]
    assert (cluster(partial)["status"], cluster(partial, "nhn")["status"]) == ("fixed", "failed")
    assert cilium_running() == CILIUM_CONFIG | CILIUM_WANTED
