"""ca rotate: another root for a mesh that serves, in phases that wait for every proxy of every cluster."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.proxies import gateway_pods, workload_of
from istio_mc.domain.istio.root_rotation import (
    NewRoot,
    Phase,
    Target,
    desired,
    does_not_follow,
    is_at,
    may_have_several_roots,
    next_root,
    root_as_signed,
    several_roots,
)
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import linked_ids
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.pki import certificates, pem
from istio_mc.domain.pki.signing import contents_of, signing
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.text import few, plural
from istio_mc.gateways.host.ca_store import ROOTS, TWIN, CaStore
from istio_mc.gateways.host.parallel import poll_rounds
from istio_mc.gateways.host.root_store import (
    current_store,
    folder_name,
    forget_next,
    keep_twin,
    name_current,
    name_next,
    new_store,
    next_store,
    twin_of,
)
from istio_mc.gateways.istio.proxies import running_with_sidecar
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.ca import authority
from istio_mc.ops.ca.root import load_root, named
from istio_mc.ops.ca.trust import of_roots
from istio_mc.ops.rotation import cacerts
from istio_mc.ops.rotation.following import have_renewed, next_phase, proxies_missing
from istio_mc.ops.rotation.root_errors import (
    istiod_does_not_follow,
    setting_missing,
)
from istio_mc.ops.session import rights, topology
from istio_mc.ops.session.inputs import refuse_unknown_clusters
from istio_mc.ops.session.wait_report import WaitReport
from istio_mc.ops.upgrade import gate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from istio_mc.domain.hint import Command
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.pki.signing import Signing
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.session.session import Session

GATE_S = 300.0
"""How long proxies may take to follow: the kubelet writes a changed Secret within about two minutes."""
_POLL_S = 2.0
_MOST_NAMED = 5

_MERGED = {
    Phase.TRUST: "trust all roots",
    Phase.SIGN: "sign under the remaining root",
    Phase.RENEW: "renew certificates",
    Phase.FINISH: "trust the remaining root alone",
}
"""What phases are called where no root is new."""


@dataclass(frozen=True, slots=True)
class RootRotating:
    """What is to be done.

    Attributes:
        read: Every cluster of the mesh, as it is before the first change.
        base: The folder of the CA, in which roots have folders of their own.
        store: The store of the root that the mesh changes to; None: it has not been made.
        phase: The phase that comes next; None: all clusters have the new root alone.
        under: The clusters that sign under each root, by the SHA-256 of the root.
        old: SHA-256 of the root that the mesh has; empty where several are merged.
        merged: The root of the folder, where clusters under other roots go to it; None: there is a new root.
        as_signed: The root that all clusters sign under, where they are to have it alone; None: the root is
            changed with the folder of the CA.
        own: The options that name a root of the user's own.
        waits: The CAs that are to be signed elsewhere before the first change.
        problems: What stands in the way: nothing is changed where there is any.
    """

    read: MembersRead
    base: CaStore
    store: CaStore | None
    phase: Phase | None
    under: Mapping[str, tuple[str, ...]]
    old: str = ""
    merged: Target | None = field(default=None, repr=False)
    as_signed: NewRoot | None = field(default=None, repr=False)
    own: tuple[str, ...] = ()
    waits: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def command(self) -> Command:
        """What goes on after an interruption."""
        if self.merged:
            return istio_mc("ca", "rotate", "--merge", contexts=self.read.members)
        return istio_mc("ca", "rotate", *self.own)

    def title(self, phase: Phase) -> str:
        """What a phase is called."""
        return _MERGED[phase] if self.merged else phase


@dataclass(frozen=True, slots=True)
class RootResult:
    """What became of it.

    Attributes:
        new: SHA-256 of the new root; empty where it has not been made.
        done: The phases that were done, with the seconds that each took.
        phases: The phases of this run.
    """

    plan: RootRotating
    new: str = ""
    done: Mapping[Phase, float] = field(default_factory=dict)
    failures: tuple[Problem, ...] = ()
    dry_run: bool = False
    phases: tuple[Phase, ...] = tuple(Phase)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All errors."""
        return tuple(dict.fromkeys((*self.plan.problems, *self.failures)))


