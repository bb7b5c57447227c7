"""How a link's result looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.present.report import Report, exit_for
from istio_mc.present.terminal import table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.link import LinkResult


def report(result: LinkResult, warnings: Iterable[Problem]) -> Report:
    """Which remote secrets were written into each cluster."""
    errors = tuple(problem for problems in result.failures.values() for problem in problems)
    return Report(
        data={
            "dryRun": result.dry_run,
            "clusters": [
                {
                    "name": name,
                    "clusterId": cluster.cluster_id,
                    "network": cluster.network,
                    "status": _status(result, name),
                    "remoteSecrets": _secrets(result, name),
                }
                for name, cluster in result.clusters.items()
            ],
        },
        render=lambda console: _render(result, console),
        errors=errors,
        warnings=tuple(warnings),
        exit=exit_for(len(result.failures), len(result.clusters)),
    )


def _secrets(result: LinkResult, name: str) -> list[str]:
    step = result.steps.get(name)
    return [document["metadata"]["name"] for document in step.documents] if step else []


def _status(result: LinkResult, name: str) -> str:
    if name in result.failures:
        return "failed"
    return "changed" if _secrets(result, name) else "unchanged"


def _render(result: LinkResult, console: Console) -> None:
    rows = table("CLUSTER", "CLUSTER ID", "STATUS", "TO WRITE" if result.dry_run else "WRITTEN")
    for name, cluster in result.clusters.items():
        nothing = "-" if name in result.failures else "nothing to change"
        written = ", ".join(_secrets(result, name)) or nothing
        rows.add_row(name, cluster.cluster_id, _status(result, name), written)
    console.print(rows)
