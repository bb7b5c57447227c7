"""`make chain`: a mesh through many versions of Istio on the lab, under requests from every cluster.

Each hop in place, then its workloads are restarted; the last hop by revision too, there and back. Printed are
the requests and those that failed, and how long each phase of each cluster took.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.tools import Tool
from istio_mc.gateways.tools.cache import Cache
from istio_mc.gateways.tools.find import own_platform
from lab import settings
from tests.e2e.harness import CONTEXTS, Site, clean, each, set_cilium
from tests.e2e.traffic import graceful, requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.harness import Result
    from tests.e2e.traffic import Requests

CHAIN = ("1.26.0", "1.27.9", "1.28.3", "1.29.1", "1.30.4", "1.31.0")
_PHASES = ("record", "control plane", "gateway", "tags", "ready", "workloads", "old control plane")
_EVENT = re.compile(r"^ *(?P<at>[\d.]+)s  (?P<who>\S+)  (?P<step>.+?) (?P<state>started|done)\b")
_PATIENCE_S = 1800.0


def main(argv: list[str] | None = None) -> int:
    """Runs the chain; exit code 1 where a request failed or a version was not reached."""
    parser = argparse.ArgumentParser(prog="python -m scripts.chain", description=__doc__)
    parser.add_argument("versions", nargs="*", default=CHAIN, help=f"(default: {' '.join(CHAIN)})")
    versions = parser.parse_args(argv).versions
    with tempfile.TemporaryDirectory(prefix="chain-") as folder:
        return _Chain(Path(folder), list(versions)).run()


class _Chain:
    """One mesh on its way."""

    def __init__(self, folder: Path, versions: list[str]) -> None:
        self._versions = versions
        self._cache = folder / "cache"
        self._site = Site.at(folder / "site", istio=versions[0], ca={"key": "ec-256"})
        self._requests = 0
        self._failed: list[str] = []

    def run(self) -> int:
        """Everything; the exit code."""
        self._programs()
        clean()
        set_cilium()
        try:
            self._begin()
            for version in self._versions[1:-1]:
                self._hop(f"to {version}", "--to", version)
            last = self._versions[-1]
            revision = "-".join(last.split(".")[:2])
            self._hop(f"to {last} by revision {revision}", "--to", last, "--revision", revision)
            self._hop(f"back from revision {revision}", "--back")
            self._hop(f"to {last}", "--to", last)
        finally:
            clean()
        _print(f"\n{self._requests} requests in all, {len(self._failed)} failed")
        for line in self._failed:
            _print(f"  {line}")
        return 1 if self._failed else 0

    def _programs(self) -> None:
        """Istioctl of every version, where istio-mc looks for it."""
        for version in self._versions:
            program = Cache(self._cache / "istio-mc").program(Tool.ISTIOCTL, version, own_platform())
            program.parent.mkdir(parents=True)
            program.symlink_to(settings.istio_home(version) / "bin" / "istioctl")

    def _begin(self) -> None:
        self._istio_mc("install")
        self._istio_mc("sample", "deploy")
        each(graceful)
        self._istio_mc("sample", "test")

    def _hop(self, title: str, *words: str) -> None:
        """Control planes and gateways first, then the workloads; requests all the while."""
        _print(f"\n{title}")
        with requests() as made:
            result = self._istio_mc("upgrade", *words, "--canary", CONTEXTS[0], "-o", "json")
        self._count(made, result)
        _print("  then its workloads:")
        with requests() as made:
            result = self._istio_mc(
                "upgrade", *words, "--restart-workloads", "--yes", "--canary", CONTEXTS[0], "-o", "json"
            )
        self._count(made, result)

    def _count(self, made: Requests, result: Result) -> None:
        self._requests += made.count
        self._failed += made.failed
        for line in _phases(result):
            _print(f"    {line}")
        _print(f"    {made}")

    def _istio_mc(self, *words: str) -> Result:
        result = self._site.run(*words, timeout_s=_PATIENCE_S, XDG_CACHE_HOME=str(self._cache))
        return result.exits(0)


def _phases(result: Result) -> Iterator[str]:
    """How long each phase of each cluster took."""
    begun: dict[tuple[str, str], float] = {}
    took: dict[str, dict[str, float]] = {}
    for line in result.stderr.splitlines():
        if (event := _EVENT.match(line)) is None:
            continue
        key, at = (event["who"], event["step"]), float(event["at"])
        if event["state"] == "started":
            begun[key] = at
        elif key in begun:
            took.setdefault(event["who"], {})[event["step"]] = at - begun[key]
    for name, phases in took.items():
        shown = [f"{step} {phases[step]:.1f} s" for step in (*_PHASES, "gate") if step in phases]
        if shown:
            yield f"{name}: {', '.join(shown)}"
    yield f"in all {result.seconds:.0f} s"


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
