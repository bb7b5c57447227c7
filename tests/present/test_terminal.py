"""What a person sees while a verb runs, and what a pipe gets in its stead."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from istio_mc.domain.events import Event, State
from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.present.output import terminal
from istio_mc.present.output.problems import print_problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

RUN = """
import time
from istio_mc.domain.events import Event, State
from istio_mc.present.output import terminal

with terminal.progress(terminal.console(stderr=True), enabled=True) as progress:
    progress(Event("kt", "istio", State.STARTED, "istiod is missing"))
    time.sleep(0.4)
    progress(Event("kt", "istio", State.DONE))
    time.sleep(0.2)
print("the end")
"""


def on_a_terminal(**env: str) -> str:
    """All that a terminal was sent, control sequences and all."""
    leader, follower = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], stdout=follower, stderr=follower, env={**kept, "TERM": "xterm", **env}
    )
    os.close(follower)
    sent = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        sent += part
    os.close(leader)
    assert process.wait(20) == 0
    return sent.decode()


def test_on_a_terminal_a_clusters_line_is_drawn_again_and_again() -> None:
    sent = on_a_terminal()
    assert sent.count("kt istio") > 1
    assert "\x1b[" in sent


def test_with_ci_set_a_terminal_gets_plain_lines() -> None:
    sent = on_a_terminal(CI="true")
    assert sent.count("kt  istio started: istiod is missing") == 1
    assert sent.count("kt  istio done") == 1
    assert "\x1b[" not in sent.partition("the end")[0].replace("\x1b[0m", "")


def test_a_pipe_gets_one_line_for_each_change_with_the_time_that_passed() -> None:
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, timeout=20, check=True)
    lines = done.stderr.splitlines()
    assert [line.split("  ", 1)[1].strip() for line in (line.strip() for line in lines)] == [
        "kt  istio started: istiod is missing",
        "kt  istio done",
    ]
    assert done.stdout == "the end\n"


def test_a_pipe_does_not_repeat_the_same_wait_every_half_second() -> None:
    out = io.StringIO()
    to = Console(file=out, width=80)
    with terminal.progress(to, enabled=True) as progress:
        for _ in range(3):
            progress(Event("kt", "uninstall", State.WAITING, "for namespace sample to go"))
            progress(Event("nhn", "uninstall", State.WAITING, "for namespace sample to go"))
        progress(Event("kt", "uninstall", State.WAITING, "for namespace istio-system to go"))
    lines = [line.split("s  ", 1)[1].split()[0] for line in out.getvalue().splitlines()]
    assert lines == ["kt", "nhn", "kt"]


def test_time_goes_on_while_a_step_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = io.StringIO()
    to = Console(file=out, width=80, force_terminal=True)
    moving = terminal._Moving(to)
    for second in range(8):
        now[0] = float(second)
        moving(Event("kt", "uninstall", State.WAITING, "for namespace sample to go"))
    to.print(moving)
    assert "uninstall    7s" in out.getvalue()


def drawn_at(monkeypatch: pytest.MonkeyPatch, seconds: float, *events: tuple[float, Event]) -> str:
    """The moving lines at a time, after events at their times."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = io.StringIO()
    to = Console(file=out, width=80, force_terminal=True)
    moving = terminal._Moving(to)
    for at, event in events:
        now[0] = at
        moving(event)
    now[0] = seconds
    to.print(moving)
    return out.getvalue()


@pytest.mark.parametrize("end", [State.DONE, State.FAILED])
def test_a_step_that_has_ended_shows_how_long_it_took(monkeypatch: pytest.MonkeyPatch, end: State) -> None:
    begun, ended = Event(None, "address", State.STARTED), Event(None, "address", end)
    assert "address    4s" in drawn_at(monkeypatch, 9.0, (0.0, begun), (4.0, ended))


def test_a_step_that_waits_after_its_begin_keeps_the_time_of_its_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = Event("kt", "sample", State.STARTED)
    waits = Event("kt", "sample", State.WAITING, "reviews-v1: 0 of 1 available")
    assert "sample    7s" in drawn_at(monkeypatch, 7.0, (0.0, begun), (3.0, waits))


def test_a_step_that_begins_again_counts_from_its_new_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = Event("kt", "verify", State.STARTED), Event("kt", "verify", State.DONE)
    assert "verify    1s" in drawn_at(monkeypatch, 9.0, (0.0, begun), (4.0, ended), (8.0, begun))


@pytest.mark.parametrize("width", [80, 200])
def test_columns_are_aligned_below_korean_names(width: int) -> None:
    rows = terminal.table("CLUSTER", "STATUS")
    for name in ("kt", "네이버클라우드", "엔에이치엔"):
        rows.add_row(name, "changed")
    out = io.StringIO()
    Console(file=out, width=width, emoji=False).print(rows)
    lines = out.getvalue().splitlines()
    assert len({cell_len(line.partition("changed")[0]) for line in lines[1:]}) == 1


