"""Every check with what it saw: one line for all targets that say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.model import Scope
from istio_mc.domain.listed import plural
from istio_mc.present.report_html.markup import Markup, join, tag
from istio_mc.present.report_html.state import State, badge, state_of, worst

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from istio_mc.checks.model import Check, Result, Target

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
        "tr", *(tag("th", name, scope="col") for name in ("check", "is true when", "result", "for", "seen"))
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
                tag("td", check.description, rowspan=len(alike)),
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
