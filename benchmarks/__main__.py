"""`python -m benchmarks`: both sides of each comparison, in turns, in one run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import asking, bytecode, clean, clusters, helptime, machine, report, sides, steptool
from benchmarks.measured import Installs, Round
from lab import health, settings
from lab.errors import LabError
from lab.log import say

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PARTS = {"install": "Install", "verify": "Verify", "clusters": "Many clusters", "help": "Help"}
"""What there is to measure, and its heading in the results."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("--only", choices=PARTS, help="measure this alone")
    made.add_argument("--rounds", type=int, default=3, help="turns of each side (default: 3)")
    made.add_argument(
        "--patience", type=float, default=60, help="seconds to wait for a quiet machine (default: 60)"
    )
    made.add_argument("--write", action="store_true", help=f"put the results into docs/{PAGE.name}")
    return made


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and say with the exit code whether the limits hold."""
    options = parser().parse_args(argv)
    try:
        return _run(options)
    except LabError as error:
        sys.stderr.write(f"bench: {error}\n")
    except subprocess.SubprocessError as error:
        sys.stderr.write(f"bench: {error}\n")
    except KeyboardInterrupt:
        sys.stderr.write("bench: interrupted\n")
        return 130
    return 1


def _run(options: argparse.Namespace) -> int:
    wanted = [options.only] if options.only else list(PARTS)
    if {"install", "verify"} & set(wanted):
        if os.geteuid() != 0:
            raise LabError("the lab's clusters are its root's: run this with sudo")
        if faults := health.faults():
            raise LabError(f"{faults[0]}: run `make lab-up` first")
    _use_the_lab()
    bytecode.compiled()
    parts: dict[str, str] = {}
    wrong: list[str] = []
    step = None
    if "install" in wanted:
        step = steptool.gather()
        installs = _installs(options.rounds, options.patience, step)
        parts[PARTS["install"]] = report.installs(installs)
        wrong += installs.verdict()
    if "verify" in wanted:
        asked = asking.measure(options.rounds, options.patience)
        parts[PARTS["verify"]] = report.asked(asked)
        wrong += asked.verdict()
    if "clusters" in wanted:
        machine.quiet(options.patience)
        growth = clusters.measure(options.rounds)
        parts[PARTS["clusters"]] = report.growth(growth)
        wrong += growth.verdict()
    if "help" in wanted:
        machine.quiet(options.patience)
        found = helptime.measure()
        parts[PARTS["help"]] = report.helps(found)
        wrong += found.verdict()
    date, about = machine.date(), machine.about(step)
    parts = {head: report.dated(text, date) for head, text in parts.items()}
    sys.stdout.write(f"{report.whole(about, parts)}\n")
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(report.rewritten(page, about, parts, list(PARTS.values())), encoding="utf-8")
    for fault in wrong:
        sys.stderr.write(f"bench: {fault}\n")
    return 1 if wrong else 0


def _use_the_lab() -> None:
    os.environ["KUBECONFIG"] = os.pathsep.join(str(cluster.kubeconfig) for cluster in settings.CLUSTERS)
    os.environ["ISTIO_MC_CONFIG"] = str(settings.MESH)
    os.environ["PATH"] = os.pathsep.join((str(settings.BIN), os.environ.get("PATH", os.defpath)))


def _installs(rounds: int, patience: float, step: Path) -> Installs:
    """Let the sides take turns; between turns everything of Istio goes, and the machine comes to rest."""
    turns = (
        lambda folder, busy: sides.scripts(folder, busy, step),
        sides.install,
        sides.alone,
    )
    done: list[Round] = []
    try:
        for _ in range(rounds):
            for turn in turns:
                clean.clean(sides.CONTEXTS)
                busy = machine.quiet(patience)
                with tempfile.TemporaryDirectory(prefix="istio-mc-bench-") as folder:
                    one = turn(Path(folder), busy)
                done.append(one)
                say(f"{one.side}: {one.seconds:.1f} s" + "".join(f"; {fault}" for fault in one.faults))
    finally:
        clean.clean(sides.CONTEXTS)
    return Installs(tuple(done))


if __name__ == "__main__":
    sys.exit(main())
