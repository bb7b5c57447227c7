"""Output of status --watch: redrawn on a terminal, one block per read in a pipe."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.segment import SegmentLines
from rich.text import Text

from istio_mc.domain import yamltext
from istio_mc.gateways.host import signals
from istio_mc.present import status
from istio_mc.present.output import encoding, terminal
from istio_mc.present.output.envelope import Envelope, Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType

    from istio_mc.ops.status import StatusResult

_COMMAND = "status"


def watch(readings: Iterator[StatusResult], *, output: str, color: bool, every_s: float) -> Exit:
    """Shows one reading after the other until Ctrl-C or SIGTERM.

    Args:
        readings: What to show; closed at the end.
        output: `table`, `json` (one envelope a line) or `yaml` (one document a reading).
        every_s: Seconds between readings, for the heading.

    Returns:
        What the last reading would have ended with; 130 where there was none yet.
    """
    console = terminal.console(color=color)
    last: StatusResult | None = None
    live = Live(console=console, screen=True, auto_refresh=False) if _moves(console, output) else None
    with contextlib.suppress(KeyboardInterrupt), live or contextlib.nullcontext():
        for last in readings:
            if live:
                heading = Text(f"{_now()}, every {every_s:.0f} s; Ctrl-C to quit", style="dim")
                shown = fitted(console, Group(heading, status.screen(last, console.width)))
                live.update(shown, refresh=True)
            else:
                with signals.deferred():  # or what was written already might be written once more at the end
                    _print(console, last, output)
    if last is None:
        return Exit.INTERRUPTED
    if live:
        # The screen that was redrawn is gone with it; what it showed last stays.
        console.print(status.screen(last, console.width))
    return status.report(last).exit


def fitted(console: Console, shown: RenderableType) -> RenderableType:
    """What a terminal has the height for; where that is not all, its last line says how much is missing."""
    lines = console.render_lines(shown, pad=False)
    if len(lines) <= console.height:
        return shown
    kept = lines[: max(0, console.height - 1)]
    hidden = f"… {len(lines) - len(kept)} more lines: a higher window shows them, and so does istio-mc status"
    note = Text(hidden, style="yellow", no_wrap=True, overflow="ellipsis")
    return Group(SegmentLines(kept, new_lines=True), note)


def _moves(console: Console, output: str) -> bool:
    return output == "table" and console.is_terminal


def _print(console: Console, result: StatusResult, output: str) -> None:
    report = status.report(result)
    if output == "table":
        console.print(Text(_now(), style="bold"))
        report.render(console)
        console.print()
    else:
        document = Envelope(_COMMAND, report.exit, report.data, report.errors, report.warnings).document()
        plain, escaped = (partial(_text, document, output, ascii_only=only) for only in (False, True))
        encoding.write(encoding.Texts.of_document(plain, escaped))
    sys.stdout.flush()


def _text(document: dict[str, Any], output: str, *, ascii_only: bool) -> str:
    if output == "json":
        return json.dumps(document, ensure_ascii=ascii_only) + "\n"
    return "---\n" + yamltext.dump(document, ascii_only=ascii_only)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
