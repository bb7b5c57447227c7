"""What is wrong, one card each: root causes first, then what they explain, then what one should know."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istio_mc.checks.model import Scope, Verdict
from istio_mc.domain.hint import Command
from istio_mc.domain.text import plural
from istio_mc.present.html.markup import Markup, State, badge, join, state_of, tag, worst
from istio_mc.present.output.hints import hint_of
from istio_mc.present.output.problems import docs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.checks.model import Cause, Check, Result, Target
    from istio_mc.domain.problem import Problem


_MOST_OPEN = 12

Anchors = dict[tuple[str, "Target"], str]


def anchors(results: Sequence[Result]) -> Anchors:
    """A name on the page for each result that has a card."""
    ill = [result for result in results if result.verdict is Verdict.FAILED]
    return {(result.check.id, result.target): f"r{number}" for number, result in enumerate(ill, 1)}


def findings(results: Sequence[Result], names: Mapping[tuple[str, Target], str]) -> Markup:
    """The cards; those that a root cause explains, and unknown results, are folded."""
    roots = [result for result in results if result.is_root_cause]
    explained = [result for result in results if result.is_error and not result.is_root_cause]
    warned = [result for result in results if result.is_warning]
    unknown = [result for result in results if result.verdict is Verdict.UNKNOWN]
    if not roots and not explained and not warned and not unknown:
        return tag("p", "Every check passed.")
    return join(
        _group("Root causes", "Fix these first: what they explain goes away with them.", roots, names),
        _group("Explained by a root cause", "", explained, names, fold=True),
        _group("Warnings", "The mesh works in spite of them.", warned, names),
        _unknown(unknown, names),
    )


def _group(
    title: str,
    note: str,
    results: Sequence[Result],
    names: Mapping[tuple[str, Target], str],
    *,
    fold: bool = False,
) -> Markup | None:
    if not results:
        return None
    cards = [_card(same, names) for same in _alike(results)]
    head = tag("h3", f"{title} ({len(results)})")
    if fold:
        return tag("details", tag("summary", head), *cards, class_="group")
    first, rest = cards[:_MOST_OPEN], cards[_MOST_OPEN:]
    more = tag("details", tag("summary", plural(len(rest), "more", "more")), *rest) if rest else None
    return tag("div", head, tag("p", note, class_="note") if note else None, *first, more, class_="group")


def _unknown(results: Sequence[Result], names: Mapping[tuple[str, Target], str]) -> Markup | None:
    """The unknown results by their causes: one fault may explain hundreds of them."""
    if not results:
        return None
    groups: dict[tuple[tuple[Cause, ...], str], dict[str, list[str]]] = {}
    for result in results:
        why = "" if result.caused_by else result.seen
        checks = groups.setdefault((result.caused_by, why), {})
        checks.setdefault(result.check.id, []).append(str(result.target))
    cards = []
    for (causes, why), checks in groups.items():
        reason = _row("because of", _causes(causes, names)) if causes else _row("seen", why)
        items = [tag("li", tag("code", check), f" {', '.join(places)}") for check, places in checks.items()]
        rows = (reason, _row("unknown", tag("ul", *items, class_="plain")))
        cards.append(tag("article", tag("dl", *rows), class_="card unknown"))
    head = tag("h3", f"Unknown ({len(results)})")
    return tag("details", tag("summary", head), *cards, class_="group")


def _alike(results: Sequence[Result]) -> list[list[Result]]:
    """Results that differ in nothing but their target: fifty clusters without metrics are one card."""
    groups: dict[object, list[Result]] = {}
    for result in results:
        problem = replace(result.problem, cluster=None) if result.problem else None
        groups.setdefault((result.check.id, result.seen, problem, result.caused_by), []).append(result)
    return list(groups.values())


def _card(same: Sequence[Result], names: Mapping[tuple[str, Target], str]) -> Markup:
    result = same[0]
    state, problem = state_of(result), result.problem
    title = result.sentence
    targets = [
        tag("span", str(each.target), class_="target", id=names.get((each.check.id, each.target)))
        for each in same
    ]
    listed = [part for target in targets for part in (", ", target)][1:]
    return tag(
        "article",
        tag("h4", badge(state), " ", tag("span", title, class_="title")),
        tag("p", *listed, " ", tag("code", result.check.id), class_="where"),
        tag("dl", *_evidence(result, problem, names)),
        class_=f"card {state.style}",
    )


def _evidence(
    result: Result, problem: Problem | None, names: Mapping[tuple[str, Target], str]
) -> list[Markup]:
    found = [_row("check", result.check.title)]
    found.append(_row("seen", (problem.seen if problem else None) or result.seen))
    if problem and problem.expected:
        found.append(_row("expected", problem.expected))
    if problem and (hint := hint_of(problem)):
        is_command = isinstance(hint, Command)
        text = str(hint)
        found.append(_row("run" if is_command else "do", _command(text) if is_command else text))
    if result.caused_by:
        found.append(_row("because of", _causes(result.caused_by, names)))
    if problem:
        found.append(_row("docs", tag("code", docs(problem))))
    return found


def _row(name: str, content: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", content))


def _command(text: str) -> Markup:
    return tag("pre", tag("code", text), class_="scroll", tabindex="0", role="region", aria_label="command")


def _causes(causes: Sequence[Cause], names: Mapping[tuple[str, Target], str]) -> Markup:
    items = []
    for cause in causes:
        name = names.get((cause.id, cause.target))
        text = join(tag("code", cause.id), f" {cause.target}")
        items.append(tag("li", tag("a", text, href=f"#{name}") if name else text))
    return tag("ul", *items, class_="plain")


_MOST_NAMED = 4
_MANY = {Scope.CLUSTER: "cluster", Scope.PAIR: "pair", Scope.MESH: "mesh"}


def listing(results: Sequence[Result], names: Mapping[tuple[str, Target], str]) -> Markup:
    """A table for each topic, folded where all of it passed."""
    topics: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        topics.setdefault(result.check.topic, {}).setdefault(result.check.id, []).append(result)
    return join(*(_topic(topic, checks, names) for topic, checks in topics.items()))


def _topic(
    topic: str, checks: Mapping[str, Sequence[Result]], names: Mapping[tuple[str, Target], str]
) -> Markup:
    everything = [result for found in checks.values() for result in found]
    passed = sum(state_of(result) is State.OK for result in everything)
    told = f"{passed:,} of {len(everything):,} passed"
    head = tag(
        "tr", *(tag("th", name, scope="col") for name in ("check", "passes if", "result", "for", "seen"))
    )
    table = tag(
        "table",
        tag("caption", topic, class_="hidden"),
        tag("thead", head),
        *(tag("tbody", *_check(found[0].check, found, names)) for found in checks.values()),
        class_="checks",
    )
    return tag(
        "details",
        tag("summary", badge(worst(everything)), " ", tag("strong", topic), f" {told}"),
        tag("div", table, class_="scroll", role="region", tabindex="0", aria_label=f"checks of {topic}"),
        open=worst(everything) > State.OK,
    )


def _check(check: Check, results: Sequence[Result], names: Mapping[tuple[str, Target], str]) -> list[Markup]:
    alike: dict[tuple[State, str], list[Result]] = {}
    for result in results:
        alike.setdefault((state_of(result), result.seen), []).append(result)
    worst_first = sorted(alike.items(), key=lambda entry: -entry[0][0])
    rows = []
    for number, ((state, seen), same) in enumerate(worst_first):
        heads = (
            (
                tag("th", tag("code", check.id), scope="rowgroup", rowspan=len(alike)),
                tag("td", check.passes, rowspan=len(alike)),
            )
            if not number
            else ()
        )
        rows.append(
            tag(
                "tr",
                *heads,
                tag("td", badge(state)),
                tag("td", _targets(same, len(results), names)),
                tag("td", seen),
            )
        )
    return rows


def _targets(same: Sequence[Result], asked: int, names: Mapping[tuple[str, Target], str]) -> Markup:
    shown = [_target(result, names) for result in same]
    if len(shown) <= _MOST_NAMED:
        return _lines(shown)
    kind = _MANY[same[0].check.scope]
    if len(shown) == asked:
        return tag("span", f"every {kind} ({asked:,})")
    return tag("details", tag("summary", plural(len(shown), kind)), _lines(shown))


def _lines(shown: Sequence[Markup]) -> Markup:
    return tag("ul", *(tag("li", each) for each in shown), class_="plain")


def _target(result: Result, names: Mapping[tuple[str, Target], str]) -> Markup:
    name = names.get((result.check.id, result.target))
    text = str(result.target)
    return tag("a", text, href=f"#{name}") if name else tag("span", text)
