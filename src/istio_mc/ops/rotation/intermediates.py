"""ca rotate --intermediates: another CA for each cluster under the same root, with a gate after each cluster.

istiod takes another CA of the same root up while it runs (pilot/pkg/bootstrap/istio_ca.go, handleEvent), and
what the CA before it signed stays valid: every peer trusts the root, and proxies send the chain. So no proxy
has to follow before the next cluster.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc, on_this_machine
from istio_mc.domain.istio.istiod import restart_istiod
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki import pem
from istio_mc.domain.pki.pem import NamedPem, fingerprint, issued_by, load_first_certificate
from istio_mc.domain.pki.signing import live_ca, signing
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host.ca_store import INTERMEDIATES, NEXT_CAS, CaStore
from istio_mc.gateways.host.intermediate_store import (
    forget_next_cas,
    keep_next_cas,
    next_cas,
    take_next_ca,
)
from istio_mc.gateways.host.parallel import poll_rounds
from istio_mc.gateways.host.root_store import next_store
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.ca import authority
from istio_mc.ops.ca.intermediates import ExistingCluster, complete_ca, unused_flags
from istio_mc.ops.ca.root import load_root
from istio_mc.ops.ca.trust import of_roots
from istio_mc.ops.rotation import cacerts
from istio_mc.ops.rotation.root_errors import root_changes
from istio_mc.ops.session import rights, topology
from istio_mc.ops.session.inputs import refuse_unknown_clusters
from istio_mc.ops.session.wait_report import WaitReport
from istio_mc.ops.upgrade import gate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.pki.cacerts import CaCerts
    from istio_mc.gateways.host.intermediate_store import NextCas
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.session.session import Session

GATE_S = 300.0
"""How long istiods may take to follow: the kubelet writes a changed Secret within about two minutes."""
_POLL_S = 2.0
WRITE, SIGN = "cacerts", "sign under the new CA"
COMMAND = istio_mc("ca", "rotate", "--intermediates")


@dataclass(frozen=True, slots=True)
class IntermediatesRotating:
    """What is to be done.

    Attributes:
        members: The clusters of the run, by context.
        order: Their contexts, the canary first.
        store: The folder of the root that the mesh has.
        begun: The change that an interrupted run left; None: a new one begins.
        old: SHA-256 of the CA that each cluster has.
        problems: What stands in the way: nothing is changed where there is any.
        warnings: Clusters of the change that are not part of the run.
    """

    members: Mapping[str, Cluster]
    observed: Mapping[str, Observed] = field(repr=False)
    order: tuple[str, ...]
    store: CaStore
    root: str
    begun: NextCas | None
    old: Mapping[str, str]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def is_done(self, name: str) -> bool:
        """Whether the change that has begun is finished for a cluster."""
        cluster_id = self.members[name].cluster_id
        return (
            self.begun is not None and cluster_id in self.begun.ids and cluster_id not in self.begun.clusters
        )


@dataclass(frozen=True, slots=True)
class FormerCertificates:
    """Proxies of a cluster whose certificate the CA before issued.

    Attributes:
        proxies: How many of the cluster's proxies have certificates.
        former: How many of these have one of the CA before.
        expire: When the last of those expires; None: there is none.
    """

    proxies: int
    former: int
    expire: datetime | None


@dataclass(frozen=True, slots=True)
class IntermediatesResult:
    """What became of it.

    Attributes:
        done: The clusters that have another CA now, with the seconds that each took.
        new: SHA-256 of the next CA of each cluster that has one, by context.
        former: What proxies have, of each of these that could be read.
        failures: Why it stopped, and in which cluster; without one where nothing was changed yet.
    """

    plan: IntermediatesRotating
    done: Mapping[str, float] = field(default_factory=dict)
    new: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, FormerCertificates] = field(default_factory=dict)
    failed: str | None = None
    failures: tuple[Problem, ...] = ()
    dry_run: bool = False

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All errors."""
        return tuple(dict.fromkeys((*self.plan.problems, *self.failures)))


