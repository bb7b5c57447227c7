"""What a run's own output says of its time: the scripts' step lines, and istio-mc's progress lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PROGRESS = re.compile(r"\s*(\d+\.\d)s {2}(\S+) {2}(\S+) (started|waiting|done|unchanged|failed)(?:: .*)?")


@dataclass(frozen=True)
class Step:
    """One step of one cluster.

    Attributes:
        cluster: Its context; `mesh`: the step is the whole mesh's.
        name: The step.
        begin: Seconds since the run began.
        end: Likewise.
    """

    cluster: str
    name: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass(frozen=True)
class Summary:
    """One kind of step over all clusters of a run.

    Attributes:
        name: The step.
        times: How often it ran.
        longest: The longest of them, in seconds.
        share: Seconds of the run in which at least one of them was at work.
    """

    name: str
    times: int
    longest: float
    share: float


def published_steps(text: str) -> list[Step]:
    """Read the lines that published.sh writes: context, step, begin, end, between tabs.

    Raises:
        ValueError: A line is none of those.
    """
    steps = []
    for line in text.splitlines():
        cluster, name, begin, end = line.split("\t")
        steps.append(Step(cluster, name, float(begin), float(end)))
    return steps


def progress_steps(text: str) -> list[Step]:
    """Read istio-mc's progress in a pipe: `  12.3s  kt  istio done: …`, one line for each change.

    A step that only tells its end began where the cluster's last one ended. Lines of anything else, such as
    warnings, are passed over.
    """
    begun: dict[tuple[str, str], float] = {}
    ended: dict[str, float] = {}
    steps = []
    for line in text.splitlines():
        found = _PROGRESS.fullmatch(line)
        if not found:
            continue
        at, cluster, name, state = float(found[1]), found[2], found[3], found[4]
        if state in ("started", "waiting"):
            begun.setdefault((cluster, name), at if state == "started" else ended.get(cluster, at))
        elif state in ("done", "failed"):
            begin = begun.pop((cluster, name), ended.get(cluster, at))
            ended[cluster] = at
            steps.append(Step(cluster, name, begin, at))
    return steps


def summaries(steps: list[Step]) -> list[Summary]:
    """Put the steps of one name together, in the order they first began."""
    found = []
    for name in dict.fromkeys(step.name for step in sorted(steps, key=lambda step: step.begin)):
        same = [step for step in steps if step.name == name]
        found.append(Summary(name, len(same), max(step.seconds for step in same), _covered(same)))
    return found


def _covered(steps: list[Step]) -> float:
    total, until = 0.0, 0.0
    for step in sorted(steps, key=lambda step: step.begin):
        total += max(0.0, step.end - max(step.begin, until))
        until = max(until, step.end)
    return total
