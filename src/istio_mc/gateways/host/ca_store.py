"""The folder that keeps the mesh's CA, in the layout of the K-PaaS guide.

    root-cert.pem, root-ca.key
    <cluster id>/ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem
    issuer-cert.pem, issuer-ca.key, issuer-chain.pem     where a CA of the user's own, below their root, signs
    replaced/<cluster id>-…/                             what a Secret held that an install wrote over
    roots/…                                              later roots (`root_store`)
    intermediates/…                                      next and former CAs (`intermediate_store`)

What a run that was killed can leave behind:

- names that end in `.istio-mc.tmp`: never seen by anyone; the next run removes them;
- `root-ca.key` and `root-cert.pem.new`, but no `root-cert.pem`: the next run takes the prepared certificate,
  so that it is the same root whenever the first run was killed.

A cluster's folder appears whole, by one rename. Folders that other tools left half-made are read as they are.
Where a cluster's next CA is there and its folder is not, a run was killed between two renames: the next run
does the second one.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, Progress, State, silent
from istio_mc.domain.hint import Advice
from istio_mc.domain.pki.cacerts import CA_CERT, CA_KEY, CERT_CHAIN, ROOT_CERT, CaCerts
from istio_mc.domain.problem import Code, ProblemError
from istio_mc.gateways.host import files, temporary
from istio_mc.gateways.host.parallel import poll_rounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

ROOT_KEY = "root-ca.key"
PREPARED_ROOT = "root-cert.pem.new"
ISSUER_CERT, ISSUER_KEY, ISSUER_CHAIN = "issuer-cert.pem", "issuer-ca.key", "issuer-chain.pem"
REPLACED = "replaced"
"""Folder of what clusters' Secrets held before: the CAs of others, which a purge leaves alone."""

TWIN = "root-cert-twin.pem"
ROOTS = "roots"
"""Folder of the roots that the mesh changed to after the first one."""

INTERMEDIATES, NEXT_CAS = "intermediates", "next"
"""Folder of the CAs that clusters had before others under the same root; in it, that of the next ones."""

CLUSTERS = "clusters"
"""File in the folder of the next CAs: the IDs of the clusters that change to another one."""

_FILES = frozenset({ROOT_CERT, ROOT_KEY, PREPARED_ROOT, ISSUER_CERT, ISSUER_KEY, ISSUER_CHAIN})
RESERVED = _FILES | {REPLACED, ROOTS, INTERMEDIATES}
"""Names in the store that no cluster's folder can have."""

_HASH_DIGITS = 12

