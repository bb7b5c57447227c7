"""Output of the link command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.present.output.envelope import Report, exit_for
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.link import Linking, LinkResult


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
                    "kubeconfigFolder": cluster.kubeconfig_folder or None,
                    "pruned": list(result.pruned.get(name, ())),
                }
                for name, cluster in result.clusters.items()
            ],
        },
        render=lambda console: _render(result, console),
        errors=errors,
        warnings=tuple(warnings),
        exit=exit_for(len(result.failures), len(result.clusters)),
    )


def question(todo: Linking) -> str:
    """What is asked before remote secrets are removed."""
    what = "; ".join(f"{name}: {', '.join(map(str, going))}" for name, going in todo.stale.items() if going)
    return f"Remove remote secrets: {what}?"


def _secrets(result: LinkResult, name: str) -> list[str]:
    step = result.steps.get(name)
    return [document["metadata"]["name"] for document in step.documents] if step else []


def _status(result: LinkResult, name: str) -> str:
    if name in result.failures:
        return "failed"
    return "changed" if _secrets(result, name) or result.pruned.get(name) else "unchanged"


def _why_nothing(cluster: Cluster) -> str:
    folder = cluster.kubeconfig_folder
    return f"none: istiod reads kubeconfigs in {folder}" if folder else "nothing to change"


def _render(result: LinkResult, console: Console) -> None:
    written, removed = ("TO WRITE", "TO REMOVE") if result.dry_run else ("WRITTEN", "REMOVED")
    prunes = any(result.pruned.values())
    rows = table("CLUSTER", "CLUSTER ID", "STATUS", written, *([removed] if prunes else []))
    for name, cluster in result.clusters.items():
        nothing = "-" if name in result.failures else _why_nothing(cluster)
        cells = [
            name,
            cluster.cluster_id,
            "to change" if result.dry_run and _status(result, name) == "changed" else _status(result, name),
            ", ".join(_secrets(result, name)) or nothing,
        ]
        rows.add_row(*cells, *([", ".join(result.pruned.get(name, ())) or "-"] if prunes else []))
    print_words(console, rows)
