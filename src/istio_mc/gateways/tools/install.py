"""Installs programs and manifests: complete and verified, or not at all.

From an archive only the bytes of one named file are read; nothing else in it is used.
"""

from __future__ import annotations

import gzip
import math
import os
import tarfile
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from istio_mc.domain.hint import Advice, Command, Hint, istio_mc, on_this_machine
from istio_mc.domain.problem import Code, InputError, ProblemError
from istio_mc.domain.tools import (
    SET_IN_MESH_YAML,
    Artifact,
    Verification,
    parse_checksum,
    program_platforms,
)
from istio_mc.gateways.host import files, temporary
from istio_mc.gateways.tools.cache import PROGRAM_MODE, Cache, copy_into, replacing, sha256_of
from istio_mc.gateways.tools.download import MAX_FILE, MAX_TEXT, RECORDED, Downloader, OnProgress, RemoteFile
from istio_mc.gateways.tools.find import own_platform, version_of
from istio_mc.gateways.tools.manifests import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_HEAD = 256
_OF_THE_FIRST = "of the file that this machine used first"
_FOLDER_MODE = 0o755
_READABLE = 0o644


class Source(Protocol):
    """A source of published files."""

    def fetched(
        self, artifact: Artifact, on_progress: OnProgress
    ) -> AbstractContextManager[tuple[Path, str]]:
        """A verified file and its SHA-256, for the time of a `with` block."""

    def place(self, artifact: Artifact) -> str:
        """Its place in this source: a URL or a file."""


@dataclass(frozen=True, slots=True)
class Online:
    """Published files from their servers."""

    downloader: Downloader

    def fetched(
        self, artifact: Artifact, on_progress: OnProgress
    ) -> AbstractContextManager[tuple[Path, str]]:
        """See `Downloader.fetched`."""
        remote = RemoteFile(
            artifact.url,
            artifact.checksum_url,
            artifact.sha256,
            artifact.sha256_from,
            MAX_FILE if artifact.tool.is_program else MAX_TEXT,
        )
        return self.downloader.fetched(remote, on_progress)

    def place(self, artifact: Artifact) -> str:
        """Its URL."""
        return artifact.url


@dataclass(frozen=True, slots=True)
class Offline:
    """Published files from a folder that `tools download` filled."""

    folder: Path
    cache: Cache

    def place(self, artifact: Artifact) -> str:
        """The folder's file."""
        return str(in_folder(self.folder, artifact))

    @contextmanager
    def fetched(self, artifact: Artifact, on_progress: OnProgress) -> Iterator[tuple[Path, str]]:
        """The folder's file, copied before it is verified, so that the verified bytes are the ones used.

        Raises:
            ProblemError: `offline-missing`, `checksum-missing`, `checksum-mismatch`, `digest-changed`.
        """
        path = in_folder(self.folder, artifact)
        if not path.is_file():
            raise _not_prepared(artifact, path, self.folder)
        expected, source = self._expected(artifact, path)
        self.cache.make_folder(self.cache.folder)
        with temporary.folder(self.cache.folder) as folder:
            copy = folder / path.name
            files.write(copy, files.read(path, most=MAX_FILE))
            on_progress(copy.stat().st_size, copy.stat().st_size)
            digest = sha256_of(copy)
            if digest != expected:
                raise self._mismatch(artifact, copy, digest, expected, source)
            yield copy, digest
            if not artifact.checksum_url and not artifact.sha256:
                self.cache.remember(artifact.url, digest)

    def _mismatch(
        self, artifact: Artifact, copy: Path, digest: str, expected: str, source: str
    ) -> ProblemError:
        path = in_folder(self.folder, artifact)
        changed = source == RECORDED
        as_downloaded = source != _checksum_source(path) and is_as_downloaded(path, digest)
        known = _recognised(copy, artifact)
        if not known and as_downloaded:
            known = f"unchanged since its download ({checksum_file(path).name} agrees)"
        hint: Hint = Advice("download it again with internet access: ", _download(artifact))
        if changed:
            hint = Advice(
                "find out which of the two is right; if it is this one: ",
                on_this_machine("rm", self.cache.record(artifact.url)),
            )
        elif as_downloaded and artifact.sha256_from == SET_IN_MESH_YAML:
            hint = Advice(f"check the digest under tools.{artifact.tool.key}.sha256 in mesh.yaml")
        return ProblemError.of(
            code=Code.DIGEST_CHANGED if changed else Code.CHECKSUM_MISMATCH,
            message=f"{path} is not the file expected for {artifact}; nothing was unpacked or replaced",
            seen=f"SHA-256 {digest}" + (f"; the file is {known}" if known else ""),
            expected=f"SHA-256 {expected}, {_OF_THE_FIRST if changed else source}",
            hint=hint,
        )

    def _expected(self, artifact: Artifact, path: Path) -> tuple[str, str]:
        if artifact.sha256:
            return artifact.sha256, artifact.sha256_from
        if not artifact.checksum_url and (recorded := self.cache.recorded(artifact.url)):
            return recorded, RECORDED
        beside = checksum_file(path)
        text = files.read_if_there(beside)
        digest = parse_checksum(text.decode(errors="replace"), path.name) if text is not None else None
        if digest is None:
            raise ProblemError.of(
                code=Code.CHECKSUM_MISSING,
                message=f"{path} has no checksum, so it was not used",
                seen=f"{beside}: {'not there' if text is None else 'no SHA-256'}",
                expected="a SHA-256, as istio-mc tools download writes it",
                hint=Advice("prepare the folder again, or set the tool's sha256 in mesh.yaml"),
            )
        return digest, _checksum_source(path)


