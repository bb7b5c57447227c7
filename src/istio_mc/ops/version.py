"""version: of the program, and of what it runs on."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from istio_mc import __version__


@dataclass(frozen=True, slots=True)
class Version:
    """Which program this is.

    Attributes:
        program: The version of istio-mc.
        python: That of Python.
        system: The machine's system and architecture.
    """

    program: str
    python: str
    system: str


def version() -> Version:
    """The versions of this process."""
    return Version(__version__, platform.python_version(), f"{platform.system()}/{platform.machine()}")
