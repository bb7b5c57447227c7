"""Files: read with clear errors and a size limit, written completely or not at all."""

from __future__ import annotations

import errno
import math
import os
import select
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from istio_mc.domain.hint import Advice, on_this_machine
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.gateways.host import temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.hint import Hint

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
SHARED_FILE = 0o644
MOST = 64 << 20
"""Size limit in bytes of a file that is read: a kubeconfig, settings, a certificate, a manifest."""

_PATIENCE_S = 30.0
_NOT_REGULAR = "it is not a regular file"
_NO_NAME = "invalid file name: it contains a NUL, or characters that the locale lacks"
_POLL_MS = 250
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads each file once for a run: the pipe that a shell creates for `<(…)` can be read only once."""

    _read: dict[str, bytes] = field(default_factory=dict, repr=False)
    _pipes: dict[str, bytes] = field(default_factory=dict, repr=False)

    def __call__(self, path: Path, deadline: float) -> bytes:
        """The content of a file at its first read.

        Raises:
            OSError: It cannot be read.
        """
        name = str(path)
        if name in self._pipes:
            return self._pipes[name]
        if name not in self._read:
            data, is_regular = _content(path, deadline)
            (self._read if is_regular else self._pipes)[name] = data
            return data
        return self._read[name]

    def again(self) -> Reader:
        """Returns a reader for another run of this process: it reads files again, but not pipes."""
        return Reader({}, self._pipes)


def content(path: Path) -> bytes:
    """The content of a file, or of a pipe that ends within half a minute.

    Raises:
        OSError: It cannot be read.
    """
    return _content(path, time.monotonic() + _PATIENCE_S)[0]


def current_folder() -> Path:
    """The folder that relative paths start from.

    Raises:
        InputError: The folder was deleted, or cannot be read.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise InputError.of(
            code=Code.CURRENT_FOLDER,
            message="the current folder cannot be used",
            seen=error.strerror,
            expected="a folder that exists",
            hint=Advice("change to a folder that exists, and run the same command again"),
        ) from None


