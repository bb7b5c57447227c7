"""Output of a rotation of the root CA: plan and result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.istio.root_rotation import Phase
from istio_mc.domain.text import plural
from istio_mc.present.output.envelope import Exit, Report
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.rotation.root import RootResult


def report(result: RootResult, warnings: Iterable[Problem]) -> Report:
    """The plan or what was done, as data and as a table."""
    todo = result.plan
    return Report(
        data={
            "dryRun": result.dry_run,
            "oldRoot": todo.old or None,
            "newRoot": _new(result) or None,
            "merge": todo.merged is not None,
            "roots": [
                {"root": root, "clusters": list(names), "remains": _remains(result, root)}
                for root, names in todo.under.items()
            ],
            "folder": str(todo.store.folder if todo.store else todo.base.folder),
            "nextPhase": todo.phase.name.lower() if todo.phase else None,
            "phases": [
                {
                    "name": phase.name.lower(),
                    "status": _status(result, phase),
                    "seconds": _seconds(result, phase),
                }
                for phase in result.phases
            ],
            "clusters": [
                {
                    "name": name,
                    "clusterId": todo.read.members[name].cluster_id,
                    "proxies": todo.read.proxies[name],
                }
                for name in todo.read.order
            ],
        },
        render=lambda console: _render(result, console),
        errors=result.problems,
        warnings=tuple(warnings),
        exit=Exit.FAILED if result.problems else Exit.DONE,
    )


def _new(result: RootResult) -> str:
    return result.plan.merged.fingerprint if result.plan.merged else result.new


def _remains(result: RootResult, root: str) -> bool:
    """Whether clusters under a root keep it."""
    return root == _new(result)


def _seconds(result: RootResult, phase: Phase) -> float | None:
    return round(result.done[phase], 1) if phase in result.done else None


def _status(result: RootResult, phase: Phase) -> str:
    if phase in result.done:
        return "done"
    if result.dry_run:
        return "planned"
    first = next(one for one in result.phases if one not in result.done)
    return "failed" if result.failures and phase is first else "not begun"


def _render(result: RootResult, console: Console) -> None:
    todo = result.plan
    rows = table("PHASE", "WAITS FOR", "STATUS", "SECONDS")
    count = plural(sum(todo.read.proxies.values()), "proxy", "proxies")
    for phase in result.phases:
        waits = "every istiod" if phase is Phase.SIGN else count
        seconds = _seconds(result, phase)
        rows.add_row(
            todo.title(phase), waits, _status(result, phase), "-" if seconds is None else f"{seconds:.1f}"
        )
    print_words(console, rows)
    console.print(f"Clusters, in this order: {', '.join(todo.read.order)}", markup=False, soft_wrap=True)
    if todo.merged:
        _render_roots(result, console)
        return
    if todo.old:
        console.print(f"Old root: {todo.old}", markup=False, soft_wrap=True)
    if result.new:
        console.print(f"{'New root' if todo.old else 'Root'}: {result.new}", markup=False, soft_wrap=True)


def _render_roots(result: RootResult, console: Console) -> None:
    todo = result.plan
    folder = todo.store.folder if todo.store else todo.base.folder
    console.print(
        f"Remaining root: {_new(result)}, because it is the root of the CA folder {folder}",
        markup=False,
        soft_wrap=True,
    )
    for root, names in todo.under.items():
        keeps = "their CAs stay" if _remains(result, root) else "they get CAs under the remaining root"
        console.print(f"Under root {root}: {', '.join(names)}; {keeps}", markup=False, soft_wrap=True)
    if all(_remains(result, root) for root in todo.under) and todo.phase is None:
        console.print("Every cluster has this root alone already", soft_wrap=True)
