"""The program `step`, which the guide's scripts make certificates with: nothing else here needs it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import proc, settings
from lab.binaries import has_version
from lab.golang import Go, discard

VERSION = "0.24.4"
MODULE = Path(__file__).parents[1] / "lab" / "binaries" / "step"
_PACKAGE = "github.com/smallstep/cli/cmd/step"


def gather() -> Path:
    """Find it on PATH or in the lab's cache, or build it once from its pinned source.

    Raises:
        LabError: It could not be built.
    """
    found = shutil.which("step")
    # It names itself `Smallstep CLI/0.24.4`; programs of another make are called step too.
    if found and has_version(proc.run([found, "version"], check=False, timeout=20).stdout, f"CLI/{VERSION}"):
        return Path(found)
    target = settings.cache() / "bin" / f"step-{VERSION}" / "step"
    if not target.exists():
        Go(settings.cache(), MODULE).build(_PACKAGE, f"-X main.Version={VERSION}", target)
        discard(settings.cache())
    return target
