"""ca rotate --root-cert: to a root of the user's own, in the phases of a new root.

Where nothing that signs below it is at hand (an HSM, Vault, a machine without network), the CA of each
cluster gets a key and a request here; the certificates come back as files, and the same command goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.pki import certificates, pem
from istio_mc.domain.pki.cacerts import CA_CERT
from istio_mc.domain.pki.chain import path_faults
from istio_mc.domain.pki.pem import NamedPem
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.gateways.host import files
from istio_mc.gateways.host.ca_store import REQUEST, CaStore
from istio_mc.gateways.host.root_store import keep_twin, name_next, new_store, next_store, store_of, twin_of
from istio_mc.ops.ca import authority
from istio_mc.ops.ca.intermediates import existing_clusters
from istio_mc.ops.ca.options import Flags, OwnCa
from istio_mc.ops.ca.root import Root, load_own, load_root
from istio_mc.ops.rotation import root as op
from istio_mc.ops.rotation.root import RootResult
from istio_mc.ops.rotation.root_errors import root_changes

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from istio_mc.gateways.host.ca_store import StoreFiles
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.rotation.root import RootRotating
    from istio_mc.ops.session.session import Session


@dataclass(frozen=True, slots=True)
class OwnRoot:
    """A root of the user's own.

    Attributes:
        signs: Whether its key, or that of a CA below it, is at hand.
        store: The folder that it has or gets.
    """

    certificate: x509.Certificate
    signs: bool
    store: CaStore

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate."""
        return pem.fingerprint(self.certificate)


def read_own(session: Session, options: CaOptions, now: datetime) -> OwnRoot:
    """Reads the files of the user's root.

    Raises:
        InputError: Every fault in them.
    """
    own = options.own or OwnCa()
    base = session.base_store
    if own.root_cert and own == OwnCa(root_cert=own.root_cert):
        certificate = _read_root(own.root_cert, options, now, base.deadline)
        return OwnRoot(certificate, signs=False, store=store_of(base, pem.fingerprint(certificate)))
    certificate = load_own(own, now, options.trust_domains, base.deadline).authority.root
    return OwnRoot(certificate, signs=True, store=store_of(base, pem.fingerprint(certificate)))


def prepare(
    session: Session, own: OwnRoot, options: CaOptions, now: datetime, canary: str | None = None
) -> RootRotating:
    """Reads the mesh and the folder of the CA; changes nothing.

    Raises:
        InputError: As `root.prepare`.
        ProblemError: As `root.prepare`.
    """
    todo = op.prepare(session, replace(options, own=None), now, canary)
    command = _command(options)
    problems = [*todo.problems]
    following = next_store(todo.base)
    if following and following.folder != own.store.folder:
        message = "the mesh changes to another root already"
        expected = "no change of the root that has begun, or one to this root"
        problems.append(root_changes(todo.base, following, Code.OWN_ROOT_OTHER, message, expected))
    elif todo.old == own.fingerprint:
        problems.append(_in_use(own, todo.base))
    elif not following and not own.signs:
        ids = [one.cluster_id for one in todo.read.members.values()]
        stored = own.store.read()
        unsigned = _unsigned(stored, ids)
        todo = replace(todo, waits=tuple(_waiting(own.store, one, todo) for one in unsigned))
        signed = [one for one in ids if one not in unsigned]
        _, faults = existing_clusters(own.store, stored, Root(own.certificate, None), signed, now)
        problems += faults
    return replace(todo, own=command, problems=tuple(problems))


def rotate(
    session: Session, own: OwnRoot, todo: RootRotating, options: CaOptions, now: datetime
) -> RootResult:
    """Does what was planned; where requests are to be signed first, it writes these and ends.

    Raises:
        InputError: Rights are missing; nothing was changed.
        ProblemError: The folder cannot be written, or a certificate in it is not right.
    """
    op.require_rights(session, todo)
    below = replace(options, own=None)
    if todo.store is None:
        ids = [one.cluster_id for one in todo.read.members.values()]
        if own.signs:
            _import(todo.base, own, options, now)
        elif unsigned := _write_requests(todo.base, own, ids, below):
            failures = tuple(_waiting(own.store, one, todo) for one in unsigned)
            return RootResult(replace(todo, waits=()), own.fingerprint, failures=failures)
        _begin(todo.base, own, ids, below, now)
        todo = replace(op.prepare(session, below, now, read=todo.read), own=todo.own)
        if todo.problems:
            return RootResult(todo, own.fingerprint)
    return op.rotate_allowed(session, todo, below, now)


