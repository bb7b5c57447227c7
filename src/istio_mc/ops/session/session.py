"""Opens a run: settings, contexts, credentials and API servers, each read or obtained once."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from istio_mc.domain import naming
from istio_mc.domain.codes import Code
from istio_mc.domain.events import Event, Progress, State, silent
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.documents import MULTI_CLUSTER_LABEL
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.exec_credential import plugin_of
from istio_mc.domain.kube.kubeconfig import uses_exec
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.links.remote_secrets import linked_ids
from istio_mc.domain.mesh import CLUSTER_LABEL, MESH_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.gateways.host import files, temporary
from istio_mc.gateways.host.ca_store import CaStore
from istio_mc.gateways.host.parallel import Failures, fan_out
from istio_mc.gateways.istio.releases import release_table
from istio_mc.gateways.kube import credentials, known_secrets
from istio_mc.gateways.kube.client import READ_TIMEOUT_S, Kube
from istio_mc.ops.session.inputs import Inputs, Overrides
from istio_mc.ops.session.pod_watch import PodTiming
from istio_mc.ops.session.sources import read_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from istio_mc.domain.istio.releases import ReleaseTable
    from istio_mc.domain.kube.kubeconfig import Context, Kubeconfig
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.settings.model import Settings

_PLUGIN_DEADLINE_S = 30.0
_ASK_DEADLINE_S = 15.0
_LATE_S = 2.0
_OVERDUE_S = 1.0
"""How long after the deadline what has no deadline of its own is abandoned: what has one reports more."""
_SHARE_OF_SILENCE = 1 / 3
"""How much of a run's time a cluster may be silent within one answer."""
_LEAST_PATIENCE_S = 1.0
_T = TypeVar("_T")


