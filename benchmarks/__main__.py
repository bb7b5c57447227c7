"""`python -m benchmarks`: both sides of each comparison, by turns, in one run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import (
    bytecode,
    clean,
    clusters,
    delay,
    helptime,
    machine,
    report,
    sequence,
    services,
    sides,
    steptool,
)
from benchmarks.measured import Installs, Round
from lab import health, settings
from lab.errors import LabError
from lab.log import log_line

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PARTS = {
    "install": "Install",
    "distant": "Install, distant API servers",
    "verify": "Verify",
    "clusters": "Many clusters",
    "services": "Many Services",
    "help": "Help",
}
"""What is measured, and its heading in the results."""
ROUND_TRIPS_MS = (5, 50)
"""Delays of distant API servers."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("--only", choices=PARTS, help="measure only this")
    made.add_argument("--rounds", type=int, default=3, help="turns of each side (default: 3)")
    made.add_argument(
        "--patience", type=float, default=60, help="seconds to wait for an idle machine (default: 60)"
    )
    made.add_argument("--write", action="store_true", help=f"write the results into docs/{PAGE.name}")
    return made


def main(argv: list[str] | None = None) -> int:
    """Measures and prints; the exit code is 1 if a limit is exceeded."""
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
    desired = [options.only] if options.only else list(PARTS)
    if {"install", "distant", "verify"} & set(desired):
        if os.geteuid() != 0:
            raise LabError("the lab's clusters are its root's: run this with sudo")
        if faults := health.faults():
            raise LabError(f"{faults[0]}: run `make lab-up` first")
    _use_the_lab()
    bytecode.compiled()
    step = steptool.gather() if {"install", "distant"} & set(desired) else None
    measured = {part: _measure(part, options, step) for part in PARTS if part in desired}
    date, about = machine.date(), machine.about(step, programs=set(desired) != {"services"})
    parts = {PARTS[part]: report.dated(text, date) for part, (text, _) in measured.items()}
    sys.stdout.write(f"{report.whole(about, parts)}\n")
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(report.rewritten(page, about, parts, list(PARTS.values())), encoding="utf-8")
    exceeded = [fault for _, faults in measured.values() for fault in faults]
    for fault in exceeded:
        sys.stderr.write(f"bench: {fault}\n")
    return 1 if exceeded else 0


def _measure(part: str, options: argparse.Namespace, step: Path | None) -> tuple[str, list[str]]:
    """The results of a part as text, and the limits that it exceeded."""
    if part == "install" and step:
        installs = _installs(options.rounds, options.patience, step)
        return report.installs(installs), installs.verdict()
    if part == "distant" and step:
        far = {ms: _installs(options.rounds, options.patience, step, ms) for ms in ROUND_TRIPS_MS}
        return report.distant(far), [fault for found in far.values() for fault in found.verdict()]
    if part == "verify":
        comparison = sequence.measure(options.rounds, options.patience)
        return report.queries(comparison), comparison.verdict()
    machine.quiet(options.patience)
    if part == "clusters":
        growth = clusters.measure(options.rounds)
        return report.growth(growth), growth.verdict()
    if part == "services":
        crowds = services.measure(options.rounds)
        return report.crowds(crowds), crowds.verdict()
    helps = helptime.measure()
    return report.helps(helps), helps.verdict()


def _use_the_lab() -> None:
    os.environ["KUBECONFIG"] = os.pathsep.join(str(cluster.kubeconfig) for cluster in settings.CLUSTERS)
    os.environ["ISTIO_MC_CONFIG"] = str(settings.MESH)
    os.environ["PATH"] = os.pathsep.join((str(settings.BIN), os.environ.get("PATH", os.defpath)))


def _installs(rounds: int, patience: float, step: Path, round_trip_ms: float = 0) -> Installs:
    """Runs the sides by turns; before each, Istio is removed, and the machine is idle."""
    turns = (lambda folder, busy: sides.scripts(folder, busy, step), sides.install, sides.alone)
    done: list[Round] = []
    try:
        for _ in range(rounds):
            for turn in turns:
                clean.clean(sides.CONTEXTS)
                busy = machine.quiet(patience)
                with (
                    tempfile.TemporaryDirectory(prefix="istio-mc-bench-") as folder,
                    delay.delayed(round_trip_ms),
                ):
                    one = turn(Path(folder), busy)
                done.append(one)
                log_line(f"{one.side}: {one.seconds:.1f} s" + "".join(f"; {fault}" for fault in one.faults))
    finally:
        clean.clean(sides.CONTEXTS)
    return Installs(tuple(done))


if __name__ == "__main__":
    sys.exit(main())
