"""The results as text: for a terminal and, the same words, for docs/benchmarks.md."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks import comparison
from benchmarks.measured import AIM, ALONE, HELP_MOST, INSTALL, MOST, SCRIPTS
from benchmarks.timing import summaries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.comparison import Comparison
    from benchmarks.growth import Crowds, Growth
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
    parts += _disturbed(found.disturbed, len(found.rounds))
    parts += [_steps(found, side) for side in numbers if found.of(side)]
    return "\n\n".join(parts)


def distant(found: Mapping[int, Installs]) -> str:
    """Render the medians of both sides, and of one cluster, for each round-trip time in milliseconds."""
    rows = [
        (
            f"{milliseconds} ms",
            *(f"{one.median(side):.1f} s" for side in (SCRIPTS, INSTALL)),
            f"{one.ratio:.2f}",
            f"{one.median(ALONE):.1f} s",
        )
        for milliseconds, one in found.items()
        if all(map(one.of, (SCRIPTS, INSTALL, ALONE)))
    ]
    shown = [table(("round trip", SCRIPTS, INSTALL, "of the scripts'", ALONE), rows)]
    disturbed = sum(one.disturbed for one in found.values())
    rounds = sum(len(one.rounds) for one in found.values())
    return "\n\n".join([*shown, *_disturbed(disturbed, rounds)])


def _disturbed(disturbed: int, rounds: int) -> list[str]:
    if not disturbed:
        return []
    text = f"Others were at work on the machine before {disturbed} of {rounds} rounds: "
    return [text + "the side that uses all cores at once suffers more from that."]


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


def queries(found: Comparison) -> str:
    """Render how long verify and the sequence of istioctl took, in turns."""
    sides = (comparison.SEQUENCE, comparison.VERIFY)
    rows = [
        (
            side,
            *(f"{one(turn.seconds for turn in found.of(side)):.1f} s" for one in (median, min, max)),
            str(found.of(side)[-1].answers),
        )
        for side in sides
    ]
    turns = len(found.of(comparison.VERIFY))
    limits = f"the aim is {comparison.AIM}, the limit {comparison.MOST:g}."
    parts = [
        table(("side", "median", "least", "most", "commands, or checks reported"), rows),
        f"Ratio {found.ratio:.2f}, of {turns} turns each: {limits}",
        *_disturbed(found.disturbed, len(found.turns)),
    ]
    return "\n\n".join(parts)


_FIRST = ("first time", "first CPU")


def growth(found: Growth) -> str:
    """Render what verify costs with few clusters and with many."""
    rows = []
    for clusters in found.counts:
        least, most = found.requests(clusters)
        rows.append(
            (
                f"{clusters} clusters",
                f"{found.first(clusters):.1f} s",
                f"{found.first_cpu(clusters):.1f} s",
                f"{found.seconds(clusters):.1f} s",
                f"{found.cpu(clusters):.1f} s",
                f"{found.peak(clusters):.0f} MiB",
                str(least) if least == most else f"{least} to {most}",
            )
        )
    few, many = found.counts[0], found.counts[-1]
    each = (found.peak(many) - found.peak(few)) / (many - few)
    cpu = (found.cpu(many) - found.cpu(few)) / (many - few)
    return "\n\n".join(
        [
            table(("verify of", *_FIRST, "time", "CPU", "most memory", "requests to a cluster"), rows),
            f"Each cluster more costs {cpu * 1000:.0f} ms of CPU and {each:.1f} MiB.",
        ]
    )


def crowds(found: Crowds) -> str:
    """What verify and trace cost with few Services and with many, as a table and the cost of each."""
    rows = [
        (
            f"{command}, {count:,} Services",
            f"{one.seconds:.1f} s",
            f"{one.cpu:.1f} s",
            f"{one.cpu / few.cpu:.1f}",
            f"{one.peak:.0f} MiB",
            f"{one.peak / few.peak:.1f}",
            str(one.requests),
        )
        for command in found.commands
        for few in [next(iter(found.of(command).values()))]
        for count, one in found.of(command).items()
    ]
    heads = ("command", "time", "CPU", "ratio", "most memory", "ratio", "requests")
    costs = [
        f"{command}: each Service more in all clusters costs {cpu:.1f} ms of CPU and {memory:.0f} KiB."
        for command in found.commands
        for cpu, memory in [found.each(command)]
    ]
    return "\n\n".join([table(heads, rows), "\n".join(costs)])


def whole(machine: Mapping[str, str], parts: Mapping[str, str]) -> str:
    """Put together the machine and each part under its heading."""
    about = table(("machine", ""), list(machine.items()), words=True)
    return "\n\n".join([about, *(f"### {head}\n\n{text}" for head, text in parts.items())])


def dated(text: str, date: str) -> str:
    """Say of a part when it was measured: the parts of a page need not be of one day."""
    return f"Measured {date}.\n\n{text}"


def rewritten(page: str, machine: Mapping[str, str], parts: Mapping[str, str], order: Sequence[str]) -> str:
    """Put new results into a page, between its two marks; parts that were not measured stay as they are.

    So do those lines about the machine that say nothing new.

    Raises:
        ValueError: The page has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks the marks {BEGIN!r} and {END!r}")
    about, *sections = old.split("\n### ")
    known = [[cell.strip() for cell in line.split("|")[1:-1]] for line in about.strip().splitlines()[2:]]
    kept: dict[str, str] = {}
    for section in sections:
        head, _, text = section.partition("\n")
        kept[head] = text.strip()
    both = {**kept, **parts}
    lines = {**dict(known), **machine}
    block = whole(lines, {head: both[head] for head in order if head in both})
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"
