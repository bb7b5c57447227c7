"""Temporary files and folders of a run: private folders, and files that are not complete yet.

The run removes all of them when it ends, also after a signal. The next run of the same user removes what a
killed run left. Each run has a folder `istio-mc-…` in the system's folder for temporary files, and keeps it
locked (flock) until it ends. That folder contains a list of what the run creates elsewhere. The system
releases the lock when the process ends for any reason. A process ID would not be enough: another process may
have the same ID later, and a process in another container is not visible.
"""

from __future__ import annotations

import atexit
import fcntl
import glob
import os
import secrets
import shutil
import stat
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.gateways.host import signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PREFIX = "istio-mc-"
SUFFIX = ".istio-mc.tmp"
"""Suffix of all temporary names outside the run's own folder."""

_LIST = "elsewhere"
_OTHERS = 0o077
_NAME_KEPT = 40  # characters of a file's name that its unfinished copy keeps; names are limited to 255 bytes


class _State:
    """The temporary files and folders of this run.

    Attributes:
        handle: The open run folder; this handle owns its lock.
        handles: The other open folders; these handles own their locks.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.handle = -1
        self.elsewhere: set[Path] = set()
        self.handles: dict[Path, int] = {}
        self.over = False
        self.lock = threading.RLock()


_state = _State()


def make_folder(parent: Path | None = None) -> Path:
    """Creates a folder that only its owner can enter (0700).

    Args:
        parent: Where to create it, for large content or for content that is moved at the end; None: in the
            run's own folder.

    Raises:
        ProblemError: `file-unwritable`, or the run is ending.
    """
    try:
        if parent is None:
            with signals.deferred(), _state.lock:
                return Path(tempfile.mkdtemp(dir=_own_folder()))
        _sweep(parent, f".*{SUFFIX}")
        made, handle = _make_locked(parent / "folder", _make_and_open_folder)
    except OSError as error:
        problem = Problem(
            code=Code.FILE_UNWRITABLE,
            message=f"cannot create a folder in {parent or 'the folder for temporary files'}",
            seen=error.strerror or str(error),
            hint=None if parent else Advice("set TMPDIR to a folder that can be written"),
        )
        raise ProblemError(problem) from error
    with _state.lock:
        _state.handles[made] = handle
    return made


@contextmanager
def folder(parent: Path | None = None) -> Iterator[Path]:
    """`make_folder`, removed at the end of the block."""
    made = make_folder(parent)
    try:
        yield made
    finally:
        remove(made)


def make_file(target: Path) -> tuple[Path, int]:
    """Creates and opens a file that only its owner can read (0600), beside the file that it will replace.

    Copies of the same file that no run writes any more are removed here: `remove_abandoned` finds them
    only until the machine restarts.

    Raises:
        OSError: It cannot be created.
        ProblemError: The run is ending.
    """
    _sweep(target.parent, f".{glob.escape(target.name[:_NAME_KEPT])}.*{SUFFIX}")
    return _make_locked(target, _make_and_open_file)


def _make_locked(target: Path, make_and_open: Callable[[Path], int]) -> tuple[Path, int]:
    """Creates a file or folder and locks it, so that no other run removes it."""
    while True:
        with signals.deferred(), _state.lock:
            made = target.with_name(f".{target.name[:_NAME_KEPT]}.{secrets.token_hex(4)}{SUFFIX}")
            _note(made)
            handle = make_and_open(made)
        with suppress(OSError):  # a file system without locks: there no run removes anything
            fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), made.lstat()):
                return made, handle
        os.close(handle)  # another run removed it before it was locked


def _make_and_open_folder(path: Path) -> int:
    while True:
        path.mkdir(mode=stat.S_IRWXU)
        with suppress(FileNotFoundError):  # another run or thread removed it before it was opened
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _make_and_open_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)


def _sweep(parent: Path, pattern: str) -> None:
    """Removes everything that matches and that no run has locked."""
    for path in parent.glob(pattern):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
            finally:
                os.close(handle)


def remove(path: Path) -> None:
    """Removes a file or folder of this run, if it still exists.

    After a signal, threads may still write into a folder. It is renamed first, so that they do not find it
    and add nothing during the removal.
    """
    gone = path.with_name(f"{path.name}-gone{SUFFIX}")
    with suppress(OSError, ProblemError):
        if path.is_dir():
            _note(gone)
            path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        else:
            path.unlink()
    with _state.lock, suppress(OSError):
        _state.elsewhere -= {path.absolute(), gone.absolute()}
        os.close(_state.handles.pop(path, -1))


def remove_all() -> None:
    """Removes everything temporary of this run; from then on the run creates nothing more."""
    with _state.lock:
        _state.over = True
        folder, _state.folder = _state.folder, None
    for path in _state.elsewhere:
        _remove(path)
    if folder:
        gone = folder.with_name(f"{folder.name}-gone")  # as in `remove`
        with suppress(OSError):
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            os.close(_state.handle)


atexit.register(remove_all)


def remove_abandoned() -> None:
    """Removes what this user's killed runs left; ignores what cannot be removed.

    Never removed: folders of runs that are alive, of other users and of other programs, and targets of links.
    """
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with suppress(OSError):
                    _remove_abandoned(Path(entry.path))


def _own_folder() -> Path:
    """This run's folder, created at its first use."""
    _refuse_at_the_end()
    if _state.folder is None:
        _state.folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # 0700
        with suppress(OSError):  # a file system without locks: no run can see that the folder is abandoned
            _state.handle = os.open(_state.folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(_state.handle, fcntl.LOCK_EX)
            # Only a folder with a list can count as abandoned, and the list is written after the lock.
            (_state.folder / _LIST).touch(mode=stat.S_IRUSR | stat.S_IWUSR)
    return _state.folder


def _refuse_at_the_end() -> None:
    if _state.over:
        raise ProblemError.of(code=Code.INTERRUPTED, message="interrupted")


def _note(path: Path) -> None:
    """Records a path before it is created outside the run's folder, so that the next run finds it."""
    _refuse_at_the_end()
    # No folder for temporary files, or no space: this run still removes what it creates.
    with suppress(OSError):
        path = path.absolute()
        if path.is_relative_to(_own_folder()):
            return
        _state.elsewhere.add(path)
        handle = os.open(_own_folder() / _LIST, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, os.fsencode(path) + b"\0")
        finally:
            os.close(handle)


def _remove_abandoned(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
            return
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if its run is alive
        for path in _listed(handle):
            _remove(path)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _listed(folder: int) -> Iterator[Path]:
    """Yields the paths that a run recorded.

    Raises:
        OSError: There is no list: the folder does not belong to a run.
    """
    handle = os.open(_LIST, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    with os.fdopen(handle, "rb") as file:
        *paths, _cut_off = file.read().split(b"\0")
    return (Path(os.fsdecode(path)) for path in paths)


def _remove(path: Path) -> None:
    """Removes a file or folder whose name only runs use, if it belongs to this user."""
    with suppress(OSError):
        status = path.lstat()
        if not path.name.endswith(SUFFIX) or status.st_uid != os.geteuid():
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        elif stat.S_ISREG(status.st_mode):
            path.unlink()
