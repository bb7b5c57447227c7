"""The private cache: programs, manifests, unfinished downloads, and digests of downloaded files."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, ProblemError
from istio_mc.gateways.host import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from istio_mc.domain.tools import Platform, Tool

PROGRAM_MODE = 0o755
_ELSEWHERE = Advice("choose another folder with --bin-dir, or use the private cache")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder `istio-mc` of the user's cache, which only its owner can enter."""

    folder: Path

    def program(self, tool: Tool, version: str, platform: Platform) -> Path:
        """Path of a program of a version and platform, which may not exist."""
        return self.folder / "bin" / f"{platform.os}-{platform.arch}" / f"{tool}-{version}" / tool

    def manifest(self, url: str) -> Path:
        """Path of the cached content of a URL, which may not exist."""
        return self.folder / "manifests" / _key(url)

    def partial(self, url: str) -> Path:
        """Path of an unfinished download of a URL; removed after use."""
        return self.folder / "partial" / _key(url)

    def record(self, url: str) -> Path:
        """Path of the digests of a URL's content, and of the program that was unpacked from it."""
        return self.folder / "digests" / f"{_key(url)}.sha256"

    def recorded(self, url: str) -> str | None:
        """The digest of a URL's content; None: never downloaded."""
        return next(iter(self._digests(url)), None)

    def recorded_program(self, url: str, program: Path) -> str | None:
        """The digest of the published file that a program was installed from; None: from another source."""
        match self._digests(url):
            case [published, unpacked] if program.is_file() and sha256_of(program) == unpacked:
                return published
        return None

    def remember(self, url: str, sha256: str) -> None:
        """Stores the digest of a URL at its first download; an existing digest stays unchanged.

        Raises:
            ProblemError: The cache cannot be written.
        """
        self.make_folder(self.record(url).parent)
        try:
            files.write(self.record(url), f"{sha256}  {url}\n".encode(), exclusive=True)
        except ProblemError as error:
            if error.problems[0].code != Code.FILE_EXISTS:
                raise

    def remember_program(self, url: str, sha256: str, program: Path) -> None:
        """Stores the digests of a published file and of the program in it; replaces earlier ones.

        Raises:
            ProblemError: The cache cannot be written.
        """
        self.make_folder(self.record(url).parent)
        lines = f"{sha256}  {url}\n{sha256_of(program)}  {program.name}\n"
        files.write(self.record(url), lines.encode())

    def make_folder(self, path: Path) -> None:
        """Creates a folder in the cache; the cache's folder and all below it are private.

        Raises:
            ProblemError: `file-unwritable`.
        """
        below = [folder for folder in (path, *path.parents) if self.folder in folder.parents]
        for folder in (self.folder, *reversed(below)):
            files.make_private_folder(folder)

    def _digests(self, url: str) -> list[str]:
        kept = files.read_if_there(self.record(url)) or b""
        return [line.split()[0] for line in kept.decode(errors="replace").splitlines() if line.strip()]


def find_cache(env: Mapping[str, str], home: Path) -> Cache:
    """The cache of a user: `$XDG_CACHE_HOME/istio-mc`, else `~/.cache/istio-mc`.

    A relative $XDG_CACHE_HOME is ignored, as the XDG Base Directory Specification requires.
    """
    base = Path(env.get("XDG_CACHE_HOME") or "")
    return Cache((base if base.is_absolute() else home / ".cache") / "istio-mc")


def sha256_of(path: Path) -> str:
    """Returns a file's SHA-256.

    Raises:
        ProblemError: `file-unreadable`.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ProblemError.of(
            code=Code.FILE_UNREADABLE, message=f"cannot read {path}", seen=error.strerror
        ) from None


def replacing(path: Path, mode: int) -> AbstractContextManager[BinaryIO]:
    """Yields an open file that replaces a program or manifest: `files.replacing`.

    Raises:
        ProblemError: `file-unwritable`.
    """
    return files.replacing(path, mode=mode, hint=_ELSEWHERE)


def copy_into(source: Path, to: BinaryIO) -> None:
    """Writes a file's bytes into an open file.

    Raises:
        OSError: It cannot be read.
    """
    with source.open("rb") as file:
        shutil.copyfileobj(file, to, _CHUNK)


def _key(url: str) -> str:
    """A file name for a URL: unique and readable."""
    name = url.rstrip("/").rsplit("/", 1)[-1]
    readable = "".join(c for c in name if c.isalnum() or c in "._-").lstrip(".")[:80]
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{readable}"
