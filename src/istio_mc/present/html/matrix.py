"""Reachability: a table of all ordered pairs for each topic, and one of the tests from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.model import Scope
from istio_mc.domain.text import plural
from istio_mc.present.html.markup import Markup, State, clipped_name, join, state_of, tag, worst
from istio_mc.present.html.topology import DATA_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from istio_mc.checks.model import Result

_MOST_WORDS = 6
"""Above so many clusters a cell has a sign alone."""

_MOST_LETTERS = 25
"""Of a cluster's name: the names stay beside the rows where a table is moved aside, as on a phone."""


def matrices(results: Sequence[Result], names: Sequence[str]) -> Markup:
    """A table for each topic that has checks of ordered pairs; one of the data path as tried from here."""
    topics = dict.fromkeys(result.check.topic for result in results if result.check.scope is Scope.PAIR)
    tables = [_pairs(topic, [r for r in results if r.check.topic == topic], names) for topic in topics]
    from_here = [r for r in results if r.check.topic == DATA_PATH and r.check.scope is Scope.CLUSTER]
    if from_here:
        tables.append(_from_here(from_here, names))
    return join(*tables) if tables else tag("p", "No check of two clusters was run.")


def _pairs(topic: str, results: Iterable[Result], names: Sequence[str]) -> Markup:
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if result.target.cluster and result.target.peer:
            found.setdefault((result.target.cluster, result.target.peer), []).append(result)
    words = len(names) <= _MOST_WORDS
    rows = [
        tag(
            "tr",
            tag("th", clipped_name(name, _MOST_LETTERS), scope="row", title=name),
            *(_cell(found.get((name, peer), []), f"{name} → {peer}", words=words) for peer in names),
        )
        for name in names
    ]
    return _table(
        f"{topic}: from each cluster (row) to each other (column)", "from \\ to", names, rows, words
    )


def _cell(results: Sequence[Result], pair: str, *, words: bool) -> Markup:
    state = worst(results)
    if state is State.NONE:
        return tag("td", tag("span", "–", aria_hidden="true"), class_="cell none")
    ill = [result for result in results if state_of(result) is state]
    label = _label(state, ill, len(results))
    sign = tag("span", state.sign, aria_hidden="true")
    word = tag("span", f"{state.word}: " if state is not State.OK else f"{state.word} ", class_="hidden")
    seen = (
        "; ".join(f"{result.check.id}: {result.seen}" for result in ill) if state is not State.OK else label
    )
    return tag(
        "td",
        sign,
        word if words else tag("span", f"{state.word}: {label}", class_="hidden"),
        f" {label}" if words else None,
        class_=f"cell {state.style}",
        title=f"{pair}: {seen}",
    )


def _label(state: State, ill: Sequence[Result], asked: int) -> str:
    if state is State.OK:
        return plural(asked, "check")
    first = next((result for result in ill if not result.caused_by), ill[0])
    more = f" +{len(ill) - 1}" if len(ill) > 1 else ""
    return f"{first.check.id.rpartition('.')[2]}{more}"


def _from_here(results: Sequence[Result], names: Sequence[str]) -> Markup:
    by_check: dict[str, dict[str, Result]] = {}
    words: dict[str, str] = {}
    for result in results:
        by_check.setdefault(result.check.id, {})[str(result.target.cluster)] = result
        words[result.check.id] = result.check.title
    rows = [
        tag(
            "tr",
            tag("th", check.rpartition(".")[2], scope="row", title=words[check]),
            *(_seen(found.get(name), f"{check} {name}", words=len(names) <= _MOST_WORDS) for name in names),
        )
        for check, found in by_check.items()
    ]
    caption = f"{DATA_PATH}: from this machine to each cluster's gateway"
    return _table(caption, "step", names, rows, len(names) <= _MOST_WORDS)


def _seen(result: Result | None, where: str, *, words: bool) -> Markup:
    if result is None:
        return tag("td", tag("span", "–", aria_hidden="true"), class_="cell none")
    state = state_of(result)
    return tag(
        "td",
        tag("span", state.sign, aria_hidden="true"),
        tag("span", f"{state.word}: ", class_="hidden"),
        f" {result.seen}" if words else None,
        class_=f"cell {state.style} text",
        title=f"{where}: {result.seen}",
    )


def _table(caption: str, corner: str, names: Sequence[str], rows: Iterable[Markup], words: bool) -> Markup:  # noqa: FBT001
    heads = (
        tag("th", tag("span", clipped_name(name, _MOST_LETTERS)), scope="col", title=name) for name in names
    )
    head = tag("tr", tag("th", corner, scope="col"), *heads)
    table = tag(
        "table",
        tag("caption", tag("span", caption)),
        tag("thead", head),
        tag("tbody", *rows),
        class_="matrix" if words else "matrix narrow",
    )
    return tag("div", table, class_="scroll", role="region", tabindex="0", aria_label=caption)
