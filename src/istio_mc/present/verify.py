"""How verify looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from istio_mc.checks.model import Check, Result, Scope, Target, Verdict
from istio_mc.domain.address import seen_addresses
from istio_mc.present.report import Exit, Report, problems_data
from istio_mc.present.terminal import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify import VerifyResult

_MARKS = {
    Verdict.OK: ("√", "green"),
    Verdict.FAILED: ("×", "red"),
    Verdict.UNKNOWN: ("?", "yellow"),
}
_SYNCED = "link.synced"


def report(result: VerifyResult, warnings: Iterable[Problem]) -> Report:
    """Every check's result, grouped by topic, with the matrix of who sees whom."""
    return Report(
        data={
            "clusters": [_cluster(result, name) for name in result.facts.clusters],
            "checks": [_result(found) for found in result.results],
            "passed": sum(found.verdict is Verdict.OK for found in result.results),
            "failed": len(result.failed),
            "rootCauses": [_place(found.check.id, found.target) for found in result.root_causes],
            "warned": len(result.warned),
            "unknown": sum(found.verdict is Verdict.UNKNOWN for found in result.results),
        },
        render=lambda console: _render(result, console),
        errors=tuple(found.problem for found in result.root_causes if found.problem),
        warnings=(*warnings, *(found.problem for found in result.warned if found.problem)),
        exit=Exit.CHECKS_FAILED if result.failed else Exit.DONE,
    )


def _mark(found: Result) -> tuple[str, str]:
    if found.is_warning:
        return "‼", "yellow"
    return _MARKS[found.verdict]


def listing(checks: Sequence[Check]) -> Report:
    """What checks there are."""

    def render(console: Console) -> None:
        rows = table("CHECK", "SEVERITY", "SCOPE", "IS TRUE WHEN")
        for check in checks:
            rows.add_row(check.id, check.severity, check.scope, check.description)
        console.print(rows)

    return Report(
        data={
            "checks": [
                {
                    "id": check.id,
                    "topic": check.topic,
                    "severity": check.severity.value,
                    "scope": check.scope.value,
                    "description": check.description,
                    "needs": list(check.needs),
                    "docs": check.docs or None,
                }
                for check in checks
            ]
        },
        render=render,
    )


def _cluster(result: VerifyResult, name: str) -> dict[str, Any]:
    cluster = result.facts.clusters[name]
    observed = result.facts.observed.get(name)
    return {
        "name": name,
        "clusterId": cluster.cluster_id,
        "network": cluster.network,
        "reachable": observed is not None,
        "gatewayAddresses": list(seen_addresses(name, cluster, result.facts.observed)),
    }


def _place(check_id: str, target: Target) -> dict[str, Any]:
    return {"id": check_id, "cluster": target.cluster, "peer": target.peer}


def _result(found: Result) -> dict[str, Any]:
    return {
        **_place(found.check.id, found.target),
        "topic": found.check.topic,
        "severity": found.check.severity.value,
        "verdict": found.verdict.value,
        "seen": found.seen,
        "causedBy": [_place(cause.id, cause.target) for cause in found.caused_by],
        "problem": problems_data([found.problem])[0] if found.problem else None,
    }


def _render(result: VerifyResult, console: Console) -> None:
    topic = ""
    for found in result.results:
        if found.check.scope is Scope.PAIR and found.verdict is Verdict.OK:
            continue  # the matrix below says it in less room
        if found.check.topic != topic:
            topic = found.check.topic
            console.print(Text(topic, style="bold"))
        mark, style = _mark(found)
        because = f" (because of {', '.join(map(str, found.caused_by))})" if found.caused_by else ""
        console.print(
            Text.assemble(
                "  ", (mark, style), f" {found.target}  {found.check.description}: {found.seen}{because}"
            ),
            soft_wrap=True,
        )
    _render_matrix(result, console)
    passed = sum(found.verdict is Verdict.OK for found in result.results)
    unknown = sum(found.verdict is Verdict.UNKNOWN for found in result.results)
    told = [f"{passed} passed", f"{len(result.failed)} failed"]
    told += [f"{len(result.warned)} to know of"] if result.warned else []
    told += [f"{unknown} cannot be told"] if unknown else []
    console.print("\n" + ", ".join(told))


def _render_matrix(result: VerifyResult, console: Console) -> None:
    pairs = {
        (found.target.cluster, found.target.peer): found
        for found in result.results
        if found.check.id == _SYNCED
    }
    if not pairs:
        return
    names = list(result.facts.clusters)
    console.print(Text("\nwhom each istiod sees", style="bold"))
    rows = table("FROM \\ TO", *names)
    for name in names:
        cells: list[Text] = []
        for peer in names:
            found = pairs.get((name, peer))
            if found is None:
                cells.append(Text("-"))
            else:
                mark, style = _MARKS[found.verdict]
                cells.append(Text(f"{mark} {found.seen}", style=style))
        rows.add_row(name, *cells)
    console.print(rows)