def _recognised(path: Path, artifact: Artifact) -> str:
    """Describes a file that is not the artifact, in words; "" if its content does not show what it is."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "empty"
    if head.lstrip()[:5].lower() in (b"<html", b"<!doc"):
        return "an HTML page"
    if artifact.member:
        return _damage(path) if head.startswith(b"\x1f\x8b") else "not a gzip archive"
    if not artifact.tool.is_program:
        return ""
    platforms = program_platforms(head)
    if platforms is None:
        return "not a program"
    named = ", ".join(map(str, platforms)) or "another processor"
    return "" if artifact.platform in platforms else f"a program for {named}"


def _damage(archive: Path) -> str:
    try:
        with gzip.open(archive) as raw:
            _read_on(raw)
    except EOFError:
        return "truncated"
    except (zlib.error, OSError):
        return "damaged"
    return ""


def is_as_downloaded(path: Path, digest: str) -> bool:
    """Whether a digest equals the one in the file's checksum file."""
    text = files.read_if_there(checksum_file(path))
    return text is not None and parse_checksum(text.decode(errors="replace"), path.name) == digest


def _checksum_source(path: Path) -> str:
    return f"from {checksum_file(path).name}"


def in_folder(folder: Path, artifact: Artifact) -> Path:
    """Path of an artifact in a folder of downloads."""
    return folder / artifact.folder / artifact.name


def checksum_file(path: Path) -> Path:
    """Path of the checksum of a downloaded file."""
    return path.with_name(f"{path.name}.sha256")


def target_of(artifact: Artifact, cache: Cache, bin_dir: Path | None) -> Path:
    """Path where an artifact is installed: programs in `bin_dir` or the cache, manifests in the cache."""
    if artifact.platform is None:
        return cache.manifest(artifact.url)
    if bin_dir:
        return bin_dir / artifact.tool
    return cache.program(artifact.tool, artifact.version, artifact.platform)


def is_installed(artifact: Artifact, target: Path, cache: Cache) -> bool:
    """Whether the file at a target is already the artifact; uses no network.

    Raises:
        ProblemError: It cannot be read.
    """
    if artifact.platform is None:
        known = artifact.sha256 or cache.recorded(artifact.url)
        return target.is_file() and sha256_of(target) == known
    published = cache.recorded_program(artifact.url, target)
    return published is not None and artifact.sha256 in (None, published) and os.access(target, os.X_OK)


def verification_of(artifact: Artifact, there: Path | None, cache: Cache) -> Verification:
    """How the digest of a file was verified; without a file, how `install` will verify it.

    Raises:
        ProblemError: It cannot be read.
    """
    if there is None:
        return artifact.verification
    if artifact.platform is None:
        return Verification.PINNED if sha256_of(there) == artifact.sha256 else Verification.NOT_VERIFIED
    published = cache.recorded_program(artifact.url, there)
    if published is None:
        return Verification.NOT_VERIFIED
    return Verification.PINNED if published == artifact.sha256 else Verification.PUBLISHED


