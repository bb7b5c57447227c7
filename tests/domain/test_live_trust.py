"""Pods as the trust of their proxies is looked at: which of them, and what restarts them."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.istio.proxies import (
    ProxyTrust,
    gateway_pods,
    oldest,
    ready,
    restart_command,
    workload_of,
)


def pod(name: str = "sleep-1", **metadata: object) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "sample", "labels": {"app": "gateway"}, **metadata},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def owned(kind: str, name: str, **labels: str) -> dict[str, Any]:
    return pod(ownerReferences=[{"kind": kind, "name": name}], labels=labels)


@pytest.mark.parametrize(
    ("found", "workload"),
    [
        (owned("ReplicaSet", "sleep-7c9", **{"pod-template-hash": "7c9"}), "deployment/sleep"),
        (owned("StatefulSet", "db"), "statefulset/db"),
        (owned("DaemonSet", "agent"), "daemonset/agent"),
        (owned("ReplicaSet", "by-hand"), ""),
        (owned("ReplicaSet", "sleep-7c9", **{"rollouts-pod-template-hash": "7c9"}), ""),
        (owned("Job", "once"), ""),
        (pod(), ""),
    ],
)
def test_a_pods_workload_is_what_kubectl_can_restart(found: dict[str, Any], workload: str) -> None:
    assert workload_of(found) == workload


def test_workloads_are_restarted_once_each_namespace_by_namespace() -> None:
    proxies = [
        ProxyTrust("shop", "web-1", (), (), "deployment/web"),
        ProxyTrust("shop", "web-2", (), (), "deployment/web"),
        ProxyTrust("shop", "db-0", (), (), "statefulset/db"),
        ProxyTrust("istio-system", "gateway-1", (), (), "deployment/gateway"),
    ]
    assert str(restart_command("kt", proxies)) == (
        "kubectl --context kt -n shop rollout restart deployment/web statefulset/db"
        " && kubectl --context kt -n istio-system rollout restart deployment/gateway"
    )


def test_a_pod_of_its_own_is_named_for_a_person() -> None:
    command = restart_command("kt", [ProxyTrust("shop", "alone", (), (), "")])
    assert str(command) == "create these Pods again: shop/alone"


def test_the_oldest_are_taken_up_to_a_number() -> None:
    pods = [pod(str(day), creationTimestamp=f"2026-01-0{day}T00:00:00Z") for day in (3, 1, 2)]
    assert [found["metadata"]["name"] for found in oldest(pods, 2)] == ["1", "2"]


@pytest.mark.parametrize("status", [{}, {"conditions": [{"type": "Ready", "status": "False"}]}])
def test_a_pod_that_ends_again_and_again_is_not_ready(status: dict[str, Any]) -> None:
    assert ready([{**pod(), "status": {"phase": "Running", **status}}]) == []


def test_gateway_pods_on_their_way_out_do_not_count() -> None:
    leaving = pod("2", deletionTimestamp="2026-01-01T00:00:00Z")
    pending = {**pod("3"), "status": {"phase": "Pending"}}
    found = gateway_pods([pod("1"), leaving, pending], "gateway")
    assert [one["metadata"]["name"] for one in found] == ["1"]
