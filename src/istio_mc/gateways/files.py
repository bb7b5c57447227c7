"""Private files: read with a clear error, written whole or not at all, over another only where wanted."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from istio_mc.domain.go_x509 import read_pool
from istio_mc.domain.hint import Advice, on_this_machine
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways import temporary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from istio_mc.domain.hint import Hint

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
SHARED_FILE = 0o644


def read(path: Path) -> bytes:
    """The content of a file.

    Raises:
        ProblemError: `file-unreadable`, saying why.
    """
    with _told("file-unreadable", f"cannot read {path}"):
        return path.read_bytes()


def read_authorities(path: Path) -> bytes:
    """The content of a file of PEM certificates that servers' certificates are verified with.

    Raises:
        ProblemError: `file-unreadable`, or `certificate-unreadable` where it contains none.
    """
    data = read(path)
    if not read_pool(data):
        problem = Problem(
            code="certificate-unreadable",
            message=f"{path} contains no certificate that Go reads",
            expected="one or more blocks -----BEGIN CERTIFICATE-----",
            hint=Advice(
                "look at it with: ", on_this_machine("openssl", "x509", "-noout", "-text", "-in", path)
            ),
        )
        raise ProblemError(problem)
    return data


def read_if_there(path: Path) -> bytes | None:
    """The content of a file, or None where there is no such file.

    Raises:
        ProblemError: `file-unreadable` where it is there and cannot be read.
    """
    with _told("file-unreadable", f"cannot read {path}"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None


def beginning(path: Path, most: int = 4096) -> bytes:
    """The first bytes of a file.

    Raises:
        ProblemError: `file-unreadable`, saying why.
    """
    with _told("file-unreadable", f"cannot read {path}"), path.open("rb") as file:
        return file.read(most)


def make_private_folder(path: Path, *, parents: bool = True) -> None:
    """Makes a folder that only its owner can enter (0700); one that is there already stays as it is.

    Args:
        path: The folder.
        parents: Make the folders above it too. Not within a run's own: an interrupted run removes it while
            threads are still at work, and must not find it made again.

    Raises:
        ProblemError: `file-unwritable`.
    """
    with _told("file-unwritable", f"cannot make the folder {path}"):
        try:
            path.mkdir(mode=PRIVATE_FOLDER, parents=parents, exist_ok=True)
        except FileExistsError as error:  # as exist_ok passes over folders, this is something else
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error


def write(path: Path, data: bytes, *, mode: int = PRIVATE_FILE, exclusive: bool = False) -> None:
    """Writes a file so that it is there whole, after a crash too, or not at all.

    Args:
        path: Where to; the folder must exist.
        data: The whole content.
        mode: Permissions, not reduced by the umask.
        exclusive: Leave a file that is there alone, and raise; of several processes at once one wins.

    Raises:
        ProblemError: `file-exists` (with `exclusive`) or `file-unwritable`.
    """
    with replacing(path, mode=mode, exclusive=exclusive) as file:
        file.write(data)


@contextmanager
def replacing(
    path: Path, *, mode: int = PRIVATE_FILE, exclusive: bool = False, hint: Hint | None = None
) -> Iterator[BinaryIO]:
    """An open file that takes the place of `path` when the block ends well, whole and at once.

    When it does not end well, what was at `path` stays as it was. A link at `path` is replaced, and not
    followed.

    Args:
        path: Where to; the folder must exist.
        mode: Permissions, not reduced by the umask.
        exclusive: As in `write`.
        hint: What helps where it cannot be written.

    Raises:
        ProblemError: `file-exists` (with `exclusive`) or `file-unwritable`.
    """
    with _told("file-unwritable", f"cannot write {path}", hint):
        # In the same folder: a rename is atomic on one file system only. It is 0600 at first, so that a key
        # is at no moment readable by others.
        made, handle = temporary.make_file(path)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
                if exclusive:
                    os.link(made, path)  # unlike a rename, this fails where the name is taken
                else:
                    made.replace(path)
        finally:
            temporary.remove(made)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder survive a power cut.

    Raises:
        ProblemError: `file-unwritable`.
    """
    with _told("file-unwritable", f"cannot sync {path}"):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def readable_by_others(path: Path) -> bool:
    """Whether group or others may read, write or run a file, or read or write a folder.

    False where there is none.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & (0o066 if stat.S_ISDIR(mode) else 0o077))


@contextmanager
def _told(code: str, message: str, hint: Hint | None = None) -> Iterator[None]:
    """Turns an OSError into a Problem with its reason."""
    try:
        yield
    except FileExistsError as error:
        raise ProblemError(
            Problem(
                code="file-exists",
                message=f"{error.filename2 or error.filename} is there already",
                hint=Advice("nothing was overwritten"),
            )
        ) from error
    except OSError as error:
        problem = Problem(code=code, message=message, seen=error.strerror or str(error), hint=hint)
        raise ProblemError(problem) from error
