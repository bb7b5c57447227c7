"""verify for people: by topic, what is well in one line, and what a fault explains folded under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from istio_mc.checks.model import Cause, Check, Result, Scope, Verdict
from istio_mc.domain.istio.services import merged
from istio_mc.present.output.services import render_services
from istio_mc.present.output.terminal import print_words, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

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


def render(result: VerifyResult, console: Console) -> None:
    """Prints every topic, whom each istiod sees, and how many results there are of each kind."""
    folded = _folded(result.results)
    hidden = {id(found) for those in folded.values() for found in those}
    told = [found for found in result.results if id(found) not in hidden]
    for topic in dict.fromkeys(found.check.topic for found in told):
        console.print(Text(topic, style="bold"))
        for check in dict.fromkeys(found.check for found in told if found.check.topic == topic):
            _render_check(console, check, [found for found in told if found.check is check], folded)
    _render_matrix(result, console)
    render_services(merged(result.facts.services), console)
    console.print("\n" + summary(result))


def summary(result: VerifyResult) -> str:
    """How many results there are of each kind, in one line."""
    passed = sum(found.verdict is Verdict.OK for found in result.results)
    unknown = sum(found.verdict is Verdict.UNKNOWN for found in result.results)
    failed = len(result.failed)
    roots = len(result.root_causes)
    told = [f"{passed} passed", f"{failed} failed"]
    if roots != failed:
        told[-1] += f" ({roots} of them the root)"
    told += [f"{len(result.warned)} to know of"] if result.warned else []
    told += [f"{unknown} cannot be told"] if unknown else []
    return ", ".join(told)


def mark(found: Result) -> tuple[str, str]:
    """The sign of a result, and its colour."""
    return _WARNED if found.is_warning else _MARKS[found.verdict]


def one_line(text: str) -> str:
    """A text that a cluster, a server or a program gave, without line breaks and what moves a cursor."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


def _folded(results: Sequence[Result]) -> Mapping[Cause, list[Result]]:
    """What each fault explains, each result under the first of its causes that is told."""
    told = {Cause(found.check.id, found.target) for found in results}
    folded: dict[Cause, list[Result]] = {}
    for found in results:
        cause = next((cause for cause in found.caused_by if cause in told), None)
        if cause:
            folded.setdefault(cause, []).append(found)
    return folded


def _render_check(
    console: Console, check: Check, found: Sequence[Result], folded: Mapping[Cause, Sequence[Result]]
) -> None:
    well = [one for one in found if one.verdict is Verdict.OK]
    if well:
        _line(console, _MARKS[Verdict.OK], f"{_places(well)}  {check.passes}{_seen(well)}")
    for alike in _alike([one for one in found if one.verdict is not Verdict.OK], folded):
        one = alike[0]
        because = f" (because of {', '.join(map(str, one.caused_by))})" if one.caused_by else ""
        text = f"{_places(alike)}  {_outcome(one)}{because}  [{check.id}]"
        _line(console, mark(one), text)
        if under := folded.get(Cause(check.id, one.target)):
            console.print(Text(f"      {_explained(under)}", style="dim"), soft_wrap=True)


def _alike(found: Iterable[Result], folded: Mapping[Cause, Sequence[Result]]) -> list[list[Result]]:
    """What reads the same of several places together; a fault that explains others stays alone."""
    groups: dict[object, list[Result]] = {}
    for one in found:
        cause = Cause(one.check.id, one.target)
        alone = cause if cause in folded else None
        groups.setdefault((one.verdict, _outcome(one), one.caused_by, alone), []).append(one)
    return list(groups.values())


def _outcome(found: Result) -> str:
    """What a check that did not pass reports, in one line; `unknown` where a cause explains it."""
    seen = one_line(found.seen)
    if found.verdict is Verdict.UNKNOWN:
        return f"{found.sentence}: {seen or 'unknown'}"
    return f"{found.sentence} ({seen})" if seen and seen not in found.sentence else found.sentence


def _line(console: Console, sign: tuple[str, str], text: str) -> None:
    console.print(Text.assemble("  ", sign, f" {text}"), soft_wrap=True)


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


def _explained(under: Sequence[Result]) -> str:
    failed = [one for one in under if one.verdict is Verdict.FAILED]
    unknown = [one for one in under if one.verdict is Verdict.UNKNOWN]
    parts = [f"{len(failed)} more failed ({_ids(failed)})"] if failed else []
    parts += [f"{len(unknown)} cannot be told ({_ids(unknown)})"] if unknown else []
    return "because of it " + ", ".join(parts)


def _ids(found: Iterable[Result]) -> str:
    ids = list(dict.fromkeys(one.check.id for one in found))
    more = len(ids) - _NAMED_AT_MOST
    return ", ".join(ids[:_NAMED_AT_MOST]) + (f", and {more} other checks" if more > 0 else "")


def _render_matrix(result: VerifyResult, console: Console) -> None:
    pairs = {
        (found.target.cluster, found.target.peer): found
        for found in result.results
        if found.check.id == _SYNCED
    }
    names = list(result.facts.clusters)
    if not pairs or len(names) > _MATRIX_AT_MOST:
        return  # of so many, what is not well is told above, and the rest is a number there
    console.print(Text("\nwhom each istiod sees", style="bold"))
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
