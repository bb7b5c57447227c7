"""Text wrapped between words, with a hanging indent; in a pipe a line stays one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

WIDTH_IN_A_PIPE = 200


def is_a_pipe(to: Console) -> bool:
    """Whether lines must not be wrapped: nobody gave a width, and no terminal is there to see one."""
    return not to.is_terminal and to.width >= WIDTH_IN_A_PIPE


def print_wrapped(
    to: Console,
    words: Iterable[str],
    *,
    indent: int,
    first: Text | None = None,
    styles: Mapping[int, str] | None = None,
) -> None:
    """Prints words, in lines of the console's width; a word that is longer than a line is not taken apart.

    Args:
        to: Where to.
        words: What is not taken apart, such as a whole command, counts as one word.
        indent: How far lines after the first are indented.
        first: What the first line begins with.
        styles: Styles of words, by their number.
    """
    begin = first or Text()
    for line in lines_of(list(words), to, indent=indent, taken=begin.cell_len, styles=styles or {}):
        to.print(Text.assemble(begin, line), soft_wrap=True)
        begin = Text(" " * indent)


def lines_of(
    words: Sequence[str], to: Console, *, indent: int, taken: int, styles: Mapping[int, str]
) -> list[Text]:
    """Words as lines of a console's width, without their indents.

    Args:
        words: As above.
        to: Whose width.
        indent: What is left free before the lines after the first.
        taken: What is left free before the first line.
        styles: Styles of words, by their number.
    """
    width = None if is_a_pipe(to) else to.width
    lines = [Text()]
    room, is_fresh = taken, True
    for number, word in enumerate(words):
        needed = cell_len(word)
        if width is not None and not is_fresh and room + 1 + needed > width:
            lines[-1].rstrip()
            lines.append(Text())
            room, is_fresh = indent, True
        if not is_fresh:
            lines[-1].append(" ")
            room += 1
        lines[-1].append(word, style=styles.get(number, ""))
        room, is_fresh = room + needed, False
    return lines
