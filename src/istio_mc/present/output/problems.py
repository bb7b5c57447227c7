"""A problem as text: message, seen, expected, fix and docs, the same in every form of output."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from istio_mc.domain.hint import Advice, Command, istio_mc
from istio_mc.domain.text import few, printable
from istio_mc.present.output.hints import hint_of, text_of
from istio_mc.present.output.wrap import print_wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from istio_mc.domain.hint import Hint
    from istio_mc.domain.problem import Problem

_INDENT = 12
_LINES_AT_MOST = 12
"""Of longer lists, such as a command for each cluster, the first lines are printed: -o json has all."""
_NAMED_AT_MOST = 12


def details(problem: Problem) -> list[tuple[str, str]]:
    """What follows the message of a problem, each part with its label; a part that is missing is left out."""
    parts = (
        ("seen", problem.seen),
        ("expected", problem.expected),
        ("fix", text_of(problem)),
        ("docs", docs(problem)),
    )
    return [(label, value) for label, value in parts if value]


def docs(problem: Problem) -> str:
    """The command that prints the section about a problem."""
    return str(istio_mc("explain", problem.topic))


def print_problems(to: Console, problems: Iterable[Problem], *, style: str, title: str) -> None:
    """Prints each problem: `error[code] cluster: message`, then seen, expected, fix and docs.

    The same problem of several clusters is printed once, with all their names.
    """
    clusters: dict[Problem, list[str]] = {}
    for problem in problems:
        clusters.setdefault(replace(problem, cluster=None), []).append(problem.cluster or "")
    for problem, names in clusters.items():
        where = few(filter(None, names), _NAMED_AT_MOST)
        print_problem(to, problem, f"{title}[{problem.code}]", where, style=style)


def print_problem(
    to: Console,
    problem: Problem,
    title: str,
    where: str,
    *,
    style: str,
    hints: Sequence[Hint] | None = None,
    more: Iterable[tuple[str, str]] = (),
) -> None:
    """Prints one problem; on a terminal, wrapped between words, and commands left whole.

    Args:
        where: The clusters concerned; empty: the whole mesh.
    """
    message = problem.message.removeprefix(f"{where}: ")  # the clusters are printed before it
    head = [f"{title}{' ' * bool(where)}{where}:", *printable(message).split()]
    print_wrapped(to, head, indent=2, styles={0: style})
    given = hint_of(problem)
    fixes = hints if hints is not None else [given] if given else []
    parts: list[tuple[str, list[list[str]]]] = [
        ("seen", _lines(problem.seen)),
        ("expected", _lines(problem.expected)),
        ("fix", [_pasteable(to, words) for words in _lines_of_hints(fixes)]),
        ("docs", [[docs(problem)]]),
        *((label, _lines(text)) for label, text in more),
    ]
    for label, lines in parts:
        for number, words in enumerate(_first(lines)):
            begin = Text(" " * _INDENT if number else f"  {label + ':':<10}", style="dim")
            print_wrapped(to, words, indent=_INDENT, first=begin)


_QUOTED = re.compile(r"'[^']*'")


def _pasteable(to: Console, words: list[str]) -> list[str]:
    """Words of a fix for a stream that is not UTF-8: a quoted name in ASCII, in bash's form `$'...'`."""
    if to.encoding.startswith("utf"):
        return words
    return [_QUOTED.sub(lambda found: _in_bash(found[0]), word) for word in words]


def _in_bash(quoted: str) -> str:
    if quoted.isascii():
        return quoted
    escaped = quoted.replace("\\", r"\\")
    return "$" + "".join(char if char.isascii() else f"\\U{ord(char):08x}" for char in escaped)


def _first(lines: list[list[str]]) -> list[list[str]]:
    """The lines, or the first of many and how many more there are."""
    if len(lines) <= _LINES_AT_MOST:
        return lines
    shown = lines[: _LINES_AT_MOST - 1]
    return [*shown, f"and {len(lines) - len(shown):,} more: -o json has them all".split(" ")]


def _lines(text: str | None) -> list[list[str]]:
    return [printable(line).split(" ") for line in (text or "").splitlines()]


def _lines_of_hints(hints: Sequence[Hint]) -> list[list[str]]:
    """The lines of all hints; a text that begins several of them is printed once, then their commands."""
    lines: list[list[str]] = []
    before = None
    for hint in hints:
        match hint:
            case Advice(parts=(str(text), Command() as command)) if text == before:
                lines.append([str(command)])
            case _:
                lines += _lines_of_hint(hint)
        before = hint.parts[0] if isinstance(hint, Advice) and len(hint.parts) > 1 else None
    return lines


def _lines_of_hint(hint: Hint) -> list[list[str]]:
    """A hint's lines as words; a command is one word, for it is pasted."""
    if isinstance(hint, Command):
        return [[str(hint)]]
    if "\n" in hint.parts:
        at = hint.parts.index("\n")
        return [*_lines_of_hint(Advice(*hint.parts[:at])), *_lines_of_hint(Advice(*hint.parts[at + 1 :]))]
    words: list[str] = []
    for part in hint.parts:
        pieces = [str(part)] if isinstance(part, Command) else part.split(" ")
        if words:
            words[-1] += pieces.pop(0)
        words += pieces
    text = str(hint)
    return _lines(text) if "\n" in text else [words]
