"""The private cache: programs, manifests, unfinished downloads, first-seen digests, receipts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.host import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from istio_mc.domain.tools import Platform, Tool

PROGRAM_MODE = 0o755
_ELSEWHERE = Advice("choose another folder with --bin-dir, or use the private cache")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a program is, kept under the digest of the program itself: it holds wherever the program is put.

    Attributes:
        tool: Its name.
        version: Its version.
        platform: `os/arch`.
        url: Where the published file was.
        file_sha256: Digest of the published file (of the archive, where it is one).
    """

    tool: str
    version: str
    platform: str
    url: str
    file_sha256: str


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder `istio-mc` of the user's cache, entered by its owner alone."""

    folder: Path

    def program(self, tool: Tool, version: str, platform: Platform) -> Path:
        """Where a program of a version and platform is, or would be."""
        return self.folder / "bin" / f"{platform.os}-{platform.arch}" / f"{tool}-{version}" / tool

    def manifest(self, url: str) -> Path:
        """Where the content of a URL is, or would be."""
        return self.folder / "manifests" / _key(url)

    def partial(self, url: str) -> Path:
        """Where a URL is downloaded to; removed when it is used."""
        return self.folder / "partial" / _key(url)

    def record(self, url: str) -> Path:
        """Where the first-seen digest of a URL is kept."""
        return self.folder / "digests" / f"{_key(url)}.sha256"

    def recorded(self, url: str) -> str | None:
        """The first-seen digest of a URL; None: it was never fetched."""
        found = files.read_if_there(self.record(url))
        return found.decode(errors="replace").split()[0] if found and found.strip() else None

    def remember(self, url: str, sha256: str) -> None:
        """Keeps the first-seen digest of a URL; one that is kept already stays.

        Raises:
            ProblemError: The cache cannot be written.
        """
        self.make_folder(self.record(url).parent)
        try:
            files.write(self.record(url), f"{sha256}  {url}\n".encode(), exclusive=True)
        except ProblemError as error:
            if error.problems[0].code != Code.FILE_EXISTS:
                raise

    def receipt(self, program: Path) -> Receipt | None:
        """What a program is, if it was installed from here; None: unknown, or not there."""
        if not program.is_file():
            return None
        raw = files.read_if_there(self._receipt(sha256_of(program)))
        try:
            return Receipt(**json.loads(raw)) if raw else None
        except (ValueError, TypeError):
            return None

    def keep_receipt(self, program_sha256: str, receipt: Receipt) -> None:
        """Remembers what a program is.

        Raises:
            ProblemError: The cache cannot be written.
        """
        path = self._receipt(program_sha256)
        self.make_folder(path.parent)
        files.write(path, json.dumps(asdict(receipt), indent=2).encode() + b"\n")

    def make_folder(self, path: Path) -> None:
        """Makes a folder of the cache, private from the cache's own folder down.

        Raises:
            ProblemError: `file-unwritable`.
        """
        for folder in (self.folder, *reversed(_below(path, self.folder))):
            files.make_private_folder(folder)

    def _receipt(self, program_sha256: str) -> Path:
        return self.folder / "receipts" / f"{program_sha256}.json"


def find_cache(env: Mapping[str, str], home: Path) -> Cache:
    """The cache of a user: `$XDG_CACHE_HOME/istio-mc`, else `~/.cache/istio-mc`.

    A relative $XDG_CACHE_HOME is passed over, as the XDG Base Directory Specification has it.
    """
    base = Path(env.get("XDG_CACHE_HOME") or "")
    return Cache((base if base.is_absolute() else home / ".cache") / "istio-mc")


def sha256_of(path: Path) -> str:
    """A file's SHA-256.

    Raises:
        ProblemError: `file-unreadable`.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ProblemError(
            Problem(code=Code.FILE_UNREADABLE, message=f"cannot read {path}", seen=error.strerror)
        ) from None


def replacing(path: Path, mode: int) -> AbstractContextManager[BinaryIO]:
    """An open file that takes the place of a program or manifest: `files.replacing`.

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
        while chunk := file.read(_CHUNK):
            to.write(chunk)


def _key(url: str) -> str:
    """A file name for a URL: unlike any other's, and readable."""
    name = url.rstrip("/").rsplit("/", 1)[-1]
    readable = "".join(c for c in name if c.isalnum() or c in "._-").lstrip(".")[:80]
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{readable}"


def _below(path: Path, top: Path) -> list[Path]:
    """The folders from `path` up to, and without, `top`."""
    return [folder for folder in (path, *path.parents) if folder != top and top in folder.parents]
