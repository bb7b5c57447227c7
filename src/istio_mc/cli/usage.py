"""A command line that Typer itself refuses: programs that asked for JSON or YAML get their document too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from typer.exceptions import TyperException

from istio_mc.domain.hint import Advice, istio_mc

if TYPE_CHECKING:
    from typer._click.exceptions import ClickException

_PROGRAM = "istio-mc"


def output_asked(words: Sequence[str]) -> str:
    """What `-o` says, wherever it stands: what is refused cannot be asked for its options.

    Returns:
        `json`, `yaml`, or `table` where it says nothing, or nothing that there is.
    """
    asked = "table"
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word in ("-o", "--output"):
            asked = following
        elif word.startswith("--output="):
            asked = word.partition("=")[2]
        elif word.startswith("-o"):
            asked = word[2:].removeprefix("=")
    return asked if asked in ("json", "yaml") else "table"


def code_of(command_line: Callable[[], object], output: str) -> int:
    """Runs a command line outside Typer's standalone mode; what Typer refuses becomes a document.

    Args:
        command_line: Returns an exit code where one was asked for.
        output: `json` or `yaml`.

    Returns:
        The program's exit code.
    """
    try:
        code = command_line()
    except TyperException as error:
        return _told(error, output)
    return code if isinstance(code, int) else 0


def _told(error: TyperException, output: str) -> int:
    from istio_mc.domain.problem import Problem
    from istio_mc.present.report import Envelope, Exit

    refused: ClickException = error  # type: ignore[assignment] # its private base; all that Typer raises is one
    context = getattr(error, "ctx", None)
    path = str(context.command_path) if context else _PROGRAM
    # Without any word Typer's message is the whole help.
    message = error.format_message() if "\n" not in error.message else "a verb is missing"
    problem = Problem(code="usage", message=message, hint=Advice(istio_mc(*path.split()[1:], "--help")))
    command = path.partition(" ")[2]
    sys.stdout.write(Envelope(command, Exit.USAGE, None, (problem,)).text(output))
    refused.show()
    return error.exit_code