def prepare(
    session: Session, options: CaOptions, now: datetime, canary: str | None = None
) -> IntermediatesRotating:
    """Reads the clusters and the folder of the CA; changes nothing.

    Raises:
        InputError: An option names a cluster outside the run; or IDs or networks contradict each other.
        ProblemError: A cluster, or the folder, cannot be read.
    """
    refuse_unknown_clusters({"--canary": [canary] if canary else []}, session.clusters.names)
    session.run.progress(Event(None, "preflight", State.STARTED, "reading every cluster"))
    observed = session.clusters.every(lambda name: observe(session.clusters.kubes[name]))
    members = topology.clusters_of(session.clusters.contexts, session.settings, observed)
    store = session.ca_store()
    problems = [*_root_changes(session)]
    live: dict[str, CaCerts] = {}
    for name, one in observed.items():
        try:
            live[name] = cacerts.live_of(name, one.find(objects.SECRET, cacerts.CACERTS))
        except ProblemError as error:
            problems += error.problems
    begun = next_cas(store)
    root = load_root(store, store.read(), now)
    ids = {name: one.cluster_id for name, one in members.items()}
    open_ids = [one for one in ids.values() if begun is None or one not in begun.ids]
    try:
        authority.refuse_unable(store, open_ids, now) if open_ids else None
    except ProblemError as error:
        problems += error.problems
    owns = {name: signing(ca) for name, ca in live.items()}
    problems += of_roots(
        store.folder,
        {name: one.root for name, one in owns.items()},
        fingerprint(root.certificate),
        all_live=True,
    )
    next_of = _complete(begun)
    existing = {each: ExistingCluster(ca) for each, ca in next_of.items() if each in ids.values()}
    problems += unused_flags(existing, root, options.flags)
    session.run.progress(Event(None, "preflight", State.DONE))
    return IntermediatesRotating(
        members,
        observed,
        tuple(sorted(members, key=lambda name: name != canary)),
        store,
        fingerprint(root.certificate),
        begun,
        {name: fingerprint(one.certificate) for name, one in owns.items()},
        tuple(problems),
        tuple(_left(store, begun, ids.values())),
    )


def rehearse(session: Session, todo: IntermediatesRotating) -> IntermediatesResult:
    """Reads what each gate reads, and changes nothing."""
    following = _complete(todo.begun)
    chains = {
        name: following[one.cluster_id].cert_chain if one.cluster_id in following else None
        for name, one in todo.members.items()
        if not todo.is_done(name)
    }
    problems = [*cacerts.unfit_lists(todo.observed, chains)]

    def read(name: str) -> list[str]:
        secret = todo.observed[name].find(objects.SECRET, cacerts.CACERTS)
        return cacerts.istiods_without(session.clusters.kubes[name], cacerts.live_of(name, secret))

    if not todo.problems:
        _, failures = session.clusters.each(read, todo.members)
        problems += [problem for those in failures.values() for problem in those]
    return IntermediatesResult(todo, failures=tuple(problems), dry_run=True)


def rotate(
    session: Session, todo: IntermediatesRotating, options: CaOptions, now: datetime
) -> IntermediatesResult:
    """Does what was planned; stops at the first fault, with a mesh that works.

    Raises:
        InputError: Rights are missing; nothing was changed.
    """
    rights.require(session, "ca rotate --intermediates", dict.fromkeys(todo.members, rights.ROTATE_ROOT))
    before = gate.look_before(session, "ca rotate --intermediates", now)
    ids = {name: one.cluster_id for name, one in todo.members.items()}
    new: dict[str, str] = {}
    done: dict[str, float] = {}
    name = None
    try:
        following = _issue(todo, options, now)
        new = {each: _own(following[one]) for each, one in ids.items() if one in following}
        for name in todo.order:
            if todo.is_done(name):
                session.run.progress(Event(name, WRITE, State.UNCHANGED))
                continue
            begun = time.monotonic()
            gate.begin_change(session, before, name, now)
            _change(session, todo, name, following[ids[name]], now)
            gate.pass_gate(session, before, [name], now, _gate_stopped)
            take_next_ca(todo.store, ids[name], _former_name(todo.store, ids[name]))
            done[name] = time.monotonic() - begun
        if (left := next_cas(todo.store)) and not left.clusters:
            forget_next_cas(todo.store)
    except ProblemError as error:
        problems = error.problems
        if name and name not in done and not any(one.code is Code.INTERMEDIATE_GATE for one in problems):
            problems = (*problems, _stopped(name))
        return IntermediatesResult(todo, done, new, _former(session, done, new), name, problems)
    return IntermediatesResult(todo, done, new, _former(session, done, new))


