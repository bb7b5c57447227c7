"""The root of a CA store: who signs, what of the user's own is brought in, and what is never overwritten."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc, on_this_machine
from istio_mc.domain.pki import cacerts, certificates, pem
from istio_mc.domain.pki.chain import path_faults
from istio_mc.domain.pki.pem import NamedPem, attempt
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.gateways.host import ca_store, files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from istio_mc.domain.pki.certificates import Authority
    from istio_mc.gateways.host.ca_store import CaStore, StoreFiles
    from istio_mc.ops.ca.options import Flags, OwnCa


@dataclass(frozen=True, slots=True)
class Root:
    """The store's root, and who signs: the root, a CA below it, or nobody as the key is not here."""

    certificate: x509.Certificate
    signer: Authority | None

    @property
    def path(self) -> tuple[x509.Certificate, ...]:
        """What stands above every cluster's CA issued from here, the root last."""
        return self.signer.path if self.signer else (self.certificate,)


def named(store: CaStore, name: str, data: bytes) -> NamedPem:
    """A file of the store, called by its path."""
    return NamedPem(str(store.folder / name), data)


@dataclass(frozen=True, slots=True)
class ImportedCa:
    """A CA of the user's own, read from their files.

    Attributes:
        notices: Files whose content is written here in another form: which, and what was odd.
    """

    authority: Authority
    notices: tuple[Problem, ...] = ()


def load_own(
    own: OwnCa, now: datetime, trust_domains: Iterable[str] = (), deadline: float = math.inf
) -> ImportedCa:
    """Reads the user's own CA.

    Raises:
        InputError: Every fault in what was given.
    """
    problems = _own_combination(own)
    data: dict[str, NamedPem] = {}
    for part in ("root_cert", "root_key", "issuer_cert", "issuer_key", "issuer_chain"):
        path: Path | None = getattr(own, part)
        if path is not None:
            try:
                data[part] = NamedPem(str(path), files.read(path, deadline=deadline))
            except ProblemError as error:
                problems += error.problems
    if problems:
        raise InputError(*problems)
    issuer = (data["issuer_cert"], data["issuer_key"]) if own.issuer_cert else None
    try:
        signer = certificates.load_signer(
            data["root_cert"],
            now,
            root_key=data.get("root_key"),
            issuer=issuer,
            issuer_chain=data.get("issuer_chain"),
            names=certificates.names_below(trust_domains),
        )
    except ProblemError as error:
        raise InputError(*error.problems) from error
    return ImportedCa(signer, tuple(_notices(data)))


def _notices(data: Mapping[str, NamedPem]) -> list[Problem]:
    """What is odd about files, each told once though it may be given in two places."""
    notices = []
    for part, source in data.items():
        reading = pem.read_key(source) if part.endswith("key") else pem.read_certificates(source)
        notices += pem.rewritten(source, reading.oddities)
    return list(dict.fromkeys(notices))


def load_root(store: CaStore, stored: StoreFiles, now: datetime) -> Root:
    """The store's root.

    Raises:
        ProblemError: `ca-no-root`, `ca-issuer-partial`, and every fault in root, issuer and their keys.
    """
    if stored.root_cert is None:
        raise ProblemError(no_root(store, stored))
    root_pem = named(store, cacerts.ROOT_CERT, stored.root_cert)
    issuer = (stored.issuer_cert, stored.issuer_key)
    if (issuer[0] is None) != (issuer[1] is None):
        absent = ca_store.ISSUER_CERT if issuer[0] is None else ca_store.ISSUER_KEY
        raise ProblemError.of(
            code=Code.CA_ISSUER_PARTIAL,
            message=f"{store.folder / absent} is missing",
            hint=Advice(
                "run it again with the same files: ",
                istio_mc("ca", "init", *_IMPORTED),
            ),
        )
    if issuer[0] is None and stored.root_key is None:
        certificate = pem.read_certificate(root_pem).value
        if faults := path_faults([certificate], now, below=1, names=certificates.names_below()):
            raise ProblemError(*faults)
        return Root(certificate, None)
    signer = certificates.load_signer(
        root_pem,
        now,
        root_key=None if stored.root_key is None else named(store, ca_store.ROOT_KEY, stored.root_key),
        issuer=None
        if issuer[0] is None or issuer[1] is None
        else (named(store, ca_store.ISSUER_CERT, issuer[0]), named(store, ca_store.ISSUER_KEY, issuer[1])),
        issuer_chain=None
        if stored.issuer_chain is None
        else named(store, ca_store.ISSUER_CHAIN, stored.issuer_chain),
    )
    return Root(signer.root, signer)