def _command(options: CaOptions) -> tuple[str, ...]:
    own = options.own or OwnCa()
    words: list[str] = []
    for option in ("root_cert", "root_key", "issuer_cert", "issuer_key", "issuer_chain"):
        if path := getattr(own, option):
            words += (f"--{option.replace('_', '-')}", str(path))
    return tuple(words)


def _read_root(path: Path, options: CaOptions, now: datetime, deadline: float) -> x509.Certificate:
    try:
        certificate = pem.read_certificate(NamedPem(str(path), files.read(path, deadline=deadline))).value
    except ProblemError as error:
        raise InputError(*error.problems) from error
    if not pem.is_root(certificate):
        raise InputError(certificates.not_a_root(str(path), certificate))
    names = certificates.names_below(options.trust_domains)
    if faults := path_faults((certificate,), now, below=1, names=names):
        raise InputError(*faults)
    return certificate


def _unsigned(stored: StoreFiles, ids: Collection[str]) -> list[str]:
    """The cluster IDs whose certificates are not there yet."""
    there = stored.clusters
    return [
        one
        for one in ids
        if not (one in there and there[one].ca_key and (there[one].ca_cert or there[one].cert_chain))
    ]


def _write_requests(base: CaStore, own: OwnRoot, ids: Collection[str], options: CaOptions) -> list[str]:
    """Writes what is missing of keys and requests; the cluster IDs whose certificates are not there yet."""
    with base.locked():
        store = new_store(base, own.fingerprint)
        store.import_certificate(pem.dump_certificates([own.certificate]))
        for one in _unsigned(store.read(), ids):
            there = store.read().clusters.get(one)
            if there and there.ca_key:
                key = pem.load_key(NamedPem(str(store.folder / one), there.ca_key))
            else:
                key = options.key_below(own.certificate).generate()
            store.write_request(one, pem.dump_key(key), certificates.request(one, key))
        return _unsigned(store.read(), ids)


def _import(base: CaStore, own: OwnRoot, options: CaOptions, now: datetime) -> None:
    with base.locked():
        store = new_store(base, own.fingerprint)
    authority.init(store, replace(options, flags=Flags()), now)


def _begin(base: CaStore, own: OwnRoot, ids: Collection[str], options: CaOptions, now: datetime) -> None:
    """Completes the clusters' CAs, and says that the mesh changes to this root."""
    authority.ensure(own.store, ids, options, now)
    root = load_root(own.store, own.store.read(), now)
    with base.locked():
        if twin_of(own.store) is None:
            keep_twin(
                own.store, pem.dump_certificates([certificates.second_form(root.certificate, root.signer)])
            )
        name_next(base, own.store)


def _waiting(store: CaStore, cluster_id: str, todo: RootRotating) -> Problem:
    folder = store.folder / cluster_id
    context = next(name for name, one in todo.read.members.items() if one.cluster_id == cluster_id)
    return Problem(
        code=Code.OWN_ROOT_UNSIGNED,
        cluster=context,
        message=f"the CA of {context} is not signed by your root yet; no cluster was changed",
        seen=f"no {folder / CA_CERT}",
        expected=f"the certificate for the request {folder / REQUEST}: a CA with path length 0",
        hint=Advice(
            f"have the request signed, put the certificate and those between it and the root into "
            f"{folder / CA_CERT}; then run the same command again"
        ),
    )


def _in_use(own: OwnRoot, base: CaStore) -> Problem:
    return Problem(
        code=Code.OWN_ROOT_IN_USE,
        message=f"the mesh of {base.folder} has this root already",
        seen=f"root {own.fingerprint}",
        expected="another root",
        hint=Advice("name the certificate of another root with --root-cert"),
    )
