"""How the version and the completion of a shell look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.present.output.envelope import Report

if TYPE_CHECKING:
    from istio_mc.ops.version import Version


def report(found: Version) -> Report:
    """The version, in a line."""
    text = f"istio-mc {found.program} (Python {found.python}, {found.system})"
    return Report(
        data={"version": found.program, "python": found.python, "system": found.system},
        render=lambda console: console.print(text, soft_wrap=True),
    )


def script(shell: str, text: str) -> Report:
    """The completion script of a shell, to be read by it."""
    return Report(
        data={"shell": shell, "script": text},
        render=lambda console: console.print(text, soft_wrap=True),
    )
