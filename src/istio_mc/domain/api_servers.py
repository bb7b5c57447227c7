"""Where the other clusters' istiods reach a cluster's API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.addresses import is_for_us_only
from istio_mc.domain.hint import Advice
from istio_mc.domain.mesh import ApiServer
from istio_mc.domain.problem import InputError, Problem
from istio_mc.domain.remote_secrets import held_by, of_cluster

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed


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
            code="api-server-for-us-only",
            cluster=name,
            message=f"the other clusters cannot reach {name} at the address that the kubeconfig has of it",
            seen=cluster.api_server.server,
            expected="an address of the API server that leads there from every cluster",
            hint=Advice(f"--api-server {name}=https://ADDRESS:6443, or apiServer of {name} in mesh.yaml"),
            docs="troubleshooting.md#api-server-for-us-only",
        )
        for name, cluster in clusters.items()
        if is_for_us_only(cluster.api_server.server)
    ]
    if faults and len(clusters) > 1:
        raise InputError(*faults)
