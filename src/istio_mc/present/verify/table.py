"""verify for people: a line for each topic, every fault in full, and the verdict last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from istio_mc.checks.model import Cause, Check, Result, Scope, Verdict
from istio_mc.domain.istio.services import merged
from istio_mc.domain.text import few, plural, printable
from istio_mc.present.output.problems import print_problem, print_problems
from istio_mc.present.output.services import render_services
from istio_mc.present.output.terminal import print_words, table
from istio_mc.present.output.wrap import print_wrapped
from istio_mc.present.verify.faults import (
    NAMED_AT_MOST,
    Fault,
    counts,
    explained,
    explains,
    merged_faults,
    next_command,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.verify.verify import VerifyResult

_MARKS = {
    Verdict.OK: ("√", "green"),
    Verdict.FAILED: ("×", "red"),
    Verdict.UNKNOWN: ("?", "yellow"),
}
_WARNED = ("‼", "yellow")
_SYNCED = "link.synced"
_PAIRS_AT_MOST = 2
_MAX_SEEN = 120
_MATRIX_AT_MOST = 12


def render(
    result: VerifyResult, console: Console, warnings: Iterable[Problem] = (), *, show_all: bool = False
) -> None:
    """Prints the topics, then what is unknown, the warnings and the errors in full, then the verdict.

    Args:
        show_all: Whether checks that passed are listed too, and matrices in which nothing is wrong.
    """
    by_cause = explained(result.results)
    if show_all:
        _render_checks(result, console)
    else:
        render_topics(result, console)
    _render_matrix(result, console, show_all=show_all)
    services = merged(result.facts.services)
    if show_all or not all(one.agrees for one in services):
        render_services(services, console)
    _render_faults(result, warnings, by_cause, console)
    render_verdict(result, console)


def render_topics(result: VerifyResult, console: Console) -> None:
    """Prints a line for each topic: whether all of it passed, or how many results there are of each kind."""
    topics: dict[str, list[Result]] = {}
    for one in result.results:
        topics.setdefault(one.check.topic, []).append(one)
    wide = max(map(len, topics), default=0)
    for topic, results in topics.items():
        sign = mark_of(results)
        clusters = len({one.target.cluster for one in results} - {None})
        checks = len({one.check.id for one in results})
        numbers = [plural(checks, "check"), *([plural(clusters, "cluster")] if clusters else [])]
        text = ", ".join(numbers) if sign == _MARKS[Verdict.OK] else counts(results)
        first = Text.assemble(sign, f" {topic:<{wide}}  ")
        print_wrapped(console, text.split(), indent=first.cell_len, first=first)


def render_verdict(result: VerifyResult, console: Console) -> None:
    """Prints how many results there are of each kind, and the command that comes next."""
    sign, style = mark_of(result.results)
    words = f"{sign} {summary(result)}".split()
    console.print()
    print_wrapped(console, words, indent=2, styles=dict.fromkeys(range(len(words)), f"bold {style}"))
    console.print(Text.assemble(("  next:     ", "dim"), next_command(result)), soft_wrap=True)


def mark(result: Result) -> tuple[str, str]:
    """The sign of a result, and its colour."""
    return _WARNED if result.is_warning else _MARKS[result.verdict]


def mark_of(results: Sequence[Result]) -> tuple[str, str]:
    """The sign of several results: that of the worst of them."""
    signs = [mark(one) for one in results]
    worst = (_MARKS[Verdict.FAILED], _WARNED, _MARKS[Verdict.UNKNOWN])
    return next((sign for sign in worst if sign in signs), _MARKS[Verdict.OK])


def one_line(text: str) -> str:
    """A text that a cluster, a server or a program gave, without line breaks and what moves a cursor."""
    return printable(" ".join(text.split()))


# Faults


def _render_faults(
    result: VerifyResult,
    warnings: Iterable[Problem],
    by_cause: Mapping[Cause, Sequence[Result]],
    console: Console,
) -> None:
    hidden = {id(each) for those in by_cause.values() for each in those}
    shown = [each for each in result.results if id(each) not in hidden]
    unknown = [each for each in shown if each.verdict is Verdict.UNKNOWN]
    faults = [each for each in shown if each.verdict is Verdict.FAILED]
    warnings = list(warnings)
    if not (warnings or unknown or faults):
        return
    console.print()
    print_problems(console, warnings, style="yellow", title="warning")
    for alike in _grouped(unknown):
        _render_unknown(console, alike)
    for title, style in (("warning", "yellow"), ("error", "red")):
        for fault in merged_faults(one for one in faults if one.is_error is (title == "error")):
            _render_fault(console, fault, title, style, explains(fault, by_cause))


def _render_unknown(to: Console, alike: Sequence[Result]) -> None:
    one = alike[0]
    because = f" (because of {', '.join(map(str, one.caused_by))})" if one.caused_by else ""
    head = [
        f"unknown[{one.check.id}]",
        *f"{_places(alike)}: {_outcome(one)}{because}".split(),
    ]
    print_wrapped(to, head, indent=2, styles={0: "yellow"})


def _render_fault(to: Console, fault: Fault, title: str, style: str, explained_text: str) -> None:
    """Prints a fault of one or several clusters, with what it explains."""
    one = fault.results[0]
    more = [("check", one.check.id)]
    more += [("explains", explained_text)] if explained_text else []
    more += [("because", ", ".join(map(str, one.caused_by)))] if one.caused_by else []
    places = dict.fromkeys(str(each.target) for each in fault.results)
    where = few(places, NAMED_AT_MOST) if one.target.cluster else ""
    problem = fault.problem
    print_problem(to, problem, f"{title}[{problem.code}]", where, style=style, hints=fault.hints, more=more)


# Every check


def _render_checks(result: VerifyResult, console: Console) -> None:
    """Prints every topic and below it every check, those places in one line of which the same is seen."""
    for topic in dict.fromkeys(one.check.topic for one in result.results):
        console.print(Text(topic, style="bold"))
        for check in dict.fromkeys(one.check for one in result.results if one.check.topic == topic):
            _render_check(console, check, [one for one in result.results if one.check is check])


def _render_check(console: Console, check: Check, results: Sequence[Result]) -> None:
    well = [one for one in results if one.verdict is Verdict.OK]
    if well:
        _line(console, _MARKS[Verdict.OK], f"{_places(well)}  {check.passes}{_seen_text(well)}")
    for alike in _grouped([one for one in results if one.verdict is not Verdict.OK]):
        one = alike[0]
        because = f" (because of {', '.join(map(str, one.caused_by))})" if one.caused_by else ""
        text = f"{_places(alike)}  {_outcome(one)}{because}  [{check.id}]"
        _line(console, mark(one), text)


def _grouped(results: Iterable[Result]) -> list[list[Result]]:
    """What reads the same of several places together."""
    groups: dict[object, list[Result]] = {}
    for one in results:
        groups.setdefault((one.check.id, one.verdict, _outcome(one), one.caused_by), []).append(one)
    return list(groups.values())


def _outcome(result: Result) -> str:
    """What a check that did not pass reports, in one line; `unknown` where a cause explains it."""
    seen = one_line(result.seen)
    if result.verdict is Verdict.UNKNOWN:
        return f"{result.sentence}: {seen or 'unknown'}"
    return f"{result.sentence} ({seen})" if seen and seen not in result.sentence else result.sentence


def _line(console: Console, sign: tuple[str, str], text: str) -> None:
    print_wrapped(console, text.split(" "), indent=4, first=Text.assemble("  ", sign, " "))


def _places(results: Sequence[Result]) -> str:
    if len(results) > NAMED_AT_MOST or (
        results[0].check.scope is Scope.PAIR and len(results) > _PAIRS_AT_MOST
    ):
        return f"{len(results)} {'pairs' if results[0].check.scope is Scope.PAIR else 'clusters'}"
    return ", ".join(str(one.target) for one in results)


def _seen_text(results: Sequence[Result]) -> str:
    """What was found where a check passed: once where it is the same; nothing where it is too much."""
    different = dict.fromkeys(one_line(one.seen) for one in results)
    if len(different) == 1:
        (seen,) = different
        return f" ({seen})" if seen else ""
    text = ", ".join(f"{one.target}: {one_line(one.seen)}" for one in results if one.seen)
    return f" ({text})" if len(text) <= _MAX_SEEN else ""


def _render_matrix(result: VerifyResult, console: Console, *, show_all: bool) -> None:
    pairs = {(one.target.cluster, one.target.peer): one for one in result.results if one.check.id == _SYNCED}
    names = list(result.facts.clusters)
    if not show_all and not any(one.verdict is Verdict.FAILED for one in pairs.values()):
        return
    if not pairs or len(names) > _MATRIX_AT_MOST:
        return  # of so many, every fault is printed, and the rest is a number
    console.print(Text("\nremote clusters by istiod", style="bold"))
    rows = table("FROM \\ TO", *names)
    for name in names:
        cells: list[Text] = []
        for peer in names:
            one = pairs.get((name, peer))
            if one is None:
                cells.append(Text("-"))
            else:
                sign, style = mark(one)
                cells.append(Text(f"{sign} {one_line(one.seen)}", style=style))
        rows.add_row(name, *cells)
    print_words(console, rows)