def test_the_same_problem_of_several_clusters_is_reported_once_with_all_their_names() -> None:
    out = io.StringIO()
    problem = Problem(code=Code.NO_METRICS, message="there is no Metrics API", hint=Advice("install one"))
    print_problems(
        Console(file=out, width=80),
        [problem.on("kt"), problem.on("nhn"), Problem(code=Code.NOT_READY, message="another", cluster="nhn")],
        style="red",
        title="warning",
    )
    assert "warning[no-metrics] kt, nhn: there is no Metrics API" in out.getvalue()
    assert out.getvalue().count("Metrics") == 1


def interrupted(*events: Event) -> str:
    done = terminal.Done()
    progress = done.and_to(lambda _event: None)
    for event in events:
        progress(event)
    return str(done)


def test_an_interrupted_run_reports_finished_and_started_steps() -> None:
    lines = interrupted(
        Event("kt", "namespace", State.STARTED),
        Event("kt", "namespace", State.DONE),
        Event("kt", "istio", State.STARTED),
        Event("nhn", "namespace", State.DONE),
        Event("nhn", "cacerts", State.UNCHANGED),
        Event("nhn", "ready", State.WAITING, "Deployment istiod"),
    )
    assert lines == "done by then: kt: namespace; nhn: namespace; not finished: kt: istio; nhn: ready"


def test_reading_the_mesh_is_not_reported_as_done() -> None:
    reported = (Event(None, "preflight", State.STARTED), Event(None, "preflight", State.DONE))
    assert interrupted(reported[0]) == "done by then: nothing; not finished: mesh: preflight"
    assert interrupted(*reported) == "done by then: nothing"


def test_a_step_that_fails_at_the_end_of_the_run_counts_as_unfinished() -> None:
    over = threading.Event()
    shown: list[Event] = []
    done = terminal.Done(over.is_set)
    progress = done.and_to(shown.append)
    progress(Event("kt", "istio", State.STARTED))
    over.set()

    progress(Event("kt", "istio", State.FAILED))

    assert str(done) == "done by then: nothing; not finished: kt: istio"
    assert [event.state for event in shown] == [State.STARTED]


def test_no_step_begins_once_a_run_is_over() -> None:
    progress = terminal.Done(lambda: True).and_to(lambda _event: None)
    progress(Event(None, "deep", State.WAITING, "for the pods to be removed"))
    with pytest.raises(ProblemError):
        progress(Event("kt", "link", State.STARTED))


def test_failed_and_pending_steps_are_also_reported() -> None:
    lines = interrupted(
        Event("kt", "namespace", State.PENDING),
        Event("ncloud", "namespace", State.PENDING),
        Event("nhn", "namespace", State.PENDING),
        Event("nhn", "expose", State.UNCHANGED),
        Event("kt", "namespace", State.STARTED),
        Event("kt", "namespace", State.FAILED),
        Event("ncloud", "namespace", State.STARTED),
    )
    assert lines == (
        "done by then: nothing; not finished: ncloud: namespace; failed: kt: namespace; not begun: nhn"
    )


@pytest.mark.parametrize("moving", [True, False])
def test_a_step_whose_turn_has_not_come_is_not_shown(moving: bool) -> None:  # noqa: FBT001 - of the table
    out = io.StringIO()
    shown = Console(file=out, force_terminal=moving, width=80)
    progress = terminal._Moving(shown) if moving else terminal._Plain(shown)
    progress(Event("kt", "istio", State.PENDING))
    if isinstance(progress, terminal._Moving):
        shown.print(progress)
    assert "kt" not in out.getvalue()


def test_a_run_that_is_interrupted_at_once_has_done_nothing() -> None:
    assert interrupted() == "done by then: nothing"


def test_downloads_are_reported_by_name() -> None:
    assert interrupted(Event(None, "install", State.DONE, subject="helm")) == "done by then: helm: install"


