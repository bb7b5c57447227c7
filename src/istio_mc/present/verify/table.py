"""verify for people: a line for each topic, every fault in full, and the verdict last."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from istio_mc.checks.catalogue import ALL, EVERY
from istio_mc.checks.model import Cause, Check, Result, Scope, Verdict
from istio_mc.domain.hint import Command, istio_mc
from istio_mc.domain.istio.services import merged
from istio_mc.domain.text import few, plural, printable
from istio_mc.present.output.hints import as_printed, hint_of
from istio_mc.present.output.problems import docs, print_problem, print_problems
from istio_mc.present.output.services import render_services
from istio_mc.present.output.terminal import print_words, table
from istio_mc.present.output.wrap import print_wrapped

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
_NAMED_AT_MOST = 6
_PAIRS_AT_MOST = 2
_SEEN_AT_MOST = 120
_MATRIX_AT_MOST = 12


def render(
    result: VerifyResult, console: Console, warnings: Iterable[Problem] = (), *, show_all: bool = False
) -> None:
    """Prints the topics, then what is unknown, the warnings and the errors in full, then the verdict.

    Args:
        result: What came of every check.
        console: Where to.
        warnings: What the run itself warns of.
        show_all: Whether checks that passed are listed too, and matrices in which nothing is wrong.
    """
    folded = _folded(result.results)
    if show_all:
        _render_checks(result, console)
    else:
        render_topics(result, console)
    _render_matrix(result, console, show_all=show_all)
    services = merged(result.facts.services)
    if show_all or not all(one.agrees for one in services):
        render_services(services, console)
    _render_faults(result, warnings, folded, console)
    render_verdict(result, console)


def render_topics(result: VerifyResult, console: Console) -> None:
    """Prints a line for each topic: whether all of it passed, or how many results there are of each kind."""
    topics: dict[str, list[Result]] = {}
    for found in result.results:
        topics.setdefault(found.check.topic, []).append(found)
    wide = max(map(len, topics), default=0)
    for topic, results in topics.items():
        sign = mark_of(results)
        clusters = len({found.target.cluster for found in results} - {None})
        checks = len({found.check.id for found in results})
        told = [plural(checks, "check"), *([plural(clusters, "cluster")] if clusters else [])]
        text = ", ".join(told) if sign == _MARKS[Verdict.OK] else _counts(results)
        first = Text.assemble(sign, f" {topic:<{wide}}  ")
        print_wrapped(console, text.split(), indent=first.cell_len, first=first)


def render_verdict(result: VerifyResult, console: Console) -> None:
    """Prints how many results there are of each kind, and the command that comes next."""
    sign, style = mark_of(result.results)
    words = f"{sign} {summary(result)}".split()
    console.print()
    print_wrapped(console, words, indent=2, styles=dict.fromkeys(range(len(words)), f"bold {style}"))
    console.print(Text.assemble(("  next:     ", "dim"), _next(result)), soft_wrap=True)


def summary(result: VerifyResult) -> str:
    """How many results there are of each kind, in one line."""
    return _counts(result.results, roots=len(result.root_causes))


def _counts(results: Sequence[Result], roots: int | None = None) -> str:
    """How many of these results there are of each kind: `3 failed (2 root causes), 1 warning, 9 passed`."""
    failed = [found for found in results if found.is_error]
    warned = sum(found.is_warning for found in results)
    unknown = sum(found.verdict is Verdict.UNKNOWN for found in results)
    passed = sum(found.verdict is Verdict.OK for found in results)
    causes = f" ({plural(roots, 'root cause')})" if roots is not None and roots != len(failed) else ""
    told = [f"{len(failed)} failed{causes}"] if failed else []
    told += [plural(warned, "warning")] if warned else []
    told += [f"{unknown} unknown"] if unknown else []
    told += [f"{passed} passed"] if passed or not told else []
    return ", ".join(told)


def mark(found: Result) -> tuple[str, str]:
    """The sign of a result, and its colour."""
    return _WARNED if found.is_warning else _MARKS[found.verdict]


def mark_of(results: Sequence[Result]) -> tuple[str, str]:
    """The sign of several results: that of the worst of them."""
    signs = [mark(found) for found in results]
    worst = (_MARKS[Verdict.FAILED], _WARNED, _MARKS[Verdict.UNKNOWN])
    return next((sign for sign in worst if sign in signs), _MARKS[Verdict.OK])


def one_line(text: str) -> str:
    """A text that a cluster, a server or a program gave, without line breaks and what moves a cursor."""
    return printable(" ".join(text.split()))


def _next(result: VerifyResult) -> str:
    """The command that comes next: the fix of the first fault, or what explains it; else a deeper look."""
    for found in (*result.root_causes, *result.failed, *result.warned):
        if found.problem:
            hint = hint_of(found.problem)
            return str(hint) if isinstance(hint, Command) else docs(found.problem)
    for found in result.results:
        if found.verdict is Verdict.UNKNOWN:
            return str(istio_mc("explain", found.check.id))
    ids = {found.check.id for found in result.results}
    if not ids >= {check.id for check in ALL}:
        words: tuple[str, ...] = ("verify",)
    else:
        words = ("status",) if ids >= {check.id for check in EVERY} else ("verify", "--deep")
    return str(as_printed(istio_mc(*words)))


def _folded(results: Sequence[Result]) -> Mapping[Cause, list[Result]]:
    """What each fault explains, each result under the first of its causes that is told."""
    told = {Cause(found.check.id, found.target) for found in results}
    folded: dict[Cause, list[Result]] = {}
    for found in results:
        cause = next((cause for cause in found.caused_by if cause in told), None)
        if cause:
            folded.setdefault(cause, []).append(found)
    return folded


# Faults


def _render_faults(
    result: VerifyResult,
    warnings: Iterable[Problem],
    folded: Mapping[Cause, Sequence[Result]],
    console: Console,
) -> None:
    hidden = {id(found) for those in folded.values() for found in those}
    told = [found for found in result.results if id(found) not in hidden]
    unknown = [found for found in told if found.verdict is Verdict.UNKNOWN]
    faults = [found for found in told if found.verdict is Verdict.FAILED]
    warnings = list(warnings)
    if not (warnings or unknown or faults):
        return
    console.print()
    print_problems(console, warnings, style="yellow", title="warning")
    for alike in _alike(unknown):
        _render_unknown(console, alike)
    for title, style in (("warning", "yellow"), ("error", "red")):
        for alike in _same([found for found in faults if found.is_error is (title == "error")]):
            _render_fault(console, alike, title, style, [one for f in alike for one in _explained(f, folded)])


def _explained(found: Result, folded: Mapping[Cause, Sequence[Result]]) -> Sequence[Result]:
    return folded.get(Cause(found.check.id, found.target), ())


def _render_unknown(to: Console, alike: Sequence[Result]) -> None:
    one = alike[0]
    because = f" (because of {', '.join(map(str, one.caused_by))})" if one.caused_by else ""
    head = [
        f"unknown[{one.check.id}]",
        *f"{_places(alike)}: {_outcome(one)}{because}".split(),
    ]
    print_wrapped(to, head, indent=2, styles={0: "yellow"})


def _same(found: Iterable[Result]) -> list[list[Result]]:
    """The same fault of several clusters together: its message differs by the cluster's name alone."""
    groups: dict[object, list[Result]] = {}
    for one in found:
        if one.problem:
            message = _without_cluster(one.problem.message, one.target.cluster)
            key = (one.check.id, one.problem.code, message, one.target.peer, one.caused_by)
            groups.setdefault(key, []).append(one)
    return list(groups.values())