def install(
    artifact: Artifact,
    target: Path,
    cache: Cache,
    source: Source,
    on_progress: OnProgress,
    deadline: float = math.inf,
) -> None:
    """Installs an artifact in one step; until then an existing file stays.

    A program for this machine's platform is run before that.

    Raises:
        ProblemError: The artifact is not available, fails verification, does not run, or cannot be written.
    """
    place = source.place(artifact)
    if artifact.platform is None:
        cache.make_folder(target.parent)
        with source.fetched(artifact, on_progress) as (path, _):
            parsed(place, files.read(path))
            with replacing(target, files.PRIVATE_FILE) as file:
                copy_into(path, file)
        return
    cached = cache.program(artifact.tool, artifact.version, artifact.platform)
    _make_folder(target.parent, cache)
    if target != cached and is_installed(artifact, cached, cache):
        with _tested(artifact, target, str(cached), deadline) as file:
            copy_into(cached, file)
        return
    with source.fetched(artifact, on_progress) as (path, file_sha256):
        with _tested(artifact, target, place, deadline) as file:
            if artifact.member:
                copy_member(path, artifact.member, file, name=artifact.name)
            else:
                copy_into(path, file)
            file.seek(0)
            _refuse_other_platform(artifact, file.read(_HEAD), place)
        cache.remember_program(artifact.url, file_sha256, target)


@contextmanager
def _tested(artifact: Artifact, target: Path, place: str, deadline: float) -> Iterator[BinaryIO]:
    """An open file for a program, which replaces `target` after a successful test run."""
    # In the target's folder: a rename is atomic only within one file system, and another one may be mounted
    # noexec. A file that is open for writing cannot be run.
    with temporary.folder(target.parent) as folder:
        made = folder / artifact.tool
        with replacing(made, PROGRAM_MODE) as file:
            yield file
        refuse_unusable(artifact, made, place, deadline)
        files.move(made, target)


def is_downloaded(artifact: Artifact, folder: Path) -> bool:
    """Whether a folder of downloads contains a file with the expected checksum; uses no network."""
    path = in_folder(folder, artifact)
    text = files.read_if_there(checksum_file(path))
    if text is None or not path.is_file():
        return False
    beside = parse_checksum(text.decode(errors="replace"), path.name)
    return sha256_of(path) == beside and artifact.sha256 in (None, beside)


def download(artifact: Artifact, folder: Path, source: Source, on_progress: OnProgress) -> None:
    """Writes a published file, unchanged, and its checksum to a folder of downloads.

    Raises:
        ProblemError: The file is not available, fails verification, or cannot be written.
    """
    target = in_folder(folder, artifact)
    _make_folder(target.parent, None)
    with source.fetched(artifact, on_progress) as (path, digest):
        if not artifact.tool.is_program:
            parsed(artifact.url, files.read(path))
        with replacing(target, _READABLE) as file:
            copy_into(path, file)
        files.write(checksum_file(target), f"{digest}  {target.name}\n".encode(), mode=_READABLE)


def _refuse_other_platform(artifact: Artifact, head: bytes, place: str) -> None:
    platforms = program_platforms(head)
    if platforms is not None and artifact.platform in platforms:
        return
    seen = "no program" if platforms is None else ", ".join(map(str, platforms)) or "another processor"
    raise ProblemError.of(
        code=Code.WRONG_PLATFORM,
        message=f"{place} is not {artifact}; nothing was replaced",
        seen=seen,
        expected=f"a program for {artifact.platform}",
        hint=Advice(f"check {place}: it has another platform's file under this name"),
    )


def _make_folder(path: Path, cache: Cache | None) -> None:
    """Creates a folder: private in the cache, readable by all elsewhere."""
    if cache and path.is_relative_to(cache.folder):
        cache.make_folder(path)
        return
    try:
        path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise ProblemError.of(
            code=Code.FILE_UNWRITABLE, message=f"cannot create the folder {path}", seen=error.strerror
        ) from None


def _not_prepared(artifact: Artifact, path: Path, folder: Path) -> ProblemError:
    return ProblemError.of(
        code=Code.OFFLINE_MISSING,
        message=f"{folder} does not contain {artifact}",
        seen=f"no file {path.relative_to(folder)}",
        expected="a folder that istio-mc tools download has filled",
        hint=Advice("with internet access: ", _download(artifact)),
    )


