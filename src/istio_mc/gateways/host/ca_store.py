"""The folder with the mesh's CA, in the layout of the K-PaaS guide.

    root-cert.pem, root-ca.key
    <cluster id>/ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem
    issuer-cert.pem, issuer-ca.key, issuer-chain.pem     only if the user's own CA below their root signs
    replaced/<cluster id>-…/                             content of a Secret that an install replaced
    roots/…                                              later roots (`root_store`)
    <cluster id>/ca.csr                                  the request for a CA that is signed elsewhere
    intermediates/…                                      next and former CAs (`intermediate_store`)

A killed run can leave:

- names that end in `.istio-mc.tmp`: no reader uses them; the next run removes them;
- `root-ca.key` and `root-cert.pem.new`, but no `root-cert.pem`: the next run uses the prepared certificate,
  so the root is the same, no matter when the first run was killed.

A cluster's folder appears complete, by one rename. Incomplete folders of other tools are read unchanged.
If a cluster's next CA exists but its folder does not, a run was killed between two renames: the next run
does the second rename.
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
"""Folder with the earlier content of clusters' Secrets: CAs of other owners, which a purge keeps."""

REQUEST = "ca.csr"
"""File in a cluster's folder: the request for a CA that is signed elsewhere."""

TWIN = "root-cert-twin.pem"
ROOTS, NEXT_ROOT, CURRENT_ROOT = "roots", "next", "current"
"""Folder of the roots that followed the first one, and the files in it that name one of them."""

INTERMEDIATES, NEXT_CAS = "intermediates", "next"
"""Folder of the clusters' former CAs under the same root; it also contains the folder of their next CAs."""

CLUSTERS = "clusters"
"""File in the folder of the next CAs: the IDs of the clusters whose CA changes."""

_FILES = frozenset({ROOT_CERT, ROOT_KEY, PREPARED_ROOT, ISSUER_CERT, ISSUER_KEY, ISSUER_CHAIN})
RESERVED = _FILES | {REPLACED, ROOTS, INTERMEDIATES}
"""Names in the store that cannot be the name of a cluster's folder."""

_HASH_DIGITS = 12

