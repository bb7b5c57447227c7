"""The results as text: for a terminal and, the same words, for docs/benchmarks.md."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measured import AIM, ALONE, HELP_MOST, INSTALL, MOST, SCRIPTS
from benchmarks.timing import summaries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measured import Help, Installs

BEGIN = "<!-- results: begin (python -m benchmarks --write) -->"
END = "<!-- results: end -->"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: bool = False) -> str:
    """Lay out a Markdown table that reads well on a terminal too; numbers stand to the right."""
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        aside = [cell.ljust(width) if words else cell.rjust(width) for cell, width in rest]
        cells = [first[0].ljust(first[1]), *aside]
        return f"| {' | '.join(cells)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ("-" if words else ":") for width in widths[1:])]
    return "\n".join([line(heads), line(rule), *(line(row) for row in rows)])


def installs(found: Installs) -> str:
    """Render the rounds, the medians with their ratio, and where each side's time goes."""
    numbers = dict.fromkeys((SCRIPTS, INSTALL, ALONE), 0)
    rows = []
    for one in found.rounds:
        numbers[one.side] += 1
        what = "does not count" if one.faults else f"{one.seconds:.1f} s"
        rows.append((one.side, str(numbers[one.side]), what, f"{one.busy:.0%}"))
    parts = [table(("side", "round", "time", "cores busy before"), rows)]
    if not found.of(SCRIPTS) or not found.of(INSTALL):
        return parts[0]
    base = found.median(SCRIPTS)
    medians = [
        (side, f"{found.median(side):.1f} s", f"{found.median(side) / base:.2f}")
        for side in numbers
        if found.of(side)
    ]
    parts.append(table(("median", "time", "of the scripts'"), medians))
    parts.append(f"Ratio {found.ratio:.2f}: the aim is {AIM}, the limit {MOST}.")
    if found.disturbed:
        parts.append(
            f"Others were at work on the machine before {found.disturbed} of {len(found.rounds)} rounds: "
            "the side that uses all cores at once suffers more from that."
        )
    parts += [_steps(found, side) for side in numbers if found.of(side)]
    return "\n\n".join(parts)


def _steps(found: Installs, side: str) -> str:
    one = found.typical(side)
    rows = [
        (s.name, str(s.times), f"{s.longest:.1f} s", f"{s.share:.1f} s") for s in summaries(list(one.steps))
    ]
    title = f"Steps of {side} in its median round ({one.seconds:.1f} s):"
    return f"{title}\n\n{table(('step', 'times', 'longest', 'of the run'), rows)}"


def helps(found: Help) -> str:
    """Render the times of `--help`."""
    rows = [
        (name, f"{median(times):.3f} s", f"{min(times):.3f} s", f"{max(times):.3f} s")
        for name, times in (("istio-mc --help", found.ours), ("istioctl --help", found.istioctl))
    ]
    shown = table(("command", "median", "least", "most"), rows)
    return f"{shown}\n\nRatio {found.ratio:.2f}, of {len(found.ours)} runs each: the limit is {HELP_MOST}."


def whole(machine: Mapping[str, str], parts: Sequence[tuple[str, str]]) -> str:
    """Put together the machine and each part under its heading."""
    about = table(("machine", ""), list(machine.items()), words=True)
    return "\n\n".join([about, *(f"### {head}\n\n{text}" for head, text in parts)])


def replaced(page: str, block: str) -> str:
    """Put a new block of results into a page, between its two marks.

    Raises:
        ValueError: The page has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the marks {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"