def _download(artifact: Artifact) -> Command:
    """The command that downloads the artifact to a folder."""
    options = [f"--{artifact.tool}", artifact.version]
    if artifact.platform:
        options += ["--platform", str(artifact.platform)]
    return istio_mc("tools", "download", "DIR", artifact.tool, *options)


def refuse_unusable(artifact: Artifact, program: Path, place: str, deadline: float) -> None:
    """Runs a program's version command, if the program is for this machine's platform.

    Args:
        program: Its current path, before it is installed.
        place: Where it was fetched from, for messages.

    Raises:
        ProblemError: `tool-not-started`: it does not start, or reports no version.
            `tool-version-mismatch`: it reports another one.
    """
    with suppress(InputError):  # no tool is published for this platform
        if artifact.platform == own_platform():
            _run(artifact, program, place, deadline)


def _run(artifact: Artifact, program: Path, place: str, deadline: float) -> None:
    # Without the kubeconfig: one that cannot be read is not a fault of the program.
    env = {**os.environ, "KUBECONFIG": os.devnull}
    version, output = version_of(artifact.tool, program, deadline, env)
    if version == artifact.version:
        return
    if version is None:
        raise ProblemError.of(
            code=Code.TOOL_NOT_STARTED,
            message=f"{artifact} from {place} does not run on this machine; nothing was replaced",
            seen=output.replace(str(program), str(artifact.tool)),
            expected=f"version {artifact.version}, reported by its version command",
            hint=Advice(
                f"check {place}; if programs in {program.parent.parent} cannot run (noexec), "
                "choose another folder with --bin-dir"
            ),
        )
    raise ProblemError.of(
        code=Code.TOOL_VERSION_MISMATCH,
        message=f"{place} contains {artifact.tool} {version}; nothing was replaced",
        seen=f"version {version}",
        expected=f"version {artifact.version}",
        hint=Advice(f"check {place}: it has another version's file under this name"),
    )


MAX_MEMBER = 512 << 20
"""Size limit in bytes of a member: several times the largest of these programs."""

_MAX_BEFORE = 4 * MAX_MEMBER  # limit in bytes of the members before it
_CHUNK = 1 << 20
_SHOWN = 8


def copy_member(archive: Path, member: str, to: BinaryIO, *, name: str | None = None) -> None:
    """Writes one regular file of a gzipped tar archive into an open file; errors call the archive `name`.

    The archive determines no name, link, owner, permission or path: only the bytes of `member` are read, in
    one pass from the beginning. Links and devices of that name are rejected.

    Raises:
        ProblemError: `archive-unreadable`, `archive-member-missing` or `archive-unsafe`.
    """
    seen: list[str] = []
    name = name or archive.name
    try:
        # tarfile's own gzip reader (mode r|gz) does not verify the checksum at the end.
        with gzip.open(archive) as raw, tarfile.open(fileobj=raw, mode="r|") as tar:
            for entry in tar:
                if entry.offset_data > _MAX_BEFORE:
                    raise _unsafe(name, member, f"more than {_MAX_BEFORE >> 20} MiB before it")
                if entry.name.removeprefix("./") != member:
                    seen.append(entry.name)
                    continue
                _copy(tar, entry, name, member, to)
                _read_on(raw)
                return
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ProblemError.of(
            code=Code.ARCHIVE_UNREADABLE,
            message=f"{name} cannot be unpacked",
            seen=f"{type(error).__name__}: {error}",
            expected="a complete .tar.gz archive",
        ) from None
    raise ProblemError.of(
        code=Code.ARCHIVE_MEMBER_MISSING,
        message=f"{name} does not contain {member}",
        seen=", ".join(repr(other) for other in seen[:_SHOWN]) + (", …" if len(seen) > _SHOWN else ""),
        expected=member,
        hint=Advice("the archive is for another platform, or has a wrong name"),
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
        raise EOFError(f"{member} is truncated by {left} bytes")


def _read_on(raw: gzip.GzipFile) -> None:
    """Reads to the end, where gzip verifies its checksum; stops early if the archive is too long."""
    left = _MAX_BEFORE
    while left > 0 and (chunk := raw.read(_CHUNK)):
        left -= len(chunk)


def _unsafe(name: str, member: str, seen: str) -> ProblemError:
    return ProblemError.of(
        code=Code.ARCHIVE_UNSAFE,
        message=f"{member} in {name} is not unpacked",
        seen=seen,
        expected=f"a regular file of at most {MAX_MEMBER >> 20} MiB",
    )
