"""Pods, Deployments and events as API servers show them, made to fail in one way or another."""

from __future__ import annotations

from typing import Any

POD = "istiod-6d5f-x"
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
NOT_FOUND = (
    'rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/istio/pilot:nope": '
    'failed to resolve reference "docker.io/istio/pilot:nope": docker.io/istio/pilot:nope: not found'
)
QUOTA = (
    'pods "istiod-6d5f-" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=0, limited: pods=0'
)


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(exit_code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}


def container(
    state: dict[str, Any],
    *,
    name: str = "discovery",
    last: dict[str, Any] | None = None,
    restarts: int = 0,
    ready: bool = False,
) -> dict[str, Any]:
    return {"name": name, "state": state, "lastState": last or {}, "restartCount": restarts, "ready": ready}


def back_off(restarts: int = 3, exit_code: int = 1, reason: str = "Error") -> dict[str, Any]:
    """A container between two crashes."""
    message = "back-off 40s restarting failed container=discovery"
    state = waiting("CrashLoopBackOff", message)
    return container(state, last=ended(exit_code, reason), restarts=restarts)


def not_pulled(reason: str = "ErrImagePull", message: str = NOT_FOUND) -> dict[str, Any]:
    """A container without an image."""
    return container(waiting(reason, message))


def pod(
    *containers: dict[str, Any],
    name: str = POD,
    inits: tuple[dict[str, Any], ...] = (),
    app: str = "istiod",
    replica_set: str = "rs-2",
    **status: object,
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "istio-system",
            "uid": f"uid-{name}",
            "labels": {"app": app},
            "ownerReferences": [{"kind": "ReplicaSet", "uid": replica_set}],
        },
        "spec": {"containers": [{"name": one["name"]} for one in containers]},
        "status": {
            "phase": "Pending",
            "containerStatuses": list(containers),
            "initContainerStatuses": list(inits),
            **status,
        },
    }


def unschedulable(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(conditions=[condition])


def event(
    reason: str, message: str, *, of: str = POD, field: str = "", at: str = "2026-01-01"
) -> dict[str, Any]:
    involved = {"kind": "Pod", "name": of, "uid": f"uid-{of}", "fieldPath": field}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{of}.{reason}.{at}", "namespace": "istio-system"},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": involved,
        "lastTimestamp": at,
    }


def deployment(
    name: str = "istiod", *, available: int = 0, refused: str = "", seen: int = 2
) -> dict[str, Any]:
    """A Deployment whose newest template is that of ReplicaSet rs-2."""
    conditions = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": refused}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "istio-system",
            "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}},
        "status": {
            "observedGeneration": seen,
            "replicas": 1,
            "updatedReplicas": 1,
            "availableReplicas": available,
            "conditions": conditions if refused else [],
        },
    }


def replica_set(number: int, app: str = "istiod") -> dict[str, Any]:
    """The ReplicaSet of a Deployment's template of that number."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{app}-{number}",
            "namespace": "istio-system",
            "uid": f"rs-{number}",
            "labels": {"app": app},
            "annotations": {"deployment.kubernetes.io/revision": str(number)},
        },
    }
