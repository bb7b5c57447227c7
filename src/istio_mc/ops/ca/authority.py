"""`istio-mc ca`: the mesh's root, and a CA for each cluster; what is valid is never made again.

No result contains a key, except `EnsureResult.ca_certs`, which `install` puts into the clusters.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from istio_mc.domain.pki import cacerts, certificates, pem
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.chain import path_warnings
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.ops.ca import intermediates
from istio_mc.ops.ca import root as ca_root

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from istio_mc.domain.pki.certificates import Authority
    from istio_mc.domain.pki.pem import CertificateFacts
    from istio_mc.gateways.host.ca_store import CaStore, StoreFiles
    from istio_mc.ops.ca.intermediates import ExistingCluster
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.ca.root import ImportedCa, Root

WARN_WITHIN = timedelta(days=90)
"""How long before its end a CA is warned about: exchanging one takes planning."""


class Outcome(StrEnum):
    """What became of a certificate.

    `created` is new; `kept` was there and in order; `completed` was there in part, and got what was missing;
    `renewed` was about to end, or had, and has a new certificate for the same key; `rewritten` was there, and
    its files are plain PEM now.
    """

    CREATED = "created"
    KEPT = "kept"
    COMPLETED = "completed"
    RENEWED = "renewed"
    REWRITTEN = "rewritten"


@dataclass(frozen=True, slots=True, kw_only=True)
class InitResult:
    """The root, and the CA of the user's own that signs in its place if there is one.

    Attributes:
        warnings: Files of the user's own whose content was written in another form.
    """

    folder: Path
    outcome: Outcome
    root: CertificateFacts
    issuer: CertificateFacts | None
    can_issue: bool
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCa:
    """One cluster's CA."""

    cluster_id: str
    outcome: Outcome
    certificate: CertificateFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueResult:
    """The clusters' CAs, in the order asked for.

    Attributes:
        warnings: Files of the store whose content was written in another form, there or into Secrets alone.
    """

    folder: Path
    root: CertificateFacts
    clusters: tuple[ClusterCa, ...]
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureResult:
    """What `install` needs.

    Attributes:
        ca_certs: Cluster id to the files for its Secret `cacerts`. They hold private keys: not for display.
    """

    init: InitResult
    issue: IssueResult
    ca_certs: Mapping[str, CaCerts] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCluster:
    """A cluster's folder in the store: its CA certificate, or None and why not."""

    cluster_id: str
    certificate: CertificateFacts | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowResult:
    """What the store holds, unjudged; `verify` judges."""

    folder: Path
    root: CertificateFacts
    issuer: CertificateFacts | None
    can_issue: bool
    clusters: tuple[ShownCluster, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What is wrong with the store.

    Attributes:
        errors: What istiod or proxies would refuse, or what stands in the way of issuing.
    """

    folder: Path
    clusters: tuple[str, ...]
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors


def init(store: CaStore, options: CaOptions, now: datetime) -> InitResult:
    """Makes the root, or brings in the user's own; one that is there is kept, never overwritten.

    Raises:
        InputError: Every fault in the files of the user's own, before anything is written.
        ProblemError: Every fault in what the store holds; `ca-root-exists` where another root is there.
    """
    own = ca_root.load_own(options.own, now, options.trust_domains, store.deadline) if options.own else None
    if own:
        ca_root.refuse_differences(own.authority.root, options.flags, "the root that is brought in")
    with store.locked():
        outcome, root = _init(store, options, own, now)
        if outcome is Outcome.KEPT:
            where = f"the root that is in {store.folder} already"
            ca_root.refuse_differences(root.certificate, options.flags, where)
        exposed = ca_root.exposed_signer(store, store.read())
    result = _init_result(store, outcome, root, own)
    return replace(result, warnings=(*result.warnings, *exposed))


def issue(store: CaStore, cluster_ids: Iterable[str], options: CaOptions, now: datetime) -> IssueResult:
    """Issues a CA for every cluster that has none, and renews those that end soon or have ended.

    `options.own` plays no part: that is for `init`.

    Raises:
        InputError: `cluster-id` or `cluster-id-invalid` for ids that can be none; `ca-flag-differs`.
        ProblemError: `ca-no-root`, `ca-no-signer`, and every fault in what the store holds for these
            clusters; nothing is issued to any of them then.
    """
    ids = intermediates.checked_ids(cluster_ids, store.read().clusters)
    with store.locked():
        files = store.read()
        root = ca_root.load_root(store, files, now)
        result, _ = _issue(store, files, root, ids, options, now, rewrite=True)
    return result


def ensure(store: CaStore, cluster_ids: Iterable[str], options: CaOptions, now: datetime) -> EnsureResult:
    """`init` and `issue` in one, with the files for the clusters' Secrets.

    Where all is there, nothing is written.

    Args:
        store: Where they are kept; may be read-only where nothing is missing.

    Raises:
        InputError: As `init` and `issue`.
        ProblemError: As `init` and `issue`.
    """
    ids = intermediates.checked_ids(cluster_ids)
    own = ca_root.load_own(options.own, now, options.trust_domains, store.deadline) if options.own else None
    complete = own is None and intermediates.is_complete(store.read(), ids) and not to_renew(store, ids, now)
    if complete:
        with suppress(ProblemError):  # the folder may be read-only
            store.keep_out_of_git()
    with nullcontext() if complete else store.locked():
        outcome, root = _init(store, options, own, now)
        issued, ca_certs = _issue(store, store.read(), root, ids, options, now)
    return EnsureResult(init=_init_result(store, outcome, root, own), issue=issued, ca_certs=ca_certs)


def to_renew(store: CaStore, cluster_ids: Iterable[str], now: datetime) -> dict[str, str]:
    """The CAs that `issue` and `ensure` would renew, and why, as `ends 2026-03-01`; by cluster id.

    Raises:
        ProblemError: Every fault in the root.
    """
    files = store.read()
    if files.root_cert is None:
        return {}
    root = ca_root.load_root(store, files, now)
    existing, _ = intermediates.existing_clusters(store, files, root, [*cluster_ids], now)
    return {cluster_id: state.renewal for cluster_id, state in existing.items() if state.renewal}


def new_cas(
    store: CaStore, cluster_ids: Collection[str], options: CaOptions, now: datetime
) -> dict[str, CaCerts]:
    """Another CA for each cluster under the same root, by cluster ID; nothing is written.

    Raises:
        ProblemError: `ca-no-root`, `ca-no-signer`, and every fault in the root, or in what signs.
    """
    signer = _signer(store, [*cluster_ids], now)
    return {cluster_id: _new(signer, cluster_id, options, now, None) for cluster_id in cluster_ids}


def refuse_unable(store: CaStore, cluster_ids: Iterable[str], now: datetime) -> None:
    """Sees that another CA can be issued for each cluster.

    Raises:
        ProblemError: As `new_cas`.
    """
    _signer(store, [*cluster_ids], now)


def _signer(store: CaStore, ids: list[str], now: datetime) -> Authority | None:
    files = store.read()
    root = ca_root.load_root(store, files, now)
    problems = ca_root.unable_to_sign(store, files, root, ids)
    if root.signer:
        for cluster_id in ids:
            faults = certificates.issuer_faults(root.signer, cluster_id, now)
            problems += [fault.on(cluster_id) for fault in faults]
    if problems:
        raise ProblemError(*problems)
    return root.signer


def show(store: CaStore) -> ShowResult:
    """What the store holds: subjects, dates, fingerprints.

    Raises:
        ProblemError: `ca-no-root`, or that the root or issuer certificate cannot be read. A cluster's CA that
            cannot be read is told with the cluster.
    """
    files = store.read()
    if files.root_cert is None:
        raise ProblemError(ca_root.no_root(store, files))
    root = pem.read_certificate(ca_root.named(store, "root-cert.pem", files.root_cert)).value
    issuer = None
    if files.issuer_cert:
        issuer = pem.read_certificate(ca_root.named(store, "issuer-cert.pem", files.issuer_cert)).value
    clusters: list[ShownCluster] = []
    for cluster_id, own in files.clusters.items():
        problems: list[Problem] = []
        source = ca_root.named(store, f"{cluster_id}/{cacerts.CA_CERT}", own.ca_cert or b"")
        loaded = pem.attempt(pem.read_certificates, source, problems)
        clusters.append(
            ShownCluster(
                cluster_id=cluster_id,
                certificate=pem.facts(loaded.value[0]) if loaded else None,
                problems=tuple(problem.on(cluster_id) for problem in problems),
            )
        )
    return ShowResult(
        folder=store.folder,
        root=pem.facts(root),
        issuer=pem.facts(issuer) if issuer else None,
        can_issue=bool(files.issuer_key if issuer else files.root_key),
        clusters=tuple(clusters),
    )


def verify(store: CaStore, now: datetime, *, within: timedelta = WARN_WITHIN) -> VerifyResult:
    """Judges the store: chain, key match, validity, and that every cluster runs under the same root.

    Raises:
        ProblemError: `file-unreadable`; every other fault is in the result.
    """
    files = store.read()
    errors = ca_root.exposed_signer(store, files)
    warnings = [fault for path in files.exposed if (fault := ca_root.exposed(store, path)) not in errors]
    root: Root | None = None
    of_root: list[Problem] = []
    try:
        root = ca_root.load_root(store, files, now)
        of_root += path_warnings(root.path, now, within=within)
        warnings += of_root
    except ProblemError as error:
        of_root += error.problems
        errors += error.problems
    if root and root.signer is None:
        warnings.append(ca_root.no_signer(store))
    # What is wrong with the root is said once, and not again for every cluster below it.
    reported = {(problem.code, problem.message) for problem in of_root}
    for cluster_id, own in files.clusters.items():
        faults = intermediates.faults_in_store(store, cluster_id, files, root, now)
        errors += [fault.on(cluster_id) for fault in faults if (fault.code, fault.message) not in reported]
        if ca := intermediates.complete_ca(own):
            concerns = cacerts.warnings(ca, now, within=within) + intermediates.name_warnings(ca, cluster_id)
            warnings += [one.on(cluster_id) for one in concerns if (one.code, one.message) not in reported]
    return VerifyResult(
        folder=store.folder, clusters=tuple(files.clusters), errors=tuple(errors), warnings=tuple(warnings)
    )


def _init(store: CaStore, options: CaOptions, own: ImportedCa | None, now: datetime) -> tuple[Outcome, Root]:
    """The root, made or brought in if need be; with the lock held, or where nothing is to be written."""
    files = store.read()
    if own:
        ca_root.refuse_other_root(store, files, own.authority)
        _refuse_exposed(store, files)
        outcome = _import_issuer(store, files, own.authority)
    elif files.root_cert is not None:
        outcome = Outcome.KEPT
    elif (prepared := ca_root.prepared_root(store, files)) is not None:
        store.finish_root(prepared)
        outcome = Outcome.COMPLETED
    elif ca_root.is_bare(files):
        _refuse_exposed(store, files)
        made = certificates.new_root(now, key=options.key, validity=options.validity)
        store.create_root(pem.dump_certificates([made.certificate]), pem.dump_key(made.key))
        outcome = Outcome.CREATED
    else:
        raise ProblemError(ca_root.no_root(store, files))
    return outcome, ca_root.load_root(store, store.read(), now)


def _refuse_exposed(store: CaStore, files: StoreFiles) -> None:
    """Sees that a key is not put where others can read it.

    Raises:
        ProblemError: `ca-folder-exposed` or `ca-key-exposed`.
    """
    if problems := ca_root.exposed_signer(store, files):
        raise ProblemError(*problems)


def _import_issuer(store: CaStore, files: StoreFiles, own: Authority) -> Outcome:
    parts = [files.root_cert]
    key = pem.dump_key(own.key)
    root_cert = pem.dump_certificates([own.root])
    if own.chain:
        parts += [files.issuer_cert, files.issuer_key, files.issuer_chain]
        store.import_issuer(
            root_cert,
            cert=pem.dump_certificates([own.certificate]),
            key=key,
            chain=pem.dump_certificates(own.path),
        )
    else:
        parts += [files.root_key]
        store.import_root(root_cert, key)
    if all(part is not None for part in parts):
        return Outcome.KEPT
    return Outcome.CREATED if all(part is None for part in parts) else Outcome.COMPLETED


def _issue(
    store: CaStore,
    files: StoreFiles,
    root: Root,
    ids: list[str],
    options: CaOptions,
    now: datetime,
    *,
    rewrite: bool = False,
) -> tuple[IssueResult, dict[str, CaCerts]]:
    """Judges what is there for all clusters first, and only then writes for those that lack something.

    Args:
        rewrite: Whether files that are not plain PEM are written again in the store, too.

    Returns:
        What was done, and the files for the clusters' Secrets.
    """
    existing, problems = intermediates.existing_clusters(store, files, root, ids, now)
    to_issue = [cluster_id for cluster_id in ids if existing[cluster_id].ca is None]
    if to_sign := to_issue + [cluster_id for cluster_id in ids if existing[cluster_id].renewal]:
        problems += ca_root.unable_to_sign(store, files, root, to_issue)
    for cluster_id in to_sign:
        faults = certificates.issuer_faults(root.signer, cluster_id, now) if root.signer else ()
        problems += [fault.on(cluster_id) for fault in faults]
    if problems:
        raise ProblemError(*problems)
    unused = intermediates.unused_flags(existing, root, options.flags)
    if unused and not to_sign:
        raise InputError(*unused)
    ca_certs: dict[str, CaCerts] = {}
    clusters: list[ClusterCa] = []
    for cluster_id in ids:
        state = existing[cluster_id]
        ca_certs[cluster_id] = ca = _made(store, cluster_id, state, root, options, now)
        if rewrite and state.odd:
            contents = ca.files()
            store.rewrite_cluster(cluster_id, {name: contents[name] for name in state.odd})
        (certificate, *_) = pem.load_certificates(pem.NamedPem(cluster_id, ca.ca_cert))
        outcome = _outcome(state, rewrite=rewrite)
        clusters.append(ClusterCa(cluster_id=cluster_id, outcome=outcome, certificate=pem.facts(certificate)))
    notices = [
        notice if rewrite else replace(notice, hint=intermediates.reissue(store, cluster_id))
        for cluster_id in ids
        for notice in intermediates.rewritten(store, cluster_id, existing[cluster_id])
    ]
    result = IssueResult(
        folder=store.folder,
        root=pem.facts(root.certificate),
        clusters=tuple(clusters),
        warnings=(*unused, *notices),
    )
    return result, ca_certs


def _made(
    store: CaStore, cluster_id: str, state: ExistingCluster, root: Root, options: CaOptions, now: datetime
) -> CaCerts:
    """A cluster's CA, issued, renewed or completed in the store where that is due."""
    if state.ca and state.renewal:
        key = pem.load_key(pem.NamedPem(cacerts.CA_KEY, state.ca.ca_key))
        ca = _new(root.signer, cluster_id, options, now, key)
        store.renew_cluster(cluster_id, ca)
    else:
        ca = state.ca or _new(root.signer, cluster_id, options, now, state.key)
    if not state.whole:
        store.write_cluster(cluster_id, ca)
    return ca


def _outcome(state: ExistingCluster, *, rewrite: bool) -> Outcome:
    if state.renewal:
        return Outcome.RENEWED
    if state.whole:
        return Outcome.REWRITTEN if rewrite and state.odd else Outcome.KEPT
    return Outcome.COMPLETED if state.started else Outcome.CREATED


def _new(
    signer: Authority | None, cluster_id: str, options: CaOptions, now: datetime, key: pem.PrivateKey | None
) -> CaCerts:
    if signer is None:  # refused before
        raise ValueError(cluster_id)
    maker = options.key_below(signer.certificate)
    made = certificates.new_intermediate(
        signer, cluster_id, now, key=maker, validity=options.validity, private=key
    )
    return CaCerts.from_authority(made)


def _init_result(store: CaStore, outcome: Outcome, root: Root, own: ImportedCa | None) -> InitResult:
    below_root = root.signer is not None and bool(root.signer.chain)
    return InitResult(
        folder=store.folder,
        outcome=outcome,
        root=pem.facts(root.certificate),
        issuer=pem.facts(root.signer.certificate) if root.signer and below_root else None,
        can_issue=root.signer is not None,
        warnings=own.notices if own else (),
    )
