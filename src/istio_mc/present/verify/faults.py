"""Faults of verify for people: the same fault of several clusters is shown once; and the verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import ALL, EVERY
from istio_mc.checks.model import Cause, Result, Verdict
from istio_mc.domain.hint import Command, istio_mc
from istio_mc.domain.text import few
from istio_mc.present.output.hints import as_printed, hint_of
from istio_mc.present.output.language import number_of, translated, words
from istio_mc.present.output.problems import docs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from istio_mc.domain.hint import Hint
    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify.verify import VerifyResult

NAMED_AT_MOST = 6
"""Of more clusters or checks, a line has the first ones and the number of the others."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, of one or several clusters.

    Attributes:
        problem: Message, seen and expected of all of them.
    """

    results: tuple[Result, ...]
    problem: Problem
    hints: tuple[Hint, ...]


def merged_faults(results: Iterable[Result]) -> list[Fault]:
    """The failed results; those whose messages differ only by the cluster's name are one fault."""
    groups: dict[object, list[Result]] = {}
    for one in results:
        if one.problem:
            message = _without_cluster(one.problem.message, one.target.cluster)
            key = (one.check.id, one.problem.code, message, one.target.peer, one.caused_by)
            groups.setdefault(key, []).append(one)
    return [_fault(same) for same in groups.values()]


def _fault(same: Sequence[Result]) -> Fault:
    by_place = {str(one.target): one.problem for one in same if one.problem}
    problems = list(by_place.values())
    names = few(dict.fromkeys(one.target.cluster or "" for one in same), NAMED_AT_MOST)
    problem = replace(
        problems[0],
        message=problems[0].message
        if len(same) == 1
        else _without_cluster(problems[0].message, same[0].target.cluster, names),
        seen=_of_each({place: one.seen for place, one in by_place.items()}),
        expected=_of_each({place: one.expected for place, one in by_place.items()}),
    )
    hints = dict.fromkeys(hint for one in problems if (hint := hint_of(one)))
    return Fault(tuple(same), problem, tuple(hints))


def _without_cluster(message: str, cluster: str | None, instead: str = "\0") -> str:
    """A message with its cluster's name replaced, where it has that once; else the message."""
    if not cluster:
        return message
    name = re.compile(rf"(?<![\w.-]){re.escape(cluster)}(?![\w-])")
    return name.sub(lambda _: instead, message) if len(name.findall(message)) == 1 else message


def _of_each(texts: Mapping[str, str | None]) -> str | None:
    """A text that is the same of every place; else that of each."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"{place}: {text}" for place, text in texts.items() if text)


def explained(results: Sequence[Result]) -> dict[Cause, list[Result]]:
    """The results that each fault explains, each under the first of its causes that is among the results."""
    # What passed, which are nearly all of very many, causes nothing.
    known = {Cause(one.check.id, one.target) for one in results if one.verdict is not Verdict.OK}
    by_cause: dict[Cause, list[Result]] = {}
    for one in results:
        cause = next((cause for cause in one.caused_by if cause in known), None)
        if cause:
            by_cause.setdefault(cause, []).append(one)
    return by_cause


def explains(fault: Fault, by_cause: Mapping[Cause, Sequence[Result]]) -> str:
    """What a fault explains: `2 failed (link.synced), 9 unknown (trust.cacerts, …)`; may be empty."""
    causes = [Cause(one.check.id, one.target) for one in fault.results]
    under = [one for cause in causes for one in by_cause.get(cause, ())]
    failed = [one for one in under if one.verdict is Verdict.FAILED]
    unknown = [one for one in under if one.verdict is Verdict.UNKNOWN]
    parts = [words("{count} failed ({checks})", count=len(failed), checks=_ids(failed))] if failed else []
    parts += (
        [words("{count} unknown ({checks})", count=len(unknown), checks=_ids(unknown))] if unknown else []
    )
    return ", ".join(parts)


def _ids(results: Iterable[Result]) -> str:
    return translated(few(dict.fromkeys(one.check.id for one in results), NAMED_AT_MOST))


def summary(result: VerifyResult) -> str:
    """How many results there are of each kind: `3 failed (2 root causes), 1 warning, 9 passed`."""
    return counts(result.results, roots=len(result.root_causes))


def counts(results: Sequence[Result], roots: int | None = None) -> str:
    """The same of some of the results; `roots` is how many of the failed ones are root causes."""
    failed = [one for one in results if one.is_error]
    warned = sum(one.is_warning for one in results)
    unknown = sum(one.verdict is Verdict.UNKNOWN for one in results)
    passed = sum(one.verdict is Verdict.OK for one in results)
    causes = f" ({number_of(roots, 'root cause')})" if roots is not None and roots != len(failed) else ""
    parts = [words("{count} failed", count=f"{len(failed):,}") + causes] if failed else []
    parts += [number_of(warned, "warning")] if warned else []
    parts += [words("{count} unknown", count=f"{unknown:,}")] if unknown else []
    parts += [words("{count} passed", count=f"{passed:,}")] if passed or not parts else []
    return ", ".join(parts)


_NOTICES = frozenset({"versions", "hazards", "storage", "metrics"})
"""Topics whose warnings stay for long and stop no call: they come last."""


def next_command(result: VerifyResult) -> str:
    """The command that comes next: for the first fault, unknown result or warning; else a deeper look.

    For a fault or a warning it is the fix, or what explains it.
    """
    unknown = [one for one in result.results if one.verdict is Verdict.UNKNOWN]
    notices = [one for one in result.warned if one.check.topic in _NOTICES]
    in_order = (
        *result.root_causes,
        *result.failed,
        *(one for one in unknown if one.clears),
        *(one for one in result.warned if one.check.topic not in _NOTICES),
        *(one for one in unknown if not one.caused_by),
        *notices,
        *unknown,
    )
    if in_order:
        return _command_for(in_order[0])
    ids = {one.check.id for one in result.results}
    if not ids >= {check.id for check in ALL}:
        words: tuple[str, ...] = ("verify",)
    else:
        words = ("status",) if ids >= {check.id for check in EVERY} else ("verify", "--deep")
    return str(as_printed(istio_mc(*words)))


def _command_for(result: Result) -> str:
    if result.problem is None:
        return str(as_printed(result.clears or istio_mc("explain", result.check.id)))
    hint = hint_of(result.problem)
    return str(hint) if isinstance(hint, Command) else docs(result.problem)
