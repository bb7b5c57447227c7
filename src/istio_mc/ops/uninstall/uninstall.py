"""uninstall: takes away what install put there, and nothing else; or lets single clusters leave."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import removal
from istio_mc.domain.codes import Code
from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import held_by
from istio_mc.domain.mesh import (
    CLUSTER_LABEL,
    MESH_LABEL,
    SYSTEM_NAMESPACE,
)
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.domain.traffic import sample
from istio_mc.gateways.host.parallel import Failures, all_of, looks
from istio_mc.ops.uninstall.leave import forget, still_named, tokens_in_files, tokens_kept
from istio_mc.ops.uninstall.plan import Uninstalling, namespaces_going, roots_left

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from istio_mc.domain.removal import Doomed, Removal
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

_POLL_S = 0.5
_STEP = "uninstall"


@dataclass(frozen=True, slots=True)
class UninstallResult:
    """What went and what stayed.

    Attributes:
        removed: What went, by context.
        dry_run: Whether nothing was touched.
        warnings: What the user should know though nothing failed by it.
    """

    plan: Uninstalling
    removed: Mapping[str, tuple[str, ...]]
    failures: Failures
    dry_run: bool = False
    warnings: tuple[Problem, ...] = ()


def uninstall(session: Session, todo: Uninstalling) -> UninstallResult:
    """Does what was planned, on all clusters at once; one that fails does not stop the others."""
    gone: dict[str, list[str]] = {name: [] for name in todo.removals}

    def clear(name: str) -> None:
        with session.run.step(name, _STEP, f"{len(todo.removals[name].objects)} objects"):
            _clear(session, todo, name, gone[name])

    session.run.queue(todo.removals, _STEP)
    forgotten: dict[str, tuple[str, ...]] = {}
    unforgotten: Failures = {}
    told: tuple[Problem, ...] = ()
    if todo.staying:
        forgotten, unforgotten = forget(session, todo)
        told = still_named(todo, session.listed, session.settings.file)
        if todo.absent or unforgotten:
            told = (tokens_kept(todo, unforgotten), *told)
        else:
            told = (*tokens_in_files(todo), *told)
    _, failures = session.clusters.each(clear, todo.removals)
    removed = {name: tuple(what) for name, what in gone.items()}
    return UninstallResult(todo, removed | forgotten, todo.failures | unforgotten | failures, warnings=told)


def _clear(session: Session, todo: Uninstalling, name: str, removed: list[str]) -> None:
    """Takes away what is planned in one cluster, and notes what went: also where the rest fails."""
    kube = session.clusters.kubes[name]
    found = todo.removals[name]
    if name in todo.sample:
        kube.delete(objects.NAMESPACE, sample.NAMESPACE)
    _delete(kube, found.objects, removed)
    _delete(kube, found.crds, removed)
    if found.namespace:
        kube.delete(objects.NAMESPACE, SYSTEM_NAMESPACE)
    else:
        _unlabel(kube)
        _delete(kube, _elections(kube, found), removed)
    # Read anew: until it is gone, istiod puts back what is taken away.
    namespaces = namespaces_going(found, sample_goes=name in todo.sample)
    _delete(kube, roots_left(kube, found, namespaces), removed)
    for namespace in namespaces:
        _wait_gone(session, kube, namespace)
        removed.append(f"Namespace {namespace}")


def _delete(kube: Kube, going: Collection[Doomed], removed: list[str]) -> None:
    """Deletes them all at once; what is gone by then went along with what it belongs to."""
    deleted: set[Doomed] = set()

    def delete(item: Doomed) -> None:
        kube.delete(item.kind, item.name, item.namespace)
        deleted.add(item)

    try:
        all_of({str(item): partial(delete, item) for item in going})
    finally:
        removed.extend(str(item) for item in going if item in deleted)


def _unlabel(kube: Kube) -> None:
    """Takes our labels off a namespace that stays, so that its cluster is no member any more."""
    gone: dict[str, None] = dict.fromkeys((MESH_LABEL, CLUSTER_LABEL))
    if kube.get(objects.NAMESPACE, SYSTEM_NAMESPACE):
        kube.patch(objects.NAMESPACE, SYSTEM_NAMESPACE, None, {"metadata": {"labels": gone}})


def _elections(kube: Kube, found: Removal) -> tuple[Doomed, ...]:
    """What a dead istiod was elected by: in a namespace that stays, the next one would wait for its end."""
    if found.other_revisions:
        return ()
    kept = [*kube.list(objects.CONFIG_MAP, SYSTEM_NAMESPACE), *kube.list(objects.LEASE, SYSTEM_NAMESPACE)]
    return tuple(removal.doomed(item) for item in kept if removal.is_election(item))


def _wait_gone(session: Session, kube: Kube, namespace: str) -> None:
    seen = ""
    for _ in looks(session.run.deadline, _POLL_S):
        found = kube.get(objects.NAMESPACE, namespace)
        if found is None:
            return
        seen = held_by(found)
        session.run.progress(Event(kube.context, _STEP, State.WAITING, f"for namespace {namespace} to go"))
    raise ProblemError(_not_gone(kube.context, namespace, seen))


def _not_gone(context: str, namespace: str, seen: str) -> Problem:
    return Problem(
        code=Code.NAMESPACE_STUCK,
        cluster=context,
        message=f"namespace {namespace} of {context} does not go",
        seen=seen or "still there at the deadline",
        expected="no finalizer left in it",
        hint=Advice(
            kubectl(
                context,
                "get",
                "all,secrets,configmaps",
                "-n",
                namespace,
                "-o",
                "custom-columns=KIND:.kind,NAME:.metadata.name,FINALIZERS:.metadata.finalizers",
            )
        ),
    )


def untouched(todo: Uninstalling, listed: Collection[str], file: Path | None) -> UninstallResult:
    """What a dry run tells; `listed` and `file` as for `still_named`."""
    told = still_named(todo, listed, file)
    return UninstallResult(todo, {}, todo.failures, dry_run=True, warnings=told)