@dataclass(frozen=True, slots=True)
class MembersRead:
    """Every cluster as it is before the first change.

    Attributes:
        pods: The pods with a sidecar, by context.
        members: The clusters, by context.
        order: The contexts, the canary first.
    """

    observed: Mapping[str, Observed] = field(repr=False)
    pods: Mapping[str, Sequence[Object]] = field(repr=False)
    members: Mapping[str, Cluster]
    order: tuple[str, ...]

    @property
    def proxies(self) -> dict[str, int]:
        """The number of proxies of each cluster."""
        return {
            name: len(gateway_pods(one.of(objects.POD), EAST_WEST_GATEWAY)) + len(self.pods[name])
            for name, one in self.observed.items()
        }


def read_members(session: Session, canary: str | None) -> MembersRead:
    """Reads every cluster of the run.

    Raises:
        InputError: An option names a cluster outside the run; or IDs or networks contradict each other.
        ProblemError: A cluster cannot be read.
    """
    refuse_unknown_clusters({"--canary": [canary] if canary else []}, session.clusters.names)
    session.run.progress(Event(None, "preflight", State.STARTED, "reading every cluster"))

    def read(name: str) -> tuple[Observed, Sequence[Object]]:
        kube = session.clusters.kubes[name]
        return observe(kube), running_with_sidecar(kube)

    found = session.clusters.every(read)
    observed = {name: one for name, (one, _) in found.items()}
    members = topology.clusters_of(session.clusters.contexts, session.settings, observed)
    order = tuple(sorted(members, key=lambda name: name != canary))
    return MembersRead(observed, {name: pods for name, (_, pods) in found.items()}, members, order)


def prepare(
    session: Session,
    options: CaOptions,
    now: datetime,
    canary: str | None = None,
    *,
    without_folder: bool = False,
    read: MembersRead | None = None,
) -> RootRotating:
    """Reads the mesh and the folder of the CA; changes nothing.

    Args:
        without_folder: Whether the folder is left out: all clusters are to have the root alone that they sign
            under, which reverts or finishes a change that has begun.
        read: The clusters, where this run has read them already.

    Raises:
        InputError: An option names a cluster outside the run; or IDs or networks contradict each other.
        ProblemError: A member, or the folder, cannot be read.
    """
    read = read or read_members(session, canary)
    observed = read.observed
    base = session.base_store
    current = current_store(base.folder, base.deadline, base.progress)
    following = next_store(base)
    if following and following.folder == current.folder:
        current = base  # it counts as current from the last phase on
    problems = [*not_in_run(read), *do_not_follow(read)]
    if without_folder or current.read().root_cert is None:
        signed = _as_signed(read, base, without_folder=without_folder)
        if signed:
            return RootRotating(
                read,
                base,
                None,
                _phase_as_signed(session, read, signed),
                {signed.fingerprint: read.order},
                as_signed=signed,
                problems=tuple(problems),
            )
    old, of_folder = _old_root(current, following, observed, now)
    problems += of_folder
    phase: Phase | None = Phase.TRUST
    owns = {name: own_ca(name, one) for name, one in observed.items()}
    if following and not problems:
        root = _new_root(following, read.members, options, now)
        phase = next_phase(session, owns, root.target)
        chains = {name: root.cas[one.cluster_id].cert_chain for name, one in read.members.items()}
        problems += cacerts.unfit_lists(observed, chains)
    session.run.progress(Event(None, "preflight", State.DONE, phase or "nothing to do"))
    return RootRotating(
        read,
        base,
        following,
        phase,
        by_root(owns),
        old=old,
        problems=tuple(problems),
    )


def _phase_as_signed(session: Session, read: MembersRead, signed: NewRoot) -> Phase | None:
    """The phase that comes next where clusters are to have the root alone that they sign under."""
    if not have_renewed(session, read.order, signed.target):
        return Phase.RENEW
    owns = (own_ca(name, one) for name, one in read.observed.items())
    return None if all(is_at(Phase.FINISH, own, signed.target) for own in owns) else Phase.FINISH


def own_ca(name: str, observed: Observed) -> Signing:
    """The CA that a cluster has, by its Secret.

    Raises:
        ProblemError: As `cacerts.live_of`.
    """
    return signing(cacerts.live_of(name, observed.find(objects.SECRET, cacerts.CACERTS)))


def by_root(owns: Mapping[str, Signing]) -> dict[str, tuple[str, ...]]:
    """The clusters that sign under each root, by the SHA-256 of the root."""
    return {
        root: tuple(name for name, own in owns.items() if own.root == root)
        for root in dict.fromkeys(own.root for own in owns.values())
    }


