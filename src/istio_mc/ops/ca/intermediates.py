"""The clusters' CAs in a CA store: what each has, what is missing, and what is wrong with it."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Self

from istio_mc.domain import naming
from istio_mc.domain.hint import Advice, istio_mc, on_this_machine
from istio_mc.domain.pki import cacerts, certificates, pem
from istio_mc.domain.pki.cacerts import CaCerts
from istio_mc.domain.pki.chain import SOON, path_to_root
from istio_mc.domain.pki.pem import NamedPem, PrivateKey, attempt
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.gateways.host import ca_store
from istio_mc.ops.ca import root as ca_root

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from istio_mc.domain.hint import Command
    from istio_mc.domain.pki.certificates import KeyMaker
    from istio_mc.gateways.host.ca_store import CaStore, ClusterFiles, StoreFiles
    from istio_mc.ops.ca.options import Flags
    from istio_mc.ops.ca.root import Root

_FILES = (cacerts.CA_CERT, cacerts.CA_KEY, cacerts.CERT_CHAIN, cacerts.ROOT_CERT)


@dataclass(frozen=True, slots=True)
class ExistingCluster:
    """What a cluster has already.

    Attributes:
        ca: Its CA, if it has one, with what can be derived filled in.
        renewal: Why its certificate is to be renewed for the same key; empty where it is not.
    """

    ca: CaCerts | None = None
    key: PrivateKey | None = field(default=None, repr=False)
    whole: bool = False
    started: bool = False
    renewal: str = ""
    odd: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def checked_ids(cluster_ids: Iterable[str], known: Collection[str] | None = None) -> list[str]:
    """The ids, each once.

    Args:
        known: Those that have a CA already; None: the ids were found to be usable before.

    Raises:
        InputError: `cluster-id` for each that can be no folder's name, or differs from another in case only;
            `cluster-id-invalid` for each that can be none in a mesh and has no CA yet.
    """
    ids = list(dict.fromkeys(cluster_ids))
    problems: list[Problem] = []
    folded: dict[str, str] = {}
    for cluster_id in ids:
        faults = _id_faults(cluster_id, is_new=known is not None and cluster_id not in known)
        problems += faults
        other = cluster_id if faults else folded.setdefault(cluster_id.casefold(), cluster_id)
        if other != cluster_id:
            problems.append(_case_only(other, cluster_id))
    if problems:
        raise InputError(*problems)
    return ids


def _id_faults(cluster_id: str, *, is_new: bool) -> list[Problem]:
    if faults := certificates.cluster_id_faults(cluster_id):
        return faults
    if cluster_id.casefold() in ca_store.RESERVED:
        reserved = f"{cluster_id} is the name of a file of the CA itself"
        return [Problem(code=Code.CLUSTER_ID, message=reserved)]
    unusable = naming.validate_cluster_id(cluster_id) if is_new else None
    return [unusable] if unusable else []


def is_complete(files: StoreFiles, ids: Sequence[str]) -> bool:
    """Whether nothing has to be written for these clusters."""
    return files.root_cert is not None and all(
        cluster_id in files.clusters and not _missing(files.clusters[cluster_id]) for cluster_id in ids
    )


def existing_clusters(
    store: CaStore, files: StoreFiles, root: Root, ids: Sequence[str], now: datetime
) -> tuple[dict[str, ExistingCluster], list[Problem]]:
    """What each cluster has, and every fault in it."""
    states: dict[str, ExistingCluster] = {}
    problems: list[Problem] = []
    for cluster_id in ids:
        state = ExistingCluster()
        faults: list[Problem] = []
        duplicates = [there for there in files.clusters if there.casefold() == cluster_id.casefold()]
        if duplicates and cluster_id not in duplicates:
            faults.append(_case_only(duplicates[0], cluster_id))
        if cluster_id in files.clusters:
            try:
                state = _existing_cluster(store, cluster_id, files.clusters[cluster_id], root)
            except ProblemError as error:
                faults += error.problems
        if state.ca:
            of_ca = cluster_faults(state.ca, root.certificate, now)
            reason = renewal(state.ca, root, now)
            state = replace(state, renewal=reason)
            faults += [fault for fault in of_ca if not reason or fault.code not in _RENEWED]
        states[cluster_id] = state
        problems += [fault.on(cluster_id) for fault in faults]
    return states, problems


_RENEWED = frozenset({Code.CA_EXPIRED, Code.CA_NOT_YET_VALID, Code.CHAIN_WITHOUT_CA})
"""What is no more once a CA's certificate was renewed; the root's own dates were judged before."""


def renewal(ca: CaCerts, root: Root, now: datetime) -> str:
    """Why a cluster's CA is to get a new certificate for the same key; empty where it is not.

    What the CA signed before stays valid then: the key and the name are the same.
    """
    loaded = attempt(pem.load_certificates, NamedPem(cacerts.CA_CERT, ca.ca_cert), [])
    if not loaded or root.signer is None:
        return ""
    begins, ends = loaded[0].not_valid_before_utc, loaded[0].not_valid_after_utc
    last = min(above.not_valid_after_utc for above in root.path)
    if now < begins:
        return f"is not valid before {begins:%Y-%m-%d %H:%M} UTC"
    if last - ends <= _WORTH_IT:
        return ""
    if now > ends:
        return f"expired {ends:%Y-%m-%d}"
    if ends - now <= SOON:
        return f"expires {ends:%Y-%m-%d}"
    chain = attempt(pem.load_certificates, NamedPem(cacerts.CERT_CHAIN, ca.cert_chain), []) or ()
    cut_off = loaded[0] not in chain and any(link.public_key() == loaded[0].public_key() for link in chain)
    return "was renewed by a run that was interrupted" if cut_off else ""


_WORTH_IT = timedelta(days=1)
"""What a renewal must bring at least: a CA ends with its root at the latest."""


def complete_ca(files: ClusterFiles) -> CaCerts | None:
    """A cluster's CA as its files are; None where one is missing."""
    if _missing(files):
        return None
    return CaCerts(
        ca_cert=files.ca_cert or b"",
        ca_key=files.ca_key or b"",
        cert_chain=files.cert_chain or b"",
        root_cert=files.root_cert or b"",
    )