def _without_cluster(message: str, cluster: str | None, instead: str = "\0") -> str:
    """A message with its cluster's name replaced, where it has that once; else the message."""
    if not cluster:
        return message
    name = re.compile(rf"(?<![\w.-]){re.escape(cluster)}(?![\w-])")
    return name.sub(lambda _: instead, message) if len(name.findall(message)) == 1 else message


def _render_fault(
    to: Console, alike: Sequence[Result], title: str, style: str, under: Sequence[Result]
) -> None:
    """Prints a fault of one or several clusters, with what it explains."""
    by_place = {str(found.target): found.problem for found in alike if found.problem}
    problems = list(by_place.values())
    first = problems[0]
    names = few(dict.fromkeys(found.target.cluster or "" for found in alike), _NAMED_AT_MOST)
    problem = replace(
        first,
        message=first.message
        if len(alike) == 1
        else _without_cluster(first.message, alike[0].target.cluster, names),
        seen=_of_each({place: one.seen for place, one in by_place.items()}),
        expected=_of_each({place: one.expected for place, one in by_place.items()}),
    )
    more = [("check", alike[0].check.id)]
    more += [("explains", _explains(under))] if under else []
    more += [("because", ", ".join(map(str, alike[0].caused_by)))] if alike[0].caused_by else []
    hints = list(dict.fromkeys(hint for one in problems if (hint := hint_of(one))))
    where = few(by_place, _NAMED_AT_MOST) if alike[0].target.cluster else ""
    print_problem(to, problem, f"{title}[{problem.code}]", where, style=style, hints=hints, more=more)


