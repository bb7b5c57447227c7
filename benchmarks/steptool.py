"""The program `step`, which the guide's scripts make certificates with: nothing else here needs it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import proc, settings
from lab.binaries import has_version
from lab.golang import Go

VERSION = "0.24.4"
MODULE = Path(__file__).parents[1] / "lab" / "binaries" / "step"
_PACKAGE = "github.com/smallstep/cli/cmd/step"


def gather() -> Path:
    """Find it on PATH or in the lab's cache, or build it once from its pinned source.

    Raises:
        LabError: It could not be built.
    """
    found = shutil.which("step")
    if found and has_version(_version(found), f"CLI/{VERSION}"):
        return Path(found)
    target = settings.cache() / "bin" / f"step-{VERSION}" / "step"
    if not target.exists():
        go = Go(settings.cache(), MODULE)
        go.build(_PACKAGE, f"-X main.Version={VERSION}", target)
        go.discard()
    return target


def _version(step: str) -> str:
    # Its first word is `Smallstep CLI/0.24.4`; a program of another make may call itself step too.
    return proc.run([step, "version"], check=False, timeout=20).stdout.replace("Smallstep ", "", 1)
