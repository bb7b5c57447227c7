"""The members of a mesh: where their API servers are reached, and what is known of those that are silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain.codes import Code
from istio_mc.domain.gateway.address import ours_of
from istio_mc.domain.hint import Advice
from istio_mc.domain.hosts import is_for_us_only
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.links.remote_secrets import held_by, linked_ids, of_cluster
from istio_mc.domain.mesh import NETWORK_LABEL, ApiServer
from istio_mc.domain.problem import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Others:
    """What is known of clusters outside a run.

    Attributes:
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


def as_linked(cluster_id: str, observed: Collection[Observed]) -> ApiServer | None:
    """Where the remote secrets that live reach a cluster; None where there are none, or they do not agree."""
    found = {
        ApiServer(one.access.server, one.access.ca_data, one.access.tls_server_name)
        for each in observed
        for one in of_cluster(held_by(each), cluster_id)[:1]
        if one.access and not one.access.is_loopback
    }
    return found.pop() if len(found) == 1 else None


def refuse_for_us_only(clusters: Mapping[str, Cluster]) -> None:
    """A remote secret with an address that means this machine would lead every other cluster to itself.

    Raises:
        InputError: With every such cluster, where there is another to be linked with it.
    """
    faults = [
        Problem(
            code=Code.API_SERVER_FOR_US_ONLY,
            cluster=name,
            message=f"the other clusters cannot reach {name} at the address that the kubeconfig has of it",
            seen=cluster.api_server.server,
            expected="an address of the API server that leads there from every cluster",
            hint=Advice(f"--api-server {name}=https://ADDRESS:6443, or apiServer of {name} in mesh.yaml"),
        )
        for name, cluster in clusters.items()
        if is_for_us_only(cluster.api_server.server)
    ]
    if faults and len(clusters) > 1:
        raise InputError(*faults)
