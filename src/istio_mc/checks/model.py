"""Data types of checks and their results; `runner` runs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, TypeVar, cast

from istio_mc.gateways.istio.releases import release_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date, datetime, timedelta

    from istio_mc.domain.hint import Command
    from istio_mc.domain.istio.discovery import Discovery
    from istio_mc.domain.istio.istiod import RemoteCluster
    from istio_mc.domain.istio.pod_faults import PodFault
    from istio_mc.domain.istio.proxies import DistributedRoots, ProxiesHold, Serving
    from istio_mc.domain.istio.releases import ReleaseTable
    from istio_mc.domain.istio.services import Services
    from istio_mc.domain.links.remote_secrets import Access, AccessResult, RemoteSecret
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed, Surroundings
    from istio_mc.domain.plan import Drift
    from istio_mc.domain.problem import Problem
    from istio_mc.domain.this_machine import Here
    from istio_mc.domain.trace.sources import Configuration
    from istio_mc.domain.traffic.data_path import DataPath
    from istio_mc.domain.traffic.probe_pod import Reply


T = TypeVar("T")


class Severity(StrEnum):
    """How much a failed check matters."""

    ERROR = "error"
    WARNING = "warning"


class Scope(StrEnum):
    """The targets of a check: the mesh, each cluster, or each ordered pair of clusters."""

    MESH = "mesh"
    CLUSTER = "cluster"
    PAIR = "pair"


class Observation(StrEnum):
    """What is read of a cluster in addition to its objects, only if a chosen check reads it."""

    SURROUNDINGS = "surroundings"
    PODS = "pods that are not ready"
    NAMES = "names that resolve to this machine"
    CLUSTERZ = "clusterz"
    SERVICES = "services"
    DATA_PATH = "data path"
    DEEP = "deep"
    PEERS = "peers"
    DRIFT = "drift"
    SERVING = "serving certificates"
    PROXIES = "certificates of proxies"
    DISTRIBUTED_ROOTS = "root certificates in namespaces"
    DISCOVERY = "gateways and endpoints of istiods"
    CONFIGURATION = "Istio configuration"


REACHABLE = "access.reachable"
"""The check that the others of a cluster need, unless they need something else."""

OBSERVED = "access.observed"
"""The check that reports failed observations; checks that read one of them are unknown because of it."""


class Verdict(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was read of the mesh in this run; the only input of checks.

    Attributes:
        identity_faults: Cluster IDs and networks that contradict mesh.yaml or each other.
        seen: The remote clusters that each running istiod reports, by context and pod.
        remotes: The remote secrets of each cluster, by context.
        peers: The test of a cluster with each remote secret for it, by its context.
        elsewhere: Cluster IDs of contexts that the user excluded; no check reports them.
        has_settings: Whether a mesh.yaml was read; without one, the mesh has the default settings.
        token_age: The age of a reader's token from which it counts as old; None: its age does not matter.
        failures: The problems of observations that failed, by observation and context.
    """

    mesh: Mesh
    clusters: Mapping[str, Cluster]
    observed: Mapping[str, Observed] = field(repr=False)
    unreachable: Mapping[str, tuple[Problem, ...]]
    identity_faults: tuple[Problem, ...] = field(default=(), kw_only=True)
    seen: Mapping[str, Mapping[str, tuple[RemoteCluster, ...]]]
    remotes: Mapping[str, tuple[RemoteSecret, ...]] = field(default_factory=dict, repr=False)
    peers: Mapping[str, Mapping[Access, AccessResult]] = field(default_factory=dict, repr=False)
    elsewhere: frozenset[str] = frozenset()
    has_settings: bool = True
    surroundings: Mapping[str, Surroundings] = field(default_factory=dict, repr=False)
    pod_faults: Mapping[str, Mapping[str, tuple[PodFault, ...]]] = field(default_factory=dict)
    here: Mapping[str, tuple[Here, ...]] = field(default_factory=dict)
    services: Mapping[str, Services] = field(default_factory=dict, repr=False)
    data_path: Mapping[str, DataPath] = field(default_factory=dict)
    drift: Mapping[str, Drift] = field(default_factory=dict, repr=False)
    deep: Mapping[str, Mapping[str, Reply]] = field(default_factory=dict)
    serving: Mapping[str, tuple[Serving, ...]] = field(default_factory=dict, repr=False)
    proxies: Mapping[str, ProxiesHold] = field(default_factory=dict, repr=False)
    distributed_roots: Mapping[str, DistributedRoots] = field(default_factory=dict, repr=False)
    discovery: Mapping[str, Discovery] = field(default_factory=dict, repr=False)
    configuration: Mapping[str, Configuration] = field(default_factory=dict, repr=False)
    releases: ReleaseTable = field(default_factory=release_table, repr=False)
    now: datetime | None = None
    token_age: timedelta | None = None
    failures: Mapping[Observation, Mapping[str, tuple[Problem, ...]]] = field(default_factory=dict)
    cache: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def today(self) -> date | None:
        """The date for end of life; None: dates are not checked."""
        return self.now.date() if self.now else None

    def mesh_of(self, context: str) -> Mesh:
        """The mesh as a cluster has it, with the revision that an upgrade brought it to."""
        live = self.observed.get(context)
        return live.own(self.mesh) if live else self.mesh

    def failed(self, observation: Observation, context: str) -> tuple[Problem, ...]:
        """The problems of an observation of a cluster; empty if it succeeded."""
        return tuple(self.failures.get(observation, {}).get(context, ()))


