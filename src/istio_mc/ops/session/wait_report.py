"""Reports what a step of a cluster waits for: once when it is new, and again while it lasts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from istio_mc.domain.events import Event, State

if TYPE_CHECKING:
    from istio_mc.domain.events import Progress

REMIND_S = 30.0
"""After how long the same thing that is waited for is reported again."""


class WaitReport:
    """Reports what is waited for: a new thing at once, what lasts every `REMIND_S`, with the time left."""

    def __init__(self, progress: Progress, context: str | None, step: str) -> None:
        """Begins with nothing reported.

        Args:
            context: Context name; None: the step is the whole mesh's.
        """
        self._progress = progress
        self._context = context
        self._step = step
        self._last = ""
        self._reported_s = 0.0

    def __call__(self, text: str, left_s: float, remedy: str = "") -> None:
        """Reports a text, unless it was reported a short time ago.

        Args:
            left_s: Seconds until the wait ends without success.
            remedy: What a person can do meanwhile; only reported where the wait lasts.
        """
        now = time.monotonic()
        detail = text
        if text == self._last:
            if now - self._reported_s < REMIND_S:
                return
            detail = "; ".join(filter(None, (text, f"{left_s:.0f} s left", remedy)))
        self._last = text
        self._reported_s = now
        self._progress(Event(self._context, self._step, State.WAITING, detail))
