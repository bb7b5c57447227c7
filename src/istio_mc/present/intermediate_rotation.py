"""Output of a rotation of the clusters' CAs under the same root: plan and result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.domain.text import plural
from istio_mc.present.output.envelope import Exit, Report, exit_for
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.rotation.intermediates import IntermediatesResult


def report(result: IntermediatesResult, warnings: Iterable[Problem]) -> Report:
    """The plan or what was done, as data and as a table."""
    todo = result.plan
    left = [name for name in todo.order if name not in result.done and not todo.is_done(name)]
    # Where all are done and the folder could not be brought to an end, one counts as not done.
    code = exit_for(len(left) or 1, len(todo.order)) if result.failures else Exit.DONE
    return Report(
        data={
            "dryRun": result.dry_run,
            "folder": str(todo.store.folder),
            "root": todo.root,
            "continued": todo.begun is not None,
            "clusters": [_cluster(result, name) for name in todo.order],
        },
        render=lambda console: _render(result, console),
        errors=result.problems,
        warnings=(*warnings, *todo.warnings),
        exit=Exit.FAILED if todo.problems or (result.dry_run and result.failures) else code,
    )


def _cluster(result: IntermediatesResult, name: str) -> dict[str, Any]:
    todo, former = result.plan, result.former.get(name)
    return {
        "name": name,
        "clusterId": todo.members[name].cluster_id,
        "status": _status(result, name),
        "oldCA": todo.old.get(name),
        "newCA": result.new.get(name),
        "seconds": _seconds(result, name),
        "proxies": former.proxies if former else None,
        "formerCertificates": former.former if former else None,
        "formerExpire": f"{former.expire:%Y-%m-%dT%H:%M:%SZ}" if former and former.expire else None,
    }


def _seconds(result: IntermediatesResult, name: str) -> float | None:
    return round(result.done[name], 1) if name in result.done else None


def _status(result: IntermediatesResult, name: str) -> str:
    if name in result.done:
        return "rotated"
    if result.plan.is_done(name):
        return "unchanged"
    if result.dry_run:
        return "to rotate" if not result.problems else "not possible"
    return "failed" if name == result.failed else "not begun"


def _render(result: IntermediatesResult, console: Console) -> None:
    todo = result.plan
    rows = table("CLUSTER", "CLUSTER ID", "STATUS", "CA", "SECONDS")
    for name in todo.order:
        now = result.new[name] if name in result.done else todo.old.get(name, "-")
        seconds = _seconds(result, name)
        rows.add_row(
            name,
            todo.members[name].cluster_id,
            _status(result, name),
            _short(now),
            "-" if seconds is None else f"{seconds:.1f}",
        )
    print_words(console, rows)
    if todo.begun:
        _line(console, "Continues a change that was interrupted.")
    for name, former in result.former.items():
        if former.expire:
            certificates = plural(former.former, "proxy has", "proxies have")
            _line(
                console,
                f"{name}: {certificates} a certificate of the CA before, of {former.proxies}; they renew "
                f"it by themselves, the last one before {former.expire:%Y-%m-%d %H:%M} UTC",
            )
    _line(console, f"Root, unchanged: {todo.root}")


def _short(fingerprint: str) -> str:
    return fingerprint[:23]


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
