"""Writes the pictures of docs/images: what the program prints and writes for a mesh with faults.

`python -m scripts.pictures` (`make docs`) writes verify.svg from the program's own output, for the stand-in
mesh of the tests. `python -m scripts.pictures chromium` writes report.png too: that browser's screenshot of a
report of such a mesh.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.runner import run
from istio_mc.domain.mesh import EAST_WEST_GATEWAY
from istio_mc.domain.traffic.sample import Calls
from istio_mc.ops.sample import Tested
from istio_mc.ops.verify.verify import VerifyResult
from istio_mc.present import sample
from istio_mc.present.html.page import page
from istio_mc.present.verify import summary
from tests.support.world import World

IMAGES = Path(__file__).parents[1] / "docs" / "images"
RUN, REPORT = IMAGES / "verify.svg", IMAGES / "report.png"
_COLUMNS = 92
_VERSION = "1.31.4"
_SCREEN = "1100,1640"
_THEME = TerminalTheme(
    (13, 17, 23),
    (230, 237, 243),
    [
        (1, 4, 9),
        (255, 123, 114),
        (63, 185, 80),
        (227, 179, 65),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (230, 237, 243),
    ],
)
# As rich's own, without its window's buttons, and without the font that it loads from a network.
_FORMAT = """\
<svg viewBox="0 0 {width} {terminal_height}" xmlns="http://www.w3.org/2000/svg">
<title>istio-mc verify and istio-mc sample test on a terminal</title>
<style>
.{unique_id}-matrix {{\
font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width}}
{styles}
</style>
<defs>{lines}</defs>
<rect fill="#0d1117" width="{width}" height="{terminal_height}" rx="8"/>
<g transform="translate(12, 4)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def _mesh() -> World:
    """Three clusters; the gateway of kt has no address, as on K2P before `istio-mc address --set`."""
    world = World()
    service = world.find("kt", "Service", EAST_WEST_GATEWAY)
    service["status"] = {}
    service["spec"].pop("externalIPs", None)
    return world


def _verified(world: World, now: datetime | None) -> VerifyResult:
    facts = world.facts()
    facts = replace(facts, mesh=replace(facts.mesh, version=_VERSION), now=now)
    return VerifyResult(facts, tuple(run(ALL, facts)))


def run_picture() -> str:
    """A terminal on which a fault is found, and calls between the clusters are tested; SVG."""
    console = Console(
        record=True,
        width=_COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
        highlight=False,
        markup=False,
        emoji=False,
    )
    _prompt(console, "istio-mc verify")
    summary.report(_verified(_mesh(), None), ()).render(console)
    console.print()
    _prompt(console, "istio-mc address --set kt=203.0.113.7")
    console.print(Text("…", style="dim"))
    _prompt(console, "istio-mc sample test")
    sample.tested(_tested(), ()).render(console)
    console.print()
    text = console.export_svg(theme=_THEME, code_format=_FORMAT, unique_id="run")
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _prompt(console: Console, command: str) -> None:
    console.print(Text.assemble(("$ ", "dim"), (command, "bold")))


def _tested() -> Tested:
    versions = {"kt": "v1", "ncloud": "v2", "nhn": "v3"}
    calls = {
        "kt": Calls({"v1": 68, "v2": 52, "v3": 60}, {}),
        "ncloud": Calls({"v1": 57, "v2": 70, "v3": 53}, {}),
        "nhn": Calls({"v1": 55, "v2": 60, "v3": 65}, {}),
    }
    return Tested(versions, calls, ())


def report_page(now: datetime) -> str:
    """The report of a mesh with three faults."""
    world = _mesh()
    world.status("ncloud", "nhn", "timeout")
    world.remove("nhn", "Gateway", "cross-network-gateway")
    return page(_verified(world, now), now)


def _screenshot(browser: str, text: str, to: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "report.html"
        source.write_text(text, encoding="utf-8")
        # Chromium has no sandbox for root; the page is this program's own.
        options = ("--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={_SCREEN}")
        subprocess.run([browser, *options, f"--screenshot={to}", source.as_uri()], check=True)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    RUN.write_text(run_picture(), encoding="utf-8")
    if sys.argv[1:]:
        _screenshot(sys.argv[1], report_page(datetime.now(UTC).replace(microsecond=0)), REPORT)