def faults_in_store(
    store: CaStore, cluster_id: str, files: StoreFiles, root: Root | None, now: datetime
) -> list[Problem]:
    """What is wrong with a cluster's files as they are in the store, each fault with what fixes it."""
    own = files.clusters[cluster_id]
    state, stopping = ExistingCluster(), list[Problem]()
    if root:
        states, stopping = existing_clusters(store, files, root, [cluster_id], now)
        state = states[cluster_id]
        if not stopping and (state.ca is None or state.renewal):
            stopping = ca_root.unable_to_sign(store, files, root, [cluster_id])
    again = reissue(store, cluster_id)
    fix = again if root and not stopping else Advice("first fix what else is reported, then: ", again)
    fixed = {Code.PEM_MALFORMED, *(_RENEWED if state.renewal else ())}
    if ca := complete_ca(own):
        at = store.folder / cluster_id
        faults = cluster_faults(ca, root.certificate if root else None, now, at)
        return [replace(fault, hint=fix) if fault.code in fixed else fault for fault in faults]
    partial_ca = Problem(
        code=Code.CA_PARTIAL,
        message=f"{store.folder / cluster_id} is not complete",
        seen="without " + ", ".join(_missing(own)),
        expected=", ".join(_FILES),
        hint=fix,
    )
    return stopping or [partial_ca]


def cluster_faults(
    ca: CaCerts, root: x509.Certificate | None, now: datetime, folder: Path | str = ""
) -> list[Problem]:
    """What is wrong with a cluster's CA, in itself and under the store's root (None if not known)."""
    problems = cacerts.faults(ca, now, str(folder))
    roots = attempt(pem.load_roots, NamedPem(cacerts.ROOT_CERT, ca.root_cert), [])
    if root and roots and root not in roots:
        problems.append(
            Problem(
                code=Code.CA_OTHER_ROOT,
                message="the cluster's CA is under another root",
                seen=", ".join(map(pem.fingerprint, roots)),
                expected=pem.fingerprint(root),
            )
        )
    return problems


def name_warnings(ca: CaCerts, cluster_id: str) -> list[Problem]:
    """Whether the CA is named for another cluster: it works, but who answered is told by that name."""
    loaded = attempt(pem.load_certificates, NamedPem(cacerts.CA_CERT, ca.ca_cert), [])
    expected = certificates.ca_names(cluster_id)
    if not loaded or pem.common_name(loaded[0]) == expected.common_name:
        return []
    return [
        Problem(
            code=Code.CA_NAME,
            message="the cluster's CA is named for something else",
            seen=pem.common_name(loaded[0]),
            expected=expected.common_name,
        )
    ]


def _case_only(one: str, other: str) -> Problem:
    """Two ids are one folder on macOS and two on Linux, and certs folders travel."""
    return Problem(code=Code.CLUSTER_ID, message=f"{one} and {other} differ in upper and lower case only")


def _missing(files: ClusterFiles) -> list[str]:
    contents = (files.ca_cert, files.ca_key, files.cert_chain, files.root_cert)
    return [name for name, content in zip(_FILES, contents, strict=True) if content is None]


