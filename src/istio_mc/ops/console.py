"""address --console: what is entered in the consoles of clouds for the gateways of a mesh; read only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain.gateway.console import Cloud, Peer, Site, cloud_of, node_addresses
from istio_mc.domain.gateway.requests import option
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import InputError
from istio_mc.ops.session.inputs import refuse_unknown_clusters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.domain.kube.kubeconfig import Context
    from istio_mc.domain.kube.objects import Object
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.ops.address import ClusterAddress, MeshAddresses
    from istio_mc.ops.session.session import Session


@dataclass(frozen=True, slots=True)
class ConsoleResult:
    """What is to be entered, by context, and clusters that could not be read."""

    sites: Mapping[str, Site]
    failures: Failures
    clusters: int


def parse_consoles(words: Sequence[str], *, alone: bool) -> dict[str, Cloud | None]:
    """The clusters of `--console`, each with its cloud if it is named: `kt`, `prod=kt`.

    Args:
        alone: Whether no address is to be changed in the same run.

    Raises:
        InputError: There is no such cloud, or an address is to be changed too.
    """
    faults = [] if alone or not words else [option("--console is not used with --set, --pool or --unset")]
    found: dict[str, Cloud | None] = {}
    for word in words:
        context, sign, cloud = word.rpartition("=")
        try:
            found[context if sign else word] = Cloud(cloud) if sign else None
        except ValueError:
            faults.append(option(f"--console: {cloud!r} is not one of {', '.join(Cloud)}", context))
    if faults:
        raise InputError(*faults)
    return found


def read_console(session: Session, seen: MeshAddresses, named: Mapping[str, Cloud | None]) -> ConsoleResult:
    """Adds the nodes of all clusters to what was read of their gateways.

    Args:
        seen: The addresses of the whole mesh.
        named: The clusters, each with its cloud if the user names it.

    Raises:
        InputError: One of them is not part of the run.
    """
    refuse_unknown_clusters({"--console": named}, seen.live.clusters)
    nodes, failed = session.clusters.each(
        lambda name: session.clusters.kubes[name].list(objects.NODE), seen.live.observed
    )
    contexts = {one.name: one for one in session.clusters.contexts}
    sites = {
        name: _site(contexts[name], seen.views[name], nodes, cloud)
        for name, cloud in named.items()
        if name in seen.views and name in nodes
    }
    return ConsoleResult(sites, seen.failures | failed, len(seen.live.clusters))


def _site(
    context: Context, view: ClusterAddress, nodes: Mapping[str, list[Object]], cloud: Cloud | None
) -> Site:
    name, cluster = context.name, view.cluster
    command = context.user_entry.get("exec")
    plugin = str(command.get("command")) if isinstance(command, dict) else ""
    return Site(
        context=name,
        cluster_id=cluster.cluster_id,
        cloud=cloud or cloud_of(name, context.cluster, context.server or "", plugin),
        addresses=view.addresses,
        balanced=bool(view.from_load_balancer) and view.pool is None,
        ports=view.ports,
        nodes=node_addresses(nodes[name], "InternalIP"),
        peers=tuple(
            Peer(other, node_addresses(found, "ExternalIP"))
            for other, found in nodes.items()
            if other != name
        ),
        server=cluster.api_server.server,
    )
