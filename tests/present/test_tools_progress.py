"""How downloads move on a terminal, and in a pipe."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from istio_mc.domain.events import Event, State
from istio_mc.present.output import terminal


def event_at(fraction: float, subject: str = "helm") -> Event:
    return Event(None, "install", State.WAITING, f"{fraction:.0%}", subject=subject, fraction=fraction)


def test_a_pipe_gets_a_line_for_each_quarter() -> None:
    out = io.StringIO()
    with terminal.progress(Console(file=out, width=100), enabled=True) as progress:
        for percent in range(101):
            progress(event_at(percent / 100))
    assert [line.split(": ")[1] for line in out.getvalue().splitlines()] == ["25%", "50%", "75%", "100%"]


def test_a_pipe_distinguishes_several_downloads() -> None:
    out = io.StringIO()
    with terminal.progress(Console(file=out, width=100), enabled=True) as progress:
        progress(event_at(0.3, "helm"))
        progress(event_at(0.3, "kubectl"))
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["helm", "kubectl"]


def test_a_terminal_gets_a_bar_for_each_download() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    moving = terminal._Moving(console)
    moving(event_at(0.5, "helm"))
    moving(event_at(0.25, "kubectl"))
    console.print(moving)
    helm, kubectl = [line for line in out.getvalue().splitlines() if "━" in line]
    assert ("helm" in helm, "50%" in helm) == (True, True)
    assert helm.count("━") > kubectl.count("━")


@pytest.mark.parametrize("width", [80, 200])
def test_a_long_detail_takes_no_room_from_the_names(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    moving = terminal._Moving(console)
    moving(event_at(0.5, "kubectl linux/amd64"))
    moving(Event(None, "install", State.STARTED, "https://" + "x" * 300, subject="클러스터"))
    console.print(moving)
    kubectl, korean = out.getvalue().splitlines()
    assert "kubectl linux/amd64 install    0s ━" in kubectl
    assert ("클러스터" in korean, korean.endswith("…")) == (True, True)
    assert cell_len(korean) == width


def test_a_moving_bar_does_not_start_again() -> None:
    moving = terminal._Moving(Console(file=io.StringIO()))
    moving(Event(None, "install", State.STARTED, subject="helm"))
    begun = moving._rows["helm"][1]
    moving(event_at(0.5))
    assert moving._rows["helm"][1] == begun
