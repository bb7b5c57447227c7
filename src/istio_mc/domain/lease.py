"""The Lease by which one run of istio-mc at a time changes a cluster: its content, and its end. Pure.

Times are those of the API server's clock, so that the clocks of two operators need not agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from istio_mc.domain.hint import Advice
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import annotations_of
from istio_mc.domain.mesh import MANAGED_BY, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.kube.objects import Object

NAME = "istio-mc"
VERB = "istio-mc/command"
"""Annotation: the command that the holder runs."""

LASTS_S = 60
RENEWED_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who changes a cluster.

    Attributes:
        identity: `user@machine/process/run`.
        since: When it began; None where the Lease does not say.
        until: When it is over unless it is renewed.
    """

    identity: str
    verb: str
    since: datetime | None = None
    until: datetime | None = None

    @property
    def user(self) -> str:
        """`user@machine`."""
        return self.identity.split("/", maxsplit=1)[0]

    @property
    def process(self) -> str:
        """`machine/process`, as this machine's processes are named."""
        return self.identity.partition("@")[2].rpartition("/")[0]

    def is_over(self, now: datetime) -> bool:
        """Whether it may be taken over: no one has it, or it was not renewed in time."""
        return not self.identity or self.until is None or self.until <= now


def claim(holder: Holder, now: datetime) -> Object:
    """The Lease of a holder that begins now."""
    return {
        "apiVersion": objects.LEASE.api_version,
        "kind": objects.LEASE.kind,
        "metadata": {
            "name": NAME,
            "namespace": SYSTEM_NAMESPACE,
            "labels": dict(MANAGED_BY),
            "annotations": {VERB: holder.verb},
        },
        "spec": {
            "holderIdentity": holder.identity,
            "leaseDurationSeconds": LASTS_S,
            "acquireTime": _micro_time(now),
            "renewTime": _micro_time(now),
        },
    }


def renewal(now: datetime, resource_version: str) -> Mapping[str, Any]:
    """The merge patch that renews a Lease unless something else has changed it."""
    return {"metadata": {"resourceVersion": resource_version}, "spec": {"renewTime": _micro_time(now)}}


def takeover(lease: Object, holder: Holder, now: datetime) -> Mapping[str, Any]:
    """The merge patch that gives a Lease that is over to another holder, unless it was renewed meanwhile."""
    claimed = claim(holder, now)
    version = {"resourceVersion": lease["metadata"]["resourceVersion"]}
    return {"metadata": {**claimed["metadata"], **version}, "spec": claimed["spec"]}


def holder_of(lease: Object) -> Holder:
    """Who has a Lease."""
    spec = lease.get("spec") or {}
    renewed = _time(spec.get("renewTime") or spec.get("acquireTime"))
    lasts = timedelta(seconds=int(spec.get("leaseDurationSeconds") or 0))
    return Holder(
        str(spec.get("holderIdentity") or ""),
        annotations_of(lease).get(VERB, ""),
        _time(spec.get("acquireTime")),
        renewed + lasts if renewed else None,
    )


def locked(context: str, holder: Holder) -> Problem:
    """That another run changes a cluster."""
    since = f" since {_shown(holder.since)}" if holder.since else ""
    after = f" after {_shown(holder.until)}" if holder.until else " in a minute"
    return Problem(
        code=Code.MESH_LOCKED,
        cluster=context,
        message=f"{context} is being changed by another run of istio-mc",
        seen=f"istio-mc {holder.verb} by {holder.user}{since}",
        expected="one run at a time that changes the clusters of a mesh",
        hint=Advice(f"wait until that run has ended; if it was killed, run the same command again{after}"),
    )


def lost(context: str, holder: Holder | None) -> Problem:
    """That a run's Lease was taken over while it was suspended or did not reach the cluster."""
    return Problem(
        code=Code.LEASE_LOST,
        cluster=context,
        message=f"another run of istio-mc took over {context}",
        seen=f"istio-mc {holder.verb} by {holder.user}" if holder else "the Lease was not renewed in time",
        expected=f"a Lease that is renewed every {RENEWED_EVERY_S:.0f} s",
        hint=Advice("wait until that run has ended, then run the same command again"),
    )


def _micro_time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def _shown(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
