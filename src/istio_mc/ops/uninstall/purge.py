"""--purge-ca: the mesh's CA goes with the mesh, and only where it is this mesh's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.pki import pem
from istio_mc.domain.pki.cacerts import ROOT_CERT
from istio_mc.domain.pki.pem import NamedPem
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.ops.ca.trust import live_cacerts

if TYPE_CHECKING:
    from istio_mc.gateways.host.ca_store import CaStore
    from istio_mc.ops.uninstall.plan import Uninstalling


@dataclass(frozen=True, slots=True)
class CaRemoval:
    """What becomes of the CA of a mesh that is taken away.

    Attributes:
        goes: Whether it is removed: asked for, and nothing stands in the way.
    """

    folder: str
    is_removed: bool
    requested: bool
    gone: bool = False


def prepare_purge(store: CaStore, todo: Uninstalling, *, requested: bool) -> CaRemoval | None:
    """What is to become of the CA; None where there is none in the folder, or the mesh goes on.

    Raises:
        InputError: It was asked for, and clusters stay that need it (`ca-in-use`), or the folder holds the
            CA of another mesh (`ca-of-another-mesh`), or none (`ca-absent`).
        ProblemError: The folder cannot be read, and it was asked for.
    """
    folder = str(store.folder)
    remaining = (*todo.staying, *todo.absent)
    if requested and remaining:
        raise InputError(_in_use(folder, remaining))
    if remaining:
        return None
    try:
        stored = store.read()
    except ProblemError:
        if requested:
            raise
        return None
    if not (stored.root_cert or stored.root_key or stored.clusters):
        if requested:
            raise InputError(_absent(folder))
        return None
    if requested and stored.root_cert:
        _refuse_another(folder, stored.root_cert, todo)
    return CaRemoval(folder, is_removed=requested and not todo.failures, requested=requested)


def purge(store: CaStore, outcome: CaRemoval) -> CaRemoval:
    """Removes the mesh's CA, root key and all.

    Raises:
        ProblemError: `ca-store-busy`.
    """
    store.purge()
    return replace(outcome, gone=True)


def _refuse_another(folder: str, root: bytes, todo: Uninstalling) -> None:
    own = pem.fingerprint(pem.read_certificates(NamedPem(ROOT_CERT, root)).value[0])
    live: dict[str, list[str]] = {}
    for name in todo.going:
        # A Secret that cannot be read tells of no root.
        with suppress(ProblemError):
            if name in todo.observed and (ca := live_cacerts(name, todo.observed[name])):
                roots = pem.read_certificates(NamedPem(ROOT_CERT, ca.root_cert)).value
                live[name] = [pem.fingerprint(one) for one in roots]
    if live and not any(own in roots for roots in live.values()):
        raise InputError(_another(folder, own, next(iter(live.values()))[0]))


def _in_use(folder: str, remaining: tuple[str, ...]) -> Problem:
    return Problem(
        code=Code.CA_IN_USE,
        message=f"the CA in {folder} is not removed: {', '.join(remaining)} go on with it",
        seen="--purge-ca, and clusters that stay a mesh",
        expected="--purge-ca with the last clusters",
        hint=Advice("the same command without --purge-ca"),
    )


def _absent(folder: str) -> Problem:
    return Problem(
        code=Code.CA_ABSENT,
        message=f"no CA in {folder}",
        seen="no root, and no cluster's CA",
        expected="the folder of the mesh's CA",
        hint=Advice("name it with --certs-dir, or leave --purge-ca out"),
    )


def _another(folder: str, own: str, live: str) -> Problem:
    return Problem(
        code=Code.CA_OF_ANOTHER_MESH,
        message=f"the CA in {folder} is not this mesh's, and is not removed",
        seen=own,
        expected=live,
        hint=Advice("name the right folder with --certs-dir"),
    )
