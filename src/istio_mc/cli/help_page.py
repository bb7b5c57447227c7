"""The `--help` pages: usage, examples and a command's own options; common options are on the root's page."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias

    from typer._click import Command, Context, Parameter

    Rows: TypeAlias = Sequence[tuple[str, str]]

_EXAMPLES = "Examples:"
_GAP = 2
_NAMES_AT_MOST = 24
_LEAST, _MOST = 40, 100
HIDDEN_NAMES = frozenset({"--context"})
"""Names of options that are accepted but not shown."""


def page(
    command: Command,
    ctx: Context,
    *,
    global_options: frozenset[str] = frozenset(),
    groups: Mapping[str, Rows] | None = None,
) -> str:
    """Returns the help page of a command."""
    width = min(max(ctx.terminal_width or _terminal_width(), _LEAST), _MOST)
    summary, examples, rest = _parts(command.help or "")
    is_root = ctx.parent is None
    parameters = [one for one in command.get_params(ctx) if not getattr(one, "hidden", False)]
    hidden = frozenset() if is_root else global_options | {"help"}
    own = [one for one in parameters if one.name not in hidden]
    arguments = [(_name(one), _help(one, ctx)) for one in own if one.param_type_name == "argument"]
    options = [(_name(one), _help(one, ctx)) for one in own if one.param_type_name == "option"]
    lines = [f"{_heading('Usage:')} {ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}", ""]
    lines += [line for text in summary for line in textwrap.wrap(text, width)]
    if examples:
        lines += ["", _heading(_EXAMPLES), *(f"  {example}" for example in examples)]
    for text in rest:
        lines += ["", *textwrap.wrap(text, width)]
    for title, rows in (groups or {}).items():
        lines += ["", _heading(f"{title}:"), *_table(rows, width)]
    if arguments:
        lines += ["", _heading("Arguments:"), *_table(arguments, width)]
    if options:
        title = "Options, before or after the command:" if is_root else "Options:"
        lines += ["", _heading(title), *_table(options, width)]
    if not is_root:
        lines += ["", f"Options of every command: {ctx.find_root().command_path} --help"]
    return "\n".join(lines) + "\n"


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _parts(text: str) -> tuple[list[str], list[str], list[str]]:
    """A help text's first paragraph, its examples, and its other paragraphs."""
    before, _, after = text.partition(_EXAMPLES)
    paragraphs = [" ".join(part.split()) for part in before.split("\n\n") if part.strip()]
    lines = [line.strip() for line in after.splitlines() if line.strip()]
    return paragraphs[:1], lines, paragraphs[1:]


def _name(parameter: Parameter) -> str:
    if parameter.param_type_name == "argument":
        name = str(parameter.metavar or parameter.name)
        return name[1:-1] if name.startswith("[") and name.endswith("]") else name
    names = [name for name in parameter.opts if name not in HIDDEN_NAMES]
    short = ", ".join(sorted(names, key=len))
    if parameter.secondary_opts:
        return f"{short} / {parameter.secondary_opts[0]}"
    return f"{short} {parameter.metavar}" if parameter.metavar else short


def _help(parameter: Parameter, ctx: Context) -> str:
    record = parameter.get_help_record(ctx)
    return " ".join(record[1].split()) if record else ""


def _table(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    """Two columns; a name that is too long for the first column has its own line."""
    rows = list(rows)
    wide = max((len(name) for name, _ in rows if len(name) <= min(_NAMES_AT_MOST, width // 2)), default=0)
    lines: list[str] = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, max(width - wide - 2 * _GAP, 20), break_on_hyphens=False) or [""]
        padding = " " * (wide - len(name))
        if len(name) > wide:
            lines.append(f"  {_styled(name, fg='cyan')}")
        else:
            lines.append(f"  {_styled(name, fg='cyan')}{padding}{' ' * _GAP}{wrapped.pop(0)}".rstrip())
        lines += [" " * (wide + 2 * _GAP) + line for line in wrapped]
    return lines


def _heading(text: str) -> str:
    return _styled(text, bold=True)


def _styled(text: str, *, bold: bool = False, fg: str | None = None) -> str:
    """A text with its style; without a terminal, the printing function removes it."""
    if os.environ.get("NO_COLOR") or "--no-color" in sys.argv:
        return text
    return typer.style(text, bold=bold or None, fg=fg)