class TestCellsFoldedBetweenWords:
    ROW = ("clusters[kt].gatewayAddress", "one that is made from the name", "file mesh.yaml:87")

    def printed(self, width: int) -> str:
        out = io.StringIO()
        rows = terminal.table("SETTING", "VALUE", "FROM")
        rows.add_row(*self.ROW)
        terminal.print_words(Console(file=out, width=width, markup=False), rows)
        assert max(map(cell_len, out.getvalue().splitlines())) <= width
        return out.getvalue()

    @pytest.mark.parametrize("width", [80, 60, 50, 46])
    def test_no_word_is_cut_whatever_the_width(self, width: int) -> None:
        words = " ".join(self.ROW).split()
        shown = self.printed(width).split()
        assert [word for word in words if word not in shown] == []

    def test_one_column_may_be_named_that_gives_way(self) -> None:
        out = io.StringIO()
        rows = terminal.table("SETTING", "VALUE")
        rows.add_row("tools.helm.sha256", "0" * 64)
        terminal.print_words(Console(file=out, width=60), rows, but="VALUE")
        head, first, *rest = out.getvalue().splitlines()
        assert head.split() == ["SETTING", "VALUE"]
        assert first.split() == ["tools.helm.sha256", "0" * 41]
        assert "".join(rest).split() == ["0" * 23]

    def test_a_table_that_has_room_is_not_folded(self) -> None:
        assert len(self.printed(80).splitlines()) == 2


def test_a_cluster_at_the_begin_of_its_message_is_printed_once() -> None:
    out = io.StringIO()
    problem = Problem(code=Code.NO_METRICS, message="nhn: no Metrics API", cluster="nhn")
    print_problems(Console(file=out, width=80), [problem], style="red", title="warning")
    assert out.getvalue().startswith("warning[no-metrics] nhn: no Metrics API\n")


def test_a_problem_of_a_hundred_clusters_names_the_first_and_how_many_more_there_are() -> None:
    out = io.StringIO()
    problem = Problem(code=Code.NO_METRICS, message="there is no Metrics API")
    problems = [problem.on(f"c{number}") for number in range(1, 101)]
    print_problems(Console(file=out, width=200), problems, style="red", title="warning")
    first = ", ".join(f"c{number}" for number in range(1, 13))
    assert out.getvalue().startswith(f"warning[no-metrics] {first} and 88 more: there is no Metrics API\n")


def test_a_seen_value_of_a_hundred_lines_is_cut_to_the_first_lines() -> None:
    out = io.StringIO()
    seen = "\n".join(f"c{number}: none" for number in range(1, 101))
    problem = Problem(code=Code.NO_METRICS, message="there is no Metrics API", seen=seen)
    print_problems(Console(file=out, width=80), [problem], style="red", title="warning")
    lines = [line.removeprefix("  seen:").strip() for line in out.getvalue().splitlines()[1:13]]
    assert lines == [*(f"c{number}: none" for number in range(1, 12)), "and 89 more: -o json has them all"]


def printed_words(width: int, *cells: str) -> list[str]:
    """The lines of a table with one row."""
    out = io.StringIO()
    rows = terminal.table("PORT", "NODE PORTS")
    rows.add_row(*cells)
    terminal.print_words(Console(file=out, width=width, force_terminal=True, color_system=None), rows)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_cell_is_folded_between_pairs_and_not_within_one() -> None:
    pairs = ", ".join(
        f"{name}{terminal.NO_BREAK}3126{number}" for number, name in enumerate(("kt", "ncloud"))
    )
    assert printed_words(24, "80/TCP", pairs)[1:] == ["80/TCP  kt 31260,", "        ncloud 31261"]


def test_a_pair_has_an_ordinary_space_in_a_wide_table_and_in_lines() -> None:
    pair = f"ncloud{terminal.NO_BREAK}31261"
    assert printed_words(80, "80/TCP", pair)[1] == "80/TCP  ncloud 31261"
    assert any(line.endswith("ncloud 31261") for line in printed_words(14, "80/TCP", pair))


def on_ascii() -> Console:
    """A console on a stream in ASCII, which writes other characters as escapes."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    return Console(file=stream, width=100, color_system=None)


def written(to: Console) -> str:
    to.file.flush()
    stream = to.file
    assert isinstance(stream, io.TextIOWrapper)
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode("ascii")


@pytest.mark.parametrize("printed", [terminal.print_words, terminal.print_untruncated])
def test_columns_are_aligned_by_what_a_stream_without_unicode_writes(
    printed: Callable[[Console, Table], None],
) -> None:
    to, rows = on_ascii(), terminal.table("CLUSTER", "STATUS")
    rows.add_row("kt", "changed")
    rows.add_row("카카오", "changed")
    printed(to, rows)
    assert len({line.index("changed") for line in written(to).splitlines()[1:]}) == 1


def test_a_fix_without_unicode_can_be_pasted_into_bash() -> None:
    to = on_ascii()
    hint = kubectl("카카오", "delete", "pod", "one")
    print_problems(to, [Problem(code=Code.NOT_READY, message="it", hint=hint)], style="red", title="error")
    (fix,) = [line for line in written(to).splitlines() if "fix:" in line]
    command = fix.split("fix:")[1].replace("kubectl", "printf '%s\\n'")
    done = subprocess.run(["bash", "-c", command], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=True)
    assert done.stdout.decode().splitlines() == ["--context", "카카오", "delete", "pod", "one"]
