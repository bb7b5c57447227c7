"""A limit for what has none of its own, such as one call of a regular expression."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Ends a block that takes longer. Only for the main thread: Python handles signals nowhere else.

    Raises:
        TimeoutError: The time is over.
    """

    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
