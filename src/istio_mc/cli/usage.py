"""Command lines that Typer rejects: reported like all other errors, also in the envelope if requested."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer
from typer.exceptions import TyperException

from istio_mc.cli.commands import did_you_mean, name_of
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PROGRAM = "istio-mc"
_FAILED = 1
_PYDANTIC = "Value error, "
"""Prefix that pydantic adds to the message of a converter."""


def code_of(command_line: Callable[[], object], words: Sequence[str], output: str) -> int:
    """Runs a command line outside Typer's standalone mode, and reports Typer's errors.

    Returns:
        The program's exit code.
    """
    try:
        code = command_line()
    except TyperException as error:
        return _reported(error, words, output)
    except typer.Abort:
        return _FAILED
    return code if isinstance(code, int) else 0


def message_of(error: TyperException) -> str:
    """The fault of a command line, on one line that begins with the option or argument."""
    option = getattr(error, "option_name", None)
    message = error.message.strip().removeprefix(_PYDANTIC).rstrip(".")
    if option and hasattr(error, "possibilities"):
        text = f"{option}: no such option{did_you_mean(error.possibilities or [])}"
    elif option:
        text = (
            f"{option}: takes no value; write {option}"
            if _is_flag(error, option)
            else f"{option}: requires a value"
        )
    elif (parameter := getattr(error, "param", None)) is not None:
        text = f"{name_of(parameter)}: {_with_lower_start(message) or 'missing'}"
    else:
        text = _with_lower_start(message)
    return printable(text)


def _is_flag(error: TyperException, option: str) -> bool:
    context = getattr(error, "ctx", None)
    parameters = context.command.get_params(context) if context else ()
    return any(option in parameter.opts and getattr(parameter, "is_flag", False) for parameter in parameters)


def _with_lower_start(text: str) -> str:
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _reported(error: TyperException, words: Sequence[str], output: str) -> int:
    from istio_mc.cli import last_resort
    from istio_mc.domain.problem import Code, Problem
    from istio_mc.present.output import encoding, terminal
    from istio_mc.present.output.envelope import Envelope, Exit
    from istio_mc.present.output.problems import print_problems

    context = getattr(error, "ctx", None)
    path = str(context.command_path) if context else _PROGRAM
    is_help = "\n" in error.message  # without arguments, Typer's message is the whole help
    message = "no command given" if is_help else message_of(error)
    problem = Problem(code=Code.USAGE, message=message, hint=Advice(istio_mc(*path.split()[1:], "--help")))
    if output != "table":
        command = path.partition(" ")[2]
        encoding.write(Envelope(command, Exit.USAGE, None, (problem,)).texts(output))
        last_resort.begun.answered = True
    if is_help:
        typer.echo(error.message, err=True)
    else:
        color = "--no-color" not in words and not os.environ.get("NO_COLOR")
        print_problems(terminal.console(stderr=True, color=color), [problem], style="red", title="error")
    return error.exit_code
