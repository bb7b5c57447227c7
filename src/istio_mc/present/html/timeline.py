"""Expiry of certificates, on a time line from now on and in a table."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from istio_mc.present.html.certificates import soonest
from istio_mc.present.html.markup import Markup, State, badge, clipped, join, left, moment, tag
from istio_mc.present.output.language import number_of, words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from istio_mc.present.html.certificates import Shown

MOST_BARS = 40
_MOST_ROWS = 8
_MOST_HOLDERS = 3
_NAME_FITS = 40
_FINGERPRINT, _MARK = 17, 5
_TICKS = (
    (timedelta(0), "now"),
    (timedelta(hours=1), "1 hour"),
    (timedelta(days=1), "1 day"),
    (timedelta(days=7), "1 week"),
    (timedelta(days=30), "30 days"),
    (timedelta(days=365), "1 year"),
    (timedelta(days=3650), "10 years"),
)
_MINOR = "1 hour"
"""Its name has no room beside the others on a phone."""


def timeline(shown: Sequence[Shown], now: datetime) -> Markup:
    """A bar for how long each is valid from now on, on a scale on which hours and years both have room."""
    bars = soonest(shown, MOST_BARS)
    invalid = [one.name for one in shown if one.state is State.FAILED]
    names = Counter(one.name for one in bars)
    drawing = tag(
        "div",
        tag("div", *(_tick(at, text) for at, text in _TICKS), class_="scale"),
        *(_life(one, _name(one, names), now) for one in bars),
        role="img",
        aria_label=words(
            "When certificates expire: {certificates}; not valid now: {names}.",
            certificates=number_of(len(bars), "certificate"),
            names=", ".join(invalid) or words("none"),
        ),
        class_="timeline",
    )
    missing = len(shown) - len(bars)
    note = (
        words("The {count} that expire first; {more} more are in the table.", count=len(bars), more=missing)
        if missing
        else None
    )
    return join(drawing, tag("p", note, class_="note") if note else None)


def _percent(span: timedelta) -> str:
    """The place of a time from now on: logarithmic, from now to ten years."""
    hours = max(0.0, span / timedelta(hours=1))
    most = math.log1p(_TICKS[-1][0] / timedelta(hours=1))
    return f"{100 * min(1.0, math.log1p(hours) / most):.1f}%"


def _tick(at: timedelta, text: str) -> Markup:
    style = "tick minor" if text == _MINOR else "tick"
    return tag("div", tag("span", words(text)), style=f"left:{_percent(at)}", class_=style)


def _name(one: Shown, names: Counter[str]) -> str:
    """The text beside a bar; with the fingerprint's beginning where a renewed authority has the same name."""
    if names[one.name] == 1:
        return clipped(one.name, _NAME_FITS)
    mark = f" {one.facts.fingerprint[:_MARK]}…"
    return clipped(one.name, _NAME_FITS - len(mark)) + mark


def _life(one: Shown, name: str, now: datetime) -> Markup:
    rest = left(one.facts.not_after, now) if one.facts.not_before <= now else words("not valid yet")
    width = _percent(one.facts.not_after - now)
    return tag(
        "div",
        tag("span", name, class_="name"),
        tag("span", tag("span", style=f"width:{width}", class_=f"bar {one.state.style}"), class_="track"),
        tag("span", f"{one.state.sign} {rest}", class_=f"rest {one.state.style}"),
        title=f"{one.name}\n{words(one.role)}\n{moment(one.facts.not_after)}\n{'; '.join(one.holders)}",
        class_="life",
    )


_HEADS = ("", "certificate", "valid until", "issued by", "SHA-256", "seen in")


def table(shown: Sequence[Shown], now: datetime) -> Markup:
    """The same in words, with issuer, key and fingerprint."""
    head = tag(
        "tr",
        *(
            tag("th", words(name) if name else tag("span", words("state"), class_="hidden"), scope="col")
            for name in _HEADS
        ),
    )
    whole = tag(
        "table",
        tag("caption", words("Certificates"), class_="hidden"),
        tag("thead", head),
        tag("tbody", *(_row(one, now) for one in shown)),
        class_="cards certificates",
    )
    box = tag(
        "div", whole, class_="scroll", role="region", tabindex="0", aria_label=words("table of certificates")
    )
    return tag(
        "details", tag("summary", number_of(len(shown), "certificate")), box, open=len(shown) <= _MOST_ROWS
    )


def _row(one: Shown, now: datetime) -> Markup:
    holders = list(one.holders[:_MOST_HOLDERS])
    rest = one.holders[_MOST_HOLDERS:]
    more = (
        tag("details", tag("summary", words("{count} more", count=len(rest))), *_lines(rest))
        if rest
        else None
    )
    names = ", ".join(name for name in one.facts.names if name != one.name)
    small = [tag("div", text, class_="small") for text in (words(one.role), names) if text]
    cells = (
        join(
            tag("time", moment(one.facts.not_after), datetime=one.facts.not_after.isoformat()),
            tag("div", left(one.facts.not_after, now), class_="small"),
        ),
        join(one.facts.issuer, tag("div", one.facts.key, class_="small")),
        tag("code", one.facts.fingerprint[:_FINGERPRINT] + "…", title=one.facts.fingerprint),
        join(*_lines(holders), more),
    )
    return tag(
        "tr",
        tag("td", badge(one.state)),
        tag("th", one.name, *small, scope="row"),
        *(tag("td", cell, data_label=words(name)) for name, cell in zip(_HEADS[2:], cells, strict=True)),
    )


def _lines(texts: Sequence[str]) -> list[Markup]:
    return [tag("div", text) for text in texts]
