"""What tools look like on a narrow terminal: a path is there to be copied, and stands on one line."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.tools import Tool, artifact
from istio_mc.gateways.tools_find import Found, Origin, own_platform
from istio_mc.ops.tools import BringResult, Outcome, ToolOutcome
from istio_mc.ops.tools_list import ListedTool, ListResult
from istio_mc.present import terminal, tools

if TYPE_CHECKING:
    from istio_mc.present.report import Report

LONG = Path("/home/somebody/.cache/istio-mc/bin/linux-amd64/istioctl-1.26.0/istioctl")


def listed() -> Report:
    found = Found(LONG, Origin.CACHE, "1.26.0")
    return tools.listed(
        ListResult(
            (ListedTool(Tool.ISTIOCTL, "1.26.0", found),), "1.26.0", date(2025, 6, 1), not_asked="none"
        )
    )


def brought() -> Report:
    item = artifact(Tool.ISTIOCTL, "1.26.0", own_platform())
    outcome = ToolOutcome(item, LONG, Outcome.PLANNED, item.url)
    return tools.brought(BringResult((outcome,), LONG.parent), dry_run=True)


@pytest.mark.parametrize("made", [listed(), brought()], ids=["list", "install"])
def test_a_path_is_not_folded(
    made: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    made.render(terminal.console())
    assert str(LONG) in capsys.readouterr().out


def test_a_source_is_not_folded(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    brought().render(terminal.console())
    assert artifact(Tool.ISTIOCTL, "1.26.0", own_platform()).url in capsys.readouterr().out