def refuse_other_root(store: CaStore, stored: StoreFiles, own: Authority) -> None:
    """Sees that what is brought in is what is there, as far as anything is there.

    Raises:
        ProblemError: `ca-root-exists` or `ca-issuer-exists`; or that what is there cannot be read.
    """
    problems: list[Problem] = []
    for name, data, imported in (
        (cacerts.ROOT_CERT, stored.root_cert, own.root),
        (ca_store.ISSUER_CERT, stored.issuer_cert, own.certificate),
    ):
        if data is None:
            continue
        there = attempt(pem.read_certificate, named(store, name, data), problems)
        if there and there.value != imported:
            problems.append(_exists(store, name, there.value, imported))
    for name, data in ((ca_store.ROOT_KEY, stored.root_key), (ca_store.ISSUER_KEY, stored.issuer_key)):
        # A root's key beside an issuer's is nothing to compare.
        if data is None or (name == ca_store.ROOT_KEY) == bool(own.chain):
            continue
        key = attempt(pem.read_key, named(store, name, data), problems)
        if key and not pem.key_matches(own.certificate, key.value) and not problems:
            problems.append(
                Problem(
                    code=Code.CA_ROOT_EXISTS,
                    message=f"{store.folder / name} is another CA's key, and is never overwritten",
                    hint=Advice("choose another --certs-dir"),
                )
            )
    if not stored.root_cert and stored.clusters and not problems:
        problems += _clusters_of_other_root(store, stored, own.root)
    if problems:
        raise ProblemError(*problems)


def is_bare(stored: StoreFiles) -> bool:
    """Whether there is nothing that a root once made: only then may a new one be made."""
    return not stored.clusters and all(
        part is None
        for part in (
            stored.root_cert,
            stored.root_key,
            stored.issuer_cert,
            stored.issuer_key,
            stored.issuer_chain,
        )
    )


def prepared_root(store: CaStore, stored: StoreFiles) -> bytes | None:
    """The root certificate of a run that was killed between key and certificate, if it belongs to the key."""
    if stored.root_cert is not None or stored.root_key is None or stored.prepared_root is None:
        return None
    key = pem.read_key(named(store, ca_store.ROOT_KEY, stored.root_key)).value
    certificate = pem.read_certificate(named(store, ca_store.PREPARED_ROOT, stored.prepared_root)).value
    return stored.prepared_root if pem.key_matches(certificate, key) else None


_IMPORTED = ("--root-cert", "FILE", "--issuer-cert", "FILE", "--issuer-key", "FILE")


def no_root(store: CaStore, stored: StoreFiles) -> Problem:
    """There is no root certificate, in words that fit what else is there."""
    path = store.folder / cacerts.ROOT_CERT
    if is_bare(stored):
        return Problem(
            code=Code.CA_NO_ROOT,
            message=f"no root CA in {store.folder}",
            hint=Advice("make one with: ", istio_mc("ca", "init", "--certs-dir", str(store.folder))),
        )
    copies = [cluster_id for cluster_id, cluster in stored.clusters.items() if cluster.root_cert]
    hint = Advice("put it back from a backup")
    if copies:
        copy = store.folder / copies[0] / cacerts.ROOT_CERT
        hint = Advice("put the copy back: ", on_this_machine("cp", copy, path))
    return Problem(
        code=Code.CA_ROOT_LOST,
        message=f"root CA {path} is missing, other files of it exist",
        seen=", ".join(_present(stored)),
        expected="the same root CA again: a new one would replace it",
        hint=hint,
    )


def no_signer(store: CaStore, cluster_ids: Sequence[str] = ()) -> Problem:
    """Nobody can sign: the root's key is kept elsewhere, and there is no issuer."""
    return Problem(
        code=Code.CA_NO_SIGNER,
        message="no CA can be issued" + (f" for {', '.join(cluster_ids)}" if cluster_ids else ""),
        seen=f"neither {store.folder / ca_store.ROOT_KEY} nor {store.folder / ca_store.ISSUER_KEY}",
        hint=Advice(
            "put the root's key back for this run, or bring a CA below the root: ",
            istio_mc("ca", "init", "--certs-dir", str(store.folder), *_IMPORTED),
        ),
    )