def _issue(todo: IntermediatesRotating, options: CaOptions, now: datetime) -> dict[str, CaCerts]:
    """The next CA of each cluster that is not finished, by cluster ID; what is missing is issued and kept.

    Raises:
        ProblemError: It cannot be; or istiod would not start with the revocation lists of a cluster.
    """
    ids = [todo.members[name].cluster_id for name in todo.order if not todo.is_done(name)]
    following = _complete(todo.begun)
    if missing := [one for one in ids if one not in following]:
        made = authority.new_cas(todo.store, missing, options, now)
        keep_next_cas(todo.store, made)
        following |= made
    chains = {
        name: following[one.cluster_id].cert_chain
        for name, one in todo.members.items()
        if one.cluster_id in ids
    }
    if unfit := [*cacerts.unfit_lists(todo.observed, chains)]:
        raise ProblemError(*unfit)
    return following


def _change(
    session: Session, todo: IntermediatesRotating, name: str, following: CaCerts, now: datetime
) -> None:
    """Gives a cluster its next CA, and waits until every istiod signs with it.

    Raises:
        ProblemError: The Secret could not be changed; or an istiod does not follow.
    """
    session.check_lease(name)
    kube = session.clusters.kubes[name]
    secret = kube.get(objects.SECRET, cacerts.CACERTS, SYSTEM_NAMESPACE)
    live = cacerts.live_of(name, secret)
    phase = f"intermediate-{_own(following)[:8].lower()}"
    if signing(live).certificate == signing(following).certificate:
        session.run.progress(Event(name, WRITE, State.UNCHANGED))
    else:
        with session.run.step(name, WRITE, f"Secret {SYSTEM_NAMESPACE}/{cacerts.CACERTS}"):
            stored = todo.store.read().clusters.get(todo.members[name].cluster_id)
            own = complete_ca(stored) if stored else None
            state = live_ca(secret or {}, now)
            if own is None or state.holds_another_key(own):
                todo.store.keep_replaced(todo.members[name].cluster_id, state.contents)
            kube_ca = replace(following, root_cert=live.root_cert)
            cacerts.write(kube, kube_ca, phase)
    session.run.progress(Event(name, SIGN, State.STARTED))
    istiod = topology.mesh_of(session.settings).istiod
    missing: tuple[Problem, ...] = ()
    waits = WaitReport(session.run.progress, name, SIGN)
    hurry = cacerts.Hurry(session.clusters.kubes, phase)
    for left_s in poll_rounds(min(session.run.deadline, time.monotonic() + GATE_S), _POLL_S):
        missing = _lacking(kube, following, istiod)
        if not missing:
            session.run.progress(Event(name, SIGN, State.DONE))
            return
        waits(str(missing[0].seen), left_s)
        hurry.again([name])
    session.run.progress(Event(name, SIGN, State.FAILED))
    raise ProblemError(*missing)


def _lacking(kube: Kube, following: CaCerts, istiod: str) -> tuple[Problem, ...]:
    """The errors of istiods that do not sign with the next CA, or do not show with which."""
    try:
        old = cacerts.istiods_without(kube, following)
    except ProblemError as error:  # it may respond later
        return error.problems
    return (_does_not_follow(kube.context, istiod, old),) if old else ()


