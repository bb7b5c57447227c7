"""Rules of every command line: an option that is given has a value, and no suggestion removes anything.

Each verb and each group of verbs is built from the two classes here (see `cli/app.py`), so that
they hold for options that are added later.
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
"""Verbs that remove what is there; none of them is ever suggested."""
REMOVING_OPTIONS = frozenset({"--yes", "--force", "--purge-ca", "--prune", "--replace-ca", "--unset"})
"""Options that remove or replace something, or that skip the question before it; none is ever suggested."""
_ANY_LENGTH = 1000
PATTERN = "REGEX"
"""The metavar of an option whose values are patterns: a comma in one parts no list."""


class _Rules(_Command):
    """What verbs and groups of them have in common."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Returns the options and arguments, `--help` among them."""
        return [_without_pydantic(parameter) for parameter in super().get_params(ctx)]

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Refuses options without a value, before Typer converts any."""
        _refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Writes its page: what concerns it alone."""
        formatter.write(help_page.page(self, ctx, global_options=GLOBAL_OPTIONS, groups=self.groups(ctx)))

    def groups(self, ctx: Context) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Its verbs with a line of help each, by the title that they are listed under."""
        del ctx
        return {}


class Verb(_Rules, TyperCommand):
    """A verb whose options all have a value where they are given."""

    def invoke(self, ctx: Context) -> Any:  # noqa: ANN401 - whatever it returns
        """Runs it, with the options of every command in `ctx.obj`, and in the hints that need them."""
        ctx.obj = edge.with_environment(edge.pop_options(ctx), ctx)
        with printed_with(ctx.obj.of_hints()):
            return super().invoke(ctx)


class Group(_Rules, TyperGroup):
    """A group of verbs, with the same rules for its own options, and careful suggestions."""

    def invoke(self, ctx: Context) -> Any:  # noqa: ANN401 - whatever it returns
        """Keeps the options that stand before the verb, and runs that."""
        ctx.obj = edge.pop_options(ctx)
        return super().invoke(ctx)

    def groups(self, ctx: Context) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Its verbs with a line of help each, by the title that they are listed under."""
        names = self.list_commands(ctx)
        verbs = [(name, verb) for name in names if (verb := self.get_command(ctx, name))]
        return {"Commands": [(name, verb.get_short_help_str(_ANY_LENGTH)) for name, verb in verbs]}

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Finds the verb; one that is mistyped is answered with those that it may stand for."""
        self.suggest_commands = False  # Typer's own suggestions name what removes, too
        begun.command = f"{ctx.command_path} {args[0]}".partition(" ")[2]
        try:
            return super().resolve_command(ctx, args)
        except TyperException as error:
            near = harmless(args[0], self.commands, REMOVING_VERBS)
            error.message = f'no such command "{printable(args[0])}"{did_you_mean(near)}'
            raise


def harmless(typed: str, known: Iterable[str], removing: frozenset[str]) -> list[str]:
    """Names that were probably meant, the nearest first, without those that remove something.

    There is no suggestion where the nearest one removes something: it was probably meant, and any other would
    mislead.
    """
    near = difflib.get_close_matches(typed, known)
    return [] if near and near[0] in removing else [name for name in near if name not in removing]


def _without_pydantic(parameter: Parameter) -> Parameter:
    """A parameter that keeps its value where it is not given, or is text: Typer loads pydantic for any."""
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is None or "process_value" in vars(parameter):
        return parameter  # Typer before 0.29 converts without pydantic; or it is done
    kind, convert = descriptor.annotation, parameter.process_value
    is_list = parameter.multiple or parameter.nargs == -1

    def process_value(ctx: Context, value: Any) -> Any:  # noqa: ANN401 - whatever the option has
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
    """The end of a message that suggests names; nothing where there are none."""
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _refuse_empty(command: Command, ctx: Context, args: Iterable[str]) -> None:
    """Nothing, where every option, argument and environment variable that is given has a value.

    Raises:
        BadParameter: Names all of them that have none.
    """
    parameters = command.get_params(ctx)
    parser = command.make_parser(ctx)
    for option in parameters:
        if option.param_type_name == "option" and not getattr(option, "is_flag", False):
            every = copy.copy(option)
            every.multiple = True  # all its values, not only the last, which is the one that counts
            every.add_to_parser(parser, ctx)
    try:
        given, _, _ = parser.parse_args(list(args))
    except TyperException as error:
        error.ctx = ctx  # type: ignore[attr-defined] # as above; the parser leaves it out
        if near := getattr(error, "possibilities", None):
            mistyped = str(getattr(error, "option_name", ""))
            error.possibilities = harmless(mistyped, near, REMOVING_OPTIONS)  # type: ignore[attr-defined] # as above
        raise
    # A shell completes a line that is not finished yet; --help and --version answer whatever else is there.
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
    """What a parameter is called on a command line: `--option`, or the argument's placeholder."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return max(parameter.opts, key=len)
