"""Output of the verify command: JSON data and the choice of format."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.text import Text

from istio_mc.checks.model import Check, Result, Target, Verdict
from istio_mc.domain.gateway.address import used_addresses
from istio_mc.domain.hint import istio_mc
from istio_mc.domain.istio.services import merged
from istio_mc.domain.jsontext import Made
from istio_mc.present.output.envelope import Exit, Report, problems_data
from istio_mc.present.output.services import services_data
from istio_mc.present.verify import github, junit, short, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify.verify import VerifyResult


def report(result: VerifyResult, warnings: Iterable[Problem], *, show_all: bool = False) -> Report:
    """Every check's result, in each form of output; with `show_all`, what passed in full for people too."""
    warnings = tuple(warnings)
    verdicts = Counter(one.verdict for one in result.results)
    return Report(
        data={
            "clusters": [_cluster(result, name) for name in result.facts.clusters],
            "mergedServices": services_data(merged(result.facts.services)),
            "checks": Made(_result, result.results),
            "passed": verdicts[Verdict.OK],
            "failed": len(result.failed),
            "rootCauses": [_place(one.check.id, one.target) for one in result.root_causes],
            "warned": len(result.warned),
            "unknown": verdicts[Verdict.UNKNOWN],
        },
        render=partial(table.render, result, warnings=warnings, show_all=show_all),
        renders_problems=True,
        errors=tuple(one.problem for one in result.root_causes if one.problem),
        warnings=(*warnings, *(one.problem for one in result.warned if one.problem)),
        exit=Exit.CHECKS_FAILED if result.failed else Exit.DONE,
        formats={
            "short": partial(short.results, result, warnings),
            "junit": partial(junit.results, result, warnings),
            "github": partial(github.results, result, warnings),
        },
    )


def listing(checks: Sequence[Check]) -> Report:
    """What checks there are, and all that is to be known of each."""

    def render(console: Console) -> None:
        for check in checks:
            scope = Text(f"  {check.severity}, {check.scope}", style="dim")
            console.print(Text.assemble((check.id, "bold"), scope), soft_wrap=True)
            named = (
                ("check", check.title),
                ("passes", check.passes),
                ("looks at", check.looks_at),
                ("cause", check.usual_cause),
                ("fix", check.fix),
                ("reads", ", ".join(_reads(check))),
                ("needs", ", ".join(check.needs)),
                ("docs", str(istio_mc("explain", check.id))),
            )
            for name, value in named:
                if value:
                    line = Text.assemble((f"  {name + ':':<11}", "dim"), value.replace("`", ""))
                    console.print(line, soft_wrap=True)

    return Report(
        data={
            "checks": [
                {
                    "id": check.id,
                    "topic": check.topic,
                    "severity": check.severity.value,
                    "scope": check.scope.value,
                    "title": check.title,
                    "passes": check.passes,
                    "reads": _reads(check),
                    "needs": list(check.needs),
                    "because": list(check.because),
                    "looksAt": check.looks_at,
                    "usualCause": check.usual_cause,
                    "fix": check.fix,
                    "docs": check.docs or None,
                }
                for check in checks
            ],
        },
        render=render,
        formats={"short": partial(short.listing, checks)},
    )


def _reads(check: Check) -> list[str]:
    return ["objects of istio-system", *(observation.value for observation in check.reads)]


def _cluster(result: VerifyResult, name: str) -> dict[str, Any]:
    cluster = result.facts.clusters[name]
    observed = result.facts.observed.get(name)
    return {
        "name": name,
        "clusterId": cluster.cluster_id,
        "network": cluster.network,
        "reachable": observed is not None,
        "gatewayAddresses": list(used_addresses(name, cluster, result.facts.observed)),
    }


def _place(check_id: str, target: Target) -> dict[str, Any]:
    return {"id": check_id, "cluster": target.cluster, "peer": target.peer}


def _result(result: Result) -> dict[str, Any]:
    return {
        **_place(result.check.id, result.target),
        "topic": result.check.topic,
        "severity": result.severity.value,
        "verdict": result.verdict.value,
        "seen": result.seen,
        "causedBy": [_place(cause.id, cause.target) for cause in result.caused_by],
        "problem": problems_data([result.problem])[0] if result.problem else None,
    }


PROBLEMS: Mapping[str, Callable[[Iterable[Problem], Iterable[Problem]], str]] = {
    "short": short.problems,
    "junit": junit.problems,
    "github": github.problems,
}
"""How errors and warnings are told in each form where a run came to no result."""