def _complete(begun: NextCas | None) -> dict[str, CaCerts]:
    """The next CAs that are there, by cluster ID."""
    if begun is None:
        return {}
    return {each: ca for each, files in begun.clusters.items() if (ca := complete_ca(files))}


def _own(ca: CaCerts) -> str:
    return fingerprint(signing(ca).certificate)


def _former_name(store: CaStore, cluster_id: str) -> str:
    """What the folder of a cluster's CA is called from now on: its fingerprint, if it can be read."""
    stored = store.read().clusters.get(cluster_id)
    if stored is None or stored.ca_cert is None:
        return cluster_id
    read = pem.attempt(load_first_certificate, NamedPem("ca-cert.pem", stored.ca_cert), [])
    return fingerprint(read) if read else cluster_id


def _former(session: Session, done: Collection[str], new: Mapping[str, str]) -> dict[str, FormerCertificates]:
    """What proxies of the changed clusters have; a cluster that cannot be read is left out."""

    def read(name: str) -> FormerCertificates:
        kube = session.clusters.kubes[name]
        secret = kube.get(objects.SECRET, cacerts.CACERTS, SYSTEM_NAMESPACE)
        own = signing(cacerts.live_of(name, secret)).certificate
        leaves = [one.chain[0] for one in cacerts.every_proxy(kube).proxies if one.chain]
        former = [leaf.not_valid_after_utc for leaf in leaves if not issued_by(leaf, own)]
        return FormerCertificates(len(leaves), len(former), max(former, default=None))

    found, _ = session.clusters.each(read, [name for name in done if name in new])
    return dict(found)


def _root_changes(session: Session) -> Iterator[Problem]:
    base = session.base_store
    if following := next_store(base):
        message = "the mesh changes its root: each cluster gets another CA with it"
        yield root_changes(base, following, Code.INTERMEDIATE_ROOT_CHANGES, message)


def _left(store: CaStore, begun: NextCas | None, ids: Collection[str]) -> Iterator[Problem]:
    for cluster_id in sorted(set(begun.clusters if begun else ()) - set(ids)):
        folder = store.folder / INTERMEDIATES / NEXT_CAS / cluster_id
        yield Problem(
            code=Code.INTERMEDIATE_LEFT,
            message=f"{cluster_id} has a next CA, and is not part of this run",
            seen=str(folder),
            expected="every cluster of the change",
            hint=Advice(
                "add its context with --contexts; or, if it has left the mesh: ",
                on_this_machine("mv", folder, store.folder / INTERMEDIATES / f"{cluster_id}-left"),
            ),
        )


def _does_not_follow(name: str, istiod: str, pods: Collection[str]) -> Problem:
    return Problem(
        code=Code.INTERMEDIATE_NOT_FOLLOWED,
        cluster=name,
        message=f"istiod of {name} does not sign with the CA in Secret cacerts yet",
        seen=f"{', '.join(pods)} shows a certificate of the CA before",
        expected="a certificate of the CA in Secret cacerts",
        hint=restart_istiod(name, istiod),
    )


def _stopped(name: str) -> Problem:
    return Problem(
        code=Code.INTERMEDIATE_STOPPED,
        cluster=name,
        message=f"the change of the CAs stopped in {name}; certificates of both CAs are accepted",
        seen="no further cluster was begun",
        expected="another CA in every cluster",
        hint=Advice("repair it, then the same command continues from there: ", COMMAND),
    )


def _gate_stopped(names: Collection[str], failing: str) -> Problem:
    return Problem(
        code=Code.INTERMEDIATE_GATE,
        cluster=next(iter(names), None),
        message=f"checks fail that passed before the CA of {', '.join(names)} changed",
        seen=failing,
        expected="no check that fails and did not fail before; no other cluster was begun",
        hint=Advice("repair it, then the same command continues from there: ", COMMAND),
    )