def cached(work: Callable[[Facts], T]) -> Callable[[Facts], T]:
    """Decorates a function of the facts so that it runs once for all targets."""

    @wraps(work)
    def call(facts: Facts) -> T:
        if call not in facts.cache:
            facts.cache[call] = work(facts)
        return cast("T", facts.cache[call])

    return call


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a check."""

    cluster: str | None = None
    peer: str | None = None

    def __str__(self) -> str:
        if self.cluster is None:
            return "mesh"
        return f"{self.cluster} → {self.peer}" if self.peer else self.cluster


@dataclass(frozen=True, slots=True)
class Cause:
    """A failed check with its target, which explains others."""

    id: str
    target: Target

    def __str__(self) -> str:
        return f"{self.id} {self.target}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check function returns for a target.

    Attributes:
        seen: A few words: the value if it passes (may be empty) or fails, the reason if it is unknown.
        parts: For each part of the problem, the checks that may explain it: the problem is explained if each
            part is. None: any check that may explain this one explains all of it.
        is_raised: Whether the problem is an error although the check's severity is warning: it causes one.
        clears: A command after which an unknown result is known; None: there is none.
    """

    seen: str
    problem: Problem | None = None
    unknown: bool = False
    parts: frozenset[frozenset[str]] | None = None
    is_raised: bool = False
    clears: Command | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check, with everything about it in one place.

    `looks_at`, `usual_cause` and `fix` are clauses without a full stop, with commands in backquotes; they
    are general, while the Problem of a run is specific.

    Attributes:
        id: Topic and name, such as `gateway.address`; stable, part of the JSON contract.
        title: A neutral noun phrase of at most five words, for any outcome.
        passes: The sentence if it passes; if it fails, the sentence is the Problem's message.
        needs: Checks that must pass: if one of them failed, this one is unknown.
        because: Earlier checks that explain this one: if one of them failed too, it is the cause.
        reads: Observations that it needs in addition to the clusters' objects.
        reports_failures: Whether it also runs if these could not be read, and reports why.
    """

    id: str
    title: str
    passes: str
    looks_at: str
    usual_cause: str
    fix: str
    severity: Severity = Severity.ERROR
    scope: Scope = Scope.CLUSTER
    evaluate: Callable[[Facts, Target], Finding] = field(repr=False)
    needs: tuple[str, ...] = (REACHABLE,)
    because: tuple[str, ...] = ()
    reads: tuple[Observation, ...] = ()
    reports_failures: bool = False
    docs: str = ""

    @property
    def topic(self) -> str:
        """The topic that its ID begins with."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a check for a target.

    Attributes:
        caused_by: The causes why it failed or is unknown; empty if it is a root cause.
        is_raised: Whether it is an error although the check's severity is warning.
        clears: A command after which an unknown result is known; None: there is none.
    """

    check: Check
    target: Target
    verdict: Verdict
    seen: str = ""
    problem: Problem | None = None
    caused_by: tuple[Cause, ...] = ()
    is_raised: bool = False
    clears: Command | None = None

    @property
    def severity(self) -> Severity:
        """How much it matters that it failed."""
        return Severity.ERROR if self.is_raised else self.check.severity

    @property
    def sentence(self) -> str:
        """The outcome in one sentence; the title where it is unknown."""
        if self.problem:
            return self.problem.message
        return self.check.passes if self.verdict is Verdict.OK else self.check.title

    @property
    def is_root_cause(self) -> bool:
        """Whether it is an error without a cause in another check."""
        return self.is_error and not self.caused_by

    @property
    def is_error(self) -> bool:
        """Whether it failed with severity error."""
        return self.verdict is Verdict.FAILED and self.severity is Severity.ERROR

    @property
    def is_warning(self) -> bool:
        """Whether it failed with severity warning."""
        return self.verdict is Verdict.FAILED and self.severity is Severity.WARNING
