"""What counts as lost after a restart of Cilium's agents, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.cilium import lost, ready, why_not_ready


def thing(name: str, *, is_ready: bool = True, phase: str = "Running", **metadata: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "app", "uid": f"uid-of-{name}", **metadata},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": str(is_ready)}]},
    }


def test_a_pod_that_was_ready_and_is_not_any_more_is_lost() -> None:
    before = ready([], [thing("web")])

    assert lost(before, [], [thing("web", is_ready=False)]) == ["pod app/web"]


def test_a_node_that_was_ready_and_is_not_any_more_is_lost() -> None:
    before = ready([thing("n1")], [])

    assert lost(before, [thing("n1", is_ready=False)], []) == ["node n1"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (thing("web"), None),
        (thing("web"), thing("web", is_ready=False, deletionTimestamp="2026-03-01T10:00:00Z")),
        (thing("web"), thing("web", is_ready=False, uid="another")),
        (thing("web"), thing("web", is_ready=False, phase="Succeeded")),
        (thing("web", is_ready=False), thing("web", is_ready=False)),
        (thing("web"), thing("web")),
    ],
    ids=["gone", "leaving", "replaced", "done", "never was ready", "still ready"],
)
def test_what_lost_nothing(before: dict[str, Any], after: dict[str, Any] | None) -> None:
    assert lost(ready([], [before]), [], [after] if after else []) == []


def test_a_container_that_waits_is_reported_in_the_kubelets_words() -> None:
    waiting = {"reason": "ErrImagePull", "message": "not found"}
    pod = thing("web", is_ready=False)
    pod["status"]["containerStatuses"] = [{"name": "agent", "state": {"waiting": waiting}}]

    assert why_not_ready(pod) == "Pod web, container agent: ErrImagePull, not found"


def test_an_unschedulable_pod_is_reported_in_the_schedulers_words() -> None:
    pod = thing("web", is_ready=False, phase="Pending")
    pod["status"]["conditions"].append(
        {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    )

    assert why_not_ready(pod) == "Pod web: Unschedulable, 0/1 nodes are available"


def test_a_terminating_pod_is_reported_as_such_for_any_state_of_its_containers() -> None:
    pod = {
        "metadata": {"name": "cilium-a", "deletionTimestamp": "2026-01-02T03:04:05Z"},
        "status": {
            "containerStatuses": [{"name": "agent", "state": {"waiting": {"reason": "ErrImagePull"}}}]
        },
    }

    assert why_not_ready(pod) == "Pod cilium-a: terminating, due by 2026-01-02T03:04:05Z"
