"""What is looked at before the first change, in every cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.catalogue import PREFLIGHT
from istio_mc.checks.model import REACHABLE, Severity, Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.identity import Part, sources_of
from istio_mc.domain.istio.operator import merged
from istio_mc.domain.links.state import Others, unplaced
from istio_mc.domain.pki.workload import SETTING, workload_ttl
from istio_mc.domain.problem import Code, InputError, Problem, ProblemError
from istio_mc.domain.text import few

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from istio_mc.checks.model import Facts, Result
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.settings.model import Settings
    from istio_mc.gateways.host.parallel import Failures

_SHOWN = 6


def stop_unless_unreachable(failures: Failures) -> None:
    """An unreachable cluster is skipped; any other fault that is found before the first change stops the run.

    Raises:
        ProblemError: With every such fault.
    """
    others = [
        problem
        for problems in failures.values()
        for problem in problems
        if problem.code != Code.CLUSTER_UNREACHABLE
    ]
    if others:
        raise ProblemError(*others)


def refuse_other_mesh(mesh: Mesh, observed: Mapping[str, Observed]) -> None:
    """A cluster that is a member of another mesh is not taken from it.

    A label that names another mesh, where Istio runs with the ID of this one, is a fault that the install
    repairs.

    Raises:
        InputError: With every such cluster.
    """
    faults = [
        Problem(
            code=Code.MEMBER_OF_ANOTHER_MESH,
            cluster=name,
            message=f"{name} is a member of another mesh",
            seen=str(cluster.mesh_id),
            expected=mesh.mesh_id,
            hint=Advice(f"set meshID: {cluster.mesh_id} in mesh.yaml, or let {name} leave its mesh first"),
        )
        for name, cluster in observed.items()
        if cluster.mesh_id not in (None, mesh.mesh_id)
        and sources_of(cluster, Part.MESH_ID).agreed != mesh.mesh_id
    ]
    if faults:
        raise InputError(*faults)


def values_lost(values: Mapping[str, Collection[str]], by: str) -> list[Problem]:
    """A Problem for each cluster whose values of Istio would be removed, because there is no mesh.yaml.

    Args:
        values: The names of these values, by context.
        by: What would remove them, such as `an install`.
    """
    return [
        Problem(
            code=Code.VALUES_LOST,
            cluster=name,
            message=f"without a mesh.yaml, {by} would reset values of Istio in {name}",
            seen=f"./mesh.yaml does not exist; set in the cluster: {few(keys, _SHOWN)}",
            expected="the mesh.yaml of the install, or one with these values",
            hint=Advice(
                "run in its folder, or add --config FILE; if there is none, write one and add the values: ",
                istio_mc("config", "init"),
            ),
        )
        for name, keys in values.items()
    ]


def named_after_ids(
    clusters: Mapping[str, Cluster],
    settings: Settings,
    observed: Mapping[str, Observed],
    others: Others,
) -> list[Problem]:
    """Warnings of new clusters whose network has no number: any number may be an unreachable member's."""
    silent = unplaced(clusters, settings, observed, others)
    return [
        Problem(
            code=Code.NETWORK_BY_ID,
            cluster=name,
            message=f"{name} gets network {clusters[name].network}, named after its cluster ID",
            seen=f"{', '.join(silent)} is linked but not reachable, so its network is unknown",
            expected="a network that no member has",
            hint=Advice(f"leave it so, or set network for {name} in mesh.yaml before it is installed"),
        )
        for name, cluster in observed.items()
        if silent and not sources_of(cluster, Part.NETWORK).likely and not settings.cluster(name).network
    ]


def outlived(
    ends: Mapping[str, datetime], mesh: Mesh, clusters: Mapping[str, Cluster], now: datetime
) -> list[Problem]:
    """Clusters whose workloads would get certificates that are valid longer than their CA."""
    lasting = {name: workload_ttl(merged(mesh.values, clusters[name].values)) for name in ends}
    return [
        Problem(
            code=Code.WORKLOAD_OUTLIVES_CA,
            cluster=name,
            message=f"certificates of workloads of {name} would outlive the CA that signs them",
            seen=f"the CA is valid until {end:%Y-%m-%d %H:%M} UTC, certificates for {lasting[name]}",
            expected="a CA that is valid longer than the certificates it issues",
            hint=Advice(f"replace the CA before it expires, or shorten workload certificates: {SETTING}"),
        )
        for name, end in ends.items()
        if end < now + lasting[name]
    ]


def judge(facts: Facts, *, strict: bool) -> list[Problem]:
    """Every cluster's findings at once.

    Returns:
        Those that do not stand in the way.

    Raises:
        ProblemError: With all of them, where one stands in the way; with `strict`, versions that do not
            fit do.
    """
    failed = [
        result
        for result in run(PREFLIGHT, facts)
        if result.verdict is Verdict.FAILED and result.problem and result.check.id != REACHABLE
    ]
    stopping = [
        result
        for result in failed
        if result.check.severity is Severity.ERROR or (strict and _stops_strictly(result))
    ]
    if stopping:
        others = [result.problem for result in failed if result not in stopping and result.problem]
        raise ProblemError(*(result.problem for result in stopping if result.problem), warnings=others)
    return [result.problem for result in failed if result.problem]


def _stops_strictly(result: Result) -> bool:
    """Whether versions do not go together; an end of life that is only expected is no reason to stop."""
    expected = result.problem is not None and result.problem.code is Code.ISTIO_END_OF_LIFE_EXPECTED
    return result.check.topic == "versions" and not expected
