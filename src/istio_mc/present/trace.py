"""Output of the trace command: a matrix of clusters, and the first broken hop of each path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from istio_mc.domain.text import few, plural
from istio_mc.domain.trace.model import State
from istio_mc.present.output.envelope import Exit, Report
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from istio_mc.domain.trace.model import Trace
    from istio_mc.ops.trace import TraceResult

_MARKS = {
    State.OK: ("√", "green"),
    State.BROKEN: ("×", "red"),
    State.LOCAL: ("=", "yellow"),
    State.UNKNOWN: ("?", "yellow"),
}
_ALL_HOPS = 1
"""Paths of which every hop is shown: one that was named with --from and --to."""


def report(result: TraceResult) -> Report:
    """The matrix, and what breaks."""
    return Report(
        data=_data(result),
        render=lambda console: _render(result, console),
        errors=result.problems,
        warnings=result.warnings,
        exit=Exit.CHECKS_FAILED if result.problems else Exit.DONE,
    )


def _data(result: TraceResult) -> dict[str, Any]:
    return {
        "namespace": result.service.namespace,
        "service": result.service.name,
        "port": result.port,
        "clients": {name: pod or None for name, pod in result.clients.items()},
        "paths": [
            {
                "from": one.client,
                "to": one.target,
                "state": state_of(one).value,
                "brokenHop": one.broken.hop.id if one.broken else None,
                "hops": [
                    {
                        "id": hop.hop.id,
                        "title": hop.hop.title,
                        "state": hop.outcome.state.value,
                        "seen": hop.outcome.seen or None,
                        "dependsOnRequest": hop.outcome.is_open,
                    }
                    for hop in one.hops
                ],
            }
            for one in result.traces
        ],
    }


def state_of(trace: Trace) -> State:
    """What a whole path is like: broken, local, unknown where a hop is, else ok."""
    states = {hop.outcome.state for hop in trace.hops}
    return next((one for one in (State.BROKEN, State.LOCAL, State.UNKNOWN) if one in states), State.OK)


def _render(result: TraceResult, console: Console) -> None:
    console.print(Text(f"{result.service}, port {result.port}", style="bold"))
    targets = list(dict.fromkeys(one.target for one in result.traces))
    cells = {(one.client, one.target): _cell(one) for one in result.traces}
    rows = table("FROM \\ TO", *targets)
    for client in dict.fromkeys(one.client for one in result.traces):
        rows.add_row(client, *(cells.get((client, target), Text("-")) for target in targets))
    print_words(console, rows)
    for one in result.traces:
        if len(result.traces) == _ALL_HOPS:
            _print_hops(one, console)
        elif one.local:
            line = f"{one.client} → {one.target}: local by configuration: {one.local.outcome.seen}"
            console.print(line, soft_wrap=True)
    if len(result.traces) > _ALL_HOPS:
        for line in _open_lines(result):
            console.print(line, soft_wrap=True)
    for line in _delayed_lines(result):
        console.print(line, soft_wrap=True)
    states = [state_of(one) for one in result.traces]
    counted = {state: states.count(state) for state in State if state in states}
    words = [f"{count} {_WORDS[state]}" for state, count in counted.items()]
    console.print(f"{plural(len(states), 'path')}: {', '.join(words)}", soft_wrap=True)


def _open_lines(result: TraceResult) -> Iterator[str]:
    """What depends on the single request, once, with the first paths on which it does."""
    paths: dict[str, list[str]] = {}
    for one in result.traces:
        for hop in one.open:
            paths.setdefault(f"{hop.hop.id}: {hop.outcome.seen}", []).append(f"{one.client} → {one.target}")
    for seen, names in paths.items():
        yield f"{seen} ({few(names, _SHOWN)})"


def _delayed_lines(result: TraceResult) -> Iterator[str]:
    """For each hop that is broken by what proxies do not have yet, that calls may still pass."""
    paths: dict[str, list[str]] = {}
    for one in result.traces:
        if one.broken and one.broken.outcome.problem in result.delayed:
            paths.setdefault(one.broken.hop.id, []).append(f"{one.client} → {one.target}")
    for hop, names in paths.items():
        yield f"{hop}: calls may still pass until proxies get new configuration ({few(names, _SHOWN)})"


_SHOWN = 3
_WORDS = {
    State.OK: "ok",
    State.BROKEN: "broken",
    State.LOCAL: "local by configuration",
    State.UNKNOWN: "with hops that are unknown",
}


def _cell(trace: Trace) -> Text:
    mark, style = _MARKS[state_of(trace)]
    hop = trace.broken or trace.local
    return Text(f"{mark} {hop.hop.id}" if hop else mark, style=style)


def _print_hops(trace: Trace, console: Console) -> None:
    for hop in trace.hops:
        mark, style = _MARKS[hop.outcome.state]
        line = f"  {mark} {hop.hop.id}: {hop.outcome.seen or hop.hop.title}"
        shown = Text(line, style=style if hop.outcome.state is not State.OK else "")
        console.print(shown, soft_wrap=True)
