"""Writes docs/commands.md, the help of every command, from the program: `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.testing import CliRunner

from istio_mc.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
WIDTH = 78
"""A terminal of 80 columns: two are left free."""

_HEAD = """\
<!-- Written by `make docs` from the program's help: change that, not this page. -->
# Commands

What `--help` prints for `istio-mc` and each of its commands. [usage.md](usage.md) has how they work together.
"""


def page() -> str:
    """The whole page, as it must stand in docs/commands.md."""
    parts = [_HEAD]
    for path in ((), *_paths(typer.main.get_command(app))):
        name = " ".join(path)
        arguments = " ".join((*path, "--help"))
        parts.append(
            f"\n## {name or 'istio-mc'}\n\n<!-- help: istio-mc {arguments} -->\n```\n{_help(path)}```\n"
        )
    return "".join(parts)


def _paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - Typer's class
    for name, inner in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from _paths(inner, (*path, name))


def _help(path: tuple[str, ...]) -> str:
    """The help of a command.

    Raises:
        RuntimeError: The program did not print it.
    """
    done = CliRunner().invoke(app, [*path, "--help"], prog_name="istio-mc", terminal_width=WIDTH)
    if done.exit_code:
        raise RuntimeError(f"istio-mc {' '.join(path)} --help: exit code {done.exit_code}\n{done.output}")
    return done.stdout


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
