"""Output of the version and completion commands."""

from __future__ import annotations

import platform

from istio_mc import __version__
from istio_mc.present.output.envelope import Report


def version() -> Report:
    """The version of the program, of Python, and of this machine's system, in a line."""
    python, system = platform.python_version(), f"{platform.system()}/{platform.machine()}"
    text = f"istio-mc {__version__} (Python {python}, {system})"
    return Report(
        data={"version": __version__, "python": python, "system": system},
        render=lambda console: console.print(text, soft_wrap=True),
    )


def script(shell: str, text: str) -> Report:
    """The completion script of a shell, to be read by it."""
    return Report(
        data={"shell": shell, "script": text},
        render=lambda console: console.print(text, soft_wrap=True),
    )
