"""Certificates on a time line from now on, and in a table."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from istio_mc.domain.text import plural
from istio_mc.present.html.certificates import soonest
from istio_mc.present.html.markup import Markup, State, badge, clipped, join, left, moment, tag

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from istio_mc.present.html.certificates import Shown

MOST_BARS = 40
_MOST_ROWS = 20
_MOST_HOLDERS = 3
_WIDTH, _NAMES, _ENDS, _ROW, _TOP = 940, 290, 150, 22, 34
_BAR = 10
_NAME_FITS = 36
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


def timeline(shown: Sequence[Shown], now: datetime) -> Markup:
    """The drawing: how long each is valid from now on, on a scale on which hours and years both have room."""
    bars = soonest(shown, MOST_BARS)
    height = _TOP + _ROW * len(bars) + 8
    ill = [one.name for one in shown if one.state is State.FAILED]
    names = Counter(one.name for one in bars)
    told = f"{plural(len(bars), 'certificate')}; not valid now: {', '.join(ill) or 'none'}."
    drawing = tag(
        "svg",
        tag("title", "When certificates expire", id="timeline-title"),
        tag("desc", told, id="timeline-desc"),
        *(_tick(at, text, height) for at, text in _TICKS),
        *(_bar(one, _name(one, names), now, _TOP + _ROW * number) for number, one in enumerate(bars)),
        viewBox=f"0 0 {_WIDTH} {height}",
        width=_WIDTH,
        height=height,
        role="img",
        aria_labelledby="timeline-title timeline-desc",
        class_="timeline",
    )
    box = tag(
        "div", drawing, class_="scroll", role="region", tabindex="0", aria_label="time line of certificates"
    )
    missing = len(shown) - len(bars)
    note = f"The {len(bars)} that expire first; {missing} more are in the table." if missing else None
    return join(box, tag("p", note, class_="note") if note else None)


def _x(span: timedelta) -> float:
    """Where a time from now on stands: logarithmic, an hour to the right of now and ten years at the end."""
    hours = max(0.0, span / timedelta(hours=1))
    most = math.log1p(_TICKS[-1][0] / timedelta(hours=1))
    return _NAMES + (_WIDTH - _NAMES - _ENDS) * min(1.0, math.log1p(hours) / most)


def _tick(at: timedelta, text: str, height: int) -> Markup:
    x = _x(at)
    return tag(
        "g",
        tag("line", x1=x, x2=x, y1=_TOP - 8, y2=height - 4, class_="tick"),
        tag("text", text, x=x, y=_TOP - 14, text_anchor="middle" if at else "end", class_="tick-name"),
    )


def _name(one: Shown, names: Counter[str]) -> str:
    """What stands beside a bar; an authority that was renewed is there twice, and its fingerprint tells."""
    if names[one.name] == 1:
        return clipped(one.name, _NAME_FITS)
    mark = f" {one.facts.fingerprint[:_MARK]}…"
    return clipped(one.name, _NAME_FITS - len(mark)) + mark


def _bar(one: Shown, name: str, now: datetime, y: int) -> Markup:
    begin, end = _x(timedelta(0)), _x(one.facts.not_after - now)
    middle = y + _ROW / 2
    told = left(one.facts.not_after, now) if one.facts.not_before <= now else "not valid yet"
    return tag(
        "g",
        tag("title", f"{one.name}\n{one.role}\n{moment(one.facts.not_after)}\n{'; '.join(one.holders)}"),
        tag("text", name, x=0, y=middle + 4, class_="name"),
        tag(
            "rect",
            x=begin,
            y=middle - _BAR / 2,
            width=max(3.0, end - begin),
            height=_BAR,
            rx=3,
            class_=f"bar {one.state.style}",
        ),
        tag("text", f"{one.state.sign} {told}", x=end + 8, y=middle + 4, class_=f"text {one.state.style}"),
    )


def table(shown: Sequence[Shown], now: datetime) -> Markup:
    """The same in words, with issuer, key and fingerprint."""
    names = ("", "certificate", "role", "valid until", "issued by", "key", "SHA-256", "seen in")
    head = tag(
        "tr", *(tag("th", name or tag("span", "state", class_="hidden"), scope="col") for name in names)
    )
    rows = [_row(one, now) for one in shown]
    whole = tag(
        "table",
        tag("caption", "Certificates", class_="hidden"),
        tag("thead", head),
        tag("tbody", *rows),
        class_="certificates",
    )
    box = tag("div", whole, class_="scroll", role="region", tabindex="0", aria_label="table of certificates")
    return tag(
        "details", tag("summary", plural(len(shown), "certificate")), box, open=len(shown) <= _MOST_ROWS
    )


def _row(one: Shown, now: datetime) -> Markup:
    holders = list(one.holders[:_MOST_HOLDERS])
    rest = one.holders[_MOST_HOLDERS:]
    more = tag("details", tag("summary", f"{len(rest)} more"), *_lines(rest)) if rest else None
    names = ", ".join(name for name in one.facts.names if name != one.name)
    return tag(
        "tr",
        tag("td", badge(one.state)),
        tag("th", one.name, tag("div", names, class_="small") if names else None, scope="row"),
        tag("td", one.role),
        tag(
            "td",
            tag("time", moment(one.facts.not_after), datetime=one.facts.not_after.isoformat()),
            tag("div", left(one.facts.not_after, now), class_="small"),
        ),
        tag("td", one.facts.issuer),
        tag("td", one.facts.key),
        tag("td", tag("code", one.facts.fingerprint[:_FINGERPRINT] + "…", title=one.facts.fingerprint)),
        tag("td", *_lines(holders), more),
    )


def _lines(texts: Sequence[str]) -> list[Markup]:
    return [tag("div", text) for text in texts]
