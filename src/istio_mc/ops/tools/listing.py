"""tools list: which programs would be used, and which clusters they fit; what is read of these."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.events import Progress, silent
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio import hazards, releases
from istio_mc.domain.istio.choice import IstioChoice, Servers, choose, gateway_api_of, running
from istio_mc.domain.istio.releases import Support, end_of_life_problem, kubernetes_problem, table_age_problem
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.observed import Observed
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.tools import PLATFORMS, Tool, Verification
from istio_mc.gateways.host.parallel import all_of
from istio_mc.gateways.tools.find import FoundTool, find, own_platform
from istio_mc.gateways.tools.install import verification_of
from istio_mc.ops.session.session import open_members, open_named
from istio_mc.ops.tools.fetch import artifact_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from istio_mc.domain.istio.releases import ReleaseTable
    from istio_mc.domain.settings.model import Settings
    from istio_mc.domain.tools import Artifact
    from istio_mc.gateways.host.parallel import Failures
    from istio_mc.gateways.kube.client import Kube
    from istio_mc.gateways.tools.cache import Cache
    from istio_mc.ops.session.inputs import Inputs
    from istio_mc.ops.session.session import Session

_DOCS = "troubleshooting.md#versions"


@dataclass(frozen=True, slots=True)
class ListedTool:
    """One tool, and what would be used for it.

    Attributes:
        manifest: Where the manifest is kept; None: it is not (or it is a program).
        verification: How its digest was verified, or will be where it is not installed.
        pinned: The digest that its published file must have; None: none is pinned.
    """

    tool: Tool
    desired: str
    found: FoundTool | None = None
    manifest: Path | None = None
    verification: Verification = Verification.NOT_VERIFIED
    pinned: str | None = None

    @property
    def version(self) -> str | None:
        """The version there is."""
        if self.tool.is_program:
            return self.found.version if self.found else None
        return self.desired if self.manifest else None


@dataclass(frozen=True, slots=True)
class ListedCluster:
    """One cluster's server, and what fits it.

    Attributes:
        skew: Minors by which kubectl is ahead of it; None where either is not known.
    """

    context: str
    server: str | None = None
    skew: int | None = None
    support: Support = Support.UNKNOWN
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ListResult:
    """What would be used, and what it fits.

    Attributes:
        today: The day the end-of-life dates are compared with.
    """

    tools: tuple[ListedTool, ...]
    istio: IstioChoice
    today: date
    table: ReleaseTable
    clusters: tuple[ListedCluster, ...] = ()
    not_read: str = ""
    warnings: tuple[Problem, ...] = ()


def listed(
    inputs: Inputs,
    settings: Settings,
    cache: Cache,
    env: Mapping[str, str],
    today: date,
    table: ReleaseTable,
    *,
    bin_dir: Path | None = None,
    progress: Progress = silent,
) -> ListResult:
    """Which programs would be used, and which clusters they fit.

    Clusters are those named, else the members; where none is named and there is no member, none is asked.

    Raises:
        InputError: A cluster is named that the kubeconfig does not have.
    """
    read = read_clusters(inputs, settings, progress)
    choice = version_for(read, settings, table, today)
    settings = settings.with_versions(choice.version, gateway_api_of(table, choice.version))
    folder = bin_dir or settings.tools.bin_dir
    results = all_of(
        {tool: partial(_tool, tool, settings, cache, env, folder, inputs.deadline) for tool in Tool}
    )
    tools = tuple(results.values())
    kubectl = results[Tool.KUBECTL].version or ""
    clusters = [
        ListedCluster(
            name,
            one.version,
            releases.kubectl_skew(kubectl, one.version),
            table.kubernetes_support(choice.version, one.version),
        )
        for name, one in read.observed.items()
    ]
    clusters += [ListedCluster(name, problems=problems) for name, problems in read.unusable.items()]
    unread = (
        *read.warnings,
        *_tool_warnings(tools),
        *_istio_warnings(table, choice, today),
        *_hazards(table, settings, choice.version),
        *(
            problem
            for cluster in clusters
            for problem in _cluster_warnings(table, cluster, kubectl, choice.version, today)
        ),
    )
    return ListResult(tools, choice, today, table, tuple(clusters), read.not_read, unread)


def _tool(
    tool: Tool,
    settings: Settings,
    cache: Cache,
    env: Mapping[str, str],
    bin_dir: Path | None,
    deadline: float,
) -> ListedTool:
    desired = str(settings.tool_version(tool))
    try:
        item = artifact_of(settings, tool, own_platform() if tool.is_program else PLATFORMS[0])
    except InputError:  # a platform that no program is published for
        return ListedTool(tool, desired, find(tool, desired, env, cache, bin_dir, deadline))
    if tool.is_program:
        program = find(tool, desired, env, cache, bin_dir, deadline)
        verification = _verification(item, program.path if program else None, cache)
        return ListedTool(tool, desired, program, verification=verification, pinned=item.sha256)
    kept = cache.manifest(item.url)
    manifest = kept if kept.is_file() else None
    verification = _verification(item, manifest, cache)
    return ListedTool(tool, desired, manifest=manifest, verification=verification, pinned=item.sha256)


def _verification(item: Artifact, there: Path | None, cache: Cache) -> Verification:
    with suppress(ProblemError):
        return verification_of(item, there, cache)
    return Verification.NOT_VERIFIED  # it cannot be read


def _tool_warnings(tools: Iterable[ListedTool]) -> Iterator[Problem]:
    missing = [tool for tool in tools if not tool.found and not tool.manifest]
    if missing:
        yield Problem(
            code=Code.TOOLS_MISSING,
            message=f"not installed: {', '.join(f'{tool.tool} {tool.desired}' for tool in missing)}",
            hint=istio_mc("tools", "install", *(tool.tool for tool in missing)),
        )
    for tool in tools:
        if tool.found and tool.version != tool.desired:
            yield Problem(
                code=Code.TOOL_VERSION,
                message=f"{tool.tool} has another version than desired",
                seen=f"{tool.found.path}: {tool.version or tool.found.output}",
                expected=tool.desired,
                hint=istio_mc("tools", "install", tool.tool),
            )


def _istio_warnings(table: ReleaseTable, istio: IstioChoice, today: date) -> Iterator[Problem]:
    yield from filter(None, (istio.problem, istio.warning))
    if istio.is_known and (problem := end_of_life_problem(table, istio.version, today)):
        yield replace(problem, docs=_DOCS)
    if problem := table_age_problem(table, today):
        yield problem


def _hazards(table: ReleaseTable, settings: Settings, version: str) -> Iterator[Problem]:
    """What is known to be wrong with the Istio that is chosen, and with its istioctl."""
    chosen: hazards.Running = {version: []}
    problems = (
        hazards.defects(table, chosen),
        hazards.security(table, chosen),
        hazards.analyze(table, version),
        hazards.dying_hub(table, {"istio.hub": [settings.istio.hub]}),
    )
    yield from (problem for problem in problems if problem)


def _cluster_warnings(
    table: ReleaseTable, cluster: ListedCluster, kubectl: str, istio: str, today: date
) -> Iterator[Problem]:
    yield from cluster.problems
    server = cluster.server or ""
    if cluster.skew is not None and abs(cluster.skew) > 1:
        yield Problem(
            code=Code.KUBECTL_SKEW,
            cluster=cluster.context,
            message=f"kubectl is {abs(cluster.skew)} minors {'newer' if cluster.skew > 0 else 'older'} "
            "than the API server",
            seen=f"kubectl {kubectl}, API server {server}",
            expected="at most one minor newer or older",
            hint=istio_mc(
                "tools", "install", "kubectl", "--kubectl", server.lstrip("v").split("+")[0].split("-")[0]
            ),
        )
    if cluster.server and (problem := kubernetes_problem(table, istio, server)):
        others = ", ".join(
            release.newest or str(release)
            for release in table.supported(today)
            if table.kubernetes_support(str(release), server) is Support.SUPPORTED
        )
        hint = Advice(f"supported releases that fit: {others}") if others else None
        yield replace(problem, cluster=cluster.context, hint=hint, docs=_DOCS)


@dataclass(frozen=True, slots=True)
class ClustersRead:
    """What was read of the clusters that programs are for.

    Attributes:
        not_asked: Why no cluster was read; "" where some were.
    """

    observed: Mapping[str, Observed] = field(default_factory=dict)
    unusable: Failures = field(default_factory=dict)
    not_read: str = ""
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
        return ClustersRead(not_read=error.problems[0].message)
    with session:
        observed, failed = session.clusters.each(lambda name: _observed(session, name))
        return ClustersRead(observed, session.clusters.unusable | failed, "", tuple(session.warnings))


def _observed(session: Session, name: str) -> Observed:
    kube = session.clusters.kubes[name]
    version = kube.version()
    items = [*_istiods(kube), *filter(None, [session.clusters.namespaces.get(name)])]
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
        {name: cluster.version for name, cluster in read.observed.items()},
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
