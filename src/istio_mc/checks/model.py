"""A check is a record, and what it says of a target a result; running and showing them is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from istio_mc.domain.istiod import RemoteCluster
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.problem import Problem
    from istio_mc.domain.surroundings import Surroundings


class Severity(StrEnum):
    """How much a failed check matters."""

    ERROR = "error"
    WARNING = "warning"


class Scope(StrEnum):
    """What a check is asked of: the mesh, each cluster, or each ordered pair of clusters."""

    MESH = "mesh"
    CLUSTER = "cluster"
    PAIR = "pair"


class Verdict(StrEnum):
    """What came of a check."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was read of the mesh in this run; checks are asked of this and of nothing else.

    Attributes:
        mesh: What the clusters share.
        clusters: Every cluster, by context, in the user's order.
        observed: Those that answered.
        unreachable: Those that did not, and why.
        seen: Whom each running istiod sees, by context and pod.
        unseen: Clusters whose istiods could not be asked, and why.
        surroundings: What is around the mesh in each cluster; empty where it was not looked at.
        today: The day to judge ends of life at; None: not to be judged.
    """

    mesh: Mesh
    clusters: Mapping[str, Cluster]
    observed: Mapping[str, Observed] = field(repr=False)
    unreachable: Mapping[str, tuple[Problem, ...]]
    seen: Mapping[str, Mapping[str, tuple[RemoteCluster, ...]]]
    unseen: Mapping[str, tuple[Problem, ...]]
    surroundings: Mapping[str, Surroundings] = field(default_factory=dict, repr=False)
    today: date | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What a check is asked of.

    Attributes:
        cluster: Context name; None: the mesh.
        peer: The other cluster of an ordered pair; None elsewhere.
    """

    cluster: str | None = None
    peer: str | None = None

    def __str__(self) -> str:
        if self.cluster is None:
            return "mesh"
        return f"{self.cluster} → {self.peer}" if self.peer else self.cluster


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check function says of a target.

    Attributes:
        seen: What was found, in a few words.
        problem: What is wrong with it; None: nothing.
    """

    seen: str
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        id: Topic and name, such as `gateway.address`; stable, part of the JSON contract.
        topic: The group it is shown in.
        description: What is true when it passes.
        severity: How much it matters.
        scope: What it is asked of.
        ask: Looks at the facts of a target.
        needs: Checks without which this one cannot tell: where one of them failed, it is unknown.
        hint: What mends it in general; a Problem may say better.
        docs: Anchor in the documentation.
    """

    id: str
    topic: str
    description: str
    severity: Severity
    scope: Scope
    ask: Callable[[Facts, Target], Finding] = field(repr=False)
    needs: tuple[str, ...] = ()
    hint: str = ""
    docs: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A check asked of a target.

    Attributes:
        check: The check.
        target: What it was asked of.
        verdict: What came of it.
        seen: What was found.
        problem: What is wrong.
        caused_by: The ids of the failed checks that made it unknown.
    """

    check: Check
    target: Target
    verdict: Verdict
    seen: str = ""
    problem: Problem | None = None
    caused_by: tuple[str, ...] = ()
