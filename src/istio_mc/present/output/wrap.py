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
        words: What is not taken apart, such as a whole command, counts as one word.
        indent: How far lines after the first are indented.
        first: What the first line begins with.
    """
    begin = first or Text()
    width = None if is_a_pipe(to) else to.width
    for line in lines_of(list(words), width, indent=indent, taken=begin.cell_len, styles=styles or {}):
        to.print(Text.assemble(begin, line), soft_wrap=True)
        begin = Text(" " * indent)


def print_item(to: Console, mark: str | tuple[str, str], text: str, *, margin: int = 2) -> None:
    """Prints a text after a mark, or a label; lines after the first begin where the text begins.

    Args:
        mark: Alone, or with its style.
        margin: What is left free before the mark.
    """
    first = Text.assemble(" " * margin, mark, " ")
    print_wrapped(to, text.split(" "), indent=first.cell_len, first=first)


def lines_of(
    words: Sequence[str], width: int | None, *, indent: int, taken: int, styles: Mapping[int, str]
) -> list[Text]:
    """Words as lines, without their indents.

    Args:
        width: Of a line; None: one line has all words.
        indent: What is left free before the lines after the first.
        taken: What is left free before the first line.
    """
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
