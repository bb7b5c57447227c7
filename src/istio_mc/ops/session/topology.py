"""Cluster IDs, networks and addresses: decided once for every verb; a cluster keeps those it has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from istio_mc.domain import identity, naming
from istio_mc.domain.gateway.address import external_ips
from istio_mc.domain.hint import Advice, Command
from istio_mc.domain.hosts import is_for_us_only
from istio_mc.domain.identity import Part
from istio_mc.domain.istio.choice import UNKNOWN_VERSION, newest, running
from istio_mc.domain.istio.istiod import folder_of_values, live_folder
from istio_mc.domain.istio.operator import merged
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import linked_ids
from istio_mc.domain.links.state import Others, as_linked, reader_account, silent_members
from istio_mc.domain.mesh import ApiServer, Cluster, Mesh
from istio_mc.domain.problem import Code, InputError, Problem
from istio_mc.domain.settings.model import ApiServerSettings
from istio_mc.gateways.host.files import read_authorities

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.kube.kubeconfig import Context
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.settings.model import ClusterSettings, Settings
    from istio_mc.ops.session.session import Session


def mesh_of(settings: Settings, version: str = UNKNOWN_VERSION) -> Mesh:
    """What all clusters share, as the settings have it."""
    return Mesh(
        mesh_id=settings.mesh_id,
        version=version,
        revision=settings.istio.revision,
        hub=settings.istio.hub,
        tag=settings.istio.tag or version,
        values=settings.values,
    )


def clusters_of(
    contexts: Collection[Context],
    settings: Settings,
    observed: Mapping[str, Observed],
    *,
    others: Others | None = None,
) -> dict[str, Cluster]:
    """Every cluster with its ID, network and addresses, by context, as `identified` finds them.

    Raises:
        InputError: An ID or network is set that is not the live one, or two clusters have the same.
    """
    clusters, faults = identified(contexts, settings, observed, others=others)
    if faults:
        raise InputError(*faults)
    return clusters


def identified(
    contexts: Collection[Context],
    settings: Settings,
    observed: Mapping[str, Observed],
    *,
    others: Others | None = None,
) -> tuple[dict[str, Cluster], list[Problem]]:
    """Every cluster with its ID, network and addresses, by context, and what contradicts in them.

    What a cluster already has stays (`identity.decide`); what the settings say must agree with it; the rest
    is derived from the kubeconfig's cluster name, and the lowest network number that no cluster uses. Where
    a member is not reachable and its network is unknown, any number may be its own: new clusters then get a
    network named after their ID.

    Returns:
        The clusters, and the IDs and networks that are set otherwise than they live, or that two share.
    """
    faults: list[Problem] = []
    ids: dict[str, str] = {}
    networks: dict[str, str] = {}
    linked = {name: linked_ids(live.of(objects.SECRET)) for name, live in observed.items()}
    live_ids = identity.decide(observed, Part.CLUSTER_ID, linked)
    live_networks = identity.decide(observed, Part.NETWORK)
    for context in contexts:
        desired = settings.cluster(context.name)
        for part, kept, setting, have in (
            (Part.CLUSTER_ID, ids, desired.id, live_ids.get(context.name)),
            (Part.NETWORK, networks, desired.network, live_networks.get(context.name)),
        ):
            if setting and have and setting != have:
                faults.append(_moved(context.name, part, setting, have))
            if value := have or setting:
                kept[context.name] = value
    faults += _shared(Part.CLUSTER_ID, ids, observed)
    faults += _shared(Part.NETWORK, networks, observed)
    ids = naming.derive_cluster_ids({context.name: context.cluster for context in contexts}, ids)
    others = others or Others()
    silent = silent_members(ids, settings, observed, others)
    own = newest(running(observed, settings.istio.revision).values())
    version = settings.istio.version or own or UNKNOWN_VERSION
    networks = naming.assign_networks(
        [context.name for context in contexts],
        networks,
        others.networks | {network for network in silent.values() if network},
        by_id={name: ids[name] for name in observed} if None in silent.values() else {},
    )
    clusters = {
        context.name: Cluster(
            context=context.name,
            cluster_id=ids[context.name],
            network=networks[context.name],
            api_server=_api_server(context, settings.cluster(context.name), ids[context.name], observed),
            # A Service's own stay where the settings name none: istioctl would else take its own away.
            gateway_addresses=settings.cluster(context.name).gateway_addresses
            or external_ips(observed.get(context.name)),
            values=settings.cluster(context.name).values,
            reader=reader_account(
                merged(settings.values, settings.cluster(context.name).values),
                version,
                observed.get(context.name),
            ),
            kubeconfig_folder=_kubeconfig_folder(
                merged(settings.values, settings.cluster(context.name).values),
                version,
                observed.get(context.name),
            ),
        )
        for context in contexts
    }
    return clusters, faults


def as_installed(clusters: Mapping[str, Cluster], mesh: Mesh) -> dict[str, Cluster]:
    """The clusters as an install leaves them, as far as their values say: they decide before what lives."""
    made = {}
    for name, cluster in clusters.items():
        values = merged(mesh.values, cluster.values)
        made[name] = replace(
            cluster,
            reader=reader_account(values, mesh.version),
            kubeconfig_folder=folder_of_values(values, mesh.version) or cluster.kubeconfig_folder,
        )
    return made


def _kubeconfig_folder(values: Mapping[str, Any], version: str, observed: Observed | None) -> str:
    """Where a cluster's istiod reads kubeconfigs: what runs counts, and the values where nothing does."""
    return live_folder(observed) if observed and observed.istiods else folder_of_values(values, version)


