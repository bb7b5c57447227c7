"""Times of istioctl and of istio-mc verify on the same mesh, as values, and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.measured import QUIET

SEQUENCE = "istioctl, one after another"
VERIFY = "istio-mc verify"

AIM = 0.45
MOST = 1.0


@dataclass(frozen=True)
class Turn:
    """One timed run of one side.

    Attributes:
        side: SEQUENCE or VERIFY.
        seconds: Wall-clock time of all its commands.
        answers: Commands that ran, or checks that verify reported.
        busy: Share of the machine's cores at work just before it began, 0 to 1.
    """

    side: str
    seconds: float
    answers: int
    busy: float


@dataclass(frozen=True)
class Comparison:
    """The timed runs of both sides, in the order they ran."""

    turns: tuple[Turn, ...]

    def of(self, side: str) -> tuple[Turn, ...]:
        """Return one side's turns."""
        return tuple(turn for turn in self.turns if turn.side == side)

    def median(self, side: str) -> float:
        """Return the median time of a side, in seconds."""
        return median(turn.seconds for turn in self.of(side))

    @property
    def ratio(self) -> float:
        """Return verify's median time over the sequence's."""
        return self.median(VERIFY) / self.median(SEQUENCE)

    @property
    def disturbed(self) -> int:
        """Return how many turns began while others were at work on the machine."""
        return sum(1 for turn in self.turns if turn.busy > QUIET)

    def verdict(self) -> list[str]:
        """Return what is slower than expected ([]: nothing)."""
        if self.ratio > MOST:
            return [f"verify took {self.ratio:.2f} of the sequence's time: expected at most {MOST}"]
        return []
