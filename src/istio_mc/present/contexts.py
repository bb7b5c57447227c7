"""Output of the contexts command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from istio_mc.present.output.envelope import Report, problems_data
from istio_mc.present.output.terminal import print_untruncated, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.table import Table

    from istio_mc.domain.kube.kubeconfig import Context
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.contexts import ContextsResult, ShownContext


def report(result: ContextsResult, warnings: Iterable[Problem], *, is_wide: bool = False) -> Report:
    """The contexts as data and as a table, where wide with their servers; a fault of one is a warning."""
    problems = tuple(problem for context in result.contexts for problem in context.problems)
    return Report(
        data={
            "currentContext": result.current_context,
            "contexts": [_context(context) for context in result.contexts],
        },
        render=lambda console: _render(result, console, is_wide=is_wide),
        warnings=(*warnings, *problems),
    )


def choices(contexts: Sequence[Context]) -> Table:
    """Contexts with a number each, to choose from."""
    rows = table("", "CONTEXT", "CLUSTER", "SERVER")
    for number, context in enumerate(contexts, 1):
        rows.add_row(str(number), context.name, context.cluster, context.server or "-")
    return rows


def _context(shown: ShownContext) -> dict[str, Any]:
    context = shown.context
    return {
        "name": context.name,
        "cluster": context.cluster,
        "user": context.user,
        "namespace": context.namespace,
        "server": context.server,
        "files": list(context.files),
        "clusterId": shown.cluster_id,
        "network": shown.network,
        "meshID": shown.mesh_id,
        "version": shown.version,
        "reachable": shown.reachable,
        "problems": problems_data(shown.problems),
    }


def _render(result: ContextsResult, console: Console, *, is_wide: bool) -> None:
    server = ["SERVER"] if is_wide else []
    rows = table("", "CONTEXT", "CLUSTER", "CLUSTER ID", "VERSION", "MESH", "NETWORK", "REACHABLE", *server)
    for shown in result.contexts:
        context = shown.context
        rows.add_row(
            "*" if context.name == result.current_context else "",
            context.name,
            context.cluster,
            shown.cluster_id,
            shown.version or "-",
            shown.mesh_id or "-",
            shown.network or "-",
            {None: "not asked", True: "yes", False: "no"}[shown.reachable],
            *([context.server or "-"] if is_wide else []),
        )
    print_untruncated(console, rows)
