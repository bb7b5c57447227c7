"""The cost of verify and trace with few clusters or services and with many: values, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping


@dataclass(frozen=True)
class Size:
    """One run of verify over so many clusters.

    Attributes:
        clusters: How many.
        seconds: Wall-clock time.
        cpu: Seconds of CPU that verify used, without those of the servers.
        peak: Most memory that it used, in MiB.
        counts: How often each request was sent to a cluster, by context.
        first: Whether it was the first run, in which istioctl generates the desired objects.
    """

    clusters: int
    seconds: float
    cpu: float
    peak: float
    counts: Mapping[str, Counter[str]]
    first: bool = False

    @property
    def requests(self) -> tuple[int, int]:
        """The least and the most requests to one cluster."""
        numbers = [sum(counts.values()) for counts in self.counts.values()]
        return min(numbers), max(numbers)


@dataclass(frozen=True)
class Growth:
    """The runs on few clusters and on many, in their order."""

    sizes: tuple[Size, ...]

    def of(self, clusters: int) -> tuple[Size, ...]:
        """The runs on so many clusters, without the first."""
        return tuple(size for size in self.sizes if size.clusters == clusters and not size.first)

    def first(self, clusters: int) -> float:
        """The time of the first run, in seconds (StatisticsError: there was none)."""
        return median(size.seconds for size in self.sizes if size.clusters == clusters and size.first)

    def first_cpu(self, clusters: int) -> float:
        """The CPU time of the first run with istioctl's, in seconds (StatisticsError: there was none)."""
        return median(size.cpu for size in self.sizes if size.clusters == clusters and size.first)

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of clusters, in ascending order."""
        return tuple(sorted({size.clusters for size in self.sizes}))

    def seconds(self, clusters: int) -> float:
        """The median time, in seconds."""
        return median(size.seconds for size in self.of(clusters))

    def cpu(self, clusters: int) -> float:
        """The median CPU time, in seconds."""
        return median(size.cpu for size in self.of(clusters))

    def peak(self, clusters: int) -> float:
        """The median of the most memory, in MiB."""
        return median(size.peak for size in self.of(clusters))

    def requests(self, clusters: int) -> tuple[int, int]:
        """The least and the most requests to one cluster, of all runs."""
        ranges = [size.requests for size in self.of(clusters)]
        return min(least for least, _ in ranges), max(most for _, most in ranges)

    def verdict(self) -> list[str]:
        """The requests whose number depends on the number of clusters."""
        first = next(iter(self.sizes[0].counts.values()))
        found: dict[str, None] = {}
        for size in self.sizes:
            for counts in size.counts.values():
                for what in sorted({*first, *counts}):
                    if counts[what] != first[what]:
                        text = f"{what}: {first[what]} of {self.sizes[0].clusters} clusters"
                        found[f"{text}, {counts[what]} of {size.clusters}"] = None
        if not found:
            return []
        return ["requests to a cluster depend on how many clusters there are", *found]


STEEPER = 1.5
"""How much more CPU each service may cost in the upper half than in the lower half of their numbers."""


@dataclass(frozen=True)
class Crowd:
    """One run of a command on clusters with so many Services each.

    Attributes:
        command: `verify` or `trace`.
        requests: How many were sent to all clusters.
    """

    command: str
    services: int
    seconds: float
    cpu: float
    peak: float
    requests: int


@dataclass(frozen=True)
class Crowds:
    """The runs with few Services and with many, in their order."""

    runs: tuple[Crowd, ...]

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands, in the order of their first runs."""
        return tuple(dict.fromkeys(one.command for one in self.runs))

    def of(self, command: str) -> dict[int, Crowd]:
        """The medians of a command, by the number of Services in ascending order."""
        by_count: dict[int, list[Crowd]] = {}
        for one in self.runs:
            if one.command == command:
                by_count.setdefault(one.services, []).append(one)
        return {
            count: Crowd(
                command,
                count,
                median(one.seconds for one in runs),
                median(one.cpu for one in runs),
                median(one.peak for one in runs),
                max(one.requests for one in runs),
            )
            for count, runs in sorted(by_count.items())
        }

    def each(self, command: str) -> tuple[float, float]:
        """What a Service more costs: milliseconds of CPU, and KiB of memory."""
        few, *_, many = self.of(command).values()
        more = many.services - few.services
        return (many.cpu - few.cpu) / more * 1000, (many.peak - few.peak) / more * 1024

    def verdict(self) -> list[str]:
        """The commands whose requests depend on the number of Services, or whose CPU grows faster than it."""
        faults = []
        for command in self.commands:
            few, middle, many = self.of(command).values()
            if len({few.requests, middle.requests, many.requests}) > 1:
                faults.append(
                    f"{command}: {few.requests} requests with {few.services} Services, "
                    f"{many.requests} with {many.services}"
                )
            lower = (middle.cpu - few.cpu) / (middle.services - few.services)
            upper = (many.cpu - middle.cpu) / (many.services - middle.services)
            if upper > STEEPER * lower:
                faults.append(
                    f"{command}: {upper * 1000:.1f} ms of CPU for each Service over {middle.services:,}, "
                    f"{lower * 1000:.1f} ms for each below: expected at most {STEEPER} times as much"
                )
        return faults