def rehearse(session: Session, todo: RootRotating) -> RootResult:
    """Runs what each gate reads, and changes nothing."""
    problems = [*todo.waits]
    held, failures = session.clusters.each(
        lambda name: cacerts.every_proxy(session.clusters.kubes[name]), todo.read.members
    )
    problems += [problem for those in failures.values() for problem in those]
    for name, one in held.items():
        problems += [problem.on(name) for problem in one.silent.values()]
    return RootResult(todo, failures=tuple(problems), dry_run=True)


def rotate(session: Session, todo: RootRotating, options: CaOptions, now: datetime) -> RootResult:
    """Does what was planned; stops at the first fault, with a mesh that works.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """
    require_rights(session, todo)
    return rotate_allowed(session, todo, options, now)


def require_rights(session: Session, todo: RootRotating) -> None:
    """Stops where rights are missing, before the first change, in whichever cluster.

    Raises:
        InputError: With a Problem for each cluster in which one is missing.
    """
    rights.require(session, "ca rotate", dict.fromkeys(todo.read.members, rights.ROTATE_ROOT))


def rotate_allowed(session: Session, todo: RootRotating, options: CaOptions, now: datetime) -> RootResult:
    """Like `rotate`, where this run has required the rights already."""
    before = gate.look_before(session, "ca rotate", now)
    store = todo.store or _make(todo.base, options, now)
    root = _new_root(store, todo.read.members, options, now)

    def begin(phase: Phase) -> None:
        if phase is Phase.FINISH:
            name_current(todo.base, store)

    result = through_phases(session, todo, root, before, now, begin)
    if not result.failures:
        forget_next(todo.base)
    return result


def through_phases(
    session: Session,
    todo: RootRotating,
    root: NewRoot,
    before: gate.Before,
    now: datetime,
    begin: Callable[[Phase], None] = lambda _phase: None,
    phases: tuple[Phase, ...] = tuple(Phase),
) -> RootResult:
    """Brings all clusters through phases; stops at the first fault.

    Args:
        before: What `verify` found before the first change.
        begin: What else is done before a phase.
    """
    done: dict[Phase, float] = {}
    try:
        for phase in phases:
            begun = time.monotonic()
            begin(phase)
            is_changed = _do(
                session,
                todo,
                root,
                phase,
                partial(gate.begin_change, session, before, now=now, step=phase.name),
            )
            if is_changed or phase.name in before.pending.values():
                gate.pass_gate(session, before, todo.read.order, now, partial(_gate_stopped, todo, phase))
            done[phase] = time.monotonic() - begun
    except ProblemError as error:
        problems = error.problems
        if not any(one.code is Code.ROOT_GATE for one in problems):
            problems = (*problems, _stopped(todo, phase))
        return RootResult(todo, root.fingerprint, done, problems, phases=phases)
    return RootResult(todo, root.fingerprint, done, phases=phases)


def end_as_signed(session: Session, todo: RootRotating, root: NewRoot, now: datetime) -> RootResult:
    """Has every cluster trust the root alone that all of them sign under; stops at the first fault.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """
    require_rights(session, todo)
    before = gate.look_before(session, "ca rotate", now)
    return through_phases(session, todo, root, before, now, phases=(Phase.RENEW, Phase.FINISH))


def _as_signed(read: MembersRead, base: CaStore, *, without_folder: bool) -> NewRoot | None:
    """The root that all clusters sign under; None where no change has begun and the folder is to be used.

    Raises:
        ProblemError: A change has begun, and it needs the folder; or the user did not say to do without.
    """
    live = {
        name: cacerts.live_of(name, one.find(objects.SECRET, cacerts.CACERTS))
        for name, one in read.observed.items()
    }
    owns = {name: signing(ca) for name, ca in live.items()}
    if not (without_folder or several_roots(owns.values())):
        return None
    signed = root_as_signed({one.cluster_id: (owns[name], live[name]) for name, one in read.members.items()})
    if signed is None or not without_folder:
        raise ProblemError(_folder_needed(base, owns, can_do_without=signed is not None))
    return signed


