"""A run that a signal ends: what was done by then, and what the same command does next time."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.present.output.envelope import Report

_LAST_S = 15.0
"""Seconds within which children have ended, files are removed and the message is written."""

_STAYS = "finished changes are kept; the same command "
_NEXT = {
    "install": _STAYS + "finishes the rest, under the same root CA",
    "link": _STAYS + "writes the remote secrets that are still missing",
    "upgrade": "old pods serve until new ones are ready; the same command goes on from there",
    "adopt": _STAYS + "labels the clusters that are left, and restarts nothing",
    "address": _STAYS + "does the changes that are left",
    "uninstall": "what was removed stays removed; the same command removes the rest",
    "sample deploy": _STAYS + "deploys the sample where it is missing",
    "sample remove": "what was removed stays removed; the same command removes the rest",
    "addons install": _STAYS + "applies what is missing",
    "addons remove": "what was removed stays removed; the same command removes the rest",
    "addons default-storage": _STAYS + "marks the StorageClasses that are left",
    "cilium fix": _STAYS + "restarts the agents that still run with older settings; cilium revert goes back",
    "cilium revert": _STAYS + "restarts the agents that still run with other settings",
    "ca init": "no file is written by halves; the same command keeps a root that is there",
    "ca issue": "no file is written by halves; the same command makes the CAs that are still missing",
    "config init": "no file is written by halves; the same command writes it",
    "tools install": "old programs stay until new ones are whole; the same command installs the rest",
    "tools download": "files in the folder are whole; the same command downloads the rest",
}
_UNCHANGED = "nothing was changed; run the same command again"
_DEEP_REMOVED = "the pods of --deep were removed; run the same command again"
_LEFT_DEEP = "the same command runs again, and removes the pods of --deep"


class Interruption:
    """Ends a run that received a signal: no child, no private file, and one message stays behind.

    Attributes:
        is_reported: Whether the result is being written: it is followed by no second document.
    """

    def __init__(
        self, command: str, output: str, errors_to: Console, write: Callable[[str, str, Report], None]
    ) -> None:
        from istio_mc.gateways.host import signals
        from istio_mc.present.output.terminal import Done

        self._command = command
        self._output = output
        self._errors_to = errors_to
        self._write = write
        self.done = Done(is_over=lambda: signals.received() is not None)
        self.is_reported = False

    def end(self, *, cleaned_up: bool = True) -> NoReturn:
        """Stops the children, reports what was done, and ends the process.

        Args:
            cleaned_up: Whether the verb has removed what it makes in the clusters for its own time.
        """
        from istio_mc.cli import last_resort
        from istio_mc.gateways.host import process, signals, temporary
        from istio_mc.present.output.envelope import Exit, Report
        from istio_mc.present.output.problems import print_problems

        signals.end()
        # A reader that reads nothing more, or a file system that hangs, holds a write for ever.
        threading.Thread(target=_exit_after, args=(_LAST_S, Exit.INTERRUPTED), daemon=True).start()
        process.stop_all(for_good=True)
        temporary.remove_all()
        problem = self._problem(cleaned_up=cleaned_up)
        with suppress(OSError, ValueError):  # nobody reads it: the terminal is gone, or the file is closed
            if self._output != "table" and not self.is_reported:
                stopped = Report({}, lambda _console: None, (problem,), exit=Exit.INTERRUPTED)
                self._write(self._command, self._output, stopped)
                sys.stdout.flush()
        with suppress(OSError, ValueError):
            print_problems(self._errors_to, [problem], style="red", title="error")
        last_resort.end(last_resort.flushed(Exit.INTERRUPTED))

    def end_at_last(self) -> NoReturn:
        """As `end`, where the main thread does not get there, or somebody does not want to wait for it."""
        from istio_mc.present.output import terminal

        with suppress(OSError, ValueError):
            terminal.stop_moving()
        self.end(cleaned_up=False)

    def _problem(self, *, cleaned_up: bool) -> Problem:
        from istio_mc.domain.hint import istio_mc
        from istio_mc.domain.problem import Code, Problem
        from istio_mc.gateways.host import signals

        number = signals.received()
        expected = _NEXT.get(self._command, _UNCHANGED)
        if self._command == "verify" and "--deep" in sys.argv:
            expected = _DEEP_REMOVED if cleaned_up else _LEFT_DEEP
        return Problem(
            code=Code.INTERRUPTED,
            message=f"interrupted by {number.name}" if number else "interrupted",
            seen=str(self.done),
            expected=expected,
            hint=istio_mc(*sys.argv[1:]),
            docs="exit-codes.md",
        )


def _exit_after(seconds: float, code: int) -> None:
    time.sleep(seconds)
    os._exit(code)
