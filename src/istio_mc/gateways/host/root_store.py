"""The roots in a CA folder: the first one in the folder itself, later ones in folders below it.

    roots/<fingerprint>/   a complete store: root-cert.pem, root-ca.key, a folder for each cluster
    roots/<fingerprint>/root-cert-twin.pem   the same root with another serial number
    roots/next             the fingerprint of the mesh's next root, during a change of the root
    roots/current          the fingerprint of the mesh's root; missing: the root in the folder itself

No certificate and no key is overwritten; `next` and `current` only name a root.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from istio_mc.domain.events import Progress, silent
from istio_mc.domain.problem import Code
from istio_mc.gateways.host import files
from istio_mc.gateways.host.ca_store import CURRENT_ROOT, NEXT_ROOT, ROOTS, TWIN, CaStore

if TYPE_CHECKING:
    from pathlib import Path


def folder_name(fingerprint: str) -> str:
    """The name of a root's folder: its SHA-256 in lower-case hexadecimal."""
    return fingerprint.replace(":", "").lower()


def current_store(folder: Path, deadline: float = math.inf, progress: Progress = silent) -> CaStore:
    """Returns the store of the mesh's current root.

    Raises:
        ProblemError: `file-unreadable`.
    """
    base = CaStore(folder, deadline, progress)
    return _store_named(base, CURRENT_ROOT) or base


def next_store(base: CaStore) -> CaStore | None:
    """Returns the store of the mesh's next root, or None if the root does not change.

    Raises:
        ProblemError: `file-unreadable`.
    """
    return _store_named(base, NEXT_ROOT)


def store_of(base: CaStore, fingerprint: str) -> CaStore:
    """The store of a later root, which may not be there yet."""
    folder = base.folder / ROOTS / folder_name(fingerprint)
    return CaStore(folder, base.deadline, base.progress, base.folder)


def new_store(base: CaStore, fingerprint: str) -> CaStore:
    """Returns the store of a new root; requires the lock of the folder."""
    store = store_of(base, fingerprint)
    for part in (store.folder.parent, store.folder):
        files.make_private_folder(part)
    return store


def name_next(base: CaStore, store: CaStore) -> None:
    """Records the root of a store as the mesh's next root.

    Raises:
        ProblemError: `file-unwritable`.
    """
    files.write(base.folder / ROOTS / NEXT_ROOT, store.folder.name.encode())


def name_current(base: CaStore, store: CaStore) -> None:
    """Records the root of a store as the mesh's current root.

    Raises:
        ProblemError: `file-unwritable`.
    """
    files.write(base.folder / ROOTS / CURRENT_ROOT, store.folder.name.encode())


def forget_next(base: CaStore) -> None:
    """Removes the record of the next root.

    Raises:
        ProblemError: `file-unwritable`.
    """
    path = base.folder / ROOTS / NEXT_ROOT
    with files.as_problem(Code.FILE_UNWRITABLE, f"cannot remove {path}"):
        path.unlink(missing_ok=True)


def twin_of(store: CaStore) -> bytes | None:
    """Returns the root of a store with the other serial number.

    Raises:
        ProblemError: `file-unreadable`.
    """
    return files.read_if_there(store.folder / TWIN)


def keep_twin(store: CaStore, certificate: bytes) -> None:
    """Stores the root of a store with the other serial number.

    Raises:
        ProblemError: `file-unwritable`.
    """
    files.write(store.folder / TWIN, certificate, exclusive=True)


def _store_named(base: CaStore, pointer: str) -> CaStore | None:
    name = files.read_if_there(base.folder / ROOTS / pointer)
    if not name:
        return None
    return CaStore(base.folder / ROOTS / name.decode().strip(), base.deadline, base.progress, base.folder)
