"""verify for grep and editors: one line for each fault, in the format of compiler messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.present.output.hints import hint_of
from istio_mc.present.verify.table import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.checks.model import Check
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify.verify import VerifyResult


def results(result: VerifyResult, warnings: Iterable[Problem]) -> str:
    """A line for each failed result: severity, check, target, what is wrong, what fixes it."""
    lines = [_line("warning", warning.code, warning.cluster or "mesh", warning) for warning in warnings]
    for one in result.results:
        if one.problem is None:
            continue
        because = f"; because of: {', '.join(map(str, one.caused_by))}" if one.caused_by else ""
        line = _line(one.severity.value, one.check.id, str(one.target), one.problem)
        lines.append(line + because)
    return "".join(f"{line}\n" for line in lines)


def problems(errors: Iterable[Problem], warnings: Iterable[Problem]) -> str:
    """A line for each: what is said where no check was asked."""
    leveled = [("error", problem) for problem in errors] + [("warning", problem) for problem in warnings]
    return "".join(f"{_line(kind, one.code, one.cluster or 'mesh', one)}\n" for kind, one in leveled)


def listing(checks: Iterable[Check]) -> str:
    """A line for each check."""
    return "".join(f"{check.id}: {check.severity}, {check.scope}: {check.title}\n" for check in checks)


def _line(kind: str, what: str, where: str, problem: Problem) -> str:
    parts = [problem.message]
    parts += [f"seen: {problem.seen}"] if problem.seen else []
    parts += [f"fix: {hint}"] if (hint := hint_of(problem)) else []
    return f"{kind}[{what}] {where}: {'; '.join(map(one_line, parts))}"
