"""Text for people: consoles, problems, and progress (live on a terminal, plain lines elsewhere)."""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from istio_mc.domain.events import Event, Progress, State, silent
from istio_mc.domain.problem import Code, ProblemError
from istio_mc.present.output.wrap import WIDTH_IN_A_PIPE, is_a_pipe, print_wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_ANY_WIDTH = 100_000
_REPEAT_S = 30.0
_BAR = 24
_GAP = 2
NO_BREAK = "\u00a0"
"""Stands for a space between words that `print_words` does not separate, as a name and its port."""
_LABEL = 12
_LONG = 20
_MARKS = {
    State.DONE: ("√", "green"),
    State.UNCHANGED: ("=", "dim"),
    State.FAILED: ("×", "red"),
}


def console(*, stderr: bool = False, color: bool = True) -> Console:
    """A console on standard output, or standard error; wide in a pipe, so that no line is folded there."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else WIDTH_IN_A_PIPE
    return Console(
        stderr=stderr,
        width=width,
        no_color=not color,
        markup=False,
        highlight=False,
        soft_wrap=False,
        emoji=False,
    )


def table(*headers: str) -> Table:
    """A table without frames, as kubectl prints them."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for header in headers:
        made.add_column(header, overflow="fold")
    return made


def print_untruncated(to: Console, rows: Table) -> None:
    """Prints a table; too wide for a terminal, each row as lines of their own, so that names stay whole.

    Args:
        rows: A table of text. Columns without a header, and the first that has one, make a row's title.
    """
    rows = _encoded(to, rows)
    desired = to.measure(rows, options=to.options.update(width=_ANY_WIDTH)).maximum
    if desired <= to.width or is_a_pipe(to):
        width, to.width = to.width, max(desired, to.width)
        to.print(rows)
        to.width = width
        return
    labels = [str(column.header) for column in rows.columns]
    named = next(index for index, label in enumerate(labels) if label) + 1
    wide = min(max(_LABEL, *(cell_len(label) + _GAP for label in labels[named:])), to.width // 2)
    for row in zip(*(column.cells for column in rows.columns), strict=True):
        to.print(Text(" ".join(str(cell) for cell in row[:named] if str(cell)), style="bold"), soft_wrap=True)
        for label, cell in zip(labels[named:], row[named:], strict=True):
            text = cell if isinstance(cell, Text) else str(cell)
            gap = " " * max(_GAP, wide - cell_len(label))
            to.print(Text.assemble((f"  {label}{gap}", "dim"), text), soft_wrap=True)


def print_rows(to: Console, rows: Table) -> None:
    """Prints a table of text whose last column may go beyond the end of the line: its words stay whole.

    The other columns must leave it half of the line; else each row becomes lines of their own.
    """
    cells = [[str(cell) for cell in (column.header, *column.cells)] for column in rows.columns]
    widths = [max(map(cell_len, column)) + _GAP for column in cells[:-1]]
    if sum(widths) > to.width * 2 // 3:
        print_untruncated(to, rows)
        return
    for number, (*row, last) in enumerate(zip(*cells, strict=True)):
        begin = "".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        style = "" if number else "bold"
        print_wrapped(
            to, [last] if number == 0 else last.split(" "), indent=sum(widths), first=Text(begin, style=style)
        )


def print_words(to: Console, rows: Table, *, but: str = "") -> None:
    """Prints a table of text, its cells folded between words only; too wide for that, as `print_untruncated`.

    Words that `NO_BREAK` joins are not separated; it is printed as a space.

    Args:
        but: The column, by its header, in which a long word is folded rather than the table taken apart.
    """
    rows = _encoded(to, rows)
    cells = [[str(cell) for cell in (column.header, *column.cells)] for column in rows.columns]
    least = [max(cell_len(word) for cell in column for word in _words(cell)) for column in cells]
    least = [
        min(word, _LONG) if column.header == but else word
        for word, column in zip(least, rows.columns, strict=True)
    ]
    widths = [max(map(cell_len, column)) for column in cells]
    room = to.width - _GAP * (len(widths) - 1)
    if sum(least) > room:
        print_untruncated(to, _folded(rows, [_ANY_WIDTH] * len(widths)))
        return
    while sum(widths) > room:
        # The one that has most to give, for rich would take from all alike.
        spare = [width - word for width, word in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    shown = _folded(rows, widths)
    for column, width in zip(shown.columns, widths, strict=True):
        column.width = width
    to.print(shown)


def _words(cell: str) -> list[str]:
    return re.split(r"[ \n]+", cell)


def _folded(rows: Table, widths: Sequence[int]) -> Table:
    """A table with cells with `NO_BREAK` folded to these widths: rich would fold at every kind of space."""
    cells = [[*column.cells] for column in rows.columns]
    if not any(NO_BREAK in str(cell) for column in cells for cell in column):
        return rows
    made = table(*(str(column.header) for column in rows.columns))
    for row in zip(*cells, strict=True):
        made.add_row(*(_folded_cell(cell, width) for cell, width in zip(row, widths, strict=True)))
    return made


def _encoded(to: Console, rows: Table) -> Table:
    """A table as a stream that is not UTF-8 writes it: what it writes for a character may be wider."""
    if to.encoding.startswith("utf"):
        return rows
    errors = getattr(to.file, "errors", None) or "backslashreplace"

    def written(cell: RenderableType) -> RenderableType:
        shown = str(cell).encode(to.encoding, errors).decode(to.encoding)
        if shown == str(cell):
            return cell
        return Text(shown, style=cell.style) if isinstance(cell, Text) else shown

    made = table(*(str(column.header) for column in rows.columns))
    for row in zip(*(column.cells for column in rows.columns), strict=True):
        made.add_row(*map(written, row))
    return made


def _folded_cell(cell: RenderableType, width: int) -> RenderableType:
    if not isinstance(cell, str) or NO_BREAK not in cell:
        return cell
    lines = [""]
    for word in _words(cell):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines).replace(NO_BREAK, " ")


class Done:
    """Remembers which steps were done or begun, to report them where a run is interrupted.

    Once a run is over no step begins any more, and none of those that were begun counts as failed: what fails
    from then on fails because its children are stopped.
    """

    def __init__(self, is_over: Callable[[], bool] = lambda: False) -> None:
        self._is_over = is_over
        self._steps: dict[str, dict[str, State]] = {}
        self._lock = Lock()

    def and_to(self, progress: Progress) -> Progress:
        """A progress that tells another, too."""

        def both(event: Event) -> None:
            if self._is_over():
                if event.state is State.STARTED:
                    raise ProblemError.of(code=Code.INTERRUPTED, message="interrupted", cluster=event.cluster)
                if event.state is State.FAILED:
                    return
            else:
                with self._lock:
                    self._steps.setdefault(event.owner, {})[event.step] = event.state
                    if not event.cluster and not event.subject and event.state is State.DONE:
                        del self._steps[event.owner][event.step]  # it was read: nothing was done to it
            progress(event)

        return both

    def __str__(self) -> str:
        parts = [f"done by then: {self._in(State.DONE) or 'nothing'}"]
        if begun := self._in(State.STARTED, State.WAITING):
            parts.append(f"not finished: {begun}")
        if failed := self._in(State.FAILED):
            parts.append(f"failed: {failed}")
        if pending := self._pending():
            parts.append(f"not begun: {', '.join(pending)}")
        return "; ".join(parts)

    def _in(self, *states: State) -> str:
        with self._lock:
            steps = {owner: list(selected.items()) for owner, selected in self._steps.items()}
        selected = {owner: [step for step, state in has if state in states] for owner, has in steps.items()}
        return "; ".join(f"{owner}: {', '.join(has)}" for owner, has in selected.items() if has)

    def _pending(self) -> list[str]:
        """Those that have a step to do, and have begun none."""
        with self._lock:
            states = {owner: set(of_owner.values()) for owner, of_owner in self._steps.items()}
        return [
            owner
            for owner, of_owner in states.items()
            if State.PENDING in of_owner <= {State.PENDING, State.UNCHANGED}
        ]


class _Plain:
    """One line for each change, for pipes and CI."""

    def __init__(self, to: Console) -> None:
        self._to = to
        self._begun = time.monotonic()
        self._quarters: dict[str, int] = {}
        self._reported: dict[str, tuple[Event, float]] = {}
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        if event.state is State.PENDING:
            return
        seconds = time.monotonic() - self._begun
        owner = event.owner
        last = self._reported.get(owner)
        if last and last[0] == event and seconds - last[1] < _REPEAT_S:
            return
        self._reported[owner] = (event, seconds)
        if event.fraction is not None:
            quarter = int(event.fraction * 4)
            if self._quarters.get(owner, 0) == quarter:
                return
            self._quarters[owner] = quarter
        detail = f": {event.detail}" if event.detail else ""
        with self._lock:
            self._to.print(
                Text(f"{seconds:6.1f}s  {owner}  {event.step} {event.state}{detail}"), soft_wrap=True
            )


class _Row(NamedTuple):
    """What a cluster is at, since when, and when it ended (`time.monotonic()`); None: it goes on."""

    event: Event
    begun_s: float
    ended_s: float | None

    def seconds(self, now_s: float) -> float:
        """How long it has taken, or took."""
        return (now_s if self.ended_s is None else self.ended_s) - self.begun_s


class _Moving:
    """One line a cluster, redrawn: what it is at, and for how long."""

    def __init__(self, to: Console) -> None:
        self._to = to
        self._rows: dict[str, _Row] = {}
        self._spinner = Spinner("dots")
        self._begun = time.monotonic()
        self._lock = Lock()
        self._live = Live(self, console=to, refresh_per_second=8, transient=True)

    def start(self) -> None:
        """Draws from now on."""
        self._live.start()

    def stop(self) -> None:
        """Takes what was drawn off the screen."""
        self._live.stop()

    def __call__(self, event: Event) -> None:
        with self._lock:
            last = self._rows.get(event.owner)
            if event.state is State.PENDING or (event.state is State.UNCHANGED and last):
                return
            now = time.monotonic()
            # A bar that has moved, a wait that goes on and an end belong to the step that was begun.
            is_begun = last is not None and last.event.step == event.step and last.ended_s is None
            goes_on = is_begun and (event.state is not State.STARTED or event.fraction is not None)
            ended = now if event.state in _MARKS else None
            self._rows[event.owner] = _Row(event, last.begun_s if last and goes_on else now, ended)

    def __rich__(self) -> Group:
        now = time.monotonic()
        grid = Table.grid(padding=(0, 1))
        for _ in range(5):
            grid.add_column(no_wrap=True)
        with self._lock:
            rows = list(self._rows.items())
        bars = any(row.event.fraction is not None for _, row in rows)
        names = max((cell_len(owner) for owner, _ in rows), default=0)
        steps = max((cell_len(row.event.step) for _, row in rows), default=0)
        # What is left beside mark, name, step with seconds, bar, and a space after each; rich would take it
        # from the names.
        room = self._to.width - names - steps - (_BAR if bars else 0) - 11
        for owner, row in rows:
            event = row.event
            mark = _MARKS.get(event.state)
            sign = Text(mark[0], style=mark[1]) if mark else self._spinner.render(self._begun + now)
            bar: RenderableType = ""
            if event.fraction is not None:
                bar = ProgressBar(total=1.0, completed=event.fraction, width=_BAR)
            detail = Text(event.detail, style="dim")
            detail.truncate(max(0, room), overflow="ellipsis")
            grid.add_row(sign, owner, f"{event.step} {row.seconds(now):4.0f}s", bar, detail)
        return Group(grid)


_on_screen: list[_Moving] = []


@contextmanager
def paused() -> Iterator[None]:
    """Takes moving progress off the screen while a person is asked something."""
    for moving in _on_screen:
        moving.stop()
    try:
        yield
    finally:
        for moving in _on_screen:
            moving.start()


def stop_moving() -> None:
    """Takes moving progress off the screen for good."""
    for moving in _on_screen:
        moving.stop()


@contextmanager
def progress(to: Console, *, enabled: bool) -> Iterator[Progress]:
    """Shows progress on a console for the time of a `with` block."""
    if not enabled:
        yield silent
    elif to.is_terminal and not os.environ.get("CI"):
        moving = _Moving(to)
        moving.start()
        _on_screen.append(moving)
        try:
            yield moving
        finally:
            _on_screen.remove(moving)
            moving.stop()
    else:
        yield _Plain(to)
