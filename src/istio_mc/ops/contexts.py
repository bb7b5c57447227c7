"""contexts: what the merged kubeconfig holds, and what each cluster of it is to a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain import naming
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import CLUSTER_LABEL, MESH_LABEL, NETWORK_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from istio_mc.domain.kube.kubeconfig import Context
    from istio_mc.domain.problem import Problem
    from istio_mc.domain.settings.model import Settings
    from istio_mc.ops.session.session import Session
    from istio_mc.ops.session.sources import Sources


@dataclass(frozen=True, slots=True)
class ShownContext:
    """One context.

    Attributes:
        reachable: None where it was not asked.
    """

    context: Context
    cluster_id: str
    network: str | None = None
    mesh_id: str | None = None
    version: str | None = None
    reachable: bool | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ContextsResult:
    """Every context of the merged kubeconfig, in its order."""

    current_context: str | None
    contexts: tuple[ShownContext, ...]


def contexts(session: Session, named: Sequence[Context] = ()) -> ContextsResult:
    """Shows the named contexts, or all of the kubeconfig where none is named, and reads each cluster."""
    chosen = named or session.kubeconfig.contexts
    clusters = session.clusters
    clusters.read_namespaces(chosen)
    versions, failed = clusters.each(
        lambda name: clusters.kubes[name].version(),
        [name for name in clusters.namespaces if name in clusters.kubes],
    )
    clusters.mark_unusable(failed)
    labels = {name: labels_of(namespace) for name, namespace in clusters.namespaces.items()}
    taken = {
        name: of_cluster[CLUSTER_LABEL] for name, of_cluster in labels.items() if CLUSTER_LABEL in of_cluster
    }
    ids = _ids(chosen, session.settings, taken)
    return ContextsResult(
        session.kubeconfig.current_context,
        tuple(
            ShownContext(
                context=context,
                cluster_id=ids[context.name],
                network=labels.get(context.name, {}).get(NETWORK_LABEL),
                mesh_id=labels.get(context.name, {}).get(MESH_LABEL),
                version=versions.get(context.name),
                reachable=context.name in versions,
                problems=clusters.unusable.get(context.name) or context.problems,
            )
            for context in chosen
        ),
    )


def offline(sources: Sources, names: Sequence[str]) -> ContextsResult:
    """Shows the named contexts, or all of the kubeconfig where none is named; reads no cluster."""
    chosen = sources.kubeconfig.select(names) or sources.kubeconfig.contexts
    ids = _ids(chosen, sources.settings, {})
    return ContextsResult(
        sources.kubeconfig.current_context,
        tuple(ShownContext(context, ids[context.name], problems=context.problems) for context in chosen),
    )


def _ids(chosen: Iterable[Context], settings: Settings, taken: Mapping[str, str]) -> Mapping[str, str]:
    """The cluster IDs that contexts have or would get: those of clusters, of mesh.yaml, else derived ones."""
    given = {cluster.context: cluster.id for cluster in settings.clusters if cluster.id}
    return naming.derive_cluster_ids(
        {context.name: context.cluster for context in chosen}, {**given, **taken}
    )
