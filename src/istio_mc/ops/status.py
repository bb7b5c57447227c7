"""status: what a mesh shows at one moment, every cluster read once and all at once."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.istio.istiod import running_istiods
from istio_mc.domain.istio.status import ClusterStatus, status_of
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.host.parallel import Failures, all_of
from istio_mc.gateways.istio.istiod import clusterz, syncz
from istio_mc.gateways.kube.pods import read_pod_faults
from istio_mc.gateways.kube.snapshot import observe
from istio_mc.ops.session.session import open_members

if TYPE_CHECKING:
    from collections.abc import Generator

    from istio_mc.domain.istio.istiod import RemoteCluster
    from istio_mc.domain.istio.pod_faults import PodFault
    from istio_mc.domain.istio.status import Proxy
    from istio_mc.domain.kube.objects import Object
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.inputs import Inputs
    from istio_mc.ops.session.session import Session

_STEP = "status"


@dataclass(frozen=True, slots=True)
class StatusResult:
    """What each cluster shows.

    Attributes:
        silent_istiods: Istiods that did not report their remote clusters and proxies, by context.
    """

    contexts: tuple[str, ...]
    clusters: dict[str, ClusterStatus]
    failures: Failures
    silent_istiods: Failures
    warnings: tuple[Problem, ...] = ()


def status(session: Session) -> StatusResult:
    """Reads the session's clusters; changes nothing."""
    silent: Failures = {}

    def read(name: str) -> ClusterStatus:
        with session.run.step(name, _STEP, "reading"):
            kube = session.clusters.kubes[name]
            observed = observe(kube)
            seen: list[RemoteCluster] = []
            proxies: list[Proxy] = []
            try:
                seen, proxies = _read_istiods(kube, running_istiods(observed.of(objects.POD)))
            except ProblemError as error:
                # What the API server tells is worth showing though an istiod keeps silent.
                silent[name] = error.problems
            faults: tuple[PodFault, ...] = ()
            with suppress(ProblemError):  # they are shown without a reason then
                faults = read_pod_faults(kube, SYSTEM_NAMESPACE, observed.of(objects.POD))
        return status_of(observed, seen, proxies, faults)

    statuses, failed = session.clusters.each(read)
    return StatusResult(
        contexts=session.clusters.names,
        clusters=statuses,
        failures=session.clusters.unusable | failed,
        silent_istiods=silent,
        warnings=tuple(session.warnings),
    )


def _read_istiods(kube: Kube, istiods: list[Object]) -> tuple[list[RemoteCluster], list[Proxy]]:
    seen = all_of({pod["metadata"]["name"]: partial(clusterz, kube, pod) for pod in istiods})
    proxies = all_of({pod["metadata"]["name"]: partial(syncz, kube, pod) for pod in istiods})
    return [row for rows in seen.values() for row in rows], [row for rows in proxies.values() for row in rows]


def watch(inputs: Inputs, *, every_s: float) -> Generator[StatusResult, None, None]:
    """Reads the clusters again and again, every so many seconds; it ends when it is closed.

    Each reading has the deadline of a run. Credentials are obtained again, and contexts looked for again,
    after a reading in which a cluster failed: what failed may have been a token that expired.

    Raises:
        InputError: What is to be read cannot be told.
    """
    session: Session | None = None
    try:
        while True:
            begun = time.monotonic()
            inputs = inputs.again()
            if session is None:
                session = open_members(inputs)
                # Who is a member can only be asked of those that answer: settled once, for all readings.
                inputs = replace(inputs, contexts=session.clusters.names)
            result = status(session.until(inputs.deadline))
            if result.failures:
                session.close()
                session = None
            yield result
            time.sleep(max(0.0, begun + every_s - time.monotonic()))
    finally:
        if session is not None:
            session.close()
