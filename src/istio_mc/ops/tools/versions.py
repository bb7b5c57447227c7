"""Which istioctl and Gateway API fit the clusters of a run, for the verbs that bring and list programs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from istio_mc.domain.events import Progress, silent
from istio_mc.domain.hint import istio_mc
from istio_mc.domain.istio.choice import IstioChoice, Servers, choose, gateway_api_of, running
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.observed import Observed
from istio_mc.domain.problem import InputError, Problem, ProblemError
from istio_mc.domain.tools import Tool
from istio_mc.ops.session.session import open_members, open_named

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import date

    from istio_mc.domain.istio.releases import ReleaseTable
    from istio_mc.domain.settings.model import Settings
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.ops.session.inputs import Inputs
    from istio_mc.ops.session.session import Session


@dataclass(frozen=True, slots=True)
class ClustersRead:
    """What was read of the clusters that programs are for.

    Attributes:
        not_asked: Why no cluster was read; "" where some were.
    """

    observed: Mapping[str, Observed] = field(default_factory=dict)
    unusable: Failures = field(default_factory=dict)
    not_asked: str = ""
    warnings: tuple[Problem, ...] = ()


def read_clusters(inputs: Inputs, settings: Settings, progress: Progress = silent) -> ClustersRead:
    """Reads the named clusters, else the members; none where none is named and there is no member.

    Raises:
        InputError: A cluster is named that the kubeconfig does not have.
    """
    named = bool(inputs.contexts or settings.clusters)
    try:
        session = (open_named if named else open_members)(inputs, progress)
    except InputError as error:
        if named:
            raise
        return ClustersRead(not_asked=error.problems[0].message)
    with session:
        observed, failed = session.each(session.kubes, lambda name: _observed(session, name))
        return ClustersRead(observed, session.unusable | failed, "", tuple(session.warnings))


def _observed(session: Session, name: str) -> Observed:
    kube = session.kubes[name]
    version = kube.version()
    items = [*_istiods(kube), *filter(None, [session.namespaces.get(name)])]
    return Observed(version, {ref_of(item): item for item in items})


def _istiods(kube: Kube) -> list[objects.Object]:
    # Who may not read them installs nothing in this cluster: programs can be brought all the same.
    with suppress(ProblemError):
        return kube.list(objects.DEPLOYMENT, SYSTEM_NAMESPACE, labels="app=istiod")
    return []


def version_for(
    read: ClustersRead, settings: Settings, table: ReleaseTable, today: date, istioctl: str | None = None
) -> IstioChoice:
    """The Istio version for clusters: `istioctl`, a flag, else the settings', else chosen for them."""
    pinned = istioctl or settings.istio.version
    by = "--istioctl" if istioctl else settings.istio.version_by
    servers = Servers(
        {name: found.version for name, found in read.observed.items()},
        running(read.observed, settings.istio.revision),
        tuple(read.unusable),
    )
    return choose(table, servers, today, pinned=pinned, by=by)


def settled(
    inputs: Inputs,
    settings: Settings,
    names: Collection[str],
    istioctl: str | None,
    table: ReleaseTable,
    today: date,
    progress: Progress = silent,
) -> tuple[Settings, IstioChoice | None]:
    """Settings that have a version for each tool; clusters are read only where that needs them.

    Args:
        inputs: The global flags.
        settings: mesh.yaml's, or the defaults.
        names: Tools by name; none: all.
        istioctl: A flag.
        table: The table of releases.
        today: The day.
        progress: Told of what is read.

    Returns:
        The settings, and the choice of Istio's version where one was made.

    Raises:
        InputError: A cluster is named that the kubeconfig does not have; or no version fits.
    """
    if names and not {Tool.ISTIOCTL, Tool.GATEWAY_API} & set(names):
        return settings, None
    pinned = istioctl or settings.istio.version
    read = ClustersRead() if pinned else read_clusters(inputs, settings, progress)
    choice = version_for(read, settings, table, today, istioctl)
    if choice.problem:
        hint = istio_mc("tools", "install", "istioctl", "--istioctl", choice.version)
        raise InputError(replace(choice.problem, hint=hint if choice.is_known else choice.problem.hint))
    gateway_api = gateway_api_of(table, choice.version)
    return settings.with_versions(choice.version, gateway_api), None if pinned else choice
