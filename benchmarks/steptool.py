"""The program `step`, which the guide's scripts make certificates with: nothing else here needs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lab import proc, settings
from lab.binaries import has_version
from lab.errors import LabError
from lab.log import say

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "0.24.4"
MODULE = Path(__file__).parents[1] / "lab" / "binaries" / "step"
_PACKAGE = "github.com/smallstep/cli/cmd/step"


def gather() -> Path:
    """Find it on PATH or in the lab's cache, or build it from its pinned source.

    Raises:
        LabError: There is none, and no Go to build it with.
    """
    found = shutil.which("step")
    if found and has_version(_version(found), f"CLI/{VERSION}"):
        return Path(found)
    target = settings.cache() / "bin" / f"step-{VERSION}" / "step"
    if not target.exists():
        _build(target)
    return target


def _version(step: str) -> str:
    # Its first word is `Smallstep CLI/0.24.4`; a program of another make may call itself step too.
    return proc.run([step, "version"], check=False, timeout=20).stdout.replace("Smallstep ", "", 1)


def _build(target: Path) -> None:
    if not shutil.which("go"):
        raise LabError(f"step {VERSION} is not on PATH, nor is Go to build it with: install either")
    say(f"step: building {_PACKAGE} {VERSION}, once (some minutes)")
    caches = settings.cache() / "go-step"
    partial = target.with_name(".step.build")
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = f"-s -w -X main.Version={VERSION}"
    command = ["nice", "go", "build", "-trimpath", "-ldflags", flags, "-o", str(partial), _PACKAGE]
    proc.run(command, env=_environment(caches), cwd=MODULE, timeout=3600)
    partial.replace(target)
    shutil.rmtree(caches, ignore_errors=True)


def _environment(caches: Path) -> Mapping[str, str]:
    return {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOCACHE": str(caches / "build"),
        "GOMODCACHE": str(caches / "mod"),
    }
