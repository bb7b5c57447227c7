"""What tools look like on a narrow terminal: a path is there to be copied, and stands on one line."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.istio.releases import Support
from istio_mc.domain.tools import Tool, artifact
from istio_mc.gateways.istio.releases import release_table
from istio_mc.gateways.tools.find import FoundTool, Origin, own_platform
from istio_mc.ops.tools.fetch import FetchResult, Outcome, ToolOutcome
from istio_mc.ops.tools.listing import ListedCluster, ListedTool, ListResult
from istio_mc.present import tools
from istio_mc.present.output import terminal
from tests.support.world import CHOICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from istio_mc.present.output.envelope import Report

LONG = Path("/home/somebody/.cache/istio-mc/bin/linux-amd64/istioctl-1.26.0/istioctl")


def listed(today: date = date(2025, 6, 1)) -> Report:
    found = FoundTool(LONG, Origin.CACHE, "1.26.0")
    return tools.listed(
        ListResult(
            (ListedTool(Tool.ISTIOCTL, "1.26.0", found),),
            CHOICE,
            today,
            release_table(),
            not_read="none",
        )
    )


def fetched() -> Report:
    item = artifact(Tool.ISTIOCTL, "1.26.0", own_platform())
    outcome = ToolOutcome(item, LONG, Outcome.PLANNED, item.url)
    return tools.fetched(FetchResult((outcome,), LONG.parent), dry_run=True)


@pytest.mark.parametrize("made", [listed(), fetched()], ids=["list", "install"])
def test_a_path_is_not_folded(
    made: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    made.render(terminal.console())
    assert str(LONG) in capsys.readouterr().out


def test_a_source_is_not_folded(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    fetched().render(terminal.console())
    assert artifact(Tool.ISTIOCTL, "1.26.0", own_platform()).url in capsys.readouterr().out


def test_each_release_is_shown_with_what_it_supports(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    report = listed(date(2026, 11, 29))
    report.render(terminal.console())
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "* 1.26 1.26.8 1.29 to 1.33 1.3.0 1.26.0 expired 2025-12-22" in lines
    assert "1.29 1.29.10 1.31 to 1.35 1.4.1 1.29.1 expected 2026-08 (past)" in lines
    assert "1.32 1.32.0 unknown unknown - unknown" in lines
    assert "1.31 expired 2025-11-11" in lines
    assert "1.35 2027-02-28" in lines


def test_the_screen_of_the_list(
    golden: Callable[[str, str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = release_table()
    clusters = (
        ListedCluster("kt", "v1.30.4", 0, Support.SUPPORTED),
        ListedCluster("ncloud", "v1.28.2", 2, Support.TOO_OLD),
        ListedCluster("nhn"),
    )
    listed = ListResult(
        (
            ListedTool(Tool.KUBECTL, "1.30.4"),
            ListedTool(Tool.ISTIOCTL, "1.26.0", FoundTool(LONG, Origin.CACHE, "1.26.0")),
        ),
        CHOICE,
        date(2025, 6, 1),
        # What these say does not change any more.
        replace(
            table, read=date(2025, 6, 1), istio=table.istio[:3], kubernetes={(1, 28): date(2024, 10, 22)}
        ),
        clusters,
    )
    for columns in ("80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        tools.listed(listed).render(terminal.console())
        text = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
        golden(f"screens/tools-list-{columns}.txt", text)
