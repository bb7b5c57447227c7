"""The one loop that waits for something: looks again and again, and ends at a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def looks(until: float, every_s: float) -> Iterator[float]:
    """One round for each look at what is waited for; where the rounds end by themselves, time is over.

    There is always a first look, and none is begun that would have to wait past the deadline::

        for left in looks(session.deadline, every_s=0.5):
            if is_there():
                return
            report(f"{left:.0f} s left")
        raise ProblemError(...)

    Args:
        until: `time.monotonic()` value of the deadline.
        every_s: Seconds from the end of one look to the next.

    Yields:
        Seconds left until the deadline.
    """
    while True:
        yield max(0.0, until - time.monotonic())
        if until - time.monotonic() <= every_s:
            return
        time.sleep(every_s)
