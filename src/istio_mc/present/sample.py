"""Output of the sample commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from istio_mc.domain.traffic.sample import least_share
from istio_mc.present.output.envelope import Exit, Report, exit_for
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.sample import Deployed, Tested


def deployed(result: Deployed, warnings: Iterable[Problem], *, done: str) -> Report:
    """Which version is where, and in a dry run what would be applied or deleted.

    Args:
        done: What a cluster is called in which everything was done, or would be.
    """
    names = {**result.versions, **result.failures}
    planned = result.changes

    def status(name: str) -> str:
        if name in result.failures:
            return "failed"
        return "unchanged" if planned is not None and not planned.get(name) else done

    def render(console: Console) -> None:
        rows = table("CLUSTER", "VERSION", "STATUS")
        for name in names:
            rows.add_row(name, result.versions.get(name) or "-", status(name))
        print_words(console, rows)
        for name, refs in (planned or {}).items():
            for ref in refs:
                console.print(f"{name}: {ref}", highlight=False)

    return Report(
        data={
            "dryRun": planned is not None,
            "clusters": [
                {
                    "name": name,
                    "version": result.versions.get(name) or None,
                    "status": status(name),
                    **({} if planned is None else {"objects": [*map(str, planned.get(name, ()))]}),
                }
                for name in names
            ],
        },
        render=render,
        errors=tuple(problem for problems in result.failures.values() for problem in problems),
        warnings=tuple(warnings),
        exit=exit_for(len(result.failures), len(names)),
    )


def tested(result: Tested, warnings: Iterable[Problem]) -> Report:
    """The matrix: how often each version answered each cluster."""
    return Report(
        data={
            "versions": dict(result.versions),
            "leastShare": least_share(len(result.versions)),
            "clusters": [
                {
                    "name": name,
                    "calls": calls.total,
                    "responses": {
                        version: calls.answered.get(version, 0) for version in result.versions.values()
                    },
                    "failed": dict(calls.failed),
                    "stopped": calls.given_up,
                }
                for name, calls in result.calls.items()
            ],
        },
        render=lambda console: _render(result, console),
        errors=result.problems,
        warnings=tuple(warnings),
        exit=Exit.CHECKS_FAILED if result.problems else Exit.DONE,
    )


def _render(result: Tested, console: Console) -> None:
    heads = [f"{version} ({name})" for name, version in result.versions.items()]
    rows = table("FROM \\ TO", *heads, "FAILED", "CALLS")
    for name, calls in result.calls.items():
        cells = []
        for version in result.versions.values():
            answers = calls.answered.get(version, 0)
            good = not calls.too_few(version, len(result.versions))
            cells.append(Text(f"{'√' if good else '×'} {answers}", style="green" if good else "red"))
        rows.add_row(
            name,
            *cells,
            str(sum(calls.failed.values()) or "-"),
            f"{calls.total}{', stopped' if calls.given_up else ''}",
        )
    print_words(console, rows)
    if not result.problems:
        pairs = len(result.versions) ** 2
        console.print(f"Every version responds to every cluster: {pairs} of {pairs} pairs.")
