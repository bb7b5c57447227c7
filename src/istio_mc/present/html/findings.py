"""Faults, one card each: root causes with their consequences, warnings, unknown results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.model import Verdict
from istio_mc.domain.hint import Command
from istio_mc.present.html.markup import Markup, badge, check_link, join, state_of, tag
from istio_mc.present.output.language import name_of, title_of, translated, words
from istio_mc.present.output.problems import docs
from istio_mc.present.verify.faults import explained, explains, merged_faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from istio_mc.checks.model import Cause, Result
    from istio_mc.domain.hint import Hint
    from istio_mc.present.html.markup import Anchors
    from istio_mc.present.verify.faults import Fault

_MOST_OPEN = 12
_MOST_TARGETS = 12


def anchors(results: Sequence[Result]) -> Anchors:
    """The ID of the place on the page where each failed result has its card."""
    failed = [result for result in results if result.verdict is Verdict.FAILED]
    return {(result.check.id, result.target): f"r{number}" for number, result in enumerate(failed, 1)}


def findings(results: Sequence[Result], names: Anchors) -> Markup:
    """The cards; those that a root cause explains, and unknown results, are folded."""
    roots = [result for result in results if result.is_root_cause]
    because = [result for result in results if result.is_error and not result.is_root_cause]
    warned = [result for result in results if result.is_warning]
    unknown = [result for result in results if result.verdict is Verdict.UNKNOWN]
    if not (roots or because or warned or unknown):
        return tag("p", words("Every check passed."))
    by_cause = explained(results)

    def cards(failed: Sequence[Result]) -> list[Markup]:
        return [_card(fault, names, explains(fault, by_cause)) for fault in merged_faults(failed)]

    return join(
        _group(
            words("Root causes"),
            words("Fix these first: what they explain goes away with them."),
            roots,
            cards(roots),
        ),
        _folded("explained", words("Explained by a root cause"), because, cards(because)),
        _group(words("Warnings"), words("The mesh works despite them."), warned, cards(warned)),
        _folded("unknown", words("Unknown"), unknown, _unknown(unknown, names)),
    )


def _group(title: str, note: str, results: Sequence[Result], cards: Sequence[Markup]) -> Markup | None:
    if not results:
        return None
    first, rest = cards[:_MOST_OPEN], cards[_MOST_OPEN:]
    more = tag("details", tag("summary", words("{count} more", count=len(rest))), *rest) if rest else None
    head = tag("h3", f"{title} ({len(results):,})")
    return tag("div", head, tag("p", note, class_="note"), *first, more, class_="group")


def _folded(name: str, title: str, results: Sequence[Result], cards: Sequence[Markup]) -> Markup | None:
    """A group that opens on a click, or by a link to its name: that is inside, for browsers to open it."""
    if not results:
        return None
    head = tag("summary", tag("h3", f"{title} ({len(results):,})"))
    return tag("details", head, tag("div", *cards, id=name), class_="group")


def _unknown(results: Sequence[Result], names: Anchors) -> list[Markup]:
    """The unknown results by their causes: one fault may explain hundreds of them."""
    groups: dict[tuple[tuple[Cause, ...], str], dict[str, list[str]]] = {}
    for result in results:
        why = "" if result.caused_by else result.seen
        checks = groups.setdefault((result.caused_by, why), {})
        checks.setdefault(result.check.id, []).append(name_of(result.target))
    cards = []
    for (causes, why), checks in groups.items():
        reason = (
            _row(words("because"), _causes(causes, names)) if causes else _row(words("seen"), translated(why))
        )
        items = [tag("li", check_link(check), f" {', '.join(places)}") for check, places in checks.items()]
        rows = (reason, _row(words("unknown"), tag("ul", *items, class_="plain")))
        cards.append(tag("article", tag("dl", *rows), class_="card unknown"))
    return cards


def _card(fault: Fault, names: Anchors, explained_text: str) -> Markup:
    state = state_of(fault.results[0])
    return tag(
        "article",
        tag("h4", badge(state), " ", tag("span", translated(fault.problem.message), class_="title")),
        tag("div", *_targets(fault, names), class_="where"),
        tag("dl", *_evidence(fault, names, explained_text)),
        class_=f"card {state.style}",
    )


def _targets(fault: Fault, names: Anchors) -> list[Markup | str]:
    """Each target, with the ID that links to its result have; of many, the last ones folded."""
    spans = [
        tag("span", name_of(one.target), class_="target", id=names.get((one.check.id, one.target)))
        for one in fault.results
    ]

    def listed(some: Sequence[Markup]) -> list[Markup | str]:
        return [part for span in some for part in (", ", span)][1:]

    rest = spans[_MOST_TARGETS:]
    if not rest:
        return listed(spans)
    more = tag("details", tag("summary", words("{count} more", count=len(rest))), *listed(rest))
    return [*listed(spans[:_MOST_TARGETS]), more]


def _evidence(fault: Fault, names: Anchors, explained_text: str) -> list[Markup]:
    problem, first = fault.problem, fault.results[0]
    rows = [_row(words("seen"), translated(problem.seen or first.seen))] if problem.seen or first.seen else []
    rows += [_row(words("expected"), translated(problem.expected))] if problem.expected else []
    rows += [_row(words("fix"), join(*map(_hint, fault.hints)))] if fault.hints else []
    rows += [_row(words("docs"), tag("code", docs(problem)))]
    check = first.check
    rows += [_row(words("check"), join(check_link(check.id), f" {title_of(check)}"))]
    rows += [_row(words("explains"), explained_text)] if explained_text else []
    rows += [_row(words("because"), _causes(first.caused_by, names))] if first.caused_by else []
    return rows


def _row(name: str, content: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", content))


def _hint(hint: Hint) -> Markup:
    """A command in a box, to be copied; advice as text, with the commands in it marked."""
    if isinstance(hint, Command):
        code = tag("code", str(hint))
        return tag("pre", code, class_="scroll", tabindex="0", role="region", aria_label=words("command"))
    parts = (tag("code", str(part)) if isinstance(part, Command) else translated(part) for part in hint.parts)
    return tag("p", *parts)


def _causes(causes: Sequence[Cause], names: Anchors) -> Markup:
    items = []
    for cause in causes:
        name = names.get((cause.id, cause.target))
        text = join(tag("code", cause.id), f" {name_of(cause.target)}")
        items.append(tag("li", tag("a", text, href=f"#{name}") if name else text))
    return tag("ul", *items, class_="plain")
