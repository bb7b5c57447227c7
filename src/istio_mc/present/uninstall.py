"""How an uninstall looks, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from istio_mc.domain.text import few, plural
from istio_mc.present.output.envelope import Report, exit_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.uninstall.plan import Uninstalling
    from istio_mc.ops.uninstall.purge import Fate
    from istio_mc.ops.uninstall.uninstall import UninstallResult


_SHOWN_PODS = 3


def report(result: UninstallResult, warnings: Iterable[Problem], ca: Fate | None) -> Report:
    """What went and what stayed, cluster by cluster, and what becomes of the mesh's CA."""
    todo = result.plan
    names = tuple(todo.clusters)
    return Report(
        data={
            "dryRun": result.dry_run,
            "purgedCA": ca.folder if ca and ca.gone else None,
            "keptCA": ca.folder if ca and not ca.gone else None,
            "clusters": [_cluster(result, name) for name in names],
        },
        render=lambda console: _render(result, console, ca),
        errors=tuple(problem for problems in result.failures.values() for problem in problems),
        warnings=(*warnings, *result.warnings),
        exit=exit_for(len(result.failures), len(names)),
    )


def question(todo: Uninstalling, ca: Fate | None) -> str:
    """What will go, and how it is confirmed: with y, or with the mesh ID where the whole mesh goes."""
    lines = []
    for name, found in todo.removals.items():
        count = len(found.objects) + len(todo.roots.get(name, ()))
        parts = [f"{plural(count, 'object')} of Istio and its links"]
        parts += [plural(len(found.crds), "CRD")] if found.crds else []
        parts += ["namespace istio-system"] if found.namespace else []
        parts += ["the sample"] if name in todo.sample else []
        lines.append(f"{name}: {', '.join(parts)}")
        if pods := todo.meshed.get(name):
            lose = "loses its" if len(pods) == 1 else "lose their"
            lines.append(f"  {plural(len(pods), 'pod')} {lose} control plane: {few(pods, _SHOWN_PODS)}")
        lines += [f"  stays: {left.what} ({left.why})" for left in found.left]
    lines += [f"{name}: not reachable, not changed" for name in todo.failures]
    if todo.staying:
        lines.append(
            f"{', '.join(todo.staying)} forget {', '.join(todo.going)}, and replace their reader tokens"
        )
    if ca and ca.goes:
        lines.append(f"the CA in {ca.folder} goes, with its root key: it cannot be had back")
    if todo.whole:
        where = ", ".join(f"{name} ({todo.servers.get(name, '')})" for name in todo.going)
        lines.append(
            f"This removes the whole mesh {todo.mesh_id} from {plural(len(todo.going), 'cluster')}: {where}"
        )
        return "\n".join([*lines, f"Type the mesh ID {todo.mesh_id} to confirm"])
    return "\n".join([*lines, "Go on?"])


def _cluster(result: UninstallResult, name: str) -> dict[str, Any]:
    todo = result.plan
    found = todo.removals.get(name)
    return {
        "name": name,
        "clusterId": todo.clusters[name].cluster_id,
        "status": _status(result, name),
        "removed": list(_went(result, name)),
        "remaining": [{"object": left.what, "reason": left.why} for left in found.left] if found else [],
    }


def _went(result: UninstallResult, name: str) -> tuple[str, ...]:
    if not result.dry_run:
        return result.removed.get(name, ())
    found = result.plan.removals.get(name)
    if found is None:
        return ()
    went = [str(item) for item in (*found.objects, *found.crds, *result.plan.roots.get(name, ()))]
    went += ["Namespace sample"] if name in result.plan.sample else []
    return (*went, *(["Namespace istio-system"] if found.namespace else []))


def _status(result: UninstallResult, name: str) -> str:
    if name in result.failures:
        return "failed"
    if name not in result.plan.going:
        return "member"
    return "planned" if result.dry_run else "removed"


def _render(result: UninstallResult, console: Console, ca: Fate | None) -> None:
    for name in result.plan.clusters:
        went = _went(result, name)
        console.print(
            Text.assemble((name, "bold"), f"  {_status(result, name)}: {plural(len(went), 'object')}")
        )
        for line in _by_kind(went):
            console.print(f"  - {line}", markup=False, soft_wrap=True)
        found = result.plan.removals.get(name)
        for left in found.left if found else ():
            console.print(f"  stays: {left.what} ({left.why})", markup=False, soft_wrap=True)
    if ca:
        console.print(f"The mesh's CA in {ca.folder} {_fate(result, ca)}.", soft_wrap=True)


def _fate(result: UninstallResult, ca: Fate) -> str:
    if ca.gone:
        return "is gone"
    if result.dry_run and ca.goes:
        return "would go, with its root key"
    if ca.asked:
        return "stays, for not every cluster is done"
    return "stays; --purge-ca removes it"


def _by_kind(went: Iterable[str]) -> list[str]:
    """One line a kind: `Secret istio-system/cacerts, istio-system/istio-remote-secret-kt-k2p`."""
    kinds: dict[str, list[str]] = {}
    for what in went:
        kind, _, name = what.partition(" ")
        kinds.setdefault(kind, []).append(name)
    return [f"{kind} {', '.join(found)}" for kind, found in kinds.items()]
