"""Metrics Server and MetalLB, the real programs, as `addons install` puts them into the lab's clusters.

The guide's road has installed both; here they do what they are for, and a removal leaves nothing of them.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.request
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.harness import CONTEXTS, GATEWAY, SYSTEM, Site, each, get, kubectl, rolled_out, soon

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "istio-ingressgateway"
NAT = "198.18.0.21"
_MEASURED_S = 90
"""Metrics Server reads every 15 s, needs two readings for CPU, and its pod waits 20 s before the first."""


def addresses() -> list[str]:
    """What the status of kt's gateway has."""
    ingress = get("kt", "service", SERVICE)["status"]["loadBalancer"].get("ingress", [])
    return [str(entry["ip"]) for entry in ingress]


def removed(site: Site) -> None:
    """Takes kt's address and both add-ons away; gateways have one replica again."""
    site.run("address", "--unset", "kt", "--yes").exits(0)
    site.run("addons", "remove", "--yes").exits(0)
    for name in CONTEXTS:
        kubectl(name, "scale", GATEWAY, "-n", SYSTEM, "--replicas=1")
        rolled_out(name)


@pytest.fixture(scope="module")
def installed(whole: Site) -> Iterator[Site]:
    """The mesh with Metrics Server in each cluster and MetalLB in kt, under a mesh.yaml without addresses."""
    clusters = [{"context": name} for name in CONTEXTS]
    site = Site.at(whole.folder / "addons", certs=whole.certs, clusters=clusters)
    site.run("addons", "install", "metrics-server", "--insecure-kubelet-tls").exits(0)
    site.run("addons", "install", "metallb", "--contexts", "kt").exits(0)
    site.run("sample", "deploy").exits(0)
    yield site
    removed(site)
    whole.run("install").exits(0)


def test_a_second_install_changes_nothing(installed: Site) -> None:
    words = ("addons", "install", "metrics-server", "--insecure-kubelet-tls", "--dry-run", "-o", "json")
    found = installed.run(*words).exits(0).data["clusters"]
    assert [one["status"] for cluster in found for one in cluster["addons"]] == ["unchanged"] * 3


def top(context: str, *words: str) -> list[list[str]]:
    """Rows of `kubectl top`; none while nothing is measured."""
    with suppress(AssertionError):
        return [line.split() for line in kubectl(context, "top", *words, "--no-headers").splitlines()]
    return []


def test_kubectl_top_has_cpu_and_memory_of_each_node_and_of_each_pod(installed: Site) -> None:
    pods = {name: {pod["metadata"]["name"] for pod in get(name, "pods")["items"]} for name in CONTEXTS}

    def is_measured(name: str) -> bool:
        return {row[0] for row in top(name, "pods", "-n", SYSTEM)} >= pods[name] and top(name, "nodes") != []

    soon(lambda: all(each(is_measured).values()), "all nodes and pods are measured", _MEASURED_S)
    for name in CONTEXTS:
        ((node, cpu, _, memory, _),) = top(name, "nodes")
        assert node == name
        rows = [(cpu, memory), *(tuple(row[1:]) for row in top(name, "pods", "-n", SYSTEM))]
        assert all(re.fullmatch(r"[1-9]\d*m [1-9]\d*Mi", " ".join(row)) for row in rows)
    installed.run("verify", "--only", "metrics").exits(0)


def autoscaler(site: Site) -> dict[str, Any]:
    """The HPA of kt's gateway as `status` shows it."""
    (cluster,) = site.run("status", "--contexts", "kt", "-o", "json").exits(0).data["clusters"]
    (found,) = cluster["horizontalPodAutoscalers"]
    assert isinstance(found, dict)
    return found


@contextmanager
def load(address: str) -> Iterator[None]:
    """Requests to a gateway, as many as four clients make."""
    ended = threading.Event()

    def client() -> None:
        while not ended.wait(0.002):
            with suppress(OSError):
                urllib.request.urlopen(f"http://{address}:15021/healthz/ready", timeout=5).close()

    clients = [threading.Thread(target=client) for _ in range(4)]
    for one in clients:
        one.start()
    try:
        yield
    finally:
        ended.set()
        for one in clients:
            one.join()


