"""A problem as text: message, seen, expected, fix and docs, the same in every form of output."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from istio_mc.domain.hint import Command, istio_mc
from istio_mc.domain.text import printable
from istio_mc.present.output.hints import hint_of, text_of
from istio_mc.present.output.wrap import print_wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from istio_mc.domain.hint import Hint
    from istio_mc.domain.problem import Problem

_INDENT = 12


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
        print_problem(to, problem, f"{title}[{problem.code}]", ", ".join(filter(None, names)), style=style)


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
        to: Where to.
        problem: What is wrong.
        title: Severity and code.
        where: The clusters concerned; empty: the whole mesh.
        style: Colour of the title.
        hints: What fixes it, where that is not the problem's hint alone.
        more: Further parts, each with its label.
    """
    message = problem.message.removeprefix(f"{where}: ")  # the clusters are printed before it
    head = [f"{title}{' ' * bool(where)}{where}:", *printable(message).split()]
    print_wrapped(to, head, indent=2, styles={0: style})
    given = hint_of(problem)
    fixes = hints if hints is not None else [given] if given else []
    parts: list[tuple[str, list[list[str]]]] = [
        ("seen", _lines(problem.seen)),
        ("expected", _lines(problem.expected)),
        ("fix", [line for hint in fixes for line in _lines_of_hint(hint)]),
        ("docs", [[docs(problem)]]),
        *((label, _lines(text)) for label, text in more),
    ]
    for label, lines in parts:
        for number, words in enumerate(lines):
            begin = Text(" " * _INDENT if number else f"  {label + ':':<10}", style="dim")
            print_wrapped(to, words, indent=_INDENT, first=begin)


def _lines(text: str | None) -> list[list[str]]:
    return [printable(line).split(" ") for line in (text or "").splitlines()]


def _lines_of_hint(hint: Hint) -> list[list[str]]:
    """A hint's lines as words; a command is one word, for it is pasted."""
    if isinstance(hint, Command):
        return [[str(hint)]]
    words: list[str] = []
    for part in hint.parts:
        found = [str(part)] if isinstance(part, Command) else part.split(" ")
        if words:
            words[-1] += found.pop(0)
        words += found
    text = str(hint)
    return _lines(text) if "\n" in text else [words]