def _do(
    session: Session, todo: RootRotating, root: NewRoot, phase: Phase, begin: Callable[[str], None]
) -> bool:
    """Brings every cluster into a phase, the canary first, and waits for what it requires.

    Args:
        begin: Records that a cluster has a gate to pass, before it is changed.

    Returns:
        Whether a cluster was changed.

    Raises:
        ProblemError: A cluster could not be changed; or a proxy, or an istiod, does not follow.
    """
    is_changed = False
    for batch in (todo.read.order[:1], todo.read.order[1:]):
        written, failures = session.clusters.each(
            lambda name: _write(session, todo, root, phase, name, begin), batch, step=todo.title(phase)
        )
        is_changed |= any(written.values())
        if failures:
            raise ProblemError(*(problem for problems in failures.values() for problem in problems))
        _wait(session, todo, root, phase, batch)
    _wait(session, todo, root, phase, todo.read.order)
    return is_changed


def _write(
    session: Session,
    todo: RootRotating,
    root: NewRoot,
    phase: Phase,
    name: str,
    begin: Callable[[str], None],
) -> bool:
    """Brings one cluster into a phase; False where it is there already."""
    session.check_lease(name)
    kube = session.clusters.kubes[name]
    secret = kube.get(objects.SECRET, cacerts.CACERTS, SYSTEM_NAMESPACE)
    live = cacerts.live_of(name, secret)
    # A cluster that keeps its CA has nothing to renew. An agent that still renews after one change of the
    # roots can return to these after the next, until its certificate expires (seen on the lab, Istio 1.31.0).
    if is_at(phase, signing(live), root.target) or (
        phase is Phase.RENEW and not proxies_missing(kube, phase, root.target)
    ):
        session.run.progress(Event(name, todo.title(phase), State.UNCHANGED))
        return False
    begin(name)
    cluster_id = todo.read.members[name].cluster_id
    new = desired(phase, live, root.cas[cluster_id], root.target)
    if todo.merged and todo.store and phase is Phase.SIGN:
        todo.store.keep_replaced(cluster_id, contents_of(secret or {}))
    with session.run.step(name, todo.title(phase), f"Secret {SYSTEM_NAMESPACE}/{cacerts.CACERTS}"):
        cacerts.write(kube, new, phase.name.lower())
    return True


def _wait(session: Session, todo: RootRotating, root: NewRoot, phase: Phase, names: Collection[str]) -> None:
    """Waits until every istiod, and every proxy, of these clusters has what a phase requires.

    Raises:
        ProblemError: One does not follow; it names which, and what restarts it.
    """
    mesh = topology.mesh_of(session.settings)
    missing: list[Problem] = []
    waits = WaitReport(session.run.progress, None, todo.title(phase))
    hurry = cacerts.Hurry(session.clusters.kubes, phase.name.lower())
    for left_s in poll_rounds(min(session.run.deadline, time.monotonic() + GATE_S), _POLL_S):
        work = partial(_missing, session, root, phase, todo.read.members, mesh.istiod)
        found, failures = session.clusters.each(work, names)
        missing = [problem for problems in (*found.values(), *failures.values()) for problem in problems]
        if not missing:
            return
        waits(few((f"{one.cluster}: {one.seen}" for one in missing), 2), left_s)
        hurry.again(name for name, problems in found.items() if problems)
    raise ProblemError(*missing)


def _missing(
    session: Session, root: NewRoot, phase: Phase, members: Mapping[str, Cluster], istiod: str, name: str
) -> list[Problem]:
    kube = session.clusters.kubes[name]
    if phase is Phase.SIGN:
        old = cacerts.istiods_without(kube, root.cas[members[name].cluster_id])
        return [istiod_does_not_follow(name, istiod, old, root.target.name)] if old else []
    return proxies_missing(kube, phase, root.target)


def _make(base: CaStore, options: CaOptions, now: datetime) -> CaStore:
    """Makes the new root in a folder of its own; a run that was killed before leaves one that is not used."""
    made = certificates.new_root(now, key=options.key, validity=options.validity)
    with base.locked():
        store = new_store(base, pem.fingerprint(made.certificate))
        store.create_root(pem.dump_certificates([made.certificate]), pem.dump_key(made.key))
        keep_twin(store, pem.dump_certificates([certificates.twin(made)]))
        name_next(base, store)
    return store


def _new_root(store: CaStore, members: Mapping[str, Cluster], options: CaOptions, now: datetime) -> NewRoot:
    """The new root with the clusters' CAs below it; what is missing of these is issued."""
    ids = [one.cluster_id for one in members.values()]
    made = authority.ensure(store, ids, options, now)
    files = store.read()
    certificate = pem.read_certificate(named(store, "root-cert.pem", files.root_cert or b"")).value
    twin = pem.read_certificate(named(store, TWIN, twin_of(store) or b"")).value
    return NewRoot(Target(certificate, twin), made.ca_certs)


