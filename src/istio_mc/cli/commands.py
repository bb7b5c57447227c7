"""Rules of every command line: no option has an empty value, and no suggestion removes anything.

Each command and each group is built from the two classes here (see `cli/app.py`), so that the rules also
apply to options that are added later.
"""

from __future__ import annotations

import copy
import difflib
import os
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from istio_mc.cli import edge, help_page
from istio_mc.cli.edge import GLOBAL_OPTIONS, empty_variable, is_empty
from istio_mc.cli.last_resort import begun
from istio_mc.domain.text import printable
from istio_mc.present.output.hints import printed_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from typer._click import Command, Context, HelpFormatter, Parameter

    _Command = Command
else:
    _Command = object

REMOVING_VERBS = frozenset({"uninstall", "remove", "revert"})
"""Commands that remove something; none of them is ever suggested."""
REMOVING_OPTIONS = frozenset({"--yes", "--force", "--purge-ca", "--prune", "--replace-ca", "--unset"})
"""Options that remove or replace something, or that skip the confirmation; none is ever suggested."""
_ANY_LENGTH = 1000
PATTERN = "REGEX"
"""The metavar of options whose values are patterns: a comma in a pattern does not separate items."""


class _Rules(_Command):
    """The common part of commands and groups."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Returns the options and arguments, including `--help`."""
        return [_without_pydantic(parameter) for parameter in super().get_params(ctx)]

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Rejects options without a value, before Typer converts any."""
        _refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Writes the help page of this command, without the options of every command."""
        formatter.write(help_page.page(self, ctx, global_options=GLOBAL_OPTIONS, groups=self.groups(ctx)))

    def groups(self, ctx: Context) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Returns the commands with a line of help each, by the title of their list."""
        del ctx
        return {}


class Verb(_Rules, TyperCommand):
    """A command whose given options all have a value."""

    def invoke(self, ctx: Context) -> Any:  # noqa: ANN401 - the command's result
        """Runs it; `ctx.obj` and the hints get the options of every command."""
        ctx.obj = edge.with_environment(edge.pop_options(ctx), ctx)
        with printed_with(ctx.obj.of_hints()):
            return super().invoke(ctx)


class Group(_Rules, TyperGroup):
    """A group of commands, with the same rules for its own options, and safe suggestions."""

    def invoke(self, ctx: Context) -> Any:  # noqa: ANN401 - the command's result
        """Stores the options before the command's name, and runs the command."""
        ctx.obj = edge.pop_options(ctx)
        return super().invoke(ctx)

    def groups(self, ctx: Context) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Returns the commands with a line of help each, by the title of their list."""
        names = self.list_commands(ctx)
        verbs = [(name, verb) for name in names if (verb := self.get_command(ctx, name))]
        return {"Commands": [(name, verb.get_short_help_str(_ANY_LENGTH)) for name, verb in verbs]}

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Finds the command; the error for a mistyped name suggests the nearest ones."""
        self.suggest_commands = False  # Typer's own suggestions include commands that remove something
        begun.command = f"{ctx.command_path} {args[0]}".partition(" ")[2]
        try:
            return super().resolve_command(ctx, args)
        except TyperException as error:
            near = harmless(args[0], self.commands, REMOVING_VERBS)
            error.message = f'no such command "{printable(args[0])}"{did_you_mean(near)}'
            raise


def harmless(typed: str, known: Iterable[str], removing: frozenset[str]) -> list[str]:
    """Returns the probably meant names, the nearest first, without those that remove something.

    If the nearest one removes something, there is no suggestion: it was probably meant, and any other would
    be misleading.
    """
    near = difflib.get_close_matches(typed, known)
    return [] if near and near[0] in removing else [name for name in near if name not in removing]


def _without_pydantic(parameter: Parameter) -> Parameter:
    """Keeps a missing or text value of a parameter unconverted: Typer loads pydantic for any conversion."""
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is None or "process_value" in vars(parameter):
        return parameter  # Typer before 0.29 converts without pydantic; or it is patched already
    kind, convert = descriptor.annotation, parameter.process_value
    is_list = parameter.multiple or parameter.nargs == -1

    def process_value(ctx: Context, value: Any) -> Any:  # noqa: ANN401 - a value of any type
        if value is None and not parameter.required:
            kept: Any = () if is_list else None
        elif kind is str and isinstance(value, str):
            kept = value
        elif kind == list[str] and value and isinstance(value, (list, tuple)):
            kept = list(value)
        else:
            return convert(ctx, value)
        return parameter.callback(ctx, parameter, kept) if parameter.callback else kept

    parameter.process_value = process_value  # type: ignore[method-assign] # Typer itself makes parameters
    return parameter


def did_you_mean(near: Sequence[str]) -> str:
    """The end of a message that suggests names; empty without names."""
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _refuse_empty(command: Command, ctx: Context, args: Iterable[str]) -> None:
    """Checks that every given option, argument and environment variable has a value.

    Raises:
        BadParameter: With the names of all empty ones.
    """
    parameters = command.get_params(ctx)
    parser = command.make_parser(ctx)
    for option in parameters:
        if option.param_type_name == "option" and not getattr(option, "is_flag", False):
            every = copy.copy(option)
            every.multiple = True  # all its values, not only the last one, which Typer uses
            every.add_to_parser(parser, ctx)
    try:
        given, _, _ = parser.parse_args(list(args))
    except TyperException as error:
        error.ctx = ctx  # type: ignore[attr-defined] # as above; the parser does not set it
        if near := getattr(error, "possibilities", None):
            mistyped = str(getattr(error, "option_name", ""))
            error.possibilities = harmless(mistyped, near, REMOVING_OPTIONS)  # type: ignore[attr-defined] # as above
        raise
    # Completion works on an unfinished line; --help and --version work with any other options.
    if ctx.resilient_parsing or any(p.is_eager and given.get(p.name) for p in parameters):
        return
    if faults := [fault for p in parameters for fault in _faults(p, given.get(p.name))]:
        raise typer.BadParameter("; ".join(dict.fromkeys(faults)), ctx=ctx)


def _faults(parameter: Parameter, given: Any) -> Iterator[str]:  # noqa: ANN401 - what Typer's parser found
    name = name_of(parameter)
    if given is None and isinstance(parameter.envvar, str) and is_empty(os.environ.get(parameter.envvar)):
        yield empty_variable(parameter.envvar, name)
    for text in given if isinstance(given, (list, tuple)) else [given]:
        if not isinstance(text, str):
            continue
        if is_empty(text):
            yield f"{name}: empty value"
        elif _is_list(parameter) and any(is_empty(part) for part in text.split(",")):
            yield f"{name}: empty item in {text!r}"
        elif name == "--kubeconfig" and is_empty(text.replace(os.pathsep, "")):
            yield f"{name}: no file in {text!r}"


def _is_list(parameter: Parameter) -> bool:
    return bool(parameter.multiple and getattr(parameter, "metavar", None) != PATTERN)


def name_of(parameter: Parameter) -> str:
    """The name of a parameter on the command line: `--option`, or the argument's placeholder."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return max(parameter.opts, key=len)
