"""Output of the explain command: Markdown of the documentation as plain terminal text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.text import Text

from istio_mc.present.output.envelope import Report
from istio_mc.present.output.wrap import print_wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from istio_mc.ops.explain import Explanation, Topics

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_SPANS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")
_BLOCK = re.compile(r"(#{1,6} |> |- |\d+\. |\| )")
_ITEM = re.compile(r"- |\d+\. ")
_FIELDS = (("looksAt", "looks at"), ("usualCause", "usual cause"), ("fix", "fix"))


def report(explained: Explanation) -> Report:
    """A section of the documentation; for a check, its record first."""

    def render(console: Console) -> None:
        if explained.check:
            _print_check(console, explained)
            console.print()
        _print_markdown(console, explained.text)

    return Report(
        data={
            "name": explained.name,
            "type": explained.type.value,
            "docs": explained.docs,
            "check": dict(explained.check) or None,
            "text": explained.text,
        },
        render=render,
    )


def listing(topics: Topics) -> Report:
    """All names that can be explained."""

    def render(console: Console) -> None:
        console.print(Text("Checks", style="bold"))
        wide = max(map(len, topics.checks))
        for name, title in topics.checks.items():
            first = Text(f"  {name:<{wide}}  ")
            print_wrapped(console, title.split(), indent=first.cell_len, first=first)
        console.print(Text("\nError codes", style="bold"))
        for code in topics.codes:
            console.print(f"  {code}", soft_wrap=True)

    checks = [{"id": name, "title": title} for name, title in topics.checks.items()]
    return Report(data={"checks": checks, "codes": list(topics.codes)}, render=render)


def _print_check(to: Console, explained: Explanation) -> None:
    check = explained.check
    to.print(Text(explained.name, style="bold"), soft_wrap=True)
    _print_words(to, check["title"], Text("  "), indent=2)
    to.print(Text(f"  severity {check['severity']}, scope {check['scope']}", style="dim"))
    for key, label in _FIELDS:
        _print_words(to, check[key], Text(f"  {label + ':':<13}", style="dim"), indent=15)


def _print_markdown(to: Console, text: str) -> None:
    """Prints Markdown: paragraphs wrapped, code as it is, each row of a table as a paragraph."""
    for block in _blocks(text.splitlines()):
        first = block[0]
        if first.startswith("```"):
            for line in block[1:-1]:
                to.print(Text(f"    {line}"), soft_wrap=True)
        elif first.startswith("#"):
            to.print(Text(_plain(first.lstrip("# ")), style="bold"), soft_wrap=True)
        elif first.startswith("> "):
            for line in block:
                to.print(Text(f"  {_plain(line.removeprefix('>').strip())}", style="dim"), soft_wrap=True)
        elif first.startswith("|"):
            _print_table(to, block)
        else:
            begin = match[0] if (match := _ITEM.match(first)) else ""
            joined = " ".join(map(str.strip, block)).removeprefix(begin)
            _print_words(to, joined, Text(begin), indent=len(begin))
            if begin:
                continue
        to.print()


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Paragraphs, headings, items of lists, quotes, tables and fenced code, each as its lines."""
    block: list[str] = []
    for line in lines:
        is_code = bool(block) and block[0].startswith("```")
        begins = not is_code and (line.startswith("```") or _is_another(block, line))
        if block and (begins or (not is_code and not line.strip())):
            yield block
            block = []
        if is_code or line.strip():
            block.append(line)
        if is_code and line.startswith("```"):
            yield block
            block = []
    if block:
        yield block


def _is_another(block: list[str], line: str) -> bool:
    """Whether a line begins another block than the one before it."""
    match = _BLOCK.match(line)
    if not match:
        return bool(block) and block[0].startswith("#")
    has_more = match[1] in ("> ", "| ") and bool(block) and block[0].startswith(match[1].strip())
    return not has_more


def _print_table(to: Console, rows: list[str]) -> None:
    """Prints each row as a paragraph: the first cell, and below it the others, each with its header."""
    header, _, *body = ([cell.strip() for cell in row.strip("|").split(" | ")] for row in rows)
    for row in body:
        _print_words(to, row[0], Text(), indent=0)
        for label, cell in zip(header[1:], row[1:], strict=False):
            _print_words(to, cell, Text(f"  {label}: ", style="dim"), indent=4)


def _print_words(to: Console, text: str, first: Text, *, indent: int) -> None:
    words, styles = _words(text)
    print_wrapped(to, words, indent=indent, first=first, styles=styles)


def _plain(text: str) -> str:
    return _SPANS.sub(lambda match: match[1] or match[2], _LINK.sub(r"\1", text))


def _words(text: str) -> tuple[list[str], dict[int, str]]:
    """Words of a paragraph; code is one word, so that a command stays whole, and has a style of its own."""
    words = [""]
    styles: dict[int, str] = {}
    for number, part in enumerate(re.split(r"`([^`]+)`", _LINK.sub(r"\1", text))):
        if number % 2:
            styles[len(words) - 1] = "cyan"
            words[-1] += part
            continue
        first, *others = part.replace("**", "").split(" ")
        words[-1] += first
        words += others
    return [word for word in words if word], styles
