"""verify for GitHub Actions: the table for the log, then an annotation for each root cause and warning.

Workflow commands: `::error title=…::…`, with `%`, line breaks and, in properties, `:` and `,` escaped
(actions/toolkit, packages/core/src/command.ts). GitHub shows only ten annotations of a kind per step, so the
consequences of a root cause are only in the log.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from istio_mc.present.output.problems import details
from istio_mc.present.verify import table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.checks.model import Result
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify.verify import VerifyResult

_WIDTH = 200


def results(result: VerifyResult, warnings: Iterable[Problem]) -> str:
    """The log and the annotations."""
    log = io.StringIO()
    console = Console(file=log, width=_WIDTH, no_color=True, emoji=False, markup=False)
    table.render_topics(result, console)
    table.render_verdict(result, console)
    lines = [*_annotations("error", result.root_causes), *_annotations("warning", result.warned)]
    lines += [_annotation("warning", _title(warning), warning) for warning in warnings]
    return log.getvalue() + "".join(f"{line}\n" for line in lines)


def problems(errors: Iterable[Problem], warnings: Iterable[Problem]) -> str:
    """Annotations of what is said where no check was asked."""
    leveled = [("error", problem) for problem in errors] + [("warning", problem) for problem in warnings]
    return "".join(f"{_annotation(kind, _title(one), one)}\n" for kind, one in leveled)


def _annotations(kind: str, of_kind: Iterable[Result]) -> list[str]:
    """An annotation for each fault; one for all the places of which the same is told."""
    places: dict[tuple[str, Problem], list[str]] = {}
    for one in of_kind:
        if one.problem:
            fault = (one.check.id, replace(one.problem, cluster=None))
            places.setdefault(fault, []).append(str(one.target))
    return [
        _annotation(kind, f"{check_id} {', '.join(targets)}", problem)
        for (check_id, problem), targets in places.items()
    ]


def _title(problem: Problem) -> str:
    return f"{problem.code} {problem.cluster}" if problem.cluster else problem.code


def _annotation(kind: str, title: str, problem: Problem) -> str:
    text = "\n".join([problem.message, *(f"{label}: {value}" for label, value in details(problem))])
    return f"::{kind} title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
