"""What a cluster had before its upgrade: kept in a ConfigMap of the cluster, for the way back. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.mesh import (
    MANAGED_BY,
    SYSTEM_NAMESPACE,
    UPGRADE_RECORD,
    revision_label,
    revision_of_label,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.kube.objects import Object

NAME = UPGRADE_RECORD


class Move(NamedTuple):
    """The revision that a cluster leaves, and the one that it gets; empty: the one without a name."""

    leaves: str
    to: str


@dataclass(frozen=True, slots=True)
class Before:
    """What a cluster had at one time.

    Attributes:
        document: The IstioOperator document with its values.
    """

    version: str
    document: Object


@dataclass(frozen=True, slots=True)
class Record:
    """The upgrade of a cluster.

    Attributes:
        to: Where it leads.
        before: What the cluster had before each version on the way, the oldest first.
        move: The change of revision that was begun last; None: it went in place.
    """

    to: str
    before: tuple[Before, ...] = ()
    move: Move | None = None

    def with_version(self, before: Before) -> Record:
        """The record once the cluster goes on from a version; one that it has already stays as it is."""
        if has_left(self, before.version):
            return self
        return replace(self, before=(*self.before, before))

    def without_last(self) -> Record:
        """The record once the cluster has returned to the newest version in it."""
        return replace(self, before=self.before[:-1])


def begun(record: Record | None, to: str, running: str) -> Record:
    """The record that an upgrade goes on with: that of an upgrade that has ended is no longer needed.

    Args:
        running: What the cluster runs.
    """
    if record is None or (record.to == running and record.to != to):
        return Record(to)
    return replace(record, to=to)


def has_left(record: Record | None, version: str) -> bool:
    """Whether an upgrade went on from a version: installing it again would bring its older CRDs back."""
    return record is not None and any(one.version == version for one in record.before)


def document_of(record: Record) -> Object:
    """The ConfigMap of a record."""
    before = [{"version": one.version, "document": one.document} for one in record.before]
    data = {"to": record.to, "before": json.dumps(before, sort_keys=True)}
    if record.move:
        data |= {"revision": revision_label(record.move.to), "leaves": revision_label(record.move.leaves)}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY)},
        "data": data,
    }


def read_record(found: Sequence[Object]) -> Record | None:
    """The record among the ConfigMaps of istio-system; None where there is none that can be read."""
    for item in found:
        if item["metadata"]["name"] == NAME and item["metadata"].get("namespace") == SYSTEM_NAMESPACE:
            data = item.get("data") or {}
            try:
                before = [
                    Before(str(one["version"]), dict(one["document"])) for one in json.loads(data["before"])
                ]
            except (KeyError, ValueError, TypeError):
                return None
            return Record(str(data.get("to") or ""), tuple(before), _move_of(data))
    return None


def _move_of(data: Mapping[str, str]) -> Move | None:
    to, leaves = data.get("revision"), data.get("leaves")
    return Move(revision_of_label(leaves), revision_of_label(to)) if to and leaves else None


def move_to(revision: str, present: str, record: Record | None) -> Move | None:
    """The change of revision by which a cluster gets one; None: none is needed, and none was begun.

    Args:
        present: The revision that the cluster has; after a run that was interrupted maybe the new one.
    """
    if record and record.move and record.move.to == revision:
        return record.move
    return Move(present, revision) if present != revision else None
