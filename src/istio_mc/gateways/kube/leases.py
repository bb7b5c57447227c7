"""The Lease in istio-system, which allows one run of istio-mc at a time: taken, renewed, released."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from istio_mc.domain import lease
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.refusal import Reason
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.kube.errors import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.lease import Holder
    from istio_mc.gateways.kube.client import Kube

_ATTEMPTS = 3


def server_time(kube: Kube) -> datetime:
    """Time of an API server's clock, estimated from its last response."""
    return datetime.now(UTC) + timedelta(seconds=kube.ahead_s or 0.0)


def take(kube: Kube, holder: Holder, has_ended: Callable[[Holder], bool]) -> Object:
    """Takes a cluster's Lease, also from a holder whose Lease has expired.

    Args:
        has_ended: Whether the run of another holder has certainly ended.

    Returns:
        The Lease.

    Raises:
        ProblemError: Another run has it.
        KubeError: The API server refused, or did not respond.
    """
    other = None
    for _ in range(_ATTEMPTS):
        if made := kube.create(lease.claim(holder, server_time(kube))):
            return made
        live = _read(kube)
        if live is None:
            continue  # it has just been released
        other, now = lease.holder_of(live), server_time(kube)
        if not other.is_over(now) and not has_ended(other):
            break
        try:
            return kube.patch(objects.LEASE, lease.NAME, SYSTEM_NAMESPACE, lease.takeover(live, holder, now))
        except KubeError as error:
            if error.reason not in (Reason.CONFLICT, Reason.NOT_FOUND):
                raise
    raise ProblemError(lease.locked(kube.context, other or lease.Holder("", "")))


def renew(kube: Kube, held: Object) -> Object | None:
    """Renews the Lease of a run.

    Returns:
        The Lease; None if it was deleted, for example with its namespace.

    Raises:
        ProblemError: Another run has taken it over.
        KubeError: The API server refused, or did not respond.
    """
    version, mine = held["metadata"]["resourceVersion"], lease.holder_of(held).identity
    for _ in range(_ATTEMPTS):
        try:
            return kube.patch(
                objects.LEASE, lease.NAME, SYSTEM_NAMESPACE, lease.renewal(server_time(kube), version)
            )
        except KubeError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            if error.reason is not Reason.CONFLICT:
                raise
        live = _read(kube)
        if live is None:
            return None
        if (other := lease.holder_of(live)).identity != mine:
            raise ProblemError(lease.lost(kube.context, other))
        version = live["metadata"]["resourceVersion"]  # another writer changed it, for example its labels
    return held


def release(kube: Kube, held: Object) -> None:
    """Deletes the Lease of a run, unless another run has taken it over.

    Raises:
        KubeError: The API server refused, or did not respond.
    """
    live = _read(kube)
    if live is None or lease.holder_of(live).identity != lease.holder_of(held).identity:
        return
    version = live["metadata"]["resourceVersion"]
    try:
        kube.request(
            "DELETE",
            objects.LEASE.path(SYSTEM_NAMESPACE, lease.NAME),
            body={"preconditions": {"uid": live["metadata"]["uid"], "resourceVersion": version}},
        )
    except KubeError as error:
        if error.reason not in (Reason.CONFLICT, Reason.NOT_FOUND):
            raise


def _read(kube: Kube) -> Object | None:
    return kube.get(objects.LEASE, lease.NAME, SYSTEM_NAMESPACE)
