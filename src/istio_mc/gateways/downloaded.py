"""What a downloaded file is that is not the expected one, as far as its content shows."""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from typing import TYPE_CHECKING

from istio_mc.domain.program_files import HEADER, least_size
from istio_mc.domain.tools import known_as, parse_checksum, program_platforms
from istio_mc.gateways import files

if TYPE_CHECKING:
    from pathlib import Path

    from istio_mc.domain.tools import Artifact

_MAX_UNPACKED = 1 << 30
_BUNDLE_VERSION = re.compile(rb"gateway\.networking\.k8s\.io/bundle-version:\s*[\"']?v?([0-9A-Za-z.-]+)")
_PLATFORM = re.compile(r"(linux|darwin)-(amd64|arm64)/")
_CHUNK = 1 << 20
_DAMAGED = "damaged"
_TRUNCATED = "truncated"


def recognise(path: Path, digest: str, artifact: Artifact, folder: Path) -> str:
    """What a file is instead of an artifact, as words; "" where that is unknown.

    Args:
        path: The file.
        digest: Its SHA-256.
        artifact: What it is expected to be.
        folder: The folder of downloads, whose other checksums it is compared with.
    """
    if not path.stat().st_size:
        return "empty"
    if other := known_as(digest) or _other_of(folder, digest, artifact):
        return f"that of {other}"
    with path.open("rb") as file:
        head = file.read(HEADER)
    if head.lstrip()[:5].lower() in (b"<html", b"<!doc"):
        return "an HTML page"
    if not artifact.tool.is_program:
        return _manifest(path, artifact)
    if artifact.member:
        return _archive(path, artifact)
    return _program(head, path.stat().st_size, artifact)


def _other_of(folder: Path, digest: str, artifact: Artifact) -> str | None:
    """The other file of a folder of downloads that has a digest."""
    for beside in sorted(folder.glob("*/*/*/*.sha256")):
        if str(beside.parent.relative_to(folder)) == artifact.folder:
            continue
        text = files.read_if_there(beside) or b""
        if parse_checksum(text.decode(errors="replace"), beside.stem) == digest:
            tool, version, place = beside.relative_to(folder).parts[:3]
            return f"{tool} {version}" + ("" if place == "any" else f" for {place.replace('-', '/')}")
    return None


def _manifest(path: Path, artifact: Artifact) -> str:
    versions = {found.decode() for found in _BUNDLE_VERSION.findall(files.read(path))}
    others = sorted(versions - {artifact.version})
    return f"the manifest of {artifact.tool} {', '.join(others)}" if others else ""


def _program(head: bytes, size: int, artifact: Artifact) -> str:
    platforms = program_platforms(head)
    if platforms is None:
        return "not a program"
    if artifact.platform not in platforms:
        return f"a program for {', '.join(map(str, platforms)) or 'another processor'}"
    return _TRUNCATED if size < least_size(head) else ""


def _archive(path: Path, artifact: Artifact) -> str:
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return "not a gzip archive"
    try:
        _read_through(path)
        return _unrolled(path, artifact)
    except EOFError:
        return _TRUNCATED
    except (tarfile.TarError, zlib.error, OSError):
        return _DAMAGED


def _read_through(path: Path) -> None:
    """Reads an archive to its end, where gzip compares its checksum."""
    left = _MAX_UNPACKED
    with gzip.open(path) as raw:
        while left > 0 and (chunk := raw.read(_CHUNK)):
            left -= len(chunk)


def _unrolled(path: Path, artifact: Artifact) -> str:
    names: list[str] = []
    with gzip.open(path) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
        for entry in tar:
            names.append(entry.name.removeprefix("./"))
            if entry.offset_data + entry.size > _MAX_UNPACKED:
                return ""
            source = tar.extractfile(entry) if names[-1] == artifact.member and entry.isreg() else None
            if source and (words := _program(source.read(HEADER), entry.size, artifact)):
                return words
    if artifact.member in names:
        return ""
    if platforms := sorted({f"{found[1]}/{found[2]}" for name in names if (found := _PLATFORM.match(name))}):
        return f"an archive for {', '.join(platforms)}"
    return f"an archive without {artifact.member}, with {', '.join(names[:4]) or 'nothing in it'}"
