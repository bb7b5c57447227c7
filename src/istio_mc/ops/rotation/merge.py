"""ca rotate --merge: clusters under several roots go to one of them, that of the folder of the CA.

The phases and gates are those of a new root (`root`). The other roots are read from the clusters: how far the
merge has come is, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.istiod import restart_istiod
from istio_mc.domain.istio.root_rotation import NewRoot, Phase, Target, is_at, mistaken_for
from istio_mc.domain.kube import objects
from istio_mc.domain.pki import certificates, pem
from istio_mc.domain.pki.chain import path_to_root
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host.ca_store import TWIN, CaStore
from istio_mc.gateways.host.root_store import keep_twin, next_store, twin_of
from istio_mc.ops.ca import authority
from istio_mc.ops.ca.intermediates import existing_clusters
from istio_mc.ops.ca.root import load_root, named
from istio_mc.ops.ca.trust import not_at_hand
from istio_mc.ops.rotation import cacerts
from istio_mc.ops.rotation.following import next_phase
from istio_mc.ops.rotation.root import (
    MembersRead,
    RootResult,
    RootRotating,
    by_root,
    do_not_follow,
    not_in_run,
    own_ca,
    read_members,
    through_phases,
)
from istio_mc.ops.rotation.root_errors import root_changes
from istio_mc.ops.session import rights, topology
from istio_mc.ops.upgrade import gate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from istio_mc.domain.observed import Observed
    from istio_mc.domain.pki.signing import Signing
    from istio_mc.gateways.host.ca_store import StoreFiles
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.ca.root import Root
    from istio_mc.ops.session.session import Session

_NAME = "remaining root"


def prepare(session: Session, now: datetime, canary: str | None = None) -> RootRotating:
    """Reads the clusters and the folder of the CA; changes nothing.

    Raises:
        InputError: An option names a cluster outside the run; or IDs or networks contradict each other.
        ProblemError: A cluster, or the folder, cannot be read, or has no CA that can be merged.
    """
    read = read_members(session, canary)
    base = session.base_store
    store = session.ca_store()
    stored = store.read()
    owns = _owns(read)
    under = by_root(owns)
    if stored.root_cert is None:
        raise ProblemError(not_at_hand(store.folder, {name: own.root for name, own in owns.items()}))
    root = load_root(store, stored, now)
    target = _target(store, root, owns)
    problems = [*_root_changes(base), *not_in_run(read), *_do_not_follow(read, under)]
    problems += _no_cluster_has(store, target, under)
    problems += _same_names(owns, target)
    problems += _cannot_get_a_ca(store, stored, root, read, owns, now)
    problems += _sign_with_others(session, read, owns, target)
    phase = next_phase(session, owns, target)
    todo = RootRotating(
        read,
        base,
        store,
        phase,
        under,
        merged=target,
        problems=tuple(dict.fromkeys(problems)),
    )
    session.run.progress(
        Event(None, "preflight", State.DONE, todo.title(phase) if phase else "nothing to do")
    )
    return todo


def rotate(session: Session, todo: RootRotating, options: CaOptions, now: datetime) -> RootResult:
    """Does what was planned; stops at the first fault, with clusters that work.

    Raises:
        InputError: Rights are missing; nothing was changed.
        ProblemError: The CA of a cluster cannot be issued; nothing was changed.
    """
    store, target = todo.store, todo.merged
    if store is None or target is None:  # `prepare` sets both
        raise ValueError(todo)
    rights.require(session, "ca rotate --merge", dict.fromkeys(todo.read.members, rights.ROTATE_ROOT))
    before = gate.look_before(session, "ca rotate --merge", now)
    keeps = todo.under.get(target.fingerprint, ())
    cas = {
        todo.read.members[name].cluster_id: cacerts.live_of(
            name, todo.read.observed[name].find(objects.SECRET, cacerts.CACERTS)
        )
        for name in keeps
    }
    if ids := [one.cluster_id for name, one in todo.read.members.items() if name not in keeps]:
        cas |= authority.ensure(store, ids, options, now).ca_certs
    if twin_of(store) is None:
        with store.locked():
            keep_twin(store, pem.dump_certificates([target.twin]))
    return through_phases(session, todo, NewRoot(target, cas), before, now)


def _owns(read: MembersRead) -> dict[str, Signing]:
    """The CA that each cluster has.

    Raises:
        ProblemError: One has none that can be merged, or one that leads to no root.
    """
    owns: dict[str, Signing] = {}
    problems: list[Problem] = []
    for name, one in read.observed.items():
        if one.find(objects.SECRET, cacerts.CACERTS) is None:
            problems.append(_self_signed(name, one))
            continue
        try:
            owns[name] = own_ca(name, one)
            path_to_root(owns[name].certificate, owns[name].between, owns[name].roots)
        except ProblemError as error:
            problems += (problem.on(name) for problem in error.problems)
    if problems:
        raise ProblemError(*problems)
    return owns


def _target(store: CaStore, root: Root, owns: Mapping[str, Signing]) -> Target:
    """The root that remains, and those that clusters sign under beside it."""
    roots = dict.fromkeys(own.path[-1] for own in owns.values())
    others = tuple(one for one in roots if one != root.certificate)
    if kept := twin_of(store):
        twin = pem.read_certificate(named(store, TWIN, kept)).value
    else:
        twin = certificates.second_form(root.certificate, root.signer)
    return Target(root.certificate, twin, tuple(one for one in others if one != twin), _NAME)


def _root_changes(base: CaStore) -> Iterator[Problem]:
    if following := next_store(base):
        message = "the mesh of this folder changes its root: no other root can be merged meanwhile"
        yield root_changes(base, following, Code.MERGE_ROOT_CHANGES, message)


def _do_not_follow(read: MembersRead, under: Mapping[str, tuple[str, ...]]) -> Iterator[Problem]:
    """As for a new root; but an install works on clusters of one root only."""
    for problem in do_not_follow(read):
        names = next(those for those in under.values() if problem.cluster in those)
        yield replace(
            problem,
            hint=Advice(
                "install again with the folder of their own CA, then restart these workloads: ",
                istio_mc("install", "--certs-dir", "FOLDER", contexts=names),
            ),
        )


def _no_cluster_has(
    store: CaStore, target: Target, under: Mapping[str, tuple[str, ...]]
) -> Iterator[Problem]:
    if target.fingerprint not in under:
        yield Problem(
            code=Code.ROOT_IS_ANOTHER,
            message=f"no cluster is under the root CA in {store.folder}, to which all would go",
            seen="; ".join(f"{', '.join(names)}: root {root}" for root, names in under.items()),
            expected=f"root {target.fingerprint}",
            hint=Advice("name the folder of one of these root CAs with --certs-dir"),
        )


def _same_names(owns: Mapping[str, Signing], target: Target) -> Iterator[Problem]:
    for name, own in owns.items():
        if wrong := next((one for one in target.at_first if mistaken_for(own, one)), None):
            yield Problem(
                code=Code.MERGE_SAME_NAME,
                cluster=name,
                message=f"proxies cannot tell the root CA of {name} from another one",
                seen=f"{own.root} and {pem.fingerprint(wrong)} have the same name, and the CA of {name} "
                "does not say by which key it was issued",
                expected="an authority key identifier in the CA of the cluster, as istio-mc issues it",
                hint=Advice(
                    "give it another CA under its own root first, with the folder of that root: ",
                    istio_mc("ca", "rotate", "--intermediates", "--certs-dir", "FOLDER", contexts=[name]),
                ),
            )


def _cannot_get_a_ca(
    store: CaStore,
    stored: StoreFiles,
    root: Root,
    read: MembersRead,
    owns: Mapping[str, Signing],
    now: datetime,
) -> list[Problem]:
    """Why clusters under other roots cannot get a CA below the root of the folder."""
    change = {
        name: read.members[name].cluster_id for name, own in owns.items() if own.path[-1] != root.certificate
    }
    existing, problems = existing_clusters(store, stored, root, [*change.values()], now)
    if missing := [each for each, state in existing.items() if state.ca is None or state.renewal]:
        try:
            authority.refuse_unable(store, missing, now)
        except ProblemError as error:
            problems += error.problems
    chains = {name: ca.cert_chain if (ca := existing[each].ca) else None for name, each in change.items()}
    return [*problems, *cacerts.unfit_lists(read.observed, chains)]


def _sign_with_others(
    session: Session, read: MembersRead, owns: Mapping[str, Signing], target: Target
) -> list[Problem]:
    """Istiods that sign with another CA than that of their Secret, where a merge begins."""
    begins = [name for name, own in owns.items() if not is_at(Phase.TRUST, own, target)]
    istiod = topology.mesh_of(session.settings).istiod

    def look(name: str) -> list[Problem]:
        secret = read.observed[name].find(objects.SECRET, cacerts.CACERTS)
        pods = cacerts.istiods_without(session.clusters.kubes[name], cacerts.live_of(name, secret))
        return [_signs_with_another(name, istiod, pods)] if pods else []

    found, failures = session.clusters.each(look, begins)
    return [problem for those in (*found.values(), *failures.values()) for problem in those]


def _signs_with_another(name: str, istiod: str, pods: list[str]) -> Problem:
    return Problem(
        code=Code.ISTIOD_SIGNS_WITH_ANOTHER_CA,
        cluster=name,
        message=f"istiod of {name} does not use the CA from Secret cacerts",
        seen=f"{', '.join(pods)} shows a certificate of another CA",
        expected="a certificate of the CA in Secret cacerts, before roots are merged",
        hint=Advice("restart it, which may interrupt its workloads: ", restart_istiod(name, istiod)),
    )


def _self_signed(name: str, observed: Observed) -> Problem:
    made = observed.find(objects.SECRET, "istio-ca-secret")
    return Problem(
        code=Code.MERGE_SELF_SIGNED,
        cluster=name,
        message=f"{name} has no CA that can be merged: its istiod signs with one that it made itself",
        seen="no Secret cacerts" + (", but Secret istio-ca-secret" if made else ""),
        expected="Secret cacerts: istiod takes that up while it runs, and its own CA stays until a restart",
        hint=Advice(
            "install gives it a CA under the root of the folder and restarts istiod; connections of its "
            "workloads can fail until their proxies have the root: ",
            istio_mc("install", contexts=[name]),
        ),
    )
