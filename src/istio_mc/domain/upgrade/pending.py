"""A gate that a cluster has not passed: kept in a ConfigMap of the cluster until it is passed. Pure.

Without it a run that goes on after one that was stopped would take what the change broke for an old fault.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from istio_mc.domain.mesh import MANAGED_BY, SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Object

Key = tuple[str, str]
"""ID of a check, and its target."""

VALID = timedelta(days=7)
"""How long it counts: later, the checks that fail tell nothing of the change."""

UPGRADE, BACK = "upgrade", "upgrade --back"

_MOST_FAILED = 2000
"""Failed checks that are kept: a ConfigMap has at most 1 MiB."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A gate that was not passed.

    Attributes:
        failed: What failed before the first change of the run.
        at: When the change of the cluster began.
        step: The part of the verb that it follows; empty: the verb has one.
    """

    failed: frozenset[Key]
    at: datetime
    step: str = ""


def name_of(verb: str) -> str:
    """The name of the ConfigMap: `istio-mc-gate-ca-rotate` of `ca rotate`."""
    return f"istio-mc-gate-{verb.replace('--', '').replace(' ', '-')}"


def ended_by(verb: str) -> tuple[str, ...]:
    """The names of the ConfigMaps that go once a cluster has passed the gate of a verb."""
    return (name_of(BACK), name_of(UPGRADE)) if verb == BACK else (name_of(verb),)


def document_of(verb: str, pending: Pending) -> Object:
    """The ConfigMap of a gate."""
    failed = sorted(pending.failed)[:_MOST_FAILED]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name_of(verb), "namespace": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY)},
        "data": {"failed": json.dumps(failed), "at": pending.at.isoformat(), "step": pending.step},
    }


def read_pending(document: Object | None, now: datetime) -> Pending | None:
    """The gate of a ConfigMap; None where there is none, where it cannot be read, or where it is too old."""
    data = (document or {}).get("data") or {}
    try:
        at = datetime.fromisoformat(data["at"])
        failed = frozenset((str(check), str(target)) for check, target in json.loads(data["failed"]))
        if now - at > VALID:
            return None
    except (KeyError, ValueError, TypeError):
        return None
    return Pending(failed, at, str(data.get("step") or ""))
