"""What a run keeps for its own time alone: private folders, and files that are not whole yet.

All of it is removed when the run ends, also where a signal ends it. What a run that was killed left is
removed by the next run of the same user. Each run has a folder `istio-mc-…` among the system's temporary
files, which it keeps locked (flock) for as long as it lives, and in it a list of what it makes elsewhere. The
system releases the lock when the process ends, however it ends. A process ID would prove less: another
process may have it by now, and a process of another container cannot be seen.
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
"""Ends the name of everything that a run makes for its own time outside its folder."""

_LIST = "elsewhere"
_OTHERS = 0o077
_NAME_KEPT = 40  # of a file's name, in that of its unfinished copy: names have an end at 255 bytes


class _State:
    """What this run has made.

    Attributes:
        handle: That folder, open: this holds the lock.
        handles: The folders of that, open: this holds their locks.
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
    """A new folder that only its owner can enter (0700).

    Args:
        parent: Where it must be, for what is large or is moved in the end; None: in the run's own folder.

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
            message=f"cannot make a folder in {parent or 'the folder for temporary files'}",
            seen=error.strerror or str(error),
            hint=None if parent else Advice("set TMPDIR to a folder that can be written"),
        )
        raise ProblemError(problem) from error
    with _state.lock:
        _state.handles[made] = handle
    return made


@contextmanager
def folder(parent: Path | None = None) -> Iterator[Path]:
    """`make_folder`, for the time of a block."""
    made = make_folder(parent)
    try:
        yield made
    finally:
        remove(made)


def make_file(target: Path) -> tuple[Path, int]:
    """A new file that only its owner can read (0600), open, beside the one whose place it takes in the end.

    Copies of the same file that no run is writing any more are removed: `remove_abandoned` knows of
    those only until the machine restarts.

    Raises:
        OSError: It cannot be made.
        ProblemError: The run is ending.
    """
    _sweep(target.parent, f".{glob.escape(target.name[:_NAME_KEPT])}.*{SUFFIX}")
    return _make_locked(target, _make_and_open_file)


def _make_locked(target: Path, make_and_open: Callable[[Path], int]) -> tuple[Path, int]:
    """Makes what no other run sweeps away, for it is locked."""
    while True:
        with signals.deferred(), _state.lock:
            made = target.with_name(f".{target.name[:_NAME_KEPT]}.{secrets.token_hex(4)}{SUFFIX}")
            _note(made)
            handle = make_and_open(made)
        with suppress(OSError):  # a file system without locks: nothing is swept there either
            fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), made.lstat()):
                return made, handle
        os.close(handle)  # another run swept it away before it was locked


def _make_and_open_folder(path: Path) -> int:
    while True:
        path.mkdir(mode=stat.S_IRWXU)
        with suppress(FileNotFoundError):  # another run, or thread, swept it away before it was opened
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def _make_and_open_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)


def _sweep(parent: Path, pattern: str) -> None:
    """Removes what no run has locked any more."""
    for path in parent.glob(pattern):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
            finally:
                os.close(handle)


def remove(path: Path) -> None:
    """Removes what was made here, if it is still there.

    Threads that a signal left at work may still write into a folder. Under another name they do not find it,
    so that nothing is added while it goes.
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
    """Removes all that this run has made for its own time; from now on it makes nothing more."""
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
    """Removes what this user's killed runs left; what cannot be removed stays, without an error.

    Never touched: folders of runs that live, of other users and of other programs, and what links point to.
    """
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with suppress(OSError):
                    _remove_abandoned(Path(entry.path))


def _own_folder() -> Path:
    """This run's folder, made at its first use."""
    _refuse_at_the_end()
    if _state.folder is None:
        _state.folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # 0700
        with suppress(OSError):  # a file system without locks: the folder cannot be known as abandoned
            _state.handle = os.open(_state.folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(_state.handle, fcntl.LOCK_EX)
            # Only a folder with a list is ever taken for abandoned, and the list comes after the lock.
            (_state.folder / _LIST).touch(mode=stat.S_IRUSR | stat.S_IWUSR)
    return _state.folder


def _refuse_at_the_end() -> None:
    if _state.over:
        raise ProblemError.of(code=Code.INTERRUPTED, message="interrupted")


def _note(path: Path) -> None:
    """Writes down what is about to be made outside the run's folder, so that the next run finds it."""
    _refuse_at_the_end()
    # No folder for temporary files, or no space in it: the run itself still removes what it makes.
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
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where its run lives
        for path in _listed(handle):
            _remove(path)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _listed(folder: int) -> Iterator[Path]:
    """What a run wrote down.

    Raises:
        OSError: There is no list: it is no run's folder.
    """
    handle = os.open(_LIST, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    with os.fdopen(handle, "rb") as file:
        *paths, _cut_off = file.read().split(b"\0")
    return (Path(os.fsdecode(path)) for path in paths)


def _remove(path: Path) -> None:
    """Removes a file or folder with a name that only runs give, if it is the user's own."""
    with suppress(OSError):
        status = path.lstat()
        if not path.name.endswith(SUFFIX) or status.st_uid != os.geteuid():
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        elif stat.S_ISREG(status.st_mode):
            path.unlink()
