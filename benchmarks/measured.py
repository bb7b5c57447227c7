"""What was measured, as values, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.timing import Step

SCRIPTS = "published scripts"
INSTALL = "istio-mc install"
ALONE = "istio-mc install, one cluster"

AIM = 0.4
MOST = 0.5
HELP_MOST = 1.5

QUIET = 0.25
"""Share of the cores that the three clusters keep busy at rest, with some to spare (0.1 of two was seen)."""


@dataclass(frozen=True)
class Round:
    """One timed run of one side.

    Attributes:
        side: One of SCRIPTS, INSTALL, ALONE.
        seconds: Wall-clock time from its start to its exit.
        steps: Its steps.
        busy: Share of the machine's cores at work just before it began, 0 to 1.
        faults: Why it does not count; empty where its mesh reached the complete matrix.
    """

    side: str
    seconds: float
    steps: tuple[Step, ...]
    busy: float
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installs:
    """The rounds of both sides and of the floor, in the order they ran."""

    rounds: tuple[Round, ...]

    def of(self, side: str) -> tuple[Round, ...]:
        """Return one side's rounds that count."""
        return tuple(one for one in self.rounds if one.side == side and not one.faults)

    def median(self, side: str) -> float:
        """Return the median time of a side's rounds, in seconds (StatisticsError: none counts)."""
        return median(one.seconds for one in self.of(side))

    @property
    def ratio(self) -> float:
        """Return istio-mc's median time over the scripts'."""
        return self.median(INSTALL) / self.median(SCRIPTS)

    @property
    def disturbed(self) -> int:
        """Return how many rounds began while others were at work on the machine."""
        return sum(1 for one in self.rounds if one.busy > QUIET)

    def typical(self, side: str) -> Round:
        """Return the round whose time is nearest the side's median."""
        middle = self.median(side)
        return min(self.of(side), key=lambda one: abs(one.seconds - middle))

    def verdict(self) -> list[str]:
        """Say what is not as it shall be ([]: nothing)."""
        failed = [f"{one.side}: {fault}" for one in self.rounds for fault in one.faults]
        if failed:
            return failed
        if self.ratio > MOST:
            return [f"install took {self.ratio:.2f} of the scripts' time: expected at most {MOST}"]
        return []


@dataclass(frozen=True)
class Help:
    """Times of `--help`, in seconds, taken in turns."""

    ours: tuple[float, ...]
    istioctl: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Return istio-mc's median time over istioctl's."""
        return median(self.ours) / median(self.istioctl)

    def verdict(self) -> list[str]:
        """Say what is not as it shall be ([]: nothing)."""
        if self.ratio > HELP_MOST:
            return [f"--help took {self.ratio:.2f} of istioctl's time: expected at most {HELP_MOST}"]
        return []
