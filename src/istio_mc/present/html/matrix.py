"""Reachability tables: all ordered pairs of clusters for each topic, and the tests from this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.model import Scope
from istio_mc.present.html.markup import Markup, State, clipped_name, join, state_of, tag, worst
from istio_mc.present.html.topology import DATA_PATH
from istio_mc.present.output.language import number_of, title_of, translated, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from istio_mc.checks.model import Result
    from istio_mc.present.html.markup import Anchors

_MOST_WORDS = 6
"""Above so many clusters a cell has a sign alone."""

_MOST_LETTERS = 25
"""Of a cluster's name: the names stay beside the rows where a table is moved aside, as on a phone."""


def matrices(results: Sequence[Result], names: Sequence[str], cards: Anchors) -> Markup:
    """A table for each topic that has checks of ordered pairs; one of the data path as tried from here."""
    topics = dict.fromkeys(result.check.topic for result in results if result.check.scope is Scope.PAIR)
    tables = [
        _pairs(topic, [result for result in results if result.check.topic == topic], names, cards)
        for topic in topics
    ]
    from_here = [r for r in results if r.check.topic == DATA_PATH and r.check.scope is Scope.CLUSTER]
    if from_here:
        tables.append(_from_here(from_here, names, cards))
    return join(*tables) if tables else tag("p", words("No check of two clusters was run."))


def _pairs(topic: str, results: Iterable[Result], names: Sequence[str], cards: Anchors) -> Markup:
    by_pair: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if result.target.cluster and result.target.peer:
            by_pair.setdefault((result.target.cluster, result.target.peer), []).append(result)
    with_words = len(names) <= _MOST_WORDS
    rows = [
        tag(
            "tr",
            tag("th", clipped_name(name, _MOST_LETTERS), scope="row", title=name),
            *(
                _cell(by_pair.get((name, peer), []), f"{name} → {peer}", cards, with_words=with_words)
                for peer in names
            ),
        )
        for name in names
    ]
    return _table(
        words("{topic}: from row to column", topic=topic),
        words("from \\ to"),
        names,
        rows,
        with_words=with_words,
    )


def _cell(results: Sequence[Result], pair: str, cards: Anchors, *, with_words: bool) -> Markup:
    """The worst result of a pair; one that failed links to its card."""
    state = worst(results)
    if state is State.NONE:
        return tag("td", tag("span", "–", aria_hidden="true"), class_="cell none")
    same = [result for result in results if state_of(result) is state]
    label = _label(state, same, len(results))
    seen = (
        [label] if state is State.OK else [f"{result.check.id}: {translated(result.seen)}" for result in same]
    )
    return tag(
        "td",
        _linked(same, cards, _signed(state, label, with_words=with_words)),
        class_=f"cell {state.style}",
        title=f"{pair}: {'; '.join(seen)}",
    )


def _signed(state: State, label: str, *, with_words: bool) -> Markup:
    """A sign with its label; the state's word, and a label without room, for screen readers alone."""
    sign = tag("span", state.sign, aria_hidden="true")
    if not with_words:
        return join(sign, tag("span", f"{state.word}: {label}", class_="hidden"))
    return join(
        sign,
        tag("span", f"{state.word}: ", class_="hidden"),
        tag("span", f" {label}", class_="what") if label else None,
    )


def _linked(results: Sequence[Result], cards: Anchors, content: Markup) -> Markup:
    """The content; as a link to the first card that there is of the results."""
    names = [cards.get((result.check.id, result.target)) for result in results]
    name = next(filter(None, names), None)
    return tag("a", content, href=f"#{name}") if name else content


def _label(state: State, same: Sequence[Result], total: int) -> str:
    if state is State.OK:
        return number_of(total, "check")
    first = next((result for result in same if not result.caused_by), same[0])
    more = f" +{len(same) - 1}" if len(same) > 1 else ""
    return f"{first.check.id.rpartition('.')[2]}{more}"


def _from_here(results: Sequence[Result], names: Sequence[str], cards: Anchors) -> Markup:
    by_check: dict[str, dict[str, Result]] = {}
    titles: dict[str, str] = {}
    for result in results:
        by_check.setdefault(result.check.id, {})[str(result.target.cluster)] = result
        titles[result.check.id] = title_of(result.check)
    with_words = len(names) <= _MOST_WORDS
    rows = [
        tag(
            "tr",
            tag("th", check.rpartition(".")[2], scope="row", title=titles[check]),
            *(_step(of_check.get(name), name, cards, with_words=with_words) for name in names),
        )
        for check, of_check in by_check.items()
    ]
    caption = words("{topic}: from this machine to each cluster's gateway", topic=DATA_PATH)
    return _table(caption, words("step"), names, rows, with_words=with_words, style="cards")


def _step(result: Result | None, name: str, cards: Anchors, *, with_words: bool) -> Markup:
    if result is None:
        return tag("td", tag("span", "–", aria_hidden="true"), data_label=name, class_="cell none")
    state = state_of(result)
    return tag(
        "td",
        _linked([result], cards, _signed(state, translated(result.seen), with_words=with_words)),
        data_label=name,
        class_=f"cell {state.style} text" if with_words else f"cell {state.style}",
        title=f"{result.check.id} {name}: {translated(result.seen)}",
    )


def _table(
    caption: str,
    corner: str,
    names: Sequence[str],
    rows: Iterable[Markup],
    *,
    with_words: bool,
    style: str = "",
) -> Markup:
    heads = (
        tag("th", tag("span", clipped_name(name, _MOST_LETTERS)), scope="col", title=name) for name in names
    )
    head = tag("tr", tag("th", corner, scope="col"), *heads)
    table = tag(
        "table",
        tag("caption", tag("span", caption)),
        tag("thead", head),
        tag("tbody", *rows),
        class_=f"matrix words {style}".rstrip() if with_words else "matrix narrow",
    )
    return tag("div", table, class_="scroll", role="region", tabindex="0", aria_label=caption)