def _of_each(texts: Mapping[str, str | None]) -> str | None:
    """A text that is the same of every place; else that of each."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"{place}: {text}" for place, text in texts.items() if text)


def _explains(under: Sequence[Result]) -> str:
    failed = [one for one in under if one.verdict is Verdict.FAILED]
    unknown = [one for one in under if one.verdict is Verdict.UNKNOWN]
    parts = [f"{len(failed)} failed ({_ids(failed)})"] if failed else []
    parts += [f"{len(unknown)} unknown ({_ids(unknown)})"] if unknown else []
    return ", ".join(parts)


def _ids(found: Iterable[Result]) -> str:
    return few(dict.fromkeys(one.check.id for one in found), _NAMED_AT_MOST)


# Every check


def _render_checks(result: VerifyResult, console: Console) -> None:
    """Prints every topic and below it every check, those places in one line of which the same is seen."""
    for topic in dict.fromkeys(found.check.topic for found in result.results):
        console.print(Text(topic, style="bold"))
        for check in dict.fromkeys(found.check for found in result.results if found.check.topic == topic):
            _render_check(console, check, [found for found in result.results if found.check is check])


def _render_check(console: Console, check: Check, found: Sequence[Result]) -> None:
    well = [one for one in found if one.verdict is Verdict.OK]
    if well:
        _line(console, _MARKS[Verdict.OK], f"{_places(well)}  {check.passes}{_seen(well)}")
    for alike in _alike([one for one in found if one.verdict is not Verdict.OK]):
        one = alike[0]
        because = f" (because of {', '.join(map(str, one.caused_by))})" if one.caused_by else ""
        text = f"{_places(alike)}  {_outcome(one)}{because}  [{check.id}]"
        _line(console, mark(one), text)


def _alike(found: Iterable[Result]) -> list[list[Result]]:
    """What reads the same of several places together."""
    groups: dict[object, list[Result]] = {}
    for one in found:
        groups.setdefault((one.check.id, one.verdict, _outcome(one), one.caused_by), []).append(one)
    return list(groups.values())


def _outcome(found: Result) -> str:
    """What a check that did not pass reports, in one line; `unknown` where a cause explains it."""
    seen = one_line(found.seen)
    if found.verdict is Verdict.UNKNOWN:
        return f"{found.sentence}: {seen or 'unknown'}"
    return f"{found.sentence} ({seen})" if seen and seen not in found.sentence else found.sentence


def _line(console: Console, sign: tuple[str, str], text: str) -> None:
    print_wrapped(console, text.split(" "), indent=4, first=Text.assemble("  ", sign, " "))


def _places(found: Sequence[Result]) -> str:
    if len(found) > _NAMED_AT_MOST or (found[0].check.scope is Scope.PAIR and len(found) > _PAIRS_AT_MOST):
        return f"{len(found)} {'pairs' if found[0].check.scope is Scope.PAIR else 'clusters'}"
    return ", ".join(str(one.target) for one in found)


def _seen(found: Sequence[Result]) -> str:
    """What was found where a check passed: once where it is the same; nothing where it is too much."""
    different = dict.fromkeys(one_line(one.seen) for one in found)
    if len(different) == 1:
        (seen,) = different
        return f" ({seen})" if seen else ""
    text = ", ".join(f"{one.target}: {one_line(one.seen)}" for one in found if one.seen)
    return f" ({text})" if len(text) <= _SEEN_AT_MOST else ""


def _render_matrix(result: VerifyResult, console: Console, *, show_all: bool) -> None:
    pairs = {
        (found.target.cluster, found.target.peer): found
        for found in result.results
        if found.check.id == _SYNCED
    }
    names = list(result.facts.clusters)
    if not show_all and not any(found.verdict is Verdict.FAILED for found in pairs.values()):
        return
    if not pairs or len(names) > _MATRIX_AT_MOST:
        return  # of so many, every fault is printed, and the rest is a number
    console.print(Text("\nremote clusters by istiod", style="bold"))
    rows = table("FROM \\ TO", *names)
    for name in names:
        cells: list[Text] = []
        for peer in names:
            found = pairs.get((name, peer))
            if found is None:
                cells.append(Text("-"))
            else:
                sign, style = mark(found)
                cells.append(Text(f"{sign} {one_line(found.seen)}", style=style))
        rows.add_row(name, *cells)
    print_words(console, rows)