_LOCK = ".lock"
_GIT_IGNORE, _EVERYTHING = ".gitignore", b"*\n"
_POLL_SECONDS = 0.1
_LONGEST_WAIT_S = 60.0
"""A run holds the lock for seconds: one that holds it longer does not end by itself."""
_STEP = "ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFiles:
    """What a cluster's folder holds; None for a file that is not there."""

    ca_cert: bytes | None = None
    ca_key: bytes | None = field(default=None, repr=False)
    cert_chain: bytes | None = None
    root_cert: bytes | None = None

    @property
    def empty(self) -> bool:
        """Whether none of the four files is there."""
        return self == ClusterFiles()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFiles:
    """What the store holds; None for a file that is not there.

    Attributes:
        prepared_root: The root certificate of a run that was killed before it was done.
        issuer_cert: A CA below the root that signs in its place.
        exposed: The folder, and keys, that others than the owner may read or write.
    """

    root_cert: bytes | None = None
    root_key: bytes | None = field(default=None, repr=False)
    prepared_root: bytes | None = None
    issuer_cert: bytes | None = None
    issuer_key: bytes | None = field(default=None, repr=False)
    issuer_chain: bytes | None = None
    clusters: Mapping[str, ClusterFiles] = field(default_factory=dict)
    exposed: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class CaStore:
    """The folder, made by the first `locked`.

    Attributes:
        base: The folder of the CA, where this is that of a later root of it.
    """

    folder: Path
    deadline: float = math.inf
    progress: Progress = field(default=silent, repr=False, compare=False)
    base: Path | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out, and clears away what a killed one left. Readers need no lock.

        Raises:
            ProblemError: `ca-store-busy` where another run does not end in time, or `file-unwritable`.
        """
        files.make_private_folder(self.folder)
        path = self.folder / _LOCK
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, files.PRIVATE_FILE)
        except OSError as error:
            raise ProblemError.of(
                code=Code.FILE_UNWRITABLE, message=f"cannot write {path}", seen=error.strerror
            ) from error
        try:
            self._wait_for(handle)
            with self._changed():
                self._sweep()
            self.keep_out_of_git()  # with the lock held: another run would sweep the half-written file away
            yield
        finally:
            os.close(handle)  # this gives the lock back, as the end of the process does

    def keep_out_of_git(self) -> None:
        """Has git ignore the folder, so that no key is committed; a .gitignore that is there stays as it is.

        Raises:
            ProblemError: `file-unwritable`.
        """
        path = self.folder / _GIT_IGNORE
        if (
            path.exists() or (self.folder / ".git").exists()
        ):  # the top of a repository is no folder of keys alone
            return
        try:
            files.write(path, _EVERYTHING, exclusive=True)
        except ProblemError as error:
            if error.problems[0].code != Code.FILE_EXISTS:  # another run was quicker
                raise

    def read(self) -> StoreFiles:
        """What is there.

        Raises:
            ProblemError: `file-unreadable`; nothing at all being there is not an error.
        """
        clusters: dict[str, ClusterFiles] = {}
        for folder in self._folders():
            cluster_files = ClusterFiles(
                ca_cert=files.read_if_there(folder / CA_CERT),
                ca_key=files.read_if_there(folder / CA_KEY),
                cert_chain=files.read_if_there(folder / CERT_CHAIN),
                root_cert=files.read_if_there(folder / ROOT_CERT),
            )
            if not cluster_files.empty:
                clusters[folder.name] = cluster_files
        keys = [self.folder / ROOT_KEY, self.folder / ISSUER_KEY]
        keys += [self.folder / cluster / CA_KEY for cluster in clusters]
        return StoreFiles(
            root_cert=self._read(ROOT_CERT),
            root_key=self._read(ROOT_KEY),
            prepared_root=self._read(PREPARED_ROOT),
            issuer_cert=self._read(ISSUER_CERT),
            issuer_key=self._read(ISSUER_KEY),
            issuer_chain=self._read(ISSUER_CHAIN),
            clusters=clusters,
            exposed=tuple(path for path in (self.folder, *keys) if files.readable_by_others(path)),
        )

    def create_root(self, cert: bytes, key: bytes) -> None:
        """Keeps a root that was just made.

        Its certificate is prepared first, then the key is written, then the certificate: whenever this is
        interrupted, there is no root yet, or it can be finished with this certificate and no other.

        Raises:
            ProblemError: `file-exists` where there is a root key or certificate already.
        """
        self._write(PREPARED_ROOT, cert, exclusive=False)
        self._write(ROOT_KEY, key)
        self.finish_root(cert)

    def finish_root(self, cert: bytes) -> None:
        """Puts the prepared root certificate in its place.

        Raises:
            ProblemError: `file-exists` where there is one already.
        """
        self._write(ROOT_CERT, cert)
        self._remove(PREPARED_ROOT)

    def import_root(self, cert: bytes, key: bytes) -> None:
        """Keeps a root of the user's own, or the part of it that is not here yet.

        The certificate goes first: a key alone would look as if its certificate had been lost.

        Raises:
            ProblemError: `file-unwritable`.
        """
        self._write_missing({ROOT_CERT: cert, ROOT_KEY: key})

    def import_issuer(self, root_cert: bytes, *, cert: bytes, key: bytes, chain: bytes) -> None:
        """Keeps a CA of the user's own below a root whose key is elsewhere, or the part that is not here yet.

        Raises:
            ProblemError: `file-unwritable`.
        """
        self._write_missing({ROOT_CERT: root_cert, ISSUER_CHAIN: chain, ISSUER_CERT: cert, ISSUER_KEY: key})

    def write_cluster(self, cluster_id: str, ca: CaCerts) -> None:
        """Keeps a cluster's CA: a new folder appears whole; one that is there gets only what is missing.

        Raises:
            ProblemError: `file-unwritable`.
        """
        folder = self.folder / cluster_id
        if folder.is_dir():
            for name, content in ca.files().items():
                if files.read_if_there(folder / name) is None:
                    files.write(folder / name, content, exclusive=True)
            return
        try:
            staging = temporary.make_folder(self.folder)
            for name, content in ca.files().items():
                files.write(staging / name, content)
            staging.rename(folder)
        except OSError as error:
            raise ProblemError.of(
                code=Code.FILE_UNWRITABLE, message=f"cannot write {folder}", seen=error.strerror
            ) from error
        files.sync_folder(self.folder)

    def keep_replaced(self, cluster_id: str, contents: Mapping[str, bytes]) -> Path:
        """Keeps what a cluster's Secret held before another CA is written over it.

        Kept once, however often it is asked for: the folder is named for the contents.

        Returns:
            The folder.

        Raises:
            ProblemError: `file-unwritable`.
        """
        with self.locked():
            return self._keep(cluster_id, contents)

    def rewrite_cluster(self, cluster_id: str, contents: Mapping[str, bytes]) -> None:
        """Writes files of a cluster's CA again in another form; with the lock held. Each is kept as it was.

        Raises:
            ProblemError: `file-unwritable`.
        """
        folder = self.folder / cluster_id
        self._keep(cluster_id, {name: files.read(folder / name) for name in contents})
        for name, content in contents.items():
            files.write(folder / name, content)

    def _keep(self, cluster_id: str, contents: Mapping[str, bytes]) -> Path:
        digest = hashlib.sha256(repr(sorted(contents.items())).encode()).hexdigest()[:_HASH_DIGITS]
        folder = self.folder / REPLACED / f"{cluster_id}-{digest}"
        for part in (folder.parent, folder):
            files.make_private_folder(part)
        for name, content in contents.items():
            if files.read_if_there(folder / name) is None:
                files.write(folder / name, content, exclusive=True)
        return folder

    def renew_cluster(self, cluster_id: str, ca: CaCerts) -> None:
        """Puts a new certificate of a cluster's CA in the place of the one before: its key stays.

        The certificate goes last: until then the chain holds both, and what is there can be used.

        Raises:
            ProblemError: `file-unwritable`.
        """
        folder = self.folder / cluster_id
        for name, content in ((CERT_CHAIN, ca.cert_chain), (CA_CERT, ca.ca_cert)):
            files.write(folder / name, content, exclusive=False)

    def purge(self) -> None:
        """Removes every file of the store, root key and all, and its folders where nothing else is in them.

        Raises:
            ProblemError: `ca-store-busy`.
        """
        if self.base:
            CaStore(self.base, self.deadline, self.progress).purge()
            return
        later = self.folder / ROOTS
        for folder in [*later.iterdir()] if later.is_dir() else []:
            if folder.is_dir():
                CaStore(folder, self.deadline, self.progress).purge()
        with self.locked(), self._changed():
            for pointer in [*later.iterdir()] if later.is_dir() else []:
                if pointer.is_file():
                    pointer.unlink()
            with suppress(OSError):  # something of the user's own is in it
                later.rmdir()
            other = self.folder / INTERMEDIATES
            (other / NEXT_CAS / CLUSTERS).unlink(missing_ok=True)
            folders = (*_subfolders(other / NEXT_CAS), *_subfolders(other), other, *self._folders())
            for folder in folders:
                for name in (CA_CERT, CA_KEY, CERT_CHAIN, ROOT_CERT):
                    (folder / name).unlink(missing_ok=True)
                with suppress(OSError):  # something of the user's own is in it, or it is not there
                    folder.rmdir()
            if self._read(_GIT_IGNORE) == _EVERYTHING:
                self._remove(_GIT_IGNORE)
            for name in (*_FILES, TWIN, _LOCK):
                self._remove(name)
        with suppress(OSError):  # likewise
            self.folder.rmdir()

    def _folders(self) -> list[Path]:
        with files.as_problem(Code.FILE_UNREADABLE, f"cannot read {self.folder}"):
            try:
                return sorted(
                    entry
                    for entry in files.possible(self.folder).iterdir()
                    if entry.is_dir() and not entry.name.startswith(".")
                )
            except FileNotFoundError:
                return []

    def _read(self, name: str) -> bytes | None:
        return files.read_if_there(self.folder / name)

    def _write(self, name: str, content: bytes, *, exclusive: bool = True) -> None:
        files.write(self.folder / name, content, exclusive=exclusive)

    def _write_missing(self, contents: Mapping[str, bytes]) -> None:
        for name, content in contents.items():
            if self._read(name) is None:
                self._write(name, content)

    def _remove(self, name: str) -> None:
        with self._changed():
            (self.folder / name).unlink(missing_ok=True)

    def _changed(self) -> AbstractContextManager[None]:
        return files.as_problem(Code.FILE_UNWRITABLE, f"cannot change {self.folder}")

    def _wait_for(self, handle: int) -> None:
        begun = time.monotonic()
        until = min(self.deadline, begun + _LONGEST_WAIT_S)
        waits = False
        for _ in poll_rounds(until, _POLL_SECONDS):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waits = True
                self.progress(
                    Event(None, _STEP, State.WAITING, f"for another run that works in {self.folder}")
                )
            except OSError as error:
                raise ProblemError.of(
                    code=Code.FILE_UNWRITABLE,
                    message=f"cannot lock {self.folder}",
                    seen=error.strerror,
                    hint=Advice("keep the certificates on a file system with locks"),
                ) from error
            else:
                if waits:
                    self.progress(Event(None, _STEP, State.DONE, f"the other run in {self.folder} to finish"))
                return
        raise ProblemError.of(
            code=Code.CA_STORE_BUSY,
            message=f"another run is at work in {self.folder}",
            seen=f"its lock has been held for {max(0.0, until - begun):.0f} s",
            hint=Advice("wait for it to finish; a killed run keeps no lock"),
        )

    def _sweep(self) -> None:
        """Removes what a killed run left; only with the lock held, so that it is nobody's at work."""
        for leftover in [
            *self.folder.glob(f".*{temporary.SUFFIX}"),
            *self.folder.glob(f"*/.*{temporary.SUFFIX}"),
        ]:
            temporary.remove(leftover)
        # A prepared certificate counts only with the key it is for, and until there is a root.
        there, key = (self.folder / ROOT_CERT).exists(), (self.folder / ROOT_KEY).exists()
        if there or not key:
            self._remove(PREPARED_ROOT)
        for following in _subfolders(self.folder / INTERMEDIATES / NEXT_CAS):
            if not (self.folder / following.name).exists():
                following.rename(self.folder / following.name)


def _subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, but for what a run makes for its own time; none where it is not there."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
