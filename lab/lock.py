"""One lab a machine, one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the machine's lock; the file goes with it, so that nothing of the lab is left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(file, 20).decode(errors="replace").strip() or "?"
            os.close(file)
            msg = (
                f"another lab run (process {holder}) is at work on this machine: expected none; "
                "wait for it to end and try again"
            )
            raise LabError(msg) from error
        # Whoever held it before may have removed the file between our open and our flock.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file).st_ino:
                break
        os.close(file)
    os.truncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)
