"""Namespaces that are being deleted: nothing can be created in them, and what is in them goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.problem import Problem

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Object

_PREFIX = "Namespace"


def is_terminating(namespace: Object | None) -> bool:
    """Whether a namespace is being deleted."""
    if namespace is None:
        return False
    phase = (namespace.get("status") or {}).get("phase")
    return bool(namespace["metadata"].get("deletionTimestamp")) or phase == "Terminating"


def held_by(namespace: Object) -> str:
    """What a namespace waits for before it is gone, in its controller's words; empty where none are there."""
    conditions = (namespace.get("status") or {}).get("conditions") or []
    held = [
        str(condition.get("message") or condition.get("reason"))
        for condition in conditions
        if condition.get("status") == "True" and str(condition.get("type")).startswith(_PREFIX)
    ]
    return "; ".join(held)


def terminating(context: str, namespace: Object | None) -> Problem | None:
    """The Problem of a namespace that is being deleted; None where it is not."""
    if namespace is None or not is_terminating(namespace):
        return None
    name = namespace["metadata"]["name"]
    since = namespace["metadata"].get("deletionTimestamp")
    seen = [f"deletionTimestamp {since}" if since else "phase Terminating", held_by(namespace)]
    return Problem(
        code=Code.NAMESPACE_TERMINATING,
        cluster=context,
        message=f"namespace {name} of {context} is being deleted: nothing can be created in it",
        seen="; ".join(filter(None, seen)),
        expected="a namespace that is not being deleted",
        hint=Advice(
            "wait until it is gone, then run the same command again; what it waits for: ",
            kubectl(context, "get", "namespace", name, "-o", "yaml"),
        ),
    )
