"""Members that keep silent: what the others that answer tell of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain import objects
from istio_mc.domain.address import ours_of
from istio_mc.domain.mesh import NETWORK_LABEL
from istio_mc.domain.objects import labels_of
from istio_mc.domain.remote_secrets import linked_ids

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.settings import Settings


@dataclass(frozen=True, slots=True)
class Others:
    """What is known of clusters outside a run.

    Attributes:
        networks: The networks they have.
        cluster_ids: Their cluster IDs, of those whose network is known.
    """

    networks: frozenset[str] = frozenset()
    cluster_ids: frozenset[str] = frozenset()


def unplaced(
    clusters: Mapping[str, Cluster], settings: Settings, observed: Mapping[str, Observed], others: Others
) -> tuple[str, ...]:
    """The cluster IDs of members that keep silent and whose network nothing tells."""
    ids = {name: cluster.cluster_id for name, cluster in clusters.items()}
    silent = silent_members(ids, settings, observed, others)
    return tuple(sorted(cluster_id for cluster_id, network in silent.items() if network is None))


def silent_members(
    ids: Mapping[str, str], settings: Settings, observed: Mapping[str, Observed], others: Others
) -> dict[str, str | None]:
    """Clusters that one that answers holds a remote secret of, and that do not answer: ID to network.

    The network is what mesh.yaml says, or a Gateway that stands for the cluster; None where neither does.
    """
    answering = {ids[name] for name in observed} | others.cluster_ids
    said = {ids[name]: network for name in ids if (network := settings.cluster(name).network)}
    found: dict[str, str | None] = {}
    for live in observed.values():
        for cluster_id in sorted(linked_ids(live.of(objects.SECRET))):
            if cluster_id not in answering:
                told = labels_of(ours_of(cluster_id, live)).get(NETWORK_LABEL)
                found[cluster_id] = said.get(cluster_id) or found.get(cluster_id) or told
    return found
