"""How long a cluster has not responded, as far as other clusters show it. Pure.

Nothing in Kubernetes or Istio records when an API server was reached last. What does have a time: a remote
secret is written by istio-mc with a token that it has just read from that cluster, and an istiod that started
later has synced with it, or has not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from istio_mc.domain.removal import FIELD_MANAGER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from istio_mc.domain.istio.discovery import IstiodView
    from istio_mc.domain.istio.istiod import RemoteCluster
    from istio_mc.domain.kube.objects import Object

_SYNCED = "synced"


@dataclass(frozen=True, slots=True)
class Trace:
    """A time at which a cluster responded, or did not, and what shows it."""

    time: datetime
    shown_by: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Between which times a cluster ceased to respond.

    Attributes:
        responded: It responded then, or later; None: nothing shows that it ever did.
        silent: It has not responded since then, to an istiod at least; None: nothing shows it.
    """

    responded: Trace | None = None
    silent: Trace | None = None

    def __str__(self) -> str:
        texts = []
        if one := self.responded:
            texts.append(f"responded at or after {_minute(one.time)} UTC: {one.shown_by}")
        if one := self.silent:
            texts.append(f"silent since at least {_minute(one.time)} UTC: {one.shown_by}")
        return "; ".join(texts) or "nothing shows since when it is silent"


def silence(
    cluster_id: str,
    secrets: Mapping[str, Collection[Object]],
    pods: Mapping[str, Collection[Object]],
    reports: Mapping[str, Mapping[str, Collection[RemoteCluster]]],
) -> Silence:
    """What other clusters show of one that does not respond.

    Args:
        secrets: The remote secrets of each other cluster, by context.
        pods: The pods of its istiods.
        reports: The remote clusters that each of these istiods reports, by pod.
    """
    responded = [*_written(cluster_id, secrets)]
    silent: list[Trace] = []
    for context, of_context in pods.items():
        for pod in of_context:
            name = pod["metadata"]["name"]
            row = next(
                (one for one in reports.get(context, {}).get(name, ()) if one.cluster_id == cluster_id), None
            )
            if row is None or (started := _started(pod)) is None:
                continue
            if row.status == _SYNCED:
                responded.append(Trace(started, f"{name} of {context} has synced with it since its start"))
            else:
                silent.append(Trace(started, f"{name} of {context} has not synced with it since its start"))
    last = max(responded, key=lambda one: one.time, default=None)
    # An istiod that has not synced shows nothing where another one has synced later.
    after = [one for one in silent if last is None or one.time > last.time]
    return Silence(last, min(after, key=lambda one: one.time, default=None))


def _written(cluster_id: str, secrets: Mapping[str, Collection[Object]]) -> Iterator[Trace]:
    """When istio-mc applied the cluster's remote secrets; other changes need no token of that cluster."""
    for context, of_context in secrets.items():
        for secret in of_context:
            if cluster_id not in (secret.get("data") or {}):
                continue
            for entry in secret["metadata"].get("managedFields") or []:
                time = _time(entry.get("time"))
                is_applied = (entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, "Apply")
                if is_applied and time:
                    name = secret["metadata"]["name"]
                    yield Trace(time, f"Secret {name} in {context} was written with its token")


def _started(pod: Object) -> datetime | None:
    """When the container of an istiod started last."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status.get("name") == "discovery":
            return _time(((status.get("state") or {}).get("running") or {}).get("startedAt"))
    return None


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC) if value else None
    except ValueError:
        return None


def services_only_in(
    cluster_id: str, views: Collection[IstiodView], silent: Collection[str] = ()
) -> tuple[str, ...] | None:
    """The services with endpoints in one cluster and in no other, as istiods of other clusters have them.

    Args:
        silent: IDs of other clusters that do not respond either: their endpoints do not count.

    Returns:
        `namespace/name`, sorted; None where no istiod has any endpoint of the cluster: nothing is known then.
    """
    own: set[tuple[str, str]] = set()
    elsewhere: set[tuple[str, str]] = set()
    for view in views:
        for other, services in view.endpoints.items():
            having = {key for key, addresses in services.items() if addresses}
            if other == cluster_id:
                own |= having
            elif other not in silent:
                elsewhere |= having
    return tuple(f"{namespace}/{name}" for namespace, name in sorted(own - elsewhere)) if own else None