def _old_root(
    current: CaStore, following: CaStore | None, observed: Mapping[str, Observed], now: datetime
) -> tuple[str, list[Problem]]:
    """The root that the mesh has, and what is wrong with what clusters or the folder have."""
    stored = current.read()
    root = load_root(current, stored, now)
    old = pem.fingerprint(root.certificate)
    new = None
    if following and (certificate := following.read().root_cert):
        new = pem.fingerprint(pem.read_certificate(named(following, "root-cert.pem", certificate)).value)
    roots = {}
    for name, one in observed.items():
        own = own_ca(name, one)
        trusts_new = new is not None and new in own.trusted
        if not (own.root == old or trusts_new):
            roots[name] = own.root
    return old, of_roots(current.folder, roots, old, all_live=True)


def not_in_run(read: MembersRead) -> Iterator[Problem]:
    """Clusters that are linked with the members, and not part of the run: they would trust the old root."""
    known = {one.cluster_id for one in read.members.values()}
    for name, one in read.observed.items():
        if outside := sorted(linked_ids(one.of(objects.SECRET)) - known):
            yield Problem(
                code=Code.ROTATION_READER_OUTSIDE,
                cluster=name,
                message=f"{', '.join(outside)} is linked with {name}, and is not part of this run",
                seen=f"remote secrets of {', '.join(outside)}",
                expected="every cluster of the mesh: each has to trust the new root",
                hint=Advice(
                    "add its context with --contexts; or, if it is gone, have it forgotten: ",
                    istio_mc("uninstall", "--lost", outside[0]),
                ),
            )


def do_not_follow(read: MembersRead) -> Iterator[Problem]:
    """Istiods and proxies that take up another root only when they are restarted."""
    for name, one in read.observed.items():
        for istiod in one.istiods:
            if not may_have_several_roots(istiod):
                yield setting_missing(
                    name, f"Deployment {istiod['metadata']['name']} has no ISTIO_MULTIROOT_MESH=true"
                )
        # A gateway of istioctl's reads the setting from MeshConfig: its pod does not show it.
        if old := [pod for pod in read.pods[name] if does_not_follow(pod)]:
            names = (
                f"{pod['metadata']['namespace']}/{workload_of(pod) or pod['metadata']['name']}" for pod in old
            )
            yield setting_missing(
                name,
                f"{plural(len(old), 'proxy', 'proxies')} without PROXY_CONFIG_XDS_AGENT=true: "
                + few(dict.fromkeys(names), _MOST_NAMED),
            )


def _folder_needed(base: CaStore, owns: Mapping[str, Signing], *, can_do_without: bool) -> Problem:
    under = "; ".join(f"{', '.join(names)}: {root[:11]}" for root, names in by_root(owns).items())
    folder = base.folder / ROOTS / folder_name(next_root(owns.values()))
    without = istio_mc("ca", "rotate", "--without-folder")
    return Problem(
        code=Code.ROOT_FOLDER_NEEDED,
        message="a change of the root has begun, and the folder of the new root is not here",
        seen=f"clusters sign under {under}",
        expected=f"{folder}, from the machine where the change began",
        hint=Advice("go on there; or have all clusters trust only the root that they sign under: ", without)
        if can_do_without
        else Advice("go on there: ", istio_mc("ca", "rotate")),
    )


def _stopped(todo: RootRotating, phase: Phase) -> Problem:
    return Problem(
        code=Code.ROOT_STOPPED,
        message=f"the change of the root stopped in phase “{todo.title(phase)}”; the mesh works as it is",
        seen="no cluster was brought into a later phase",
        expected="every cluster in this phase",
        hint=Advice("repair it, then the same command continues from there: ", todo.command),
    )


def _gate_stopped(todo: RootRotating, phase: Phase, _names: Collection[str], failing: str) -> Problem:
    return Problem(
        code=Code.ROOT_GATE,
        message=f"checks that passed before the root changed do not pass after phase “{todo.title(phase)}”",
        seen=failing,
        expected="no check that fails, or is unknown, and passed before; no later phase was begun",
        hint=Advice("repair it, then the same command continues from there: ", todo.command),
    )
