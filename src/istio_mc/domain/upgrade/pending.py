"""A gate that a cluster has not passed: kept in a ConfigMap of the cluster until it is passed. Pure.

Without it a run that goes on after one that was stopped would take what the change broke for an old fault.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from istio_mc.domain.mesh import MANAGED_BY, SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.kube.objects import Object

Key = tuple[str, str]
"""ID of a check, and its target."""

VALID = timedelta(days=7)
"""How long it counts: later, the checks that fail tell nothing of the change."""

UPGRADE, BACK = "upgrade", "upgrade --back"

_MOST_FAILED = 2000
"""Failed checks that are kept with their targets: a ConfigMap has at most 1 MiB."""


@dataclass(frozen=True, slots=True)
class FailedChecks:
    """The checks that failed before a change.

    Attributes:
        keys: Those that are known with their targets.
        counts: How many targets failed of each check whose targets were too many to be kept.
    """

    keys: frozenset[Key] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys) + sum(self.counts.values())

    def beyond(self, failed: Iterable[Key]) -> frozenset[Key]:
        """The checks that fail now and did not before.

        Of a check whose targets were not kept, none is new as long as no more of them fail.
        """
        now = frozenset(failed)
        number = Counter(check for check, _ in now)
        kept = {check for check, count in self.counts.items() if number[check] <= count}
        return frozenset(one for one in now if one not in self.keys and one[0] not in kept)

    def shortened(self) -> FailedChecks:
        """So many as a ConfigMap has room for: of the checks with most targets, only their number is kept."""
        number, counts = Counter(check for check, _ in self.keys), dict(self.counts)
        left = len(self.keys)
        for check, count in number.most_common():
            if left <= _MOST_FAILED:
                break
            counts[check] = counts.get(check, 0) + count
            left -= count
        return FailedChecks(frozenset(one for one in self.keys if one[0] not in counts), counts)


@dataclass(frozen=True, slots=True)
class Pending:
    """A gate that was not passed.

    Attributes:
        failed: What failed before the first change of the run.
        at: When the change of the cluster began.
        step: The part of the verb that it follows; empty: the verb has one.
    """

    failed: FailedChecks
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
    failed = pending.failed.shortened()
    data = {"failed": json.dumps(sorted(failed.keys)), "counts": json.dumps(failed.counts, sort_keys=True)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name_of(verb), "namespace": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY)},
        "data": {**data, "at": pending.at.isoformat(), "step": pending.step},
    }


def read_pending(document: Object | None, now: datetime) -> Pending | None:
    """The gate of a ConfigMap; None where there is none, where it cannot be read, or where it is too old."""
    data = (document or {}).get("data") or {}
    try:
        at = datetime.fromisoformat(data["at"])
        keys = frozenset((str(check), str(target)) for check, target in json.loads(data["failed"]))
        counts = {str(check): int(count) for check, count in json.loads(data["counts"]).items()}
        if now - at > VALID:
            return None
    except (AttributeError, KeyError, ValueError, TypeError):
        return None
    return Pending(FailedChecks(keys, counts), at, str(data.get("step") or ""))
