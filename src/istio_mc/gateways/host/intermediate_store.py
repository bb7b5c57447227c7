"""The former and next CAs of clusters under one root, in the folder of that root.

    intermediates/next/<cluster id>/   the next CA of a cluster, until the cluster uses it
    intermediates/next/clusters        the IDs of all clusters whose CA changes, one per line
    intermediates/<fingerprint>/       a former CA of a cluster

No certificate and no key is overwritten or deleted: folders are renamed. `next` appears complete, by one
rename.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from istio_mc.domain.problem import Code
from istio_mc.gateways.host import files, temporary
from istio_mc.gateways.host.ca_store import CLUSTERS, INTERMEDIATES, NEXT_CAS, CaStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from istio_mc.domain.pki.cacerts import CaCerts
    from istio_mc.gateways.host.ca_store import ClusterFiles


@dataclass(frozen=True, slots=True)
class NextCas:
    """An unfinished change of clusters' CAs.

    Attributes:
        ids: The IDs of all clusters of the change.
        clusters: The next CAs of the clusters that have not changed yet, by cluster ID.
    """

    ids: tuple[str, ...]
    clusters: Mapping[str, ClusterFiles] = field(repr=False)


def next_cas(store: CaStore) -> NextCas | None:
    """Returns the unfinished change, or None.

    Raises:
        ProblemError: `file-unreadable`.
    """
    folder = _next(store)
    listed = files.read_if_there(folder / CLUSTERS)
    clusters = CaStore(folder).read().clusters
    if listed is None and not clusters:
        return None
    ids = (listed or b"").decode().split()
    return NextCas(tuple(dict.fromkeys((*ids, *clusters))), clusters)


def keep_next_cas(store: CaStore, cas: Mapping[str, CaCerts]) -> None:
    """Stores the next CAs of clusters: of a new change, or of one more cluster of the unfinished one.

    Raises:
        ProblemError: `ca-store-busy` or `file-unwritable`.
    """
    with store.locked():
        present = next_cas(store)
        folder = _next(store)
        files.make_private_folder(folder.parent)
        at = folder if present else temporary.make_folder(folder.parent)
        for cluster_id, ca in cas.items():
            CaStore(at).write_cluster(cluster_id, ca)
        ids = dict.fromkeys((*(present.ids if present else ()), *cas))
        files.write(at / CLUSTERS, "".join(f"{one}\n" for one in ids).encode())
        if at != folder:
            with files.as_problem(Code.FILE_UNWRITABLE, f"cannot write {folder}"):
                at.rename(folder)
            files.sync_folder(folder.parent)


def take_next_ca(store: CaStore, cluster_id: str, fingerprint: str) -> None:
    """Makes the next CA of a cluster its current one, and keeps the former one.

    Args:
        fingerprint: SHA-256 of the certificate of the former CA.

    Raises:
        ProblemError: `ca-store-busy` or `file-unwritable`.
    """
    with store.locked(), files.as_problem(Code.FILE_UNWRITABLE, f"cannot change {store.folder}"):
        own, following = store.folder / cluster_id, _next(store) / cluster_id
        if own.exists() and following.exists():
            own.rename(_unused_name(store.folder / INTERMEDIATES / fingerprint.replace(":", "").lower()))
        if following.exists():
            following.rename(own)
        files.sync_folder(store.folder)


def forget_next_cas(store: CaStore) -> None:
    """Removes the record of the change, once no next CA is left.

    Raises:
        ProblemError: `ca-store-busy` or `file-unwritable`.
    """
    folder = _next(store)
    with store.locked(), files.as_problem(Code.FILE_UNWRITABLE, f"cannot remove {folder}"):
        (folder / CLUSTERS).unlink(missing_ok=True)
        folder.rmdir()


def _next(store: CaStore) -> Path:
    return store.folder / INTERMEDIATES / NEXT_CAS


def _unused_name(folder: Path) -> Path:
    """An unused name: the folder's own, or with a number if its CA was in use before and came back."""
    names = (folder.with_name(f"{folder.name}-{number}") if number > 1 else folder for number in count(1))
    return next(name for name in names if not name.exists())
