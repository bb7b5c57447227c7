"""`status` shows at once what the guide has its reader look at by eye, and goes on showing it."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import CLUSTER_IDS, CONTEXTS, Site, get, kubectl

ADDRESSES = {"kt": "198.18.0.21", "ncloud": "gw.ncloud.lab.test", "nhn": "198.18.0.23"}
GATEWAY = "istio-ingressgateway"


def clusters(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cluster["name"]: cluster for cluster in data["clusters"]}


@pytest.mark.parametrize("width", [80, 200])
def test_all_clusters_are_on_one_screen(whole: Site, width: int) -> None:
    shown = whole.run("status", "--no-progress", COLUMNS=str(width)).exits(0)

    lines = shown.stdout.splitlines()
    assert max(len(line) for line in lines) <= width
    assert len(lines) <= 50
    assert lines[0].split() == list(CONTEXTS)
    assert all(address in shown.stdout for address in ADDRESSES.values())


def test_json_has_what_lives_in_each_cluster(whole: Site) -> None:
    found = clusters(whole.run("status", "-o", "json", "--no-progress").exits(0).data)

    for name, cluster in found.items():
        assert cluster["clusterId"] == CLUSTER_IDS[name]
        live = {pod["metadata"]["name"] for pod in get(name, "pods")["items"]}
        assert {pod["name"] for pod in cluster["pods"]} == live
        assert all(pod["healthy"] for pod in cluster["pods"])
        assert {d["name"]: (d["available"], d["desired"]) for d in cluster["deployments"]} == {
            "istiod": (1, 1),
            GATEWAY: (1, 1),
        }
        assert {s["name"]: s["addresses"] for s in cluster["services"]}[GATEWAY] == [ADDRESSES[name]]
        assert [g["addresses"] for g in cluster["gateways"]] == [[ADDRESSES[name]]]
        others = {CLUSTER_IDS[other]: "synced" for other in CONTEXTS if other != name}
        assert {s["clusterId"]: s["status"] for s in cluster["remoteSecrets"]} == others
        assert any(p["name"].startswith(GATEWAY) for p in cluster["proxies"])
        assert all(p["synced"] for p in cluster["proxies"])


def test_an_hpa_without_metrics_has_a_reason(whole: Site) -> None:
    assert get("kt", "apiservice", "v1beta1.metrics.k8s.io", namespace=None) is None

    deadline = time.monotonic() + 60  # the controller looks every 15 s
    while True:
        (hpa,) = clusters(whole.run("status", "-o", "json").exits(0).data)["kt"]["horizontalPodAutoscalers"]
        if hpa["reason"] != "nothing was measured yet" or time.monotonic() > deadline:
            break
        time.sleep(3)

    assert hpa["metrics"] == ["cpu: <unknown>/80%"]
    assert hpa["reason"] == "no Metrics API in this cluster: install Metrics Server"


def _envoy(pod: str) -> int:
    """Process id of a pod's Envoy, on the machine all clusters are on."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if (folder / "comm").read_text().strip() == "envoy" and (
                    f"POD_NAME={pod}".encode() in (folder / "environ").read_bytes().split(b"\0")
                ):
                    return int(folder.name)
            except OSError:
                continue
    raise AssertionError(f"no Envoy of {pod}")


def test_a_proxy_that_does_not_take_what_it_is_sent_is_out_of_sync(whole: Site) -> None:
    (pod,) = get("kt", "pods", "-l", f"app={GATEWAY}")["items"]
    envoy = _envoy(pod["metadata"]["name"])
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "news", "namespace": "default"},
        "spec": {"ports": [{"port": 8080}]},
    }
    os.kill(envoy, signal.SIGSTOP)
    try:
        kubectl("kt", "apply", "-f", "-", stdin=json.dumps(service))
        deadline = time.monotonic() + 20
        while True:
            seen = clusters(whole.run("status", "--contexts", "kt", "-o", "json").exits(0).data)["kt"]
            (proxy,) = [p for p in seen["proxies"] if p["name"].startswith(GATEWAY)]
            if not proxy["synced"] or time.monotonic() > deadline:
                break
    finally:
        os.kill(envoy, signal.SIGCONT)
        kubectl("kt", "delete", "service", "news", "-n", "default", "--ignore-not-found")

    assert "STALE" in proxy["xds"].values()
