"""A run that Ctrl-C or SIGTERM ends: what was done by then, and what the same command does next time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from istio_mc.domain.problem import Problem
    from istio_mc.present.terminal import Done

_STAYS = "what was done stays done; the same command "
_NEXT = {
    "install": _STAYS + "does the rest, under the same root CA",
    "link": _STAYS + "writes the remote secrets that are still missing",
    "adopt": _STAYS + "labels the clusters that are left, and restarts nothing",
    "address": _STAYS + "does the changes that are left",
    "uninstall": "what is gone stays gone; the same command takes away the rest",
    "sample deploy": _STAYS + "puts the sample where it is missing",
    "sample remove": "what is gone stays gone; the same command takes away the rest",
    "cilium fix": _STAYS + "restarts the agents that still run with older settings; cilium revert goes back",
    "cilium revert": _STAYS + "restarts the agents that still run with other settings",
    "ca init": "no file is written by halves; the same command keeps a root that is there",
    "ca issue": "no file is written by halves; the same command makes the CAs that are still missing",
    "config init": "no file is written by halves; the same command writes it",
    "tools install": "old programs stay until new ones are whole; downloads go on where they ended",
    "tools download": "files in the folder are whole; downloads go on where they ended",
}
_LOOKS = "nothing was changed; the same command looks anew"
_LOOKED_DEEP = "the pods that --deep made are removed; the same command looks anew"


def problem(command: str, done: Done) -> Problem:
    """What a person, or a program, is told of a run that was interrupted."""
    from istio_mc.domain.hint import istio_mc
    from istio_mc.domain.problem import Problem

    return Problem(
        code="interrupted",
        message="interrupted",
        seen=str(done),
        expected=_NEXT.get(command, _LOOKED_DEEP if "--deep" in sys.argv else _LOOKS),
        hint=istio_mc(*sys.argv[1:]),
        docs="exit-codes.md",
    )
