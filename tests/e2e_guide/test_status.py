"""`status` shows at once what the guide has its reader look at by eye, and goes on showing it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab import faults
from tests.e2e.harness import CLUSTER_IDS, CONTEXTS, Running, Site, environment, get, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESSES = {"kt": "198.18.0.21", "ncloud": "gw.ncloud.lab.test", "nhn": "198.18.0.23"}
GATEWAY = "istio-ingressgateway"


@pytest.fixture(autouse=True)
def healed() -> Iterator[None]:
    yield
    faults.heal("nhn")


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
        assert all(pod["fine"] for pod in cluster["pods"])
        assert {d["name"]: (d["available"], d["wanted"]) for d in cluster["deployments"]} == {
            "istiod": (1, 1),
            GATEWAY: (1, 1),
        }
        assert {s["name"]: s["addresses"] for s in cluster["services"]}[GATEWAY] == [ADDRESSES[name]]
        assert [g["addresses"] for g in cluster["gateways"]] == [[ADDRESSES[name]]]
        others = {CLUSTER_IDS[other]: "synced" for other in CONTEXTS if other != name}
        assert {s["clusterId"]: s["status"] for s in cluster["remoteSecrets"]} == others
        assert any(p["name"].startswith(GATEWAY) for p in cluster["proxies"])
        assert all(p["synced"] for p in cluster["proxies"])


def test_an_hpa_without_metrics_says_why(whole: Site) -> None:
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


def _lines(running: Running, count: int, timeout_s: float = 60) -> list[str]:
    deadline = time.monotonic() + timeout_s
    while len(running.stdout) < count:
        assert time.monotonic() < deadline, running.stdout
        time.sleep(0.2)
    return list(running.stdout)


def test_watch_in_a_pipe_prints_one_envelope_a_line_and_ctrl_c_ends_it_with_0(whole: Site) -> None:
    running = whole.start("status", "--watch", "--every", "1s", "-o", "json")
    _lines(running, 3)
    running.process.send_signal(signal.SIGINT)

    ended = running.wait(15).exits(0)

    documents = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {document["status"] for document in documents} == {"success"}
    assert ended.stderr == ""


def test_watch_goes_on_while_a_cluster_is_away_and_when_it_is_back(whole: Site) -> None:
    running = whole.start("status", "--watch", "--every", "1s", "-o", "json", "--timeout", "15s")
    try:
        seen = len(_lines(running, 1))
        for fault, status in ((faults.cut, "partial"), (faults.heal, "success")):
            fault("nhn")
            deadline = time.monotonic() + 60
            while status not in {json.loads(line)["status"] for line in running.stdout[seen:]}:
                assert time.monotonic() < deadline, running.stdout[seen:]
                time.sleep(0.2)
            seen = len(running.stdout)
    finally:
        running.process.send_signal(signal.SIGINT)
        running.wait(15)


def test_watch_in_a_pipe_prints_one_block_each_time(whole: Site) -> None:
    running = whole.start("status", "--watch", "--every", "1s")
    deadline = time.monotonic() + 60
    while sum(line.split() == list(CONTEXTS) for line in running.stdout) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    running.process.send_signal(signal.SIGINT)

    running.wait(15).exits(0)


def test_watch_on_a_terminal_redraws_and_leaves_the_last_reading_there(whole: Site) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "istio_mc", "status", "--watch", "--every", "1s"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=whole.folder,
        env=environment(KUBECONFIG=whole.kubeconfig, TERM="xterm", COLUMNS="120", LINES="60"),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            seen = _read(ours, lambda text: text.count("Ctrl-C ends") > 1)
            process.send_signal(signal.SIGINT)
            seen += _read(ours, lambda _: False)
            assert process.wait(15) == 0
        finally:
            process.kill()
    os.close(ours)

    kept = seen.rpartition("\x1b[?1049l")[2]  # what stands once the redrawn screen has been left
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", kept)
    assert "Ctrl-C" not in text
    assert all(address in text for address in ADDRESSES.values())


def _read(terminal: int, enough: Any, timeout_s: float = 40) -> str:  # noqa: ANN401 - a predicate of text
    seen = ""
    deadline = time.monotonic() + timeout_s
    while not enough(seen) and time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            break
        seen += part.decode(errors="replace")
    return seen
