"""A check is a record, and what it says of a target a result; running and showing them is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, TypeVar, cast

from istio_mc.gateways.istio.releases import release_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date, datetime

    from istio_mc.domain.istio.discovery import Discovery
    from istio_mc.domain.istio.istiod import RemoteCluster
    from istio_mc.domain.istio.pod_faults import PodFault
    from istio_mc.domain.istio.proxies import GivenRoots, ProxiesHold, Serving
    from istio_mc.domain.istio.releases import ReleaseTable
    from istio_mc.domain.istio.services import Services
    from istio_mc.domain.links.remote_secrets import Access, RemoteSecret, Tried
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
    """What a check is asked of: the mesh, each cluster, or each ordered pair of clusters."""

    MESH = "mesh"
    CLUSTER = "cluster"
    PAIR = "pair"


class Observation(StrEnum):
    """What is read of a cluster beside its objects in istio-system, only where a chosen check reads it."""

    SURROUNDINGS = "surroundings"
    PODS = "pods that do not come up"
    NAMES = "names that lead to this machine"
    CLUSTERZ = "clusterz"
    SERVICES = "services"
    DATA_PATH = "data path"
    DEEP = "deep"
    PEERS = "peers"
    DRIFT = "drift"
    SERVING = "serving certificates"
    PROXIES = "proxies' certificates"
    GIVEN_ROOTS = "roots of namespaces"
    DISCOVERY = "gateways and endpoints of istiods"
    CONFIGURATION = "Istio configuration"


OBSERVED = "access.observed"
"""The check that tells of observations that failed; what reads one of them is unknown because of it."""


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
        identity_faults: Cluster IDs and networks that contradict mesh.yaml or each other.
        seen: Whom each running istiod sees, by context and pod.
        remotes: The remote secrets each cluster holds, by context.
        peers: What came of trying a cluster as the remote secrets of it have it, by its context.
        elsewhere: Cluster IDs of contexts that the user left out, so that nothing is said of them.
        surroundings: What is around the mesh in each cluster; empty where it was not looked at.
        pod_faults: Why Deployments of each cluster are not available, by Deployment; empty where they are.
        here: Names of each cluster that lead to the machine this runs on; empty likewise.
        services: The Services of each cluster; empty likewise.
        data_path: The ways from here to each cluster's gateway; empty likewise.
        drift: What an install would do in each cluster; empty likewise.
        deep: What a pod in each cluster got from each other cluster; empty likewise.
        serving: The certificates that each cluster's istiods serve; empty likewise.
        proxies: What each cluster's proxies hold; empty likewise.
        given_roots: The roots that istiod gave to each cluster's namespaces; empty likewise.
        discovery: What each cluster's istiods have of the others; empty likewise.
        configuration: What users wrote for Istio in each cluster; empty likewise.
        releases: The table of Istio releases.
        now: When it was read, with time zone; None: nothing is judged by the calendar.
        failures: Observations that brought nothing for a cluster, and why, by observation and context.
        told: What `once_told` functions said of these facts.
    """

    mesh: Mesh
    clusters: Mapping[str, Cluster]
    observed: Mapping[str, Observed] = field(repr=False)
    unreachable: Mapping[str, tuple[Problem, ...]]
    identity_faults: tuple[Problem, ...] = field(default=(), kw_only=True)
    seen: Mapping[str, Mapping[str, tuple[RemoteCluster, ...]]]
    remotes: Mapping[str, tuple[RemoteSecret, ...]] = field(default_factory=dict, repr=False)
    peers: Mapping[str, Mapping[Access, Tried]] = field(default_factory=dict, repr=False)
    elsewhere: frozenset[str] = frozenset()
    surroundings: Mapping[str, Surroundings] = field(default_factory=dict, repr=False)
    pod_faults: Mapping[str, Mapping[str, tuple[PodFault, ...]]] = field(default_factory=dict)
    here: Mapping[str, tuple[Here, ...]] = field(default_factory=dict)
    services: Mapping[str, Services] = field(default_factory=dict, repr=False)
    data_path: Mapping[str, DataPath] = field(default_factory=dict)
    drift: Mapping[str, Drift] = field(default_factory=dict, repr=False)
    deep: Mapping[str, Mapping[str, Reply]] = field(default_factory=dict)
    serving: Mapping[str, tuple[Serving, ...]] = field(default_factory=dict, repr=False)
    proxies: Mapping[str, ProxiesHold] = field(default_factory=dict, repr=False)
    given_roots: Mapping[str, GivenRoots] = field(default_factory=dict, repr=False)
    discovery: Mapping[str, Discovery] = field(default_factory=dict, repr=False)
    configuration: Mapping[str, Configuration] = field(default_factory=dict, repr=False)
    releases: ReleaseTable = field(default_factory=release_table, repr=False)
    now: datetime | None = None
    failures: Mapping[Observation, Mapping[str, tuple[Problem, ...]]] = field(default_factory=dict)
    told: dict[object, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def today(self) -> date | None:
        """The day to judge ends of life at; None: not to be judged."""
        return self.now.date() if self.now else None

    def failed(self, observation: Observation, context: str) -> tuple[Problem, ...]:
        """Why an observation brought nothing for a cluster; none where it did."""
        return tuple(self.failures.get(observation, {}).get(context, ()))


def once_told(work: Callable[[Facts], T]) -> Callable[[Facts], T]:
    """A function of the facts that many targets ask, so that it is worked out once a run and not for each."""

    @wraps(work)
    def ask(facts: Facts) -> T:
        if ask not in facts.told:
            facts.told[ask] = work(facts)
        return cast("T", facts.told[ask])

    return ask


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
class Cause:
    """A check that failed for a target, and so explains others.

    Attributes:
        id: The check's id.
        target: What it failed for.
    """

    id: str
    target: Target

    def __str__(self) -> str:
        return f"{self.id} {self.target}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check function says of a target.

    Attributes:
        seen: What was found, in a few words.
        problem: What is wrong with it; None: nothing.
        unknown: Whether nothing can be told of it, and `seen` says why; this is no fault.
        parts: Of a problem of several parts, the checks that may explain each: it is explained where each
            part is. None: any check that may explain this one explains all of it.
    """

    seen: str
    problem: Problem | None = None
    unknown: bool = False
    parts: frozenset[frozenset[str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: all that is known of it, in one place.

    `looks_at`, `usual_cause` and `fix` are clauses without a full stop, with commands in backquotes. They are
    for people who read, and hold in general; the Problem of a run knows the cluster and says better.

    Attributes:
        id: Topic and name, such as `gateway.address`; stable, part of the JSON contract.
        topic: The group it is shown in.
        title: What is true when it passes.
        looks_at: What it looks at.
        usual_cause: The usual cause of its fault.
        fix: What fixes that.
        severity: How much it matters.
        scope: What it is asked of.
        ask: Looks at the facts of a target.
        needs: Checks without which this one cannot tell: where one of them failed, it is unknown.
        because: Checks that explain this one: where one of them failed too, its fault is the cause of
            this one's. They stand before this one.
        reads: What it looks at beside the clusters' objects.
        tells_failures: Whether it is asked where that could not be read, and says why itself.
        docs: Anchor in the documentation.
    """

    id: str
    topic: str
    title: str
    looks_at: str
    usual_cause: str
    fix: str
    severity: Severity
    scope: Scope
    ask: Callable[[Facts, Target], Finding] = field(repr=False)
    needs: tuple[str, ...] = ()
    because: tuple[str, ...] = ()
    reads: tuple[Observation, ...] = ()
    tells_failures: bool = False
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
        caused_by: What made it unknown, or explains its fault; none where the fault is its own.
    """

    check: Check
    target: Target
    verdict: Verdict
    seen: str = ""
    problem: Problem | None = None
    caused_by: tuple[Cause, ...] = ()

    @property
    def is_root_cause(self) -> bool:
        """Whether it is an error that no other check explains."""
        return self.is_error and not self.caused_by

    @property
    def is_error(self) -> bool:
        """Whether the mesh is not well because of it."""
        return self.verdict is Verdict.FAILED and self.check.severity is Severity.ERROR

    @property
    def is_warning(self) -> bool:
        """Whether it failed, but says no more than that one should know."""
        return self.verdict is Verdict.FAILED and self.check.severity is Severity.WARNING
