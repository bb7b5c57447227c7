"""All checks with all their targets, in one collapsed table per topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.model import Scope
from istio_mc.present.html.markup import Markup, State, badge, check_anchor, join, state_of, tag, worst
from istio_mc.present.output.language import name_of, number_of, passes_of, translated, words
from istio_mc.present.verify.faults import counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.checks.model import Check, Result
    from istio_mc.present.html.markup import Anchors

_MOST_NAMED = 4
_MANY = {
    Scope.CLUSTER: ("cluster", "every cluster ({count})"),
    Scope.PAIR: ("pair", "every pair ({count})"),
    Scope.MESH: ("mesh", "every mesh ({count})"),
}
_HEADS = ("check", "passes if", "result", "for", "seen")


def listing(results: Sequence[Result], names: Anchors) -> Markup:
    """The tables, all folded: what is wrong is above them in full, and links to their lines."""
    topics: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        topics.setdefault(result.check.topic, {}).setdefault(result.check.id, []).append(result)
    return join(*(_topic(topic, checks, names) for topic, checks in topics.items()))


def _topic(topic: str, checks: Mapping[str, Sequence[Result]], names: Anchors) -> Markup:
    results = [result for of_check in checks.values() for result in of_check]
    table = tag(
        "table",
        tag("caption", topic, class_="hidden"),
        tag("thead", tag("tr", *(tag("th", words(name), scope="col") for name in _HEADS))),
        *(tag("tbody", *_check(of_check[0].check, of_check, names)) for of_check in checks.values()),
        class_="cards checks",
    )
    return tag(
        "details",
        tag("summary", badge(worst(results)), " ", tag("strong", topic), f" {counts(results)}"),
        tag(
            "div",
            table,
            class_="scroll",
            role="region",
            tabindex="0",
            aria_label=words("checks of {topic}", topic=topic),
        ),
    )


def _check(check: Check, results: Sequence[Result], names: Anchors) -> list[Markup]:
    alike: dict[tuple[State, str], list[Result]] = {}
    for result in results:
        alike.setdefault((state_of(result), result.seen), []).append(result)
    worst_first = sorted(alike.items(), key=lambda entry: -entry[0][0])
    heads = [
        tag(
            "th",
            tag("code", check.id),
            scope="rowgroup",
            rowspan=len(alike),
            id=check_anchor(check.id),
        ),
        tag("td", passes_of(check), rowspan=len(alike), data_label=words(_HEADS[1])),
    ]
    rows = []
    for (state, seen), same in worst_first:
        cells = (
            tag("td", badge(state, state.word), data_label=words(_HEADS[2])),
            tag("td", _targets(same, len(results), names), data_label=words(_HEADS[3])),
            tag("td", translated(seen) or "–", data_label=words(_HEADS[4])),
        )
        rows.append(tag("tr", *heads, *cells))
        heads = []
    return rows


def _targets(same: Sequence[Result], total: int, names: Anchors) -> Markup:
    shown = [_target(result, names) for result in same]
    if len(shown) <= _MOST_NAMED:
        return _lines(shown)
    kind, every = _MANY[same[0].check.scope]
    if len(shown) == total:
        return tag("span", words(every, count=f"{total:,}"))
    return tag("details", tag("summary", number_of(len(shown), kind)), _lines(shown))


def _lines(shown: Sequence[Markup]) -> Markup:
    return tag("ul", *(tag("li", each) for each in shown), class_="plain")


def _target(result: Result, names: Anchors) -> Markup:
    name = names.get((result.check.id, result.target))
    text = name_of(result.target)
    return tag("a", text, href=f"#{name}") if name else tag("span", text)
