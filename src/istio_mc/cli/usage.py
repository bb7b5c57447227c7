"""A command line that Typer itself refuses: programs that asked for JSON or YAML get their document too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from typer.exceptions import TyperException

from istio_mc.domain.hint import Advice, istio_mc

if TYPE_CHECKING:
    from typer._click.exceptions import ClickException

_PROGRAM = "istio-mc"


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
    from istio_mc.cli import last_resort
    from istio_mc.domain.codes import Code
    from istio_mc.domain.problem import Problem
    from istio_mc.present.output import encoding
    from istio_mc.present.output.envelope import Envelope, Exit

    refused: ClickException = error  # type: ignore[assignment] # its private base; all that Typer raises is one
    context = getattr(error, "ctx", None)
    path = str(context.command_path) if context else _PROGRAM
    # Without any word Typer's message is the whole help.
    message = error.format_message() if "\n" not in error.message else "a verb is missing"
    problem = Problem(code=Code.USAGE, message=message, hint=Advice(istio_mc(*path.split()[1:], "--help")))
    command = path.partition(" ")[2]
    encoding.write(Envelope(command, Exit.USAGE, None, (problem,)).texts(output))
    last_resort.begun.answered = True
    refused.show()
    return error.exit_code