def elsewhere(session: Session, clusters: Mapping[str, Cluster]) -> frozenset[str]:
    """The cluster IDs that contexts outside the run have or would get, where the user named those of the run.

    They may well be members: a run on some clusters of a mesh says nothing of the others. Where nobody
    named clusters, the run has every member, and a context outside it is none.
    """
    if not session.picked:
        return frozenset()
    everyone = {context.name: context.cluster for context in session.kubeconfig.contexts}
    known = {name: cluster.cluster_id for name, cluster in clusters.items()}
    known |= {cluster.context: cluster.id for cluster in session.settings.clusters if cluster.id}
    derived = naming.derive_cluster_ids(everyone, known)
    return frozenset(id_ for name, id_ in derived.items() if name not in clusters)


def _api_server(
    context: Context, desired: ClusterSettings, cluster_id: str, observed: Mapping[str, Observed]
) -> ApiServer:
    over = desired.api_server or ApiServerSettings()
    ca_data = read_authorities(over.ca_file) if over.ca_file else None
    if over.server is not None:
        return ApiServer(over.server, ca_data, over.tls_server_name)
    server = context.server or ""
    if is_for_us_only(server) and (kept := as_linked(cluster_id, observed.values())):
        return replace(
            kept,
            ca_data=ca_data or kept.ca_data,
            tls_server_name=over.tls_server_name or kept.tls_server_name,
        )
    return ApiServer(server, ca_data, over.tls_server_name or _tls_server_name(context))


def _tls_server_name(context: Context) -> str | None:
    name = context.cluster_entry.get("tls-server-name")
    return str(name) if name else None


def _moved(context: str, part: Part, desired: str, have: str) -> Problem:
    return Problem(
        code=Code.IDENTITY_CHANGED,
        cluster=context,
        message=f"the {part} of {context} cannot be changed while it is in a mesh",
        seen=f"{have} (live)",
        expected=f"{desired} (mesh.yaml)",
        hint=Advice(f"set it to {have} in mesh.yaml, or let {context} leave the mesh first"),
    )


def _shared(part: Part, values: Mapping[str, str], observed: Mapping[str, Observed]) -> list[Problem]:
    """Two clusters with one ID or network; the fix restores the label where Istio runs with another value."""
    owners: dict[str, list[str]] = {}
    for context, value in values.items():
        owners.setdefault(value, []).append(context)
    former = {
        name: identity.sources_of(live, part).most_common(without=values.get(name))
        for name, live in observed.items()
    }
    return [
        Problem(
            code=Code.IDENTITY_SHARED,
            message=f"clusters {' and '.join(contexts)} have the same {part}",
            seen=value,
            expected=f"a {part} that is unique for each cluster",
            hint=_revert_hint(part, contexts, value, former)
            or Advice(f"remove {contexts[-1]} from its mesh and install it again"),
        )
        for value, contexts in owners.items()
        if len(contexts) > 1
    ]


def _revert_hint(
    part: Part, contexts: list[str], shared: str, former: Mapping[str, str | None]
) -> Command | None:
    for context in contexts:
        others = {value for name, value in former.items() if name != context}
        if (value := former.get(context)) and value not in {shared, *others}:
            return identity.label_fix(context, part, value)
    return None
