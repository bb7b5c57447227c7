"""Who a run is, for others to see in what it left in the clusters, and whether it is still at work."""

from __future__ import annotations

import os
import socket


def holder() -> str:
    """This run: the machine and the process."""
    return f"{socket.gethostname()}/{os.getpid()}"


def has_ended(text: str) -> bool:
    """Whether a run is known to be over: it was on this machine, and its process is gone."""
    machine, _, number = text.rpartition("/")
    if machine != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # it is somebody else's, and so there
    return False
