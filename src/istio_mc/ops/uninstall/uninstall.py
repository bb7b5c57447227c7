"""uninstall: takes away what install put there, and nothing else; or lets single clusters leave."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import removal
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import deletion_blockers
from istio_mc.domain.mesh import (
    CLUSTER_LABEL,
    MESH_LABEL,
    SYSTEM_NAMESPACE,
)
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.domain.text import plural
from istio_mc.domain.traffic import sample
from istio_mc.gateways.host.parallel import Failures, all_of, poll_rounds
from istio_mc.ops.session.wait_report import WaitReport
from istio_mc.ops.uninstall.leave import forget, named_in_settings, tokens_in_files, tokens_kept
from istio_mc.ops.uninstall.plan import Uninstalling, removed_namespaces, roots_left

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from istio_mc.domain.removal import Deletion, Removal
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.session import Session

_ISTIODS = "app=istiod"
_POLL_S = 0.5
_STEP = "uninstall"


@dataclass(frozen=True, slots=True)
class UninstallResult:
    """What went and what stayed."""

    plan: Uninstalling
    removed: Mapping[str, tuple[str, ...]]
    failures: Failures
    dry_run: bool = False
    warnings: tuple[Problem, ...] = ()


def uninstall(session: Session, todo: Uninstalling) -> UninstallResult:
    """Does what was planned, on all clusters at once; one that fails does not stop the others."""
    gone: dict[str, list[str]] = {name: [] for name in todo.removals}

    def clear(name: str) -> None:
        with session.run.step(name, _STEP, plural(len(todo.removals[name].objects), "object")):
            _clear(session, todo, name, gone[name])

    session.run.queue(todo.removals, _STEP)
    forgotten: dict[str, tuple[str, ...]] = {}
    unforgotten: Failures = {}
    warnings: tuple[Problem, ...] = ()
    if todo.staying:
        forgotten, unforgotten = forget(session, todo)
        warnings = named_in_settings(todo, session.listed, session.settings.file)
        if todo.absent or unforgotten:
            warnings = (tokens_kept(todo, unforgotten), *warnings)
        else:
            warnings = (*tokens_in_files(todo), *warnings)
    _, failures = session.clusters.each(clear, todo.removals)
    removed = {name: tuple(what) for name, what in gone.items()}
    return UninstallResult(
        todo, removed | forgotten, todo.failures | unforgotten | failures, warnings=warnings
    )


def _clear(session: Session, todo: Uninstalling, name: str, removed: list[str]) -> None:
    """Takes away what is planned in one cluster, and notes what went: also where the rest fails."""
    kube = session.clusters.kubes[name]
    plan_of_cluster = todo.removals[name]
    if name in todo.sample:
        kube.delete(objects.NAMESPACE, sample.NAMESPACE)
    _delete(kube, plan_of_cluster.objects, removed)
    _delete(kube, plan_of_cluster.crds, removed)
    if plan_of_cluster.namespace:
        kube.delete(objects.NAMESPACE, SYSTEM_NAMESPACE)
    else:
        _unlabel(kube)
    namespaces = removed_namespaces(plan_of_cluster, removes_sample=name in todo.sample)
    running = () if plan_of_cluster.other_revisions else _wait_for_istiods(session, kube)
    # Read only now: an istiod that runs creates again what is deleted.
    _delete(
        kube, (*_elections(kube, plan_of_cluster), *roots_left(kube, plan_of_cluster, namespaces)), removed
    )
    for namespace in namespaces:
        _wait_gone(session, kube, namespace)
        removed.append(f"Namespace {namespace}")
    if running and not plan_of_cluster.namespace:
        raise ProblemError(_still_running(name, running))


def _delete(kube: Kube, going: Collection[Deletion], removed: list[str]) -> None:
    """Deletes them all at once; what is gone by then went along with what it belongs to."""
    deleted: set[Deletion] = set()

    def delete(item: Deletion) -> None:
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


def _elections(kube: Kube, plan: Removal) -> tuple[Deletion, ...]:
    """What a dead istiod was elected by: in a namespace that stays, the next one would wait for its end."""
    if plan.other_revisions or plan.namespace:
        return ()
    kept = [*kube.list(objects.CONFIG_MAP, SYSTEM_NAMESPACE), *kube.list(objects.LEASE, SYSTEM_NAMESPACE)]
    return tuple(removal.deletion_of(item) for item in kept if removal.is_election(item))


def _wait_for_istiods(session: Session, kube: Kube) -> tuple[str, ...]:
    """Waits until no pod of an istiod is left: deleting a Deployment does not wait for its pods.

    Returns:
        The names of the pods that are left at the deadline.
    """
    left: tuple[str, ...] = ()
    waits = WaitReport(session.run.progress, kube.context, _STEP)
    for left_s in poll_rounds(session.run.deadline, _POLL_S):
        pods = kube.list(objects.POD, SYSTEM_NAMESPACE, labels=_ISTIODS)
        left = tuple(pod["metadata"]["name"] for pod in pods)
        if not left:
            break
        waits("for the pods of istiod to go", left_s)
    return left


def _still_running(context: str, pods: Collection[str]) -> Problem:
    return Problem(
        code=Code.ISTIOD_STILL_RUNS,
        cluster=context,
        message=f"pods of istiod in {context} do not go",
        seen=", ".join(pods),
        expected="no pod of istiod: one that runs creates its ConfigMaps again",
        hint=Advice(kubectl(context, "-n", SYSTEM_NAMESPACE, "describe", "pods", "-l", _ISTIODS)),
    )


def _wait_gone(session: Session, kube: Kube, namespace: str) -> None:
    seen = ""
    waits = WaitReport(session.run.progress, kube.context, _STEP)
    for left_s in poll_rounds(session.run.deadline, _POLL_S):
        live = kube.get(objects.NAMESPACE, namespace)
        if live is None:
            return
        seen = deletion_blockers(live)
        waits(f"for namespace {namespace} to go", left_s)
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
    """What a dry run reports; `listed` and `file` as for `named_in_settings`."""
    warnings = named_in_settings(todo, listed, file)
    return UninstallResult(todo, {}, todo.failures, dry_run=True, warnings=warnings)