def test_the_gateway_s_autoscaler_reads_a_percentage_and_scales_under_load(installed: Site) -> None:
    soon(
        lambda: get("kt", "hpa", SERVICE)["status"].get("currentMetrics") is not None, "a value", _MEASURED_S
    )
    found = autoscaler(installed)
    assert re.fullmatch(r"cpu: \d+%/80%", found["metrics"][0])
    assert not found["reason"]

    with load(NAT):
        soon(
            lambda: get("kt", GATEWAY)["status"].get("replicas", 0) > 1,
            "kt's gateway has more than one pod",
            _MEASURED_S,
        )


@pytest.mark.parametrize(
    "words",
    [
        ("--pool", "kt=198.18.0.40-198.18.0.44", "--announce", "l2"),
        ("--pool", "kt=198.18.0.40-198.18.0.44", "--announce", "bgp", "--peer", "kt=198.18.0.1@64513"),
    ],
    ids=["l2", "bgp"],
)
def test_metallb_s_webhooks_accept_what_would_be_written(installed: Site, words: tuple[str, ...]) -> None:
    planned = installed.run("address", "--via", "metallb", *words, "--dry-run", "-o", "json").exits(0)
    documents = [one["document"] for one in planned.data["changes"] if one["action"] == "apply"]
    assert len(documents) == len(words) // 2
    answer = kubectl("kt", "apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(documents))
    assert len(re.findall(r"(created|configured) \(server dry run\)", answer)) == len(documents)


CLASSES = ("local", "shared")


@pytest.fixture
def classes() -> Iterator[None]:
    """kt with two StorageClasses, the first of them the default."""
    for name in CLASSES:
        marks = {"storageclass.kubernetes.io/is-default-class": "true"} if name == CLASSES[0] else {}
        document = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name, "annotations": marks},
            "provisioner": "kubernetes.io/no-provisioner",
        }
        kubectl("kt", "apply", "-f", "-", stdin=json.dumps(document))
    yield
    kubectl("kt", "delete", "storageclass", *CLASSES)


@pytest.mark.usefixtures("classes")
def test_another_storage_class_becomes_the_default_one(whole: Site) -> None:
    (done,) = (
        whole.run("addons", "default-storage", f"kt={CLASSES[1]}", "--yes", "-o", "json")
        .exits(0)
        .data["clusters"]
    )
    assert (done["before"], done["status"]) == ([CLASSES[0]], "changed")
    marked = [
        line.split()[0] for line in kubectl("kt", "get", "storageclass").splitlines() if "(default)" in line
    ]
    assert marked == [CLASSES[1]]


def named(context: str) -> list[str]:
    """Objects of every kind with the add-ons' names."""
    kinds = kubectl(context, "api-resources", "--verbs=list", "-o", "name").split()
    still = ",".join(
        sorted({kind for kind in kinds if not re.match(r"events|leases|.*\.metrics\.k8s\.io", kind)})
    )
    columns = "NAMESPACE:.metadata.namespace,KIND:.kind,NAME:.metadata.name"
    listed = kubectl(context, "get", still, "-A", "--no-headers", "-o", f"custom-columns={columns}")
    return [line for line in listed.splitlines() if re.search(r"metallb|metrics", line)]


def test_a_removal_deletes_all_add_ons_and_kt_loses_its_address(installed: Site) -> None:
    removed(installed)
    soon(lambda: each(named) == {name: [] for name in CONTEXTS}, "nothing with their names", 30)
    assert addresses() == []
    assert "loadBalancerIP" not in get("kt", "service", SERVICE)["spec"]
    (kt,) = installed.run("address", "--contexts", "kt", "-o", "json").exits(0).data["clusters"]
    assert kt["status"] == "pending"
