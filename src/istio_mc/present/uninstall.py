"""Output of the uninstall command: plan and result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from istio_mc.domain.text import few, plural
from istio_mc.present.output.envelope import Report, exit_for
from istio_mc.present.output.wrap import print_item, print_wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.uninstall.plan import Uninstalling
    from istio_mc.ops.uninstall.purge import CaRemoval
    from istio_mc.ops.uninstall.uninstall import UninstallResult


_SHOWN_PODS = 3


def report(result: UninstallResult, warnings: Iterable[Problem], ca: CaRemoval | None) -> Report:
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


def question(todo: Uninstalling, ca: CaRemoval | None) -> str:
    """What will go, and how it is confirmed: with y, or with the mesh ID where the whole mesh goes."""
    lines = []
    for name, plan in todo.removals.items():
        count = len(plan.objects) + len(todo.roots.get(name, ()))
        parts = [f"{plural(count, 'object')} of Istio and its links"]
        parts += [plural(len(plan.crds), "CRD")] if plan.crds else []
        parts += ["namespace istio-system"] if plan.namespace else []
        parts += ["the sample"] if name in todo.sample else []
        lines.append(f"{name}: {', '.join(parts)}")
        if pods := todo.meshed.get(name):
            lose = "loses its" if len(pods) == 1 else "lose their"
            lines.append(f"  {plural(len(pods), 'pod')} {lose} control plane: {few(pods, _SHOWN_PODS)}")
        lines += [f"  remains: {left.what} ({left.why})" for left in plan.left]
    lines += [f"{name}: not reachable, not changed" for name in todo.failures]
    if todo.staying:
        lines.append(
            f"{', '.join(todo.staying)}: remote secrets of {', '.join(todo.going)} are removed, "
            "reader tokens are replaced"
        )
    if ca and ca.is_removed:
        lines.append(f"the CA in {ca.folder} is removed, with its root key: it cannot be restored")
    if todo.is_whole_mesh:
        where = ", ".join(f"{name} ({todo.servers.get(name, '')})" for name in todo.going)
        lines.append(
            f"This removes the whole mesh {todo.mesh_id} from {plural(len(todo.going), 'cluster')}: {where}"
        )
        return "\n".join([*lines, f"Type the mesh ID {todo.mesh_id} to confirm"])
    return "\n".join([*lines, "Go on?"])


def _cluster(result: UninstallResult, name: str) -> dict[str, Any]:
    todo = result.plan
    plan = todo.removals.get(name)
    return {
        "name": name,
        "clusterId": todo.clusters[name].cluster_id,
        "status": _status(result, name),
        "removed": list(_results_of(result, name)),
        "remaining": [{"object": left.what, "reason": left.why} for left in plan.left] if plan else [],
    }


def _results_of(result: UninstallResult, name: str) -> tuple[str, ...]:
    if not result.dry_run:
        return result.removed.get(name, ())
    plan = result.plan.removals.get(name)
    if plan is None:
        return ()
    results = [str(item) for item in (*plan.objects, *plan.crds, *result.plan.roots.get(name, ()))]
    results += ["Namespace sample"] if name in result.plan.sample else []
    return (*results, *(["Namespace istio-system"] if plan.namespace else []))


def _status(result: UninstallResult, name: str) -> str:
    if name in result.failures:
        return "failed"
    if name not in result.plan.going:
        return "member"
    return "planned" if result.dry_run else "removed"


def _render(result: UninstallResult, console: Console, ca: CaRemoval | None) -> None:
    wide = max(map(cell_len, result.plan.clusters), default=0)
    for name in result.plan.clusters:
        print_item(console, (f"{set_cell_size(name, wide)} ", "bold"), _summary(result, name), margin=0)
    lines: dict[str, list[str]] = {}
    for name in result.plan.clusters:
        for line in _lines(result, name):
            lines.setdefault(line, []).append(name)
    same: dict[tuple[str, ...], list[str]] = {}
    for line, names in lines.items():
        same.setdefault(tuple(names), []).append(line)
    for having, whats in same.items():
        print_wrapped(console, f"{', '.join(having)}:".split(" "), indent=2)
        for line in whats:
            print_item(console, "-", line)
    if ca:
        print_wrapped(
            console, f"The mesh's CA in {ca.folder} {_removal_of_ca(result, ca)}.".split(" "), indent=2
        )


def _removal_of_ca(result: UninstallResult, ca: CaRemoval) -> str:
    if ca.gone:
        return "was removed"
    if result.dry_run and ca.is_removed:
        return "would be removed, with its root key"
    if ca.requested:
        return "remains: not all clusters were removed"
    return "remains; --purge-ca removes it"


def _summary(result: UninstallResult, name: str) -> str:
    """How a cluster stands, and of how many objects it is."""
    status, results = _status(result, name), _results_of(result, name)
    if name in result.plan.staying and result.dry_run:
        going = ", ".join(result.plan.going)
        return f"{status}: remote secret of {going} to be removed, reader token to be replaced"
    return f"{status}: {plural(len(results), 'object')}" if results or status != "failed" else status


def _lines(result: UninstallResult, name: str) -> list[str]:
    """What is removed from a cluster, a line for each kind, and what remains in it."""
    found = result.plan.removals.get(name)
    remaining = [f"remains: {left.what} ({left.why})" for left in found.left] if found else []
    return [*_by_kind(_results_of(result, name)), *remaining]


def _by_kind(results: Iterable[str]) -> list[str]:
    """One line a kind: `Secret istio-system/cacerts, istio-system/istio-remote-secret-kt-k2p`."""
    kinds: dict[str, list[str]] = {}
    for what in results:
        kind, _, name = what.partition(" ")
        kinds.setdefault(kind, []).append(name)
    return [f"{kind} {', '.join(names)}" for kind, names in kinds.items()]