def unable_to_sign(
    store: CaStore, stored: StoreFiles, root: Root, cluster_ids: Sequence[str] = ()
) -> list[Problem]:
    """Why nothing can, or may, be signed: no key, or one that others can read."""
    return [no_signer(store, cluster_ids)] if root.signer is None else exposed_signer(store, stored)


def exposed(store: CaStore, path: Path) -> Problem:
    """A key, or the folder, that others may read or write."""
    if path == store.folder:
        return Problem(
            code=Code.CA_FOLDER_EXPOSED,
            message=f"others on this machine can read or change the folder of the CA, {path}",
            expected="a folder that only its owner can read and write",
            hint=on_this_machine("chmod", "700", path),
        )
    return Problem(
        code=Code.CA_KEY_EXPOSED,
        message=f"others on this machine can read the private key {path}",
        expected="a key that only its owner can read",
        hint=on_this_machine("chmod", "600", path),
    )


def exposed_signer(store: CaStore, stored: StoreFiles) -> list[Problem]:
    """Why nothing is to be signed: others can read the key that signs, or the folder it is in."""
    signs = (store.folder, store.folder / ca_store.ROOT_KEY, store.folder / ca_store.ISSUER_KEY)
    return [exposed(store, path) for path in stored.exposed if path in signs]


def refuse_differences(certificate: x509.Certificate, flags: Flags, where: str) -> None:
    """Sees that a root is as options say.

    Raises:
        InputError: `ca-flag-differs` for each option that it does not fit.
    """
    problems = [
        Problem(
            code=Code.CA_FLAG_DIFFERS,
            message=f"{difference.option} does not fit {where}",
            seen=difference.seen,
            expected=difference.expected,
            hint=Advice("leave the option out; or, for a new root, choose another --certs-dir"),
        )
        for difference in flags.differences(certificate)
    ]
    if problems:
        raise InputError(*problems)


def _own_combination(own: OwnCa) -> list[Problem]:
    problems: list[Problem] = []
    if own.root_cert is None:
        problems.append(_usage("--root-cert is missing", "your own CA requires its root certificate"))
    if (own.issuer_cert is None) != (own.issuer_key is None):
        problems.append(_usage("--issuer-cert and --issuer-key go together", "set both or neither"))
    if own.root_key is not None and own.issuer_key is not None:
        problems.append(
            _usage(
                "--root-key and --issuer-key cannot be combined",
                "one of them signs: leave the root's key out",
            )
        )
    if own.root_key is None and own.issuer_cert is None and own.issuer_key is None:
        problems.append(
            _usage(
                "no private key",
                "set --root-key, or --issuer-cert with --issuer-key for a CA below the root",
            )
        )
    if own.issuer_chain is not None and own.issuer_cert is None:
        problems.append(_usage("--issuer-chain requires --issuer-cert", "set the CA that it belongs to"))
    return problems


def _usage(message: str, hint: str) -> Problem:
    return Problem(code=Code.CA_OWN, message=message, hint=Advice(hint))


def _exists(store: CaStore, name: str, there: x509.Certificate, imported: x509.Certificate) -> Problem:
    is_root = name == cacerts.ROOT_CERT
    kind = "root" if is_root else "issuer"
    return Problem(
        code=Code.CA_ROOT_EXISTS if is_root else Code.CA_ISSUER_EXISTS,
        message=f"{store.folder / name} is another {kind}, and is never overwritten",
        seen=pem.fingerprint(there),
        expected=pem.fingerprint(imported),
        hint=Advice("choose another --certs-dir"),
    )


def _clusters_of_other_root(store: CaStore, stored: StoreFiles, root: x509.Certificate) -> list[Problem]:
    problems: list[Problem] = []
    for cluster_id, cluster in stored.clusters.items():
        source = named(store, f"{cluster_id}/{cacerts.ROOT_CERT}", cluster.root_cert or b"")
        roots = attempt(pem.read_certificates, source, problems) if cluster.root_cert else None
        if roots and root not in roots.value:
            problems.append(_exists(store, cacerts.ROOT_CERT, roots.value[0], root).on(cluster_id))
    return problems


def _present(stored: StoreFiles) -> list[str]:
    parts = {
        ca_store.ROOT_KEY: stored.root_key,
        ca_store.ISSUER_CERT: stored.issuer_cert,
        ca_store.ISSUER_KEY: stored.issuer_key,
        ca_store.ISSUER_CHAIN: stored.issuer_chain,
    }
    return [name for name, content in parts.items() if content is not None] + [
        f"{cluster_id}/" for cluster_id in stored.clusters
    ]