def home_folder() -> Path:
    """The user's home folder; `/` if the user has no home, as in many containers."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def with_home(path: Path) -> Path:
    """Replaces a leading `~` by the home folder; a shell leaves the `~` in `--bin-dir=~/bin` unchanged."""
    return home_folder() / path.relative_to("~") if path.parts[:1] == ("~",) else path


def absolute(path: Path) -> str:
    """Makes a path absolute without following links, as Go's filepath.Abs does.

    Raises:
        InputError: The path is relative, and the current folder cannot be used.
    """
    return os.path.normpath(path if path.is_absolute() else current_folder() / path)


def read(path: Path, *, deadline: float = math.inf, most: int = MOST) -> bytes:
    """The content of a file, or of a pipe.

    Args:
        deadline: `time.monotonic()` value at which reading a pipe ends; after half a minute at the latest.

    Raises:
        ProblemError: `file-unreadable`, with the reason.
    """
    with as_problem(Code.FILE_UNREADABLE, f"cannot read {path}"):
        return _content(path, min(deadline, time.monotonic() + _PATIENCE_S), most)[0]


def read_authorities(path: Path) -> bytes:
    """The content of a file of PEM certificates that are used to verify servers' certificates.

    Raises:
        ProblemError: `file-unreadable`, or `certificate-unreadable` if it contains no certificate.
    """
    from istio_mc.domain.pki.go_x509 import read_pool  # noqa: PLC0415 - loaded only if a file is given

    data = read(path)
    if not read_pool(data):
        problem = Problem(
            code=Code.CERTIFICATE_UNREADABLE,
            message=f"{path} contains no certificate that Go reads",
            expected="one or more blocks -----BEGIN CERTIFICATE-----",
            hint=Advice(
                "inspect it with: ", on_this_machine("openssl", "x509", "-noout", "-text", "-in", path)
            ),
        )
        raise ProblemError(problem)
    return data


def read_if_there(path: Path) -> bytes | None:
    """The content of a regular file, or None if the file does not exist.

    Raises:
        ProblemError: `file-unreadable` if it exists but cannot be read.
    """
    with as_problem(Code.FILE_UNREADABLE, f"cannot read {path}"):
        try:
            data, is_regular = _content(path, deadline=0.0)
        except FileNotFoundError:
            return None
        if not is_regular:
            raise OSError(errno.EINVAL, _NOT_REGULAR)
        return data


def beginning(path: Path, most: int = 4096) -> bytes:
    """The first bytes of a file.

    Raises:
        ProblemError: `file-unreadable`, with the reason.
    """
    with as_problem(Code.FILE_UNREADABLE, f"cannot read {path}"):
        if not path.is_file():
            raise OSError(errno.EINVAL, _NOT_REGULAR)
        with path.open("rb") as file:
            return file.read(most)


def make_private_folder(path: Path, *, parents: bool = True) -> None:
    """Creates a folder that only its owner can enter (0700); an existing folder stays unchanged.

    Args:
        parents: Create missing parent folders too. False inside a run's temporary folder: an interrupted run
            removes it while threads still work, and these must not create it again.

    Raises:
        ProblemError: `file-unwritable`.
    """
    with as_problem(Code.FILE_UNWRITABLE, f"cannot create the folder {path}"):
        try:
            possible(path).mkdir(mode=PRIVATE_FOLDER, parents=parents, exist_ok=True)
        except FileExistsError as error:  # exist_ok accepts folders, so this is not a folder
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error


def write(path: Path, data: bytes, *, mode: int = PRIVATE_FILE, exclusive: bool = False) -> None:
    """Writes a file completely or not at all, also if the machine crashes.

    Args:
        mode: Permissions, not reduced by the umask.
        exclusive: Raise if the file exists; if several processes try this at once, one succeeds.

    Raises:
        ProblemError: `file-exists` (with `exclusive`) or `file-unwritable`.
    """
    with replacing(path, mode=mode, exclusive=exclusive) as file:
        file.write(data)


@contextmanager
def replacing(
    path: Path, *, mode: int = PRIVATE_FILE, exclusive: bool = False, hint: Hint | None = None
) -> Iterator[BinaryIO]:
    """Yields an open file that replaces `path` in one step when the block ends without an exception.

    After an exception, `path` is unchanged. A symbolic link at `path` is replaced, not followed.

    Args:
        mode: Permissions, not reduced by the umask.

    Raises:
        ProblemError: `file-exists` (with `exclusive`) or `file-unwritable`.
    """
    with as_problem(Code.FILE_UNWRITABLE, f"cannot write {path}", hint):
        # In the same folder: a rename is atomic only within one file system. The mode is 0600 at first, so
        # that others can never read a key.
        made, handle = temporary.make_file(possible(path))
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
                if exclusive:
                    os.link(made, path)  # unlike a rename, this fails if the name exists
                else:
                    made.replace(path)
        finally:
            temporary.remove(made)
        sync_folder(path.parent)


def move(made: Path, path: Path) -> None:
    """Moves a finished file over another one on the same file system, in one step.

    Raises:
        ProblemError: `file-unwritable`.
    """
    with as_problem(Code.FILE_UNWRITABLE, f"cannot write {path}"):
        made.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Makes new names in a folder survive a power failure (fsync).

    Raises:
        ProblemError: `file-unwritable`.
    """
    with as_problem(Code.FILE_UNWRITABLE, f"cannot sync {path}"):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def readable_by_others(path: Path) -> bool:
    """Whether group or others can read, write or execute a file, or read or write a folder.

    False if it does not exist.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & (0o066 if stat.S_ISDIR(mode) else 0o077))


@contextmanager
def as_problem(code: Code, message: str, hint: Hint | None = None) -> Iterator[None]:
    """Converts an OSError in a `with` block to a Problem that includes the reason.

    Raises:
        ProblemError: With this code, message and hint; `file-exists` if the file exists already.
    """
    try:
        yield
    except FileExistsError as error:
        raise ProblemError.of(
            code=Code.FILE_EXISTS,
            message=f"{error.filename2 or error.filename} already exists",
            hint=Advice("nothing was overwritten"),
        ) from error
    except OSError as error:
        problem = Problem(code=code, message=message, seen=error.strerror or str(error), hint=hint)
        raise ProblemError(problem) from error


def possible(path: Path) -> Path:
    """Returns the path, if the system allows a file of this name.

    Raises:
        OSError: It contains a NUL, or characters that the locale's encoding lacks.
    """
    try:
        has_nul = b"\0" in os.fsencode(path)
    except UnicodeEncodeError:
        has_nul = True
    if has_nul:
        raise OSError(errno.EINVAL, _NO_NAME)
    return path


def _content(path: Path, deadline: float, most: int = MOST) -> tuple[bytes, bool]:
    """The content, and whether it is a regular file, which can be read again."""
    # Without blocking: opening a pipe without a writer would wait forever here.
    handle = os.open(possible(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        is_regular = stat.S_ISREG(mode)
        return b"".join(_chunks(handle, deadline, most, waits=not is_regular)), is_regular
    finally:
        os.close(handle)


def _chunks(handle: int, deadline: float, most: int, *, waits: bool) -> Iterator[bytes]:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    total = 0
    while True:
        if waits and not poll.poll(_POLL_MS):
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "the writer of the pipe sent nothing in time")
            continue
        chunk = os.read(handle, _CHUNK)
        total += len(chunk)
        if total > most:
            raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB")
        if not chunk:
            return
        yield chunk
