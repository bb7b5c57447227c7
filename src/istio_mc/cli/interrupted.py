"""A run that a signal ends: what was finished, and what the same command does next time."""

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
"""Seconds for ending the children, removing files and writing the message."""

_STAYS = "finished changes are kept; the same command "
_NEXT = {
    "install": _STAYS + "finishes the rest, under the same root CA",
    "link": _STAYS + "writes the remote secrets that are still missing",
    "upgrade": "old pods serve until new ones are ready; the same command continues from there",
    "adopt": _STAYS + "labels the remaining clusters, and restarts nothing",
    "address": _STAYS + "makes the remaining changes",
    "uninstall": "what was removed stays removed; the same command removes the rest",
    "sample deploy": _STAYS + "deploys the sample where it is missing",
    "sample remove": "what was removed stays removed; the same command removes the rest",
    "addons install": _STAYS + "applies what is missing",
    "addons remove": "what was removed stays removed; the same command removes the rest",
    "addons default-storage": _STAYS + "marks the remaining StorageClasses",
    "cilium fix": _STAYS + "restarts the agents that still use older settings; cilium revert undoes it",
    "cilium revert": _STAYS + "restarts the agents that still use other settings",
    "ca init": "no file is incomplete; the same command keeps an existing root",
    "ca issue": "no file is incomplete; the same command issues the missing CAs",
    "config init": "no file is incomplete; the same command writes it",
    "tools install": "old programs stay until new ones are complete; the same command installs the rest",
    "tools download": "files in the folder are complete; the same command downloads the rest",
}
_UNCHANGED = "nothing was changed; run the same command again"
_DEEP_REMOVED = "the pods of --deep were removed; run the same command again"
_LEFT_DEEP = "the same command runs again, and removes the pods of --deep"


class Interruption:
    """Ends a run after a signal: it leaves no child and no private file, and prints one message.

    Attributes:
        is_reported: Whether the result is being written: then no second document follows.
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
        """Stops the children, reports what was finished, and ends the process.

        Args:
            cleaned_up: Whether the command has removed its temporary objects in the clusters.
        """
        from istio_mc.cli import last_resort
        from istio_mc.gateways.host import process, signals, temporary
        from istio_mc.present.output.envelope import Exit, Report
        from istio_mc.present.output.problems import print_problems

        signals.end()
        # A reader that stops reading, or a file system that hangs, blocks a write forever.
        threading.Thread(target=_exit_after, args=(_LAST_S, Exit.INTERRUPTED), daemon=True).start()
        process.stop_all(for_good=True)
        temporary.remove_all()
        problem = self._problem(cleaned_up=cleaned_up)
        with suppress(OSError, ValueError):  # the terminal or the file is closed
            if self._output != "table" and not self.is_reported:
                stopped = Report({}, lambda _console: None, (problem,), exit=Exit.INTERRUPTED)
                self._write(self._command, self._output, stopped)
                sys.stdout.flush()
        with suppress(OSError, ValueError):
            print_problems(self._errors_to, [problem], style="red", title="error")
        last_resort.end(last_resort.flushed(Exit.INTERRUPTED))

    def end_at_last(self) -> NoReturn:
        """Like `end`, if the main thread does not reach it, or the user does not want to wait."""
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
