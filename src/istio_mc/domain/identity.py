"""A cluster's ID, network and mesh ID: where they are written, and which of these places decides. Pure.

What Istio runs with decides: changing that moves the cluster to another network, or makes it another cluster
to the others. A label of namespace istio-system takes a typing error to change: it is only compared.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Command, kubectl
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import (
    CLUSTER_LABEL,
    EAST_WEST_GATEWAY,
    MESH_LABEL,
    NETWORK_LABEL,
    SYSTEM_NAMESPACE,
)
from istio_mc.domain.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed


class Part(StrEnum):
    """One part of a cluster's identity."""

    CLUSTER_ID = "cluster ID"
    NETWORK = "network"
    MESH_ID = "mesh ID"


LABELS = {Part.CLUSTER_ID: CLUSTER_LABEL, Part.NETWORK: NETWORK_LABEL, Part.MESH_ID: MESH_LABEL}
"""The label of namespace istio-system for each part."""

_GATEWAY_VARIABLES = {
    Part.CLUSTER_ID: "ISTIO_META_CLUSTER_ID",
    Part.NETWORK: "ISTIO_META_NETWORK",
    Part.MESH_ID: "ISTIO_META_MESH_ID",
}
_VALUES = {
    Part.CLUSTER_ID: ("global", "multiCluster", "clusterName"),
    Part.NETWORK: ("global", "network"),
    Part.MESH_ID: ("global", "meshID"),
}
_INJECTOR = "istio-sidecar-injector"
_ENOUGH = 2
"""So many places have to agree with one another before they count more than the label."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where one part of a cluster's identity is written.

    Attributes:
        label: The label of namespace istio-system; None where there is none.
        running: The values that Istio runs with, by place.
    """

    label: str | None
    running: Mapping[str, str]

    @property
    def agreed(self) -> str | None:
        """The value that Istio runs with, where at least two places have one and all have the same."""
        values = set(self.running.values())
        return values.pop() if len(values) == 1 and len(self.running) >= _ENOUGH else None

    @property
    def likely(self) -> str | None:
        """The value that counts where no other cluster is compared; None where there is none."""
        return self.agreed or self.label or self.most_common()

    @property
    def is_mislabelled(self) -> bool:
        """Whether the label names another value than the one that Istio runs with."""
        return None not in (self.label, self.agreed) and self.label != self.agreed

    def most_common(self, without: str | None = None) -> str | None:
        """The value that most places of a running Istio have, except `without`; None where there is none."""
        counted = Counter(value for value in self.running.values() if value != without)
        return counted.most_common(1)[0][0] if counted else None


def sources_of(observed: Observed, part: Part) -> Sources:
    """Where a cluster has one part of its identity."""
    return Sources(observed.labels.get(LABELS[part]), dict(_running(observed, part)))


def _running(observed: Observed, part: Part) -> Iterator[tuple[str, str]]:
    gateway = observed.find(objects.DEPLOYMENT, EAST_WEST_GATEWAY)
    if part is Part.CLUSTER_ID:
        for istiod in observed.istiods:
            if value := objects.environment(istiod).get("CLUSTER_ID"):
                yield f"Deployment {istiod['metadata']['name']}", value
    if part is Part.NETWORK:
        template = (gateway or {}).get("spec", {}).get("template")
        for place, item in (
            (f"Service {EAST_WEST_GATEWAY}", observed.find(objects.SERVICE, EAST_WEST_GATEWAY)),
            (f"pods of {EAST_WEST_GATEWAY}", template),
        ):
            if value := labels_of(item).get(NETWORK_LABEL):
                yield place, value
    if value := objects.environment(gateway).get(_GATEWAY_VARIABLES[part]):
        yield f"Deployment {EAST_WEST_GATEWAY}", value
    for config_map in observed.of(objects.CONFIG_MAP):
        name = config_map["metadata"]["name"]
        if name.startswith(_INJECTOR) and (value := _in_values(config_map, _VALUES[part])):
            yield f"ConfigMap {name}", value


def _in_values(config_map: Object, path: tuple[str, ...]) -> str:
    """A value of the chart, from the ConfigMap that the injector reads; empty where it is not set."""
    with suppress(ValueError):
        value = json.loads((config_map.get("data") or {}).get("values") or "{}")
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, str) else ""
    return ""


def decide(
    observed: Mapping[str, Observed], part: Part, linked: Mapping[str, Collection[str]] | None = None
) -> dict[str, str]:
    """The cluster ID or network of each cluster, by context; clusters that have none yet are left out.

    What Istio runs with counts more than the label. The label counts more in three cases: the places where
    Istio has the value contradict each other; another cluster of the run has the value that Istio runs
    with, and none has the label's; or others have remote secrets for the label's ID, and none for the other.

    Args:
        linked: The cluster IDs that each cluster has remote secrets for, by context.
    """
    sources = {name: sources_of(one, part) for name, one in observed.items()}
    likely = {name: value for name, one in sources.items() if (value := one.likely)}
    decided = dict(likely)
    # Counted once for all clusters: another one has a value where more have it than this one alone.
    values = Counter(likely.values())
    links = {name: frozenset(ids) for name, ids in (linked or {}).items()}
    linking = Counter(id_ for ids in links.values() for id_ in ids)
    for name, one in sources.items():
        if not one.label or not one.agreed or one.label == one.agreed:
            continue
        own, own_links = likely.get(name), links.get(name, frozenset())
        pair = (one.agreed, one.label)
        others = {value for value in pair if values[value] > (value == own)}
        known = {value for value in pair if linking[value] > (value in own_links)}
        if others == {one.agreed} or known == {one.label}:
            decided[name] = one.label
    return decided


def label_fix(context: str, part: Part, value: str) -> Command:
    """The command that sets the label of namespace istio-system."""
    return kubectl(context, "label", "namespace", SYSTEM_NAMESPACE, f"{LABELS[part]}={value}", "--overwrite")


def mislabelled_mesh(context: str, sources: Sources) -> Problem:
    """The fault of a label that names another mesh than the one whose ID Istio runs with."""
    return Problem(
        code=Code.MESH_LABEL_DIFFERS,
        cluster=context,
        message=f"Namespace {SYSTEM_NAMESPACE} of {context} has the wrong label for the mesh ID",
        seen=f"label {MESH_LABEL} is {sources.label}; Istio runs with {sources.agreed}",
        expected=f"{MESH_LABEL}={sources.agreed}",
        hint=label_fix(context, Part.MESH_ID, str(sources.agreed)),
    )
