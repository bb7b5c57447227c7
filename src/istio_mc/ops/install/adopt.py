"""adopt: takes over, without a restart, a mesh that other means installed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istio_mc.domain import plan
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.links.state import LinkState
from istio_mc.domain.problem import Code, Problem, ProblemError
from istio_mc.ops import link as linking

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from istio_mc.domain.istio.choice import IstioChoice
    from istio_mc.domain.mesh import Mesh
    from istio_mc.domain.plan import Step
    from istio_mc.gateways.host.ca_store import CaStore
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.session.session import Session

from istio_mc.ops.install.install import Applied, InstalledCluster, addresses_now, apply_plans, result_of
from istio_mc.ops.install.prepare import prepare


@dataclass(frozen=True, slots=True)
class AdoptResult:
    """A mesh that other means installed, taken over as it is."""

    mesh: Mesh
    root_fingerprint: str | None
    clusters: tuple[InstalledCluster, ...]
    istio: IstioChoice
    pending: Mapping[str, tuple[Step, ...]]
    dry_run: bool = False
    warnings: tuple[Problem, ...] = ()


def adopt(
    session: Session, store: CaStore, options: CaOptions, now: datetime, *, dry_run: bool = False
) -> AdoptResult:
    """Makes members of the session's clusters as they are: labels on istio-system, and nothing else.

    Nothing restarts: Istio itself is not changed. What an install would change in it is reported.
    In a dry run nothing is labelled either.

    Raises:
        ProblemError: A cluster has no Istio yet, or something other than an unreachable cluster is wrong.
    """
    prepared = prepare(session, store, options, now, dry_run=True, strict=False)
    bare = [name for name, cluster_plan in prepared.plans.items() if not cluster_plan.observed.istiods]
    if bare:
        raise ProblemError(*(_nothing_to_adopt(name, session.clusters.names) for name in bare))
    labels = {
        name: replace(
            cluster_plan, steps=tuple(step for step in cluster_plan.steps if step.name == plan.NAMESPACE)
        )
        for name, cluster_plan in prepared.plans.items()
    }
    desired = Applied({name: todo.steps for name, todo in labels.items()}, {})
    applied = desired if dry_run else apply_plans(session, prepared, labels)
    done = result_of(session, prepared, applied.failures, applied.steps, addresses_now(prepared))
    clusters = {name: cluster_plan.cluster for name, cluster_plan in prepared.plans.items()}
    states = {
        name: LinkState.of(cluster_plan.observed, cluster_plan.cluster.reader)
        for name, cluster_plan in prepared.plans.items()
    }
    links = linking.planned(clusters, states)
    pending = {
        name: (
            *(step for step in cluster_plan.steps if step.name != plan.NAMESPACE),
            *filter(None, [links[name]]),
        )
        for name, cluster_plan in prepared.plans.items()
    }
    root = prepared.trust.root_fingerprint
    return AdoptResult(prepared.mesh, root, done.clusters, prepared.istio, pending, dry_run, done.warnings)


def _nothing_to_adopt(context: str, named: Iterable[str]) -> Problem:
    return Problem(
        code=Code.NOTHING_TO_ADOPT,
        cluster=context,
        message=f"{context} has no Istio to adopt",
        seen="no Deployment with label app=istiod in istio-system",
        expected="a control plane that other means installed",
        hint=Advice("leave it out, or begin with: ", istio_mc("install", contexts=named)),
    )
