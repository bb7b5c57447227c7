"""The CA of each cluster: one root for all; a root is replaced only where the user names its cluster."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain import plan
from istio_mc.domain.hint import Advice, istio_mc, kubectl
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.istiod import crl_fault, reads_crl
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki import pem
from istio_mc.domain.pki.cacerts import ROOT_CERT, CaCerts
from istio_mc.domain.pki.pem import NamedPem
from istio_mc.domain.pki.signing import LiveCa, live_ca, signing
from istio_mc.domain.plan import Step
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.ops.ca import authority
from istio_mc.ops.ca.intermediates import is_complete
from istio_mc.ops.ca.root import exposed_signer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed
    from istio_mc.gateways.host.ca_store import CaStore, StoreFiles
    from istio_mc.ops.ca.options import CaOptions


@dataclass(frozen=True, slots=True)
class Trust:
    """The mesh's root and the cacerts still to be written.

    Attributes:
        root_fingerprint: SHA-256 of the root certificate; None only in a dry run before there is one.
        restarts: Clusters whose istiod takes it only when it is restarted, and why.
        ends: When the first of the CAs above a cluster's workloads ends, as far as it is known.
        warnings: Files of the store whose content was written into Secrets in another form.
    """

    root_fingerprint: str | None
    steps: Mapping[str, Step] = field(repr=False)
    restarts: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, datetime] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()


def live_cacerts(context: str, observed: Observed) -> CaCerts | None:
    """The CA a cluster runs under as its Secret has it; None where there is no Secret.

    Raises:
        ProblemError: The Secret is not whole.
    """
    secret = observed.find(objects.SECRET, "cacerts")
    if secret is None:
        return None
    try:
        return CaCerts.from_secret_data(secret.get("data") or {})
    except ProblemError as error:
        raise ProblemError(*(problem.on(context) for problem in error.problems)) from None


@dataclass(frozen=True, slots=True)
class Needs:
    """Which clusters need a CA of the store: what lives in them, compared with it.

    Attributes:
        written: Those whose Secret is to be written again.
        swapped: Those of them that are under another root.
        listed: Those whose istiod reads revocation lists beside its CA.
    """

    stored: StoreFiles = field(repr=False)
    root: str | None
    live: Mapping[str, LiveCa | None] = field(repr=False)
    written: Mapping[str, LiveCa] = field(repr=False)
    swapped: Collection[str]
    wanting: Mapping[str, str]
    renewed: Mapping[str, str]
    listed: Mapping[str, LiveCa] = field(repr=False)

    @property
    def is_there(self) -> bool:
        """Whether the store has all that is needed."""
        return not self.renewed and is_complete(self.stored, [*self.wanting.values()])

    @property
    def usable(self) -> dict[str, CaCerts]:
        """The CAs that can be used, by context."""
        return {name: live.ca for name, live in self.live.items() if live and live.ca}


def assess(
    store: CaStore,
    clusters: Mapping[str, Cluster],
    observed: Mapping[str, Observed],
    now: datetime,
    replace: Collection[str] = (),
) -> Needs:
    """Compares the CA of every cluster with the store; makes nothing.

    Raises:
        ProblemError: Clusters run under different roots, or under one that is not the store's; or a Secret
            that is not whole was made by others.
    """
    stored = store.read()
    root = _stored_root(store, stored.root_cert)
    stored_print = pem.fingerprint(root) if root else None
    live = {name: _live(state, now, root) for name, state in observed.items()}
    damaged = {name: state for name, state in live.items() if state and state.damage}
    swapped = {
        name: state
        for name, state in live.items()
        if state and name in replace and state.root != stored_print and name not in damaged
    }
    written = damaged | swapped
    if faults := _refused(store, live, written, stored_print, replace):
        raise ProblemError(*faults)
    ids = {name: clusters[name].cluster_id for name in observed}
    wanting = {
        name: ids[name]
        for name in observed
        if live[name] is None or name in written or ids[name] in stored.clusters
    }
    return Needs(
        stored=stored,
        root=stored_print,
        live=live,
        written=written,
        swapped=frozenset(swapped),
        wanting=wanting,
        renewed=authority.to_renew(store, wanting.values(), now) if wanting else {},
        listed={
            name: state for name in wanting if (state := live[name]) and reads_crl(observed[name].istiods)
        },
    )


def decide(
    store: CaStore,
    clusters: Mapping[str, Cluster],
    observed: Mapping[str, Observed],
    options: CaOptions,
    now: datetime,
    *,
    dry_run: bool = False,
    replace: Collection[str] = (),
) -> Trust:
    """Settles the CA of every cluster, making what is missing in the store.

    Where every cluster runs under one root already and the store holds nothing newer, the store is not
    needed at all: so a run from a machine without the keys changes nothing. A Secret that istiod cannot use
    is written anew under the same root; one under another root only where its cluster is named in `replace`.
    Private keys that would be lost by that are kept in the store first.

    Raises:
        ProblemError: As `assess`; or the store cannot give each cluster a CA.
    """
    needs = assess(store, clusters, observed, now, replace)
    if not needs.wanting:
        roots = (live.root for live in needs.live.values() if live and live.root)
        return Trust(next(roots, needs.root), steps={}, ends=_ends(needs.usable))
    if dry_run and not needs.is_there:
        if exposed := exposed_signer(store, needs.stored):
            raise ProblemError(*exposed)
        return foresee(needs, clusters)
    return _make(store, needs, options, now, keeps=not dry_run)


def foresee(needs: Needs, clusters: Mapping[str, Cluster]) -> Trust:
    """What would be made and written, in a dry run.

    Raises:
        ProblemError: istiod would not start with its revocation lists under the CA that would be written.
    """
    stored = needs.stored.clusters
    lists = {
        name: state
        for name, state in needs.listed.items()
        if name in needs.written and needs.wanting[name] not in stored
    }
    _refuse_lists(lists, {})
    steps = {
        name: _to_be_made(clusters[name], reason)
        for name, cluster_id in needs.wanting.items()
        if (
            reason := _why_not_created(needs.live[name], name in needs.written, needs.renewed.get(cluster_id))
        )
    }
    return Trust(needs.root, steps=steps, ends=_ends(needs.usable))


def _make(store: CaStore, needs: Needs, options: CaOptions, now: datetime, *, keeps: bool) -> Trust:
    """Makes what is missing in the store; with `keeps`, the private keys too that would be lost."""
    made = _ensure(store, needs.wanting, options, now)
    given = {name: made.ca_certs[cluster_id] for name, cluster_id in needs.wanting.items()}
    _refuse_lists(needs.listed, given)
    steps = {}
    for name, desired in given.items():
        live = needs.live[name]
        if step := _step(desired, live, swapped=name in needs.swapped):
            steps[name] = step
            if live and name in needs.written and keeps and live.holds_another_key(desired):
                store.keep_replaced(needs.wanting[name], live.contents)
    restarts = {name: _RESTART for name in steps if name in needs.written or needs.live[name] is None}
    return Trust(
        made.init.root.fingerprint,
        steps=steps,
        restarts=restarts,
        ends=_ends(needs.usable | given),
        warnings=_by_context((*made.init.warnings, *made.issue.warnings), needs.wanting),
    )


def _ensure(
    store: CaStore, wanting: Mapping[str, str], options: CaOptions, now: datetime
) -> authority.EnsureResult:
    """Makes what is missing in the store; what it reports names contexts instead of cluster IDs.

    Args:
        store: The store, which knows clusters by their cluster IDs.
        wanting: The cluster IDs that need a CA, by context.

    Raises:
        ProblemError: The store cannot give each cluster a CA.
    """
    try:
        return authority.ensure(store, wanting.values(), options, now)
    except ProblemError as error:
        named = _by_context(error.problems, wanting)
        raise type(error)(*named, warnings=_by_context(error.warnings, wanting)) from None


def _by_context(problems: Iterable[Problem], ids: Mapping[str, str]) -> tuple[Problem, ...]:
    names = {cluster_id: name for name, cluster_id in ids.items()}
    return tuple(
        problem.on(names.get(at, at)) if (at := problem.cluster) else problem for problem in problems
    )


def _refuse_lists(listed: Mapping[str, LiveCa], desired: Mapping[str, CaCerts]) -> None:
    """Refuses to write a CA beside revocation lists with which istiod would not start under it.

    Args:
        desired: The CAs; a cluster without one gets one that does not exist yet, so that no list fits it.

    Raises:
        ProblemError: One for each cluster whose lists do not fit.
    """
    faults = {
        name: crl_fault(state.contents, desired[name].cert_chain if name in desired else None)
        for name, state in listed.items()
        if name not in desired or state.ca is None or not state.ca.same_as(desired[name])
    }
    if unfit := [lists_do_not_fit(name, fault) for name, fault in faults.items() if fault]:
        raise ProblemError(*unfit)


def _ends(cas: Mapping[str, CaCerts]) -> dict[str, datetime]:
    ends: dict[str, datetime] = {}
    for name, files in cas.items():
        with suppress(ProblemError):  # what cannot be read is a fault elsewhere
            if path := signing(files).path:
                ends[name] = min(certificate.not_valid_after_utc for certificate in path)
    return ends


_RESTART = "istiod reads its CA only at start"


def _live(observed: Observed, now: datetime, stored_root: x509.Certificate | None) -> LiveCa | None:
    secret = observed.find(objects.SECRET, "cacerts")
    return live_ca(secret, now, (stored_root,) if stored_root else ()) if secret else None


def _refused(
    store: CaStore,
    live: Mapping[str, LiveCa | None],
    written: Mapping[str, LiveCa],
    stored_root: str | None,
    replace: Collection[str],
) -> list[Problem]:
    """Why nothing may be written."""
    foreign = [(name, state) for name, state in written.items() if state.foreign]
    if foreign:
        return [made_by_others(name, state.damage_text) for name, state in foreign]
    roots = {
        name: state.root
        for name, state in live.items()
        if state and state.root and not (name in replace and name in written)
    }
    whole = all(state and name not in written for name, state in live.items())
    faults = of_roots(store.folder, roots, stored_root, all_live=whole)
    if stored_root is not None or not written:
        return faults
    # They cannot be written again: there is no key.
    damage = [fault.on(name) for name, state in written.items() for fault in state.damage]
    there = {name: state.root or "unknown" for name, state in written.items()}
    return [*(faults or [not_at_hand(store.folder, there)]), *damage]


def _step(desired: CaCerts, live: LiveCa | None, *, swapped: bool) -> Step | None:
    if live is None:
        reason = "Secret cacerts is missing"
    elif live.damage:
        reason = f"Secret cacerts is of no use to istiod: {live.damage_text}"
    elif swapped:
        reason = f"Secret cacerts is under another root: {live.root}"
    elif live.ca and live.ca.same_as(desired):
        return None
    elif live.ca and live.ca.ca_cert == desired.ca_cert:
        reason = "Secret cacerts has other roots or another chain for its CA than the folder"
    else:
        reason = "Secret cacerts contains another intermediate CA of the same root than the folder"
    return Step(plan.CACERTS, (reason,), (documents.cacerts(desired.secret_data()),))


def _why_not_created(live: LiveCa | None, written: bool, renewed: str | None) -> str | None:  # noqa: FBT001 - distinguished below
    """Why a CA would be made that a dry run may not make; None where none would."""
    if live is None:
        return "Secret cacerts is missing; the CA of {} would be made"
    if written:
        return "Secret cacerts is of no use; the CA of {} would be made"
    return f"the CA of {{}} {renewed}; it would be renewed" if renewed else None


def _to_be_made(cluster: Cluster, reason: str) -> Step:
    """What a dry run says of a CA that it may not make."""
    document: Object = documents.cacerts({})
    return Step(plan.CACERTS, (reason.format(cluster.cluster_id),), (document,))


def _stored_root(store: CaStore, certificate: bytes | None) -> x509.Certificate | None:
    if certificate is None:
        return None
    return pem.read_certificate(NamedPem(str(store.folder / ROOT_CERT), certificate)).value


def of_roots(
    folder: Path, roots: Mapping[str, str], stored_root: str | None, *, all_live: bool
) -> list[Problem]:
    """What is wrong with the roots of clusters: they differ, or are not the store's.

    Args:
        all_live: Whether every cluster has a CA already, so that the store is not needed.
    """
    distinct = sorted(set(roots.values()))
    if len(distinct) > 1:
        return [_differ(roots)]
    if not distinct:
        return []
    if stored_root is None and not all_live:
        return [not_at_hand(folder, roots)]
    if stored_root is not None and stored_root != distinct[0]:
        return [
            Problem(
                code=Code.ROOT_IS_ANOTHER,
                message=f"{', '.join(roots)} run under another root CA than the one in {folder}",
                seen=f"root {distinct[0]}",
                expected=f"root {stored_root}",
                hint=Advice("name the folder of the mesh's own CA with --certs-dir"),
            )
        ]
    return []


def _differ(roots: Mapping[str, str]) -> Problem:
    return Problem(
        code=Code.ROOTS_DIFFER,
        message="the clusters run under different root CAs",
        seen="; ".join(f"{name}: {fingerprint}" for name, fingerprint in roots.items()),
        expected="one root everywhere",
        hint=Advice(
            "bring them under the root of the folder: ",
            istio_mc("ca", "rotate", "--merge", contexts=roots),
            "; or, where connections may break, select the clusters that get a CA under it at once: "
            "--replace-ca CONTEXT",
        ),
    )


def not_at_hand(folder: Path, roots: Mapping[str, str]) -> Problem:
    """A CA is wanted, and the root that would sign it is not in the store."""
    return Problem(
        code=Code.ROOT_NOT_AT_HAND,
        message=f"{', '.join(roots)} already run under a root CA that is not in {folder}",
        seen=f"root {next(iter(roots.values()))}; no root in {folder}",
        expected="the root CA that the mesh already has",
        hint=Advice(
            "name its folder with --certs-dir, or bring it in: ",
            istio_mc("ca", "init", "--root-cert", "FILE", "--root-key", "FILE"),
        ),
    )


def lists_do_not_fit(context: str, seen: str) -> Problem:
    """The Secret has revocation lists with which istiod does not start under the CA that would be written."""
    return Problem(
        code=Code.CACERTS_CRL,
        cluster=context,
        message=f"istiod of {context} would not start: its revocation lists do not match the new CA",
        seen=seen,
        expected="a list signed by each certificate of the new chain, or no ca-crl.pem",
        hint=Advice(
            "replace or remove ca-crl.pem in the Secret cacerts, which istio-mc leaves alone: ",
            kubectl(context, "-n", SYSTEM_NAMESPACE, "edit", "secret", "cacerts"),
        ),
    )


def made_by_others(context: str, seen: str) -> Problem:
    """The Secret has a layout that istio-mc does not write, so it is not istio-mc's to mend."""
    return Problem(
        code=Code.CACERTS_MADE_BY_OTHERS,
        cluster=context,
        message=f"the Secret cacerts of {context} was made by others, cert-manager for example",
        seen=seen or "keys tls.crt, tls.key and ca.crt",
        expected="a CA under the mesh's root, from who made it",
        hint=Advice(
            "issue it again there; or, for a CA from istio-mc: remove that tool, then ",
            kubectl(context, "-n", SYSTEM_NAMESPACE, "delete", "secret", "cacerts"),
        ),
    )
