"""Opens a run: settings, contexts, credentials and API servers, each read or obtained once."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn, Self

from istio_mc.domain import naming
from istio_mc.domain.events import Progress, silent
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.identity import Part, mislabelled_mesh, sources_of
from istio_mc.domain.istio.documents import MULTI_CLUSTER_LABEL
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.links.lost import forgotten_by
from istio_mc.domain.links.remote_secrets import linked_ids
from istio_mc.domain.mesh import CLUSTER_LABEL, MESH_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.gateways.host import temporary
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.gateways.host.root_store import current_store
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.session.clusters import Clusters
from istio_mc.ops.session.inputs import Inputs, Overrides
from istio_mc.ops.session.leases import Leases
from istio_mc.ops.session.run import Run
from istio_mc.ops.session.sources import read_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from istio_mc.domain.kube.kubeconfig import Context, Kubeconfig
    from istio_mc.domain.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Session:
    """What a verb works with: the run, its clusters, and the settings.

    Attributes:
        paths: The files it was merged from, joined as in $KUBECONFIG, for commands to paste.
        picked: Whether the user named the contexts of this run on the command line, or when asked.
        leases: By which it alone changes its clusters; None where it changes none.
    """

    run: Run
    clusters: Clusters
    settings: Settings
    kubeconfig: Kubeconfig
    paths: str = ""
    listed: tuple[str, ...] = ()
    picked: bool = False
    warnings: tuple[Problem, ...] = ()
    leases: Leases | None = None

    @property
    def base_store(self) -> CaStore:
        """The folder of the CA, in which later roots have folders of their own."""
        return CaStore(self.settings.certs_dir, self.run.deadline, self.run.progress)

    def ca_store(self) -> CaStore:
        """The folder of the root that the mesh has."""
        return current_store(self.settings.certs_dir, self.run.deadline, self.run.progress)

    def check_lease(self, context: str) -> None:
        """Before a change to a cluster: stops where another run has its Lease.

        Raises:
            ProblemError: As from `Leases.check`.
        """
        if self.leases:
            self.leases.check(context)

    def with_run(self, run: Run) -> Session:
        """The same with the same clusters, over the same connections, for another run."""
        return replace(self, run=run, clusters=self.clusters.with_run(run))

    def only(self, names: Collection[str]) -> Session:
        """The same with some of its clusters, over the same connections."""
        return replace(self, clusters=self.clusters.only(names))

    def until(self, deadline: float) -> Session:
        """The same with another deadline."""
        return self.with_run(replace(self.run, deadline=deadline))

    @contextmanager
    def changing(self, verb: str, *, dry_run: bool = False, lists_rights: bool = False) -> Iterator[Session]:
        """Has this run alone change its clusters, for the time of a block.

        Args:
            dry_run: Whether nothing is changed: then no Lease is taken.
            lists_rights: Whether the verb reports all missing rights at once, that to a Lease too, before its
                first change, and calls `check_lease` before each.

        Yields:
            The same with the Leases of its clusters.

        Raises:
            ProblemError: Another run changes one of them; or a Lease is refused.
        """
        if dry_run:
            yield self
            return
        leases = Leases(self.clusters, verb, lists_rights=lists_rights)
        try:
            leases.take_all()
            yield replace(self, leases=leases)
        finally:
            leases.release()

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
    choose: Callable[[Sequence[Context]], Sequence[str]] | None = None,
) -> Session:
    """Opens a run on the clusters the user named.

    Args:
        choose: Asks the user for some of these contexts, where none is named; empty where there is no reply.

    Raises:
        InputError: None is named, or one is unknown, or one cluster is named twice.
    """

    def otherwise(session: Session) -> _Chosen:
        since = time.monotonic()
        chosen = choose(session.kubeconfig.contexts) if choose and session.kubeconfig.contexts else ()
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

    def members(opened: Session) -> _Chosen:
        return _members(opened, also=around)

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
    raise InputError.of(
        code=Code.NO_CONTEXTS,
        message="no cluster is given",
        seen="neither --contexts nor clusters in mesh.yaml",
        expected="the contexts of the clusters of the mesh",
        hint=Advice(f"the same command with --contexts {','.join(known)}") if known else None,
    )


def _members(session: Session, also: Collection[str] = ()) -> _Chosen:
    everyone = session.kubeconfig.contexts
    session.clusters.read_namespaces(everyone)
    unusable = session.clusters.unusable
    meshes: dict[str, list[str]] = {}
    gone = {name: by for name, by in forgotten_by(session.clusters.namespaces).items() if name not in also}
    for name, namespace in session.clusters.namespaces.items():
        if name not in gone and (mesh_id := labels_of(namespace).get(MESH_LABEL)):
            meshes.setdefault(mesh_id, []).append(name)
    if len(meshes) != 1:
        raise InputError(*(_mislabelled(session, meshes) or [_not_one_mesh(session, meshes)]))
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
    warnings = (*warnings, *(_forgotten(name, by, members) for name, by in gone.items()))
    chosen = silent_members.union(members, also)
    return _Chosen(tuple(context for context in everyone if context.name in chosen), warnings=warnings)


def _forgotten(name: str, by: Collection[str], members: Collection[str]) -> Problem:
    return Problem(
        code=Code.CONTEXT_LOST,
        cluster=name,
        message=f"{name} was skipped: {', '.join(by)} have forgotten it, as a cluster that is lost",
        seen="it responds, and its istio-system has the label of a member",
        expected="a cluster that joins again, or is removed",
        hint=Advice(
            "join it again: ",
            istio_mc("install", contexts=[*members, name]),
            "; or remove its Istio: ",
            istio_mc("uninstall", contexts=[name]),
        ),
    )


def _linked_but_silent(session: Session, members: list[str]) -> set[str]:
    """Contexts that do not answer, but whose cluster ID a member holds a remote secret for."""
    if not session.clusters.unusable:
        return set()
    results, _ = session.clusters.each(
        lambda name: session.clusters.kubes[name].list(
            objects.SECRET, SYSTEM_NAMESPACE, labels=f"{MULTI_CLUSTER_LABEL}=true"
        ),
        members,
    )
    linked = {cluster_id for secrets in results.values() for cluster_id in linked_ids(secrets)}
    derived = naming.derive_cluster_ids({c.name: c.cluster for c in session.kubeconfig.contexts}, {})
    return {name for name in session.clusters.unusable if derived[name] in linked}


def _mislabelled(session: Session, meshes: Mapping[str, list[str]]) -> list[Problem]:
    """The labels for which one mesh seems several: Istio runs with one mesh ID in all these clusters."""
    found, failed = session.clusters.each(
        lambda name: sources_of(observe(session.clusters.kubes[name]), Part.MESH_ID),
        [name for members in meshes.values() for name in members],
    )
    if failed or len({sources.likely for sources in found.values()}) != 1:
        return []
    return [mislabelled_mesh(name, sources) for name, sources in found.items() if sources.is_mislabelled]


def _not_one_mesh(session: Session, meshes: Mapping[str, list[str]]) -> Problem:
    if meshes:
        meshes_text = "; ".join(f"{mesh}: {', '.join(members)}" for mesh, members in meshes.items())
        return Problem(
            code=Code.TWO_MESHES,
            message="the kubeconfig has members of several meshes",
            seen=meshes_text,
            expected="one mesh",
            hint=Advice(f"the same command with --contexts {','.join(next(iter(meshes.values())))}"),
        )
    namespaces = ", ".join(session.clusters.namespaces) or "no context"
    silent_ones = "; ".join(
        f"{name}: {problems[0].seen or problems[0].message}"
        for name, problems in session.clusters.unusable.items()
    )
    return Problem(
        code=Code.NO_MEMBERS,
        message="no cluster of the kubeconfig is a member of a mesh",
        seen=f"read {namespaces}" + (f"; not usable: {silent_ones}" if silent_ones else ""),
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
                *(problem for problems in session.clusters.unusable.values() for problem in problems)
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