def _existing_cluster(store: CaStore, cluster_id: str, files: ClusterFiles, root: Root) -> ExistingCluster:
    """A cluster's CA as plain PEM, with what other tools leave out: root-cert.pem, in the guide."""
    at = store.folder / cluster_id
    if files.ca_key is None:
        raise ProblemError.of(
            code=Code.CA_KEY_LOST,
            message=f"{at / cacerts.CA_KEY} is missing",
            seen="a CA without its key",
            hint=Advice(
                "put it back; or, to have a new CA issued under the same root: ",
                _start_over(store, cluster_id),
            ),
        )
    problems: list[Problem] = []
    odd: dict[str, tuple[str, ...]] = {}

    def certificates_in(name: str, data: bytes | None) -> tuple[x509.Certificate, ...]:
        if data is None:
            return ()
        skip = name == cacerts.ROOT_CERT
        reading = attempt(partial(pem.read_certificates, skip=skip), NamedPem(str(at / name), data), problems)
        odd[name] = reading.oddities if reading else ()
        return reading.value if reading else ()

    key = attempt(pem.read_key, NamedPem(str(at / cacerts.CA_KEY), files.ca_key), problems)
    odd[cacerts.CA_KEY] = key.oddities if key else ()
    chain = certificates_in(cacerts.CERT_CHAIN, files.cert_chain)
    ca = certificates_in(cacerts.CA_CERT, files.ca_cert)
    roots = certificates_in(cacerts.ROOT_CERT, files.root_cert)
    if files.ca_cert is None and key and not problems:
        # The chain begins with the CA itself: its certificate is not lost.
        ca = tuple(link for link in chain if pem.key_matches(link, key.value))[:1]
        if not ca and not chain:
            return ExistingCluster(key=key.value, started=True)
        if not ca:
            problems.append(
                Problem(
                    code=Code.CA_CERT_LOST,
                    message=f"{at / cacerts.CA_CERT} is missing, and the chain there is not that of the key",
                    hint=Advice(
                        "to have a new CA issued under the same root: ", _start_over(store, cluster_id)
                    ),
                )
            )
    if problems or not ca or not key:
        raise ProblemError(*problems)
    if files.cert_chain is None:
        chain = path_to_root(ca[0], (*ca[1:], *root.path), [root.certificate])
    return ExistingCluster(
        CaCerts(
            ca_cert=pem.dump_certificates(ca),
            ca_key=pem.dump_key(key.value),
            cert_chain=pem.dump_certificates(chain),
            root_cert=pem.dump_certificates(roots or [root.certificate]),
        ),
        whole=not _missing(files),
        started=True,
        odd={name: oddities for name, oddities in odd.items() if oddities},
    )


def unused_flags(existing: Mapping[str, ExistingCluster], root: Root, flags: Flags) -> list[Problem]:
    """Options that say something else of a CA than what it is, which is kept."""
    latest = min(above.not_valid_after_utc for above in root.path)
    return [
        Problem(
            code=Code.CA_FLAG_DIFFERS,
            cluster=cluster_id,
            message=f"{difference.option} does not fit the CA that {cluster_id} has already",
            seen=difference.seen,
            expected=difference.expected,
            hint=Advice("leave the option out: a CA that is there is kept"),
        )
        for cluster_id, state in existing.items()
        if state.ca and not state.renewal
        for difference in flags.differences(
            pem.load_first_certificate(NamedPem(cacerts.CA_CERT, state.ca.ca_cert)), latest
        )
    ]


def rewritten(store: CaStore, cluster_id: str, state: ExistingCluster) -> list[Problem]:
    """The notices of a cluster's files whose content goes into its Secret in another form."""
    at = store.folder / cluster_id
    notices = [
        notice
        for name, oddities in state.odd.items()
        for notice in pem.rewritten(NamedPem(str(at / name), b""), oddities)
    ]
    return [notice.on(cluster_id) for notice in notices]


def _start_over(store: CaStore, cluster_id: str) -> Command:
    """What puts a cluster's files aside, where they count as no cluster's, and has a new CA issued."""
    aside = store.folder / ca_store.REPLACED
    return replace(
        on_this_machine("mkdir", "-p", "-m", "700", aside),
        then=(
            on_this_machine("mv", store.folder / cluster_id, aside / f"{cluster_id}-before"),
            reissue(store, cluster_id),
        ),
    )


def reissue(store: CaStore, cluster_id: str) -> Command:
    """What writes a cluster's files again as plain PEM, and completes them."""
    return istio_mc("ca", "issue", "--certs-dir", str(store.folder), "--cluster-id", cluster_id)


class SpareKeys:
    """Makes some keys beforehand, on every core; whoever wants more has them made on the spot."""

    def __init__(self, maker: KeyMaker, count: int) -> None:
        self._maker = maker
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
        self._made: deque[Future[PrivateKey]] = deque(self._pool.submit(maker.generate) for _ in range(count))

    def generate(self) -> PrivateKey:
        """A new random key, which is used once."""
        try:
            next_one = self._made.popleft()
        except IndexError:
            return self._maker.generate()
        return next_one.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
