"""Values for cloud consoles: tables for people, data for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from istio_mc.domain.gateway.console import PUBLIC_IP, WORDS, screens
from istio_mc.domain.hint import istio_mc
from istio_mc.present.output.envelope import Report, exit_for
from istio_mc.present.output.hints import as_printed
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from istio_mc.domain.gateway.console import Screen, Site
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.console import ConsoleResult


def report(result: ConsoleResult, warnings: Iterable[Problem]) -> Report:
    """What is entered in which console, cluster by cluster."""
    return Report(
        data={"clusters": [_site(site) for site in result.sites.values()]},
        render=lambda console: _render(result, console),
        errors=tuple(problem for problems in result.failures.values() for problem in problems),
        warnings=tuple(warnings),
        exit=exit_for(len(result.failures), max(result.clusters, len(result.failures))),
    )


def _site(site: Site) -> dict[str, Any]:
    return {
        "name": site.context,
        "clusterId": site.cluster_id,
        "cloud": site.cloud.value,
        "screens": [_screen(screen) for screen in screens(site)],
        "next": _next(site),
    }


def _screen(screen: Screen) -> dict[str, Any]:
    keys = [_key(column) for column in screen.columns]
    return {
        "title": screen.title,
        "note": screen.note or None,
        "entries": [dict(zip(keys, row, strict=True)) for row in screen.rows],
    }


def _key(column: str) -> str:
    first, *others = column.lower().split()
    return "".join([first, *map(str.capitalize, others)])


def _next(site: Site) -> str | None:
    """The command after the console; none where the cloud gives the address itself."""
    if site.balanced:
        return None
    address = f"{site.context}={site.addresses[0] if site.addresses else PUBLIC_IP}"
    return str(as_printed(istio_mc("address", "--set", address, "--via", "metallb")))


def _render(result: ConsoleResult, console: Console) -> None:
    for site in result.sites.values():
        console.print(
            Text.assemble((site.context, "bold"), f"  {site.cluster_id}, {WORDS[site.cloud].name}"),
            soft_wrap=True,
        )
        for number, screen in enumerate(screens(site), 1):
            console.print(Text.assemble("\n", (f"{number}. {screen.title}", "bold")), soft_wrap=True)
            if screen.note:
                console.print(Text(f"   {screen.note}", "dim"), soft_wrap=True)
            rows = table(*screen.columns)
            for row in screen.rows:
                rows.add_row(*row)
            print_words(console, rows)
        if command := _next(site):
            console.print(f"\nThen: {command}", markup=False, soft_wrap=True)
        console.print()
