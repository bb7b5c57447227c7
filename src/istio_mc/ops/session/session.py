"""Opens a run: settings, contexts, credentials and API servers, each read or obtained once."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn, Self

from istio_mc.domain import naming
from istio_mc.domain.codes import Code
from istio_mc.domain.events import Progress, silent
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.documents import MULTI_CLUSTER_LABEL
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.links.remote_secrets import linked_ids
from istio_mc.domain.mesh import CLUSTER_LABEL, MESH_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.gateways.host import temporary
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.ops.session.clusters import Clusters
from istio_mc.ops.session.inputs import Inputs, Overrides
from istio_mc.ops.session.run import Run
from istio_mc.ops.session.sources import read_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from istio_mc.domain.kube.kubeconfig import Context, Kubeconfig
    from istio_mc.domain.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Session:
    """What a verb works with: the run, its clusters, and the settings.

    Attributes:
        run: What holds for the whole run.
        clusters: The run's clusters.
        settings: mesh.yaml's, or the defaults, with what flags say.
        kubeconfig: The merged kubeconfig.
        paths: The files it was merged from, joined as in $KUBECONFIG, for commands to paste.
        listed: The contexts that mesh.yaml names.
        picked: Whether the user named the contexts of this run on the command line, or when asked.
        warnings: What the user should know of what was read to open the run.
    """

    run: Run
    clusters: Clusters
    settings: Settings
    kubeconfig: Kubeconfig
    paths: str = ""
    listed: tuple[str, ...] = ()
    picked: bool = False
    warnings: tuple[Problem, ...] = ()

    def ca_store(self) -> CaStore:
        """The folder of the mesh's CA."""
        return CaStore(self.settings.certs_dir, self.run.deadline, self.run.progress)

    def with_run(self, run: Run) -> Session:
        """The same with the same clusters, over the same connections, for another run."""
        return replace(self, run=run, clusters=self.clusters.with_run(run))

    def until(self, deadline: float) -> Session:
        """The same with another deadline."""
        return self.with_run(replace(self.run, deadline=deadline))

    def close(self) -> None:
        """Ends connections and removes the private folder."""
        self.clusters.close()
        temporary.remove(self.run.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The contexts of a run.

    Attributes:
        contexts: In the user's order.
        is_picked: Whether the user named them for this run.
        warnings: What the user should know of those that were left out.
        waited_s: How long a person took to name them, in seconds.
    """

    contexts: tuple[Context, ...]
    is_picked: bool = False
    warnings: tuple[Problem, ...] = ()
    waited_s: float = 0.0


def begin(inputs: Inputs, progress: Progress = silent) -> Session:
    """Reads mesh.yaml and the kubeconfig files; asks no cluster yet.

    Raises:
        InputError: With every fault of what was read.
    """
    sources = read_sources(inputs)
    run = Run(inputs.deadline, inputs.concurrency, progress, read=inputs.read)
    return Session(
        run=run,
        clusters=Clusters(run, sources.kubeconfig),
        settings=sources.settings,
        kubeconfig=sources.kubeconfig,
        paths=sources.paths,
        listed=tuple(cluster.context for cluster in sources.settings.clusters),
        warnings=tuple(sources.kubeconfig.warnings),
    )


def named(session: Session, inputs: Inputs) -> tuple[Context, ...]:
    """The contexts the user named: `--contexts`, else the settings'; none where neither does."""
    return session.kubeconfig.select(inputs.contexts or session.listed)


def open_named(
    inputs: Inputs,
    progress: Progress = silent,
    overrides: Overrides | None = None,
    ask: Callable[[Sequence[Context]], Sequence[str]] | None = None,
) -> Session:
    """Opens a run on the clusters the user named.

    Args:
        inputs: What the user named, or not.
        progress: Told of every step.
        overrides: What flags say over mesh.yaml.
        ask: Asks the user which of these contexts, where none is named; empty where nobody answers.

    Raises:
        InputError: None is named, or one is unknown, or one cluster is named twice.
    """

    def otherwise(session: Session) -> _Chosen:
        since = time.monotonic()
        chosen = ask(session.kubeconfig.contexts) if ask and session.kubeconfig.contexts else ()
        waited_s = time.monotonic() - since
        contexts = session.kubeconfig.select(chosen) or _none_named(session)
        return _Chosen(contexts, is_picked=bool(chosen), waited_s=waited_s)

    return _opened(inputs, progress, overrides, otherwise)


def open_members(inputs: Inputs, progress: Progress = silent, overrides: Overrides | None = None) -> Session:
    """Opens a run on the named clusters, or, where none is named, on the mesh's members.

    A member is known by the label `install` puts on istio-system.

    Raises:
        InputError: There is no member, or there are members of two meshes.
    """
    return _opened(inputs, progress, overrides, otherwise=_members)


def open_mesh(inputs: Inputs, progress: Progress = silent) -> tuple[Session, tuple[str, ...]]:
    """Opens a run on a whole mesh, and says which of its clusters the user named (none: all of them).

    Returns:
        The session, and the names of `--contexts`.

    Raises:
        InputError: There is no member, or there are members of two meshes.
    """
    session = begin(inputs, progress)
    try:
        chosen = session.kubeconfig.select(inputs.contexts)
    except BaseException:
        session.close()
        raise
    session.close()
    around = tuple(context.name for context in chosen)
    listed = session.listed
    everyone = replace(inputs, contexts=tuple(dict.fromkeys((*listed, *around))) if listed else ())

    def members(found: Session) -> _Chosen:
        return _members(found, also=around)

    return _opened(everyone, progress, None, otherwise=members), around


def _opened(
    inputs: Inputs,
    progress: Progress,
    overrides: Overrides | None,
    otherwise: Callable[[Session], _Chosen],
) -> Session:
    session = begin(inputs, progress)
    try:
        chosen = _Chosen(named(session, inputs), is_picked=bool(inputs.contexts))
        if not chosen.contexts:
            chosen = otherwise(session)
        _refuse_broken(chosen.contexts)
        settings = (overrides or Overrides()).over(session.settings, chosen.contexts)
        # A person may take their time.
        session = session.until(session.run.deadline + chosen.waited_s)
        session.clusters.choose(chosen.contexts)
    except BaseException:
        session.close()
        raise
    warnings = (*session.warnings, *chosen.warnings)
    return replace(session, settings=settings, picked=chosen.is_picked, warnings=warnings)


def _refuse_broken(contexts: tuple[Context, ...]) -> None:
    broken = [problem.on(context.name) for context in contexts for problem in context.problems]
    if broken := [*broken, *naming.same_clusters(contexts)]:
        raise InputError(*broken)


def _none_named(session: Session) -> NoReturn:
    known = [context.name for context in session.kubeconfig.contexts]
    raise InputError(
        Problem(
            code=Code.NO_CONTEXTS,
            message="no cluster is named",
            seen="neither --contexts nor clusters in mesh.yaml",
            expected="the contexts of the clusters of the mesh",
            hint=Advice("choose among them: ", istio_mc("install", contexts=known)) if known else None,
        )
    )


def _members(session: Session, also: Collection[str] = ()) -> _Chosen:
    everyone = session.kubeconfig.contexts
    session.clusters.read_namespaces(everyone)
    unusable = session.clusters.unusable
    meshes: dict[str, list[str]] = {}
    for name, namespace in session.clusters.namespaces.items():
        if mesh_id := labels_of(namespace).get(MESH_LABEL):
            meshes.setdefault(mesh_id, []).append(name)
    if len(meshes) != 1:
        raise InputError(_not_one_mesh(session, meshes))
    members = next(iter(meshes.values()))
    silent_members = _linked_but_silent(session, members) | (set(also) & unusable.keys())
    warnings = tuple(
        Problem(
            code=Code.CONTEXT_SKIPPED,
            cluster=name,
            message=f"{name} could not be read and was skipped; its membership is unknown",
            seen=problems[0].seen or problems[0].message,
            hint=Advice(istio_mc("verify", contexts=[*members, name])),
        )
        for name, problems in unusable.items()
        if name not in silent_members
    )
    chosen = silent_members.union(members, also)
    return _Chosen(tuple(context for context in everyone if context.name in chosen), warnings=warnings)


def _linked_but_silent(session: Session, members: list[str]) -> set[str]:
    """Contexts that do not answer, but whose cluster ID a member holds a remote secret for."""
    if not session.clusters.unusable:
        return set()
    found, _ = session.clusters.each(
        lambda name: session.clusters.kubes[name].list(
            objects.SECRET, SYSTEM_NAMESPACE, labels=f"{MULTI_CLUSTER_LABEL}=true"
        ),
        members,
    )
    linked = {cluster_id for secrets in found.values() for cluster_id in linked_ids(secrets)}
    derived = naming.derive_cluster_ids({c.name: c.cluster for c in session.kubeconfig.contexts}, {})
    return {name for name in session.clusters.unusable if derived[name] in linked}


def _not_one_mesh(session: Session, meshes: Mapping[str, list[str]]) -> Problem:
    if meshes:
        told = "; ".join(f"{mesh}: {', '.join(members)}" for mesh, members in meshes.items())
        return Problem(
            code=Code.TWO_MESHES,
            message="the kubeconfig has members of several meshes",
            seen=told,
            expected="one mesh",
            hint=Advice(f"name the clusters: --contexts {','.join(next(iter(meshes.values())))}"),
        )
    asked = ", ".join(session.clusters.namespaces) or "no context"
    silent_ones = "; ".join(
        f"{name}: {problems[0].seen or problems[0].message}"
        for name, problems in session.clusters.unusable.items()
    )
    return Problem(
        code=Code.NO_MEMBERS,
        message="no cluster of the kubeconfig is a member of a mesh",
        seen=f"asked {asked}" + (f"; not usable: {silent_ones}" if silent_ones else ""),
        expected=f"label {MESH_LABEL} on namespace {SYSTEM_NAMESPACE}",
        hint=Advice(
            "name the clusters with --contexts, or begin with: ",
            istio_mc("install", contexts=["CONTEXT", "CONTEXT"]),
        ),
    )


def cluster_ids(inputs: Inputs, progress: Progress = silent) -> list[str]:
    """The cluster IDs of the named clusters: those they have, else those they would get.

    Raises:
        InputError: None is named.
        ProblemError: One of them cannot be asked which ID it has.
    """
    with open_named(inputs, progress) as session:
        session.clusters.read_namespaces(session.clusters.contexts)
        if session.clusters.unusable:
            raise ProblemError(
                *(problem for found in session.clusters.unusable.values() for problem in found)
            )
        taken = {
            name: label
            for name, namespace in session.clusters.namespaces.items()
            if (label := labels_of(namespace).get(CLUSTER_LABEL))
        }
        set_by_user = {c.context: c.id for c in session.settings.clusters if c.id}
        derived = naming.derive_cluster_ids(
            {context.name: context.cluster for context in session.clusters.contexts}, set_by_user | taken
        )
        return list(derived.values())
