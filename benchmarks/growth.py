"""What verify cost with few clusters and with many, as values, and what follows from them."""

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
        cpu: Seconds of CPU that verify used; the servers' own are not in it.
        peak: Most memory it held, in MiB.
        asked: What each cluster was asked, and how often, by context.
        first: Whether it was the first time, when what istioctl wants was yet to be made.
    """

    clusters: int
    seconds: float
    cpu: float
    peak: float
    asked: Mapping[str, Counter[str]]
    first: bool = False

    @property
    def requests(self) -> tuple[int, int]:
        """Return the least and the most requests to one cluster."""
        numbers = [sum(asked.values()) for asked in self.asked.values()]
        return min(numbers), max(numbers)


@dataclass(frozen=True)
class Growth:
    """The runs, of few clusters and of many, in the order they ran."""

    sizes: tuple[Size, ...]

    def of(self, clusters: int) -> tuple[Size, ...]:
        """Return the runs over so many clusters, but for the first time."""
        return tuple(size for size in self.sizes if size.clusters == clusters and not size.first)

    def first(self, clusters: int) -> float:
        """Return how long the first time took (StatisticsError: there was none)."""
        return median(size.seconds for size in self.sizes if size.clusters == clusters and size.first)

    @property
    def counts(self) -> tuple[int, ...]:
        """Return how many clusters there were, from few to many."""
        return tuple(sorted({size.clusters for size in self.sizes}))

    def seconds(self, clusters: int) -> float:
        """Return the median time."""
        return median(size.seconds for size in self.of(clusters))

    def cpu(self, clusters: int) -> float:
        """Return the median CPU time."""
        return median(size.cpu for size in self.of(clusters))

    def peak(self, clusters: int) -> float:
        """Return the median peak of memory."""
        return median(size.peak for size in self.of(clusters))

    def requests(self, clusters: int) -> tuple[int, int]:
        """Return the least and the most requests to one cluster, over all runs."""
        ranges = [size.requests for size in self.of(clusters)]
        return min(least for least, _ in ranges), max(most for _, most in ranges)

    def verdict(self) -> list[str]:
        """Say what is not as it shall be ([]: each cluster is asked the same, however many there are)."""
        first = next(iter(self.sizes[0].asked.values()))
        found: dict[str, None] = {}
        for size in self.sizes:
            for asked in size.asked.values():
                for what in sorted({*first, *asked}):
                    if asked[what] != first[what]:
                        text = f"{what}: {first[what]} of {self.sizes[0].clusters} clusters"
                        found[f"{text}, {asked[what]} of {size.clusters}"] = None
        if not found:
            return []
        return ["requests to a cluster depend on how many clusters there are", *found]
