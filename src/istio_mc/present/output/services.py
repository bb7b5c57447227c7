"""Output of services that a mesh merges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.istio.services import MergedService


def services_data(services: Iterable[MergedService]) -> list[dict[str, Any]]:
    """Services that more than one cluster has, for programs."""
    return [
        {
            "namespace": one.namespace,
            "name": one.name,
            "endpoints": dict(one.endpoints),
            "ports": {context: list(ports) for context, ports in one.ports.items()},
            "agrees": one.agrees,
        }
        for one in services
    ]


def render_services(services: Iterable[MergedService], console: Console) -> None:
    """Services that more than one cluster has, where there are any."""
    services = list(services)
    if not services:
        return
    contexts = list(dict.fromkeys(context for one in services for context in one.endpoints))
    console.print(Text("\nservices merged across clusters, with their endpoints", style="bold"))
    rows = table("NAMESPACE", "SERVICE", *contexts, "PORTS AND LABELS")
    for one in services:
        counts = [str(one.endpoints.get(context, "-")) for context in contexts]
        rows.add_row(one.namespace, one.name, *counts, one.disagreement or "identical")
    print_words(console, rows)