@dataclass(slots=True)
class Session:
    """One run's clusters and what it needs to speak to them.

    Attributes:
        settings: mesh.yaml's, or the defaults.
        kubeconfig: The merged kubeconfig.
        paths: The files it was merged from, joined as in $KUBECONFIG, for commands to paste.
        contexts: The clusters of this run, in the user's order.
        kubes: Their API servers, by context; those in `unusable` have none.
        unusable: Contexts that cannot be used at all, and why.
        namespaces: istio-system of those asked for it already.
        done: Names of the steps that are finished, by context.
        deadline: `time.monotonic()` value by which the run ends.
        concurrency: How many clusters are worked on at once.
        progress: Told of every step.
        warnings: What the user should know though nothing failed.
        pod_timing: How often the pods that are waited for are looked at, and how long.
        picked: Whether the user named the contexts of this run on the command line, or when asked.
        listed: The contexts that mesh.yaml names.
        releases: The table of Istio releases.
        folder: A private folder that goes when the run ends.
        read: Reads a file of the run, a pipe only once.
    """

    settings: Settings
    kubeconfig: Kubeconfig
    paths: str
    deadline: float
    concurrency: int
    progress: Progress = silent
    contexts: tuple[Context, ...] = ()
    kubes: dict[str, Kube] = field(default_factory=dict)
    unusable: Failures = field(default_factory=dict)
    namespaces: dict[str, Object | None] = field(default_factory=dict)
    done: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    pod_timing: PodTiming = field(default_factory=PodTiming)
    picked: bool = False
    listed: tuple[str, ...] = ()
    releases: ReleaseTable = field(default_factory=release_table, repr=False)
    folder: Path = field(default_factory=temporary.make_folder, repr=False)
    read: Callable[[Path], bytes] = field(default=files.content, repr=False)

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; never negative."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def overdue(self) -> float:
        """`time.monotonic()` value at which calls are abandoned that did not end by the deadline."""
        return self.deadline + _OVERDUE_S

    def each(
        self, names: Iterable[str], work: Callable[[str], _T], *, step: str | None = None
    ) -> tuple[dict[str, _T], Failures]:
        """Does work for each of these clusters at once, and waits for none past the deadline.

        Args:
            names: Their contexts.
            work: What is done for each.
            step: The step that changes each of them, reported as pending until its turn comes.

        Returns:
            What came of each, in the order of the names, and the Problems of those that failed.
        """
        names = tuple(names)
        if step:
            self.queue(names, step)
        return fan_out(names, work, concurrency=self.concurrency, until=self.overdue + _OVERDUE_S)

    def queue(self, names: Iterable[str], step: str) -> None:
        """Reports that a step is to be done in each of these clusters."""
        for name in names:
            self.progress(Event(name, step, State.PENDING))

    @contextmanager
    def step(self, context: str, name: str, detail: str = "") -> Iterator[None]:
        """Reports that a step of a cluster begins with a `with` block, and how it ends."""
        self.progress(Event(context, name, State.STARTED, detail))
        try:
            yield
        except ProblemError:
            self.progress(Event(context, name, State.FAILED))
            raise
        self.progress(Event(context, name, State.DONE))

    @property
    def names(self) -> tuple[str, ...]:
        """The context names of this run."""
        return tuple(context.name for context in self.contexts)

    def ca_store(self) -> CaStore:
        """The folder of the mesh's CA."""
        return CaStore(self.settings.certs_dir, self.deadline, self.progress)

    def document(self, context: str) -> Mapping[str, object]:
        """A self-contained kubeconfig of one context, credentials obtained."""
        return self.kubes[context].kubeconfig

    def close(self) -> None:
        """Ends connections and removes the private folder."""
        for kube in self.kubes.values():
            kube.close()
        temporary.remove(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self, contexts: Iterable[Context]) -> None:
        """Obtains credentials for contexts and opens their API servers; the unusable are noted."""
        contexts = [c for c in contexts if c.name not in self.kubes and c.name not in self.unusable]
        for context in contexts:
            if context.problems:
                self.unusable[context.name] = tuple(p.on(context.name) for p in context.problems)
        contexts = [c for c in contexts if c.name not in self.unusable]
        plugins = {
            context.name: f"for credential plugin {plugin_of(context.user_entry).shown}"
            for context in contexts
            if uses_exec(context.user_entry)
        }
        with self._waiting("credentials", plugins):
            resolved = credentials.resolve(
                contexts, min(_PLUGIN_DEADLINE_S, self.remaining_s), until=self.deadline
            )
        for context in contexts:
            found = resolved[context.name]
            if isinstance(found, Problem):
                self.unusable[context.name] = (found,)
                continue
            known_secrets.remember(found.user_entry)
            document = self.kubeconfig.document_with(context, found.user_entry)
            self.kubes[context.name] = Kube(
                context.name, document, deadline=self.deadline, read_timeout_s=self._patience_s
            )

    @property
    def _patience_s(self) -> float:
        """Seconds for which a cluster may be silent; one that is lost leaves the others time to go on."""
        return min(READ_TIMEOUT_S, max(_LEAST_PATIENCE_S, self.remaining_s * _SHARE_OF_SILENCE))

    @contextmanager
    def _waiting(self, step: str, pending: Mapping[str, str]) -> Iterator[None]:
        """Reports what contexts still wait for, where a `with` block takes long."""
        reported: list[str] = []

        def report() -> None:
            for name, what in [*pending.items()]:
                reported.append(name)
                self.progress(Event(name, step, State.WAITING, what))

        if not pending:
            yield
            return
        late = threading.Timer(_LATE_S, report)
        late.daemon = True
        late.start()
        try:
            yield
        finally:
            late.cancel()
            for name in reported:
                self.progress(Event(name, step, State.DONE))

    def try_again(self) -> None:
        """Gives this run's unusable clusters another chance: they may answer by now."""
        self.unusable.clear()
        self.connect(self.contexts)

    def ask_namespaces(self, contexts: Iterable[str], within_s: float | None = None) -> None:
        """Reads istio-system of contexts that have not been asked; who does not answer becomes unusable.

        Args:
            contexts: Their names.
            within_s: How long each may take, in seconds from its own turn on; None: until the run's deadline.
        """
        pending: dict[str, str] = {}

        def read(name: str) -> Object | None:
            kube = self.kubes[name]
            if within_s is not None:
                kube = kube.until(min(self.deadline, time.monotonic() + within_s))
            try:
                return kube.get(objects.NAMESPACE, SYSTEM_NAMESPACE)
            finally:
                pending.pop(name, None)

        wanted = [name for name in contexts if name in self.kubes and name not in self.namespaces]
        pending |= dict.fromkeys(wanted, "for its API server")
        with self._waiting("connect", pending):
            found, failed = self.each(wanted, read)
        self.namespaces |= found
        for name, problems in failed.items():
            self.unusable[name] = problems
            self.kubes.pop(name).close()

    def labels_around(self, contexts: Iterable[Context]) -> list[Mapping[str, str]]:
        """Labels of istio-system of contexts outside the run, as far as they answer in a short time."""
        contexts = tuple(contexts)
        self.ask(contexts)
        return [labels_of(self.namespaces.get(context.name)) for context in contexts]

    def ask(self, contexts: Iterable[Context]) -> None:
        """Connects to contexts and reads their istio-system, with a short deadline for each."""
        contexts = tuple(contexts)
        self.connect(contexts)
        self.ask_namespaces((context.name for context in contexts), within_s=_ASK_DEADLINE_S)


