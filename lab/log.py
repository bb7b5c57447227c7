"""Progress for people, on stderr: stdout is for what a command was asked for."""

from __future__ import annotations

import sys
import threading
import time

_START = time.monotonic()
_LOCK = threading.Lock()


def log_line(text: str) -> None:
    """Write one line, with the seconds since the run began."""
    with _LOCK:
        sys.stderr.write(f"{time.monotonic() - _START:6.1f}s  {text}\n")
        sys.stderr.flush()
