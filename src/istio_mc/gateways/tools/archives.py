"""Archives: one named file's bytes are read out of them, and nothing else of what they say is done."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from istio_mc.domain.codes import Code
from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Problem, ProblemError

if TYPE_CHECKING:
    from pathlib import Path

MAX_MEMBER = 512 << 20
"""Bytes above which a member is refused: several times the largest of these programs."""

_MAX_BEFORE = 4 * MAX_MEMBER  # bytes of other members to read past
_CHUNK = 1 << 20
_SHOWN = 8


def copy_member(archive: Path, member: str, to: BinaryIO, *, name: str | None = None) -> None:
    """Writes one regular file of a gzipped tar archive into an open file; `name` is what errors call it.

    The archive chooses no name, link, owner, permission or place: only the bytes of `member` are read, as the
    archive is unrolled from its beginning. Links and devices of that name are refused.

    Raises:
        ProblemError: `archive-unreadable`, `archive-member-missing` or `archive-unsafe`.
    """
    seen: list[str] = []
    name = name or archive.name
    try:
        # tarfile's own reading of gzip (mode r|gz) passes over the checksum at its end.
        with gzip.open(archive) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
            for entry in tar:
                if entry.offset_data > _MAX_BEFORE:
                    raise _unsafe(name, member, f"more than {_MAX_BEFORE >> 20} MiB before it")
                if _plain(entry.name) != member:
                    seen.append(entry.name)
                    continue
                _copy(tar, entry, name, member, to)
                _read_on(raw)
                return
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ProblemError(
            Problem(
                code=Code.ARCHIVE_UNREADABLE,
                message=f"{name} cannot be unpacked",
                seen=f"{type(error).__name__}: {error}",
                expected="a whole .tar.gz archive",
            )
        ) from None
    raise ProblemError(
        Problem(
            code=Code.ARCHIVE_MEMBER_MISSING,
            message=f"{name} holds no {member}",
            seen=", ".join(repr(other) for other in seen[:_SHOWN]) + (", …" if len(seen) > _SHOWN else ""),
            expected=member,
            hint=Advice("the archive is for another platform, or is not the one it is named as"),
        )
    )


def _copy(tar: tarfile.TarFile, entry: tarfile.TarInfo, name: str, member: str, to: BinaryIO) -> None:
    if not entry.isreg():
        kind = "a link" if entry.islnk() or entry.issym() else "a folder" if entry.isdir() else "a device"
        raise _unsafe(name, member, kind)
    if entry.size > MAX_MEMBER:
        raise _unsafe(name, member, f"{entry.size} bytes")
    source = tar.extractfile(entry)
    left = entry.size
    while source is not None and left:
        chunk = source.read(min(_CHUNK, left))
        if not chunk:
            break
        to.write(chunk)
        left -= len(chunk)
    if left:
        raise EOFError(f"{member} ends {left} bytes early")


def _read_on(raw: gzip.GzipFile) -> None:
    """Reads to the end, where gzip compares its checksum; of an archive that is too long, not all."""
    left = _MAX_BEFORE
    while left > 0 and (chunk := raw.read(_CHUNK)):
        left -= len(chunk)


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _unsafe(name: str, member: str, seen: str) -> ProblemError:
    return ProblemError(
        Problem(
            code=Code.ARCHIVE_UNSAFE,
            message=f"{member} in {name} is not unpacked",
            seen=seen,
            expected=f"a regular file of at most {MAX_MEMBER >> 20} MiB",
        )
    )