def begin(inputs: Inputs, progress: Progress = silent) -> Session:
    """Reads mesh.yaml and the kubeconfig files; asks no cluster yet.

    Raises:
        InputError: With every fault of what was read.
    """
    sources = read_sources(inputs)
    return Session(
        settings=sources.settings,
        kubeconfig=sources.kubeconfig,
        paths=sources.paths,
        deadline=inputs.deadline,
        concurrency=inputs.concurrency,
        progress=progress,
        warnings=list(sources.kubeconfig.warnings),
        listed=tuple(cluster.context for cluster in sources.settings.clusters),
        read=inputs.read,
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

    def otherwise(session: Session) -> tuple[Context, ...]:
        since = time.monotonic()
        chosen = ask(session.kubeconfig.contexts) if ask and session.kubeconfig.contexts else ()
        session.deadline += time.monotonic() - since  # a person may take their time
        session.picked = bool(chosen)
        return session.kubeconfig.select(chosen) or _none_named(session)

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

    def members(found: Session) -> tuple[Context, ...]:
        return _members(found, also=around)

    return _opened(everyone, progress, None, otherwise=members), around


def _opened(
    inputs: Inputs,
    progress: Progress,
    overrides: Overrides | None,
    otherwise: Callable[[Session], tuple[Context, ...]],
) -> Session:
    session = begin(inputs, progress)
    try:
        session.picked = bool(inputs.contexts)
        contexts = named(session, inputs) or otherwise(session)
        _refuse_broken(contexts)
        session.contexts = contexts
        session.settings = (overrides or Overrides()).over(session.settings, contexts)
        session.connect(contexts)
    except BaseException:
        session.close()
        raise
    return session


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
            expected="the contexts of the clusters that shall form the mesh",
            hint=Advice("choose among them: ", istio_mc("install", contexts=known)) if known else None,
        )
    )


def _members(session: Session, also: Collection[str] = ()) -> tuple[Context, ...]:
    everyone = session.kubeconfig.contexts
    session.ask(everyone)
    meshes: dict[str, list[str]] = {}
    for name, namespace in session.namespaces.items():
        if mesh_id := labels_of(namespace).get(MESH_LABEL):
            meshes.setdefault(mesh_id, []).append(name)
    if len(meshes) != 1:
        raise InputError(_not_one_mesh(session, meshes))
    members = next(iter(meshes.values()))
    silent_members = _linked_but_silent(session, members) | (set(also) & session.unusable.keys())
    for name in set(session.unusable) - silent_members:
        session.warnings.append(
            Problem(
                code=Code.CONTEXT_PASSED_OVER,
                cluster=name,
                message=f"{name} could not be asked whether it is a member, and was passed over",
                seen=session.unusable[name][0].seen or session.unusable[name][0].message,
                hint=Advice(istio_mc("verify", contexts=[*members, name])),
            )
        )
    for name in [name for name in session.kubes if name not in members and name not in also]:
        session.kubes.pop(name).close()
    chosen = silent_members.union(members, also)
    session.unusable = {name: session.unusable[name] for name in silent_members}
    return tuple(context for context in everyone if context.name in chosen)


def _linked_but_silent(session: Session, members: list[str]) -> set[str]:
    """Contexts that do not answer, but whose cluster ID a member holds a remote secret for."""
    if not session.unusable:
        return set()
    found, _ = session.each(
        members,
        lambda name: session.kubes[name].list(
            objects.SECRET, SYSTEM_NAMESPACE, labels=f"{MULTI_CLUSTER_LABEL}=true"
        ),
    )
    linked = {cluster_id for secrets in found.values() for cluster_id in linked_ids(secrets)}
    derived = naming.derive_cluster_ids({c.name: c.cluster for c in session.kubeconfig.contexts}, {})
    return {name for name in session.unusable if derived[name] in linked}


def _not_one_mesh(session: Session, meshes: Mapping[str, list[str]]) -> Problem:
    if meshes:
        told = "; ".join(f"{mesh}: {', '.join(members)}" for mesh, members in meshes.items())
        return Problem(
            code=Code.TWO_MESHES,
            message="the kubeconfig holds members of more than one mesh",
            seen=told,
            expected="one mesh",
            hint=Advice(f"name the clusters: --contexts {','.join(next(iter(meshes.values())))}"),
        )
    asked = ", ".join(session.namespaces) or "no context"
    silent_ones = "; ".join(
        f"{name}: {problems[0].seen or problems[0].message}" for name, problems in session.unusable.items()
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
        session.ask(session.contexts)
        if session.unusable:
            raise ProblemError(*(problem for found in session.unusable.values() for problem in found))
        taken = {
            name: label
            for name, namespace in session.namespaces.items()
            if (label := labels_of(namespace).get(CLUSTER_LABEL))
        }
        set_by_user = {c.context: c.id for c in session.settings.clusters if c.id}
        derived = naming.derive_cluster_ids(
            {context.name: context.cluster for context in session.contexts}, set_by_user | taken
        )
        return list(derived.values())
