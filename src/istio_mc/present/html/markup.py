"""HTML and SVG whose every text is escaped, with the page's style and words for states."""

from __future__ import annotations

import html
import re
import unicodedata
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

from istio_mc.checks.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from istio_mc.checks.model import Result


# Letters that no document may hold, and those that turn the direction of what follows them.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
_VOID = frozenset({"meta", "br", "hr", "link", "col"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content = str | int | None
"""What may stand in an element: markup as it is, any other text escaped, None as nothing."""


def escaped(text: str) -> Markup:
    """A text as it may stand between tags and in an attribute."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)))


def join(*content: Content) -> Markup:
    """One after the other."""
    return Markup(
        "".join(escaped(str(part) if isinstance(part, int) else part) for part in content if part is not None)
    )


def tag(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """An element: `tag("a", "text", href="#x", class_="y", aria_label="z")`.

    An attribute that is None or False is left out; one that is True has no value.
    """
    given = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        given.append(f" {written}" if value is True else f' {written}="{escaped(shown)}"')
    start = f"<{name}{''.join(given)}>"
    return Markup(start if name in _VOID else f"{start}{join(*content)}</{name}>")


STYLE = Markup(
    """
:root{color-scheme:light dark;--paper:#fff;--card:#f6f8fa;--ink:#1f2328;--soft:#57606a;--edge:#d0d7de;
--ok:#1a7f37;--unknown:#57606a;--warning:#8a5a00;--failed:#b42318;--none:#5f6770;--link:#0757b8}
@media (prefers-color-scheme:dark){:root{--paper:#0d1117;--card:#161b22;--ink:#e6edf3;--soft:#9aa4b0;
--edge:#30363d;
--ok:#4cc061;--unknown:#9aa4b0;--warning:#e0a63a;--failed:#ff8a80;--none:#8b949e;--link:#6cb2ff}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans KR","Apple SD Gothic Neo",
"Malgun Gothic",sans-serif}
.page{max-width:1180px;margin:0 auto;padding:20px 24px 48px}
h1{font-size:1.6rem;margin:.2em 0;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2em 0 .6em;padding-bottom:.3em;border-bottom:1px solid var(--edge)}
h3{font-size:1.05rem;margin:1.2em 0 .4em;display:inline-block}
h4{font-size:1rem;margin:0;font-weight:600;overflow-wrap:anywhere}
p{margin:.4em 0}
a{color:var(--link)}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"D2Coding","Noto Sans Mono CJK KR",monospace;
font-size:.9em}
pre code{font-size:1em}
pre{margin:0;padding:8px 10px;background:var(--paper);border:1px solid var(--edge);border-radius:6px}
.skip{position:absolute;left:-9999px}.skip:focus{left:8px;top:8px;background:var(--paper);padding:6px}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.note,.small{color:var(--soft)}.small{font-size:.87em;font-weight:400}
.scroll{overflow-x:auto;max-width:100%;position:relative}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;padding:0;margin:.8em 0}
.verdict{display:flex;flex-wrap:wrap;gap:10px;padding:0;margin:1em 0;list-style:none}
.verdict li{border:1px solid var(--edge);border-left:5px solid;border-radius:6px;padding:6px 14px;
background:var(--card)}
.verdict b{font-size:1.3rem;color:var(--ink)}
.badge,.cell,.sign{white-space:nowrap}
.ok{color:var(--ok)}.unknown{color:var(--unknown)}.warning{color:var(--warning)}
.failed{color:var(--failed)}.none{color:var(--none)}
.card{border:1px solid var(--edge);border-left:5px solid;border-radius:6px;background:var(--card);
padding:10px 14px;margin:10px 0;break-inside:avoid}
.card .title,.card .target,.card dd,.card code{color:var(--ink)}
.card .where{color:var(--soft)}.card .target{font-weight:600}
.target:target{outline:2px solid var(--link)}
dl{margin:.4em 0 0}dl>div{display:grid;grid-template-columns:110px minmax(0,1fr);gap:0 12px;margin:3px 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}dd pre{white-space:pre-wrap}
ul.plain{list-style:none;margin:0;padding:0}
details{margin:.4em 0}summary{cursor:pointer;padding:4px 0}summary h3{margin:0}
table{border-collapse:collapse;font-size:.93rem;min-width:100%}
caption{text-align:left;font-weight:600;padding:10px 0 6px;white-space:nowrap}
th,td{border:1px solid var(--edge);padding:5px 9px;text-align:left;vertical-align:top}
thead th{background:var(--card)}th{font-weight:600}tbody th{background:var(--card)}
table.checks td:nth-last-child(1),table.checks td:nth-child(2){min-width:220px;overflow-wrap:anywhere}
table.clusters td,table.clusters th{overflow-wrap:break-word}table.certificates td{overflow-wrap:anywhere}
table.certificates th[scope=row]{min-width:190px;overflow-wrap:anywhere}
table.certificates td:nth-child(5){min-width:150px}table.certificates td:nth-child(8){min-width:200px}
table.certificates td:nth-child(3),table.certificates td:nth-child(4),
table.certificates td:nth-child(6){white-space:nowrap}
table.checks .plain li,table.checks th,table.certificates code{white-space:nowrap}
table.matrix{min-width:0}
.matrix th:first-child{white-space:nowrap}
.matrix th[scope=row]{position:sticky;left:0;white-space:nowrap;z-index:1}
.matrix:not(.narrow) .text{white-space:normal;min-width:150px;max-width:260px;overflow-wrap:break-word}
.matrix.narrow{font-size:.8rem;line-height:1.3}
.matrix.narrow td{text-align:center;padding:1px 2px;min-width:19px}
.matrix.narrow th{padding:1px 6px}.matrix.narrow thead th{padding:4px 1px}
.matrix.narrow thead th span{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap}
.matrix.narrow thead th{vertical-align:bottom}
.matrix td.failed,.matrix td.warning{font-weight:600;background:var(--card)}
.topology-box{text-align:center}
svg{display:inline-block;vertical-align:top}svg text{fill:var(--ink);font-size:13px}
.topology{max-width:100%;height:auto}
.box{fill:var(--card);stroke:currentColor;stroke-width:2}
.topology .name{font-weight:600;font-size:15px}.topology .line{fill:var(--soft)}
.topology .sign{fill:currentColor;font-weight:700;font-size:16px}
.way{stroke:currentColor;stroke-width:1.8;fill:none}.head{fill:currentColor}
.chord{stroke:currentColor;fill:none}.chord.ok{stroke-width:.6;opacity:.35}
.way.failed{stroke-width:3}.chord.failed{stroke-width:1.2}
.way.warning,.chord.warning{stroke-dasharray:9 3}
.way.unknown,.way.none,.chord.unknown,.chord.none{stroke-dasharray:3 4;opacity:.75}
.chord.unknown,.chord.none{stroke-width:.7}
.dot{fill:currentColor}.label{font-size:12px}.label.failed{font-weight:700;fill:currentColor}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 20px;padding:0;justify-content:center}
.legend svg{vertical-align:middle;margin-right:6px}
.timeline{min-width:940px}.tick{stroke:var(--edge)}.tick-name{fill:var(--soft);font-size:11px}
.bar{fill:currentColor}
.timeline .text{fill:currentColor;font-size:12px;stroke:var(--paper);stroke-width:4px;paint-order:stroke}
footer{margin-top:3em;color:var(--soft);font-size:.9rem;border-top:1px solid var(--edge);padding-top:1em}
@media (max-width:640px){.page{padding:12px 12px 32px}dl>div{grid-template-columns:minmax(0,1fr)}
caption span{position:sticky;left:0;display:inline-block;width:calc(100vw - 24px);white-space:normal}
.verdict li{padding:4px 10px}h1{font-size:1.3rem}.topology-box{text-align:left}}
@media print{:root{--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--edge:#bbb;--ok:#1a7f37;--unknown:#57606a;
--warning:#8a5a00;--failed:#b42318;--none:#5f6770;--link:#000}
body{font-size:11px}.page{max-width:none;padding:0}.scroll{overflow:visible}nav,.skip{display:none}
details::details-content{content-visibility:visible;block-size:auto}
.matrix th[scope=row]{position:static}.topology,.timeline{min-width:0!important;max-width:100%;height:auto}
h2{break-after:avoid}tr{break-inside:avoid}a{text-decoration:none}}
"""
)


_YEAR = timedelta(days=365)
_UNITS = (
    (2 * _YEAR, _YEAR, "years"),
    (timedelta(days=2), timedelta(days=1), "days"),
    (timedelta(hours=2), timedelta(hours=1), "hours"),
    (timedelta(0), timedelta(minutes=1), "minutes"),
)


def width(text: str) -> int:
    """How many Latin letters wide a text is; one of Korean is two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def clipped(text: str, most: int) -> str:
    """A text of at most so many letters' width, with dots at its end where some are missing."""
    return text if width(text) <= most else f"{_fitting(text, most - 1)}…"


def clipped_name(name: str, most: int) -> str:
    """The same of a cluster's name, with the dots in its middle: those of one provider end differently."""
    if width(name) <= most:
        return name
    room = most - 1
    head = _fitting(name, room - room // 2)
    return f"{head}…{_fitting(name[::-1], room - width(head))[::-1]}"


def _fitting(text: str, room: int) -> str:
    kept = ""
    for letter in text:
        room -= width(letter)
        if room < 0:
            break
        kept += letter
    return kept


def left(until: datetime, now: datetime) -> str:
    """How long until then: `3 hours left`, `expired 2 days ago`."""
    span = until - now
    for least, unit, name in _UNITS:
        if abs(span) >= least:
            time = f"{abs(span) // unit} {name}"
            break
    return f"{time} left" if span >= timedelta(0) else f"expired {time} ago"


def moment(when: datetime) -> str:
    """A time as people read it, in UTC."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


class State(IntEnum):
    """From nothing known to the worst; the greater hides the smaller."""

    NONE = 0
    OK = 1
    UNKNOWN = 2
    WARNING = 3
    FAILED = 4

    @property
    def sign(self) -> str:
        """The sign verify has for it."""
        return ("-", "√", "?", "‼", "×")[self]

    @property
    def word(self) -> str:
        """What a screen reader says, and a printer without colours."""
        return ("not run", "passed", "unknown", "warning", "failed")[self]

    @property
    def style(self) -> str:
        """Its class in the style sheet."""
        return ("none", "ok", "unknown", "warning", "failed")[self]


def state_of(result: Result) -> State:
    """How a check came out."""
    if result.verdict is Verdict.OK:
        return State.OK
    if result.verdict is Verdict.UNKNOWN:
        return State.UNKNOWN
    return State.FAILED if result.is_error else State.WARNING


def worst(results: Iterable[Result]) -> State:
    """The worst of several; NONE where there are none."""
    return max((state_of(result) for result in results), default=State.NONE)


def badge(state: State, text: str | None = None) -> Markup:
    """A sign with its word, which only a screen reader reads if there is a text next to it."""
    sign = tag("span", state.sign, aria_hidden="true")
    word = tag("span", state.word, class_="hidden") if text is None else text
    return tag("span", sign, " ", word, class_=f"badge {state.style}")