_LOCK = ".lock"
_GIT_IGNORE, _EVERYTHING = ".gitignore", b"*\n"
_POLL_SECONDS = 0.1
_LONGEST_WAIT_S = 60.0
"""Seconds. A run keeps the lock for seconds only; one that keeps it for longer does not end by itself."""
_STEP = "ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFiles:
    """Content of a cluster's folder; None for a missing file."""

    ca_cert: bytes | None = None
    ca_key: bytes | None = field(default=None, repr=False)
    cert_chain: bytes | None = None
    root_cert: bytes | None = None

    @property
    def empty(self) -> bool:
        """Whether all four files are missing."""
        return self == ClusterFiles()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFiles:
    """Content of the store; None for a missing file.

    Attributes:
        prepared_root: The root certificate of a run that was killed before it finished.
        issuer_cert: A CA below the root that signs in its place.
        exposed: The folder and keys that users other than the owner can read or write.
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
    """The CA folder; the first `locked` creates it.

    Attributes:
        base: The main CA folder, if this is the folder of a later root.
    """

    folder: Path
    deadline: float = math.inf
    progress: Progress = field(default=silent, repr=False, compare=False)
    base: Path | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the folder against other runs and removes what a killed run left. Readers need no lock.

        Raises:
            ProblemError: `ca-store-busy` if another run does not end in time, or `file-unwritable`.
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
            os.close(handle)  # this releases the lock, as the end of the process does

    def keep_out_of_git(self) -> None:
        """Makes git ignore the folder, so that no key is committed; an existing .gitignore stays unchanged.

        Raises:
            ProblemError: `file-unwritable`.
        """
        path = self.folder / _GIT_IGNORE
        if (
            path.exists() or (self.folder / ".git").exists()
        ):  # the top folder of a repository contains more than keys
            return
        try:
            files.write(path, _EVERYTHING, exclusive=True)
        except ProblemError as error:
            if error.problems[0].code != Code.FILE_EXISTS:  # another run wrote it first
                raise

    def read(self) -> StoreFiles:
        """Returns the content of the store.

        Raises:
            ProblemError: `file-unreadable`; a missing or empty store is not an error.
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
        """Stores a new root.

        The order is: prepare the certificate, write the key, write the certificate. If this is interrupted,
        either no root exists yet, or the root can be completed with this certificate only.

        Raises:
            ProblemError: `file-exists` if a root key or certificate exists already.
        """
        self._write(PREPARED_ROOT, cert, exclusive=False)
        self._write(ROOT_KEY, key)
        self.finish_root(cert)

    def finish_root(self, cert: bytes) -> None:
        """Renames the prepared root certificate to its final name.

        Raises:
            ProblemError: `file-exists` if a root certificate exists already.
        """
        self._write(ROOT_CERT, cert)
        self._remove(PREPARED_ROOT)

    def import_root(self, cert: bytes, key: bytes) -> None:
        """Stores the user's own root, or its missing part.

        The certificate is written first: a key alone would look as if its certificate had been lost.

        Raises:
            ProblemError: `file-unwritable`.
        """
        self._write_missing({ROOT_CERT: cert, ROOT_KEY: key})

    def import_certificate(self, cert: bytes) -> None:
        """Keeps the certificate of a root of the user's own whose key is not here.

        Raises:
            ProblemError: `file-unwritable`.
        """
        self._write_missing({ROOT_CERT: cert})

    def write_request(self, cluster_id: str, key: bytes, request: bytes) -> None:
        """Keeps the key of a cluster's CA and the request for its certificate, as far as they are not there.

        Raises:
            ProblemError: `file-unwritable`.
        """
        files.make_private_folder(self.folder / cluster_id)
        self._write_missing({f"{cluster_id}/{CA_KEY}": key, f"{cluster_id}/{REQUEST}": request})

    def import_issuer(self, root_cert: bytes, *, cert: bytes, key: bytes, chain: bytes) -> None:
        """Stores the user's own CA below a root whose key is elsewhere, or its missing part.

        Raises:
            ProblemError: `file-unwritable`.
        """
        self._write_missing({ROOT_CERT: root_cert, ISSUER_CHAIN: chain, ISSUER_CERT: cert, ISSUER_KEY: key})

    def write_cluster(self, cluster_id: str, ca: CaCerts) -> None:
        """Stores a cluster's CA: a new folder appears complete; an existing one gets only the missing files.

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
        """Stores the content of a cluster's Secret before another CA replaces it.

        Repeated calls store it once: the folder's name is a digest of the content.

        Returns:
            The folder.

        Raises:
            ProblemError: `file-unwritable`.
        """
        with self.locked():
            return self._keep(cluster_id, contents)

    def rewrite_cluster(self, cluster_id: str, contents: Mapping[str, bytes]) -> None:
        """Writes files of a cluster's CA again in another form, and keeps the old files; requires the lock.

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
        """Replaces the certificate of a cluster's CA by a new one for the same key.

        The certificate is written last: until then the chain contains both, and the files are usable.

        Raises:
            ProblemError: `file-unwritable`.
        """
        folder = self.folder / cluster_id
        for name, content in ((CERT_CHAIN, ca.cert_chain), (CA_CERT, ca.ca_cert)):
            files.write(folder / name, content, exclusive=False)

    def purge(self) -> None:
        """Removes every file of the store, including the root key, and the folders that are then empty.

        Raises:
            ProblemError: `ca-store-busy`.
        """
        if self.base:
            CaStore(self.base, self.deadline, self.progress).purge()
            return
        later = self.folder / ROOTS
        for folder in _subfolders(later):
            CaStore(folder, self.deadline, self.progress).purge()
        with self.locked(), self._changed():
            for pointer in (NEXT_ROOT, CURRENT_ROOT):
                (later / pointer).unlink(missing_ok=True)
            with suppress(OSError):  # it contains the user's own files
                later.rmdir()
            other = self.folder / INTERMEDIATES
            (other / NEXT_CAS / CLUSTERS).unlink(missing_ok=True)
            folders = (*_subfolders(other / NEXT_CAS), *_subfolders(other), other, *self._folders())
            for folder in folders:
                for name in (CA_CERT, CA_KEY, CERT_CHAIN, ROOT_CERT, REQUEST):
                    (folder / name).unlink(missing_ok=True)
                with suppress(OSError):  # it contains the user's own files, or is missing
                    folder.rmdir()
            if self._read(_GIT_IGNORE) == _EVERYTHING:
                self._remove(_GIT_IGNORE)
            for name in (*_FILES, TWIN, _LOCK):
                self._remove(name)
        with suppress(OSError):  # it contains the user's own files, or is missing
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
                self.progress(Event(None, _STEP, State.WAITING, f"for another run that uses {self.folder}"))
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
            message=f"another run uses {self.folder}",
            seen=f"its lock has been held for {max(0.0, until - begun):.0f} s",
            hint=Advice("wait for it to finish; a killed run keeps no lock"),
        )

    def _sweep(self) -> None:
        """Removes what a killed run left; requires the lock, so that no other run is using it."""
        for leftover in [
            *self.folder.glob(f".*{temporary.SUFFIX}"),
            *self.folder.glob(f"*/.*{temporary.SUFFIX}"),
        ]:
            temporary.remove(leftover)
        # A prepared certificate is used only with its own key, and only until a root exists.
        there, key = (self.folder / ROOT_CERT).exists(), (self.folder / ROOT_KEY).exists()
        if there or not key:
            self._remove(PREPARED_ROOT)
        for following in _subfolders(self.folder / INTERMEDIATES / NEXT_CAS):
            if not (self.folder / following.name).exists():
                following.rename(self.folder / following.name)


def _subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, except temporary ones of a run; none if the folder is missing."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
