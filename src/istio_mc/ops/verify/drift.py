"""Drift: what an install would do in the clusters of a mesh that stands."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.checks.model import Observation
from istio_mc.domain.kube import objects
from istio_mc.domain.links.state import UNKNOWN_TOKEN, link_step, remote_secrets, required_by, token_in
from istio_mc.domain.plan import Drift
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host.parallel import Failures, results_in_time
from istio_mc.ops.ca import trust
from istio_mc.ops.ca.options import CaOptions
from istio_mc.ops.install.manifest import istioctl_at_hand, read_istio
from istio_mc.ops.install.planning import drift_before_link, istio_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istio_mc.domain.plan import Step
    from istio_mc.ops.verify.snapshot import MeshSnapshot

_DEADLINE_S = 60.0


def drifts_of(snapshot: MeshSnapshot) -> tuple[dict[str, Drift], Failures]:
    """The plan of an install in each cluster that answers; nothing is changed, nothing more is read.

    What keeps an install from beginning at all, such as roots that differ, is for other checks to tell.

    Returns:
        The drift of each cluster, and why it could not be told for others.
    """
    session, mesh, clusters = snapshot.session, snapshot.mesh, snapshot.clusters
    istioctl = istioctl_at_hand(mesh, session.settings, session.run.deadline)
    cacerts = _cacerts(snapshot)
    tokens = {
        name: token_in(live.of(objects.SECRET), clusters[name].reader) or UNKNOWN_TOKEN
        for name, live in snapshot.observed.items()
    }
    members = {name: clusters[name] for name in snapshot.observed}
    desired = remote_secrets(members, tokens)

    def read_cluster(name: str) -> Drift:
        cluster, live = clusters[name], snapshot.observed[name]
        istio = (
            istio_step(mesh, cluster, live, read_istio(session, mesh, cluster, live, istioctl))
            if istioctl
            else None
        )
        steps = drift_before_link(
            mesh,
            clusters,
            snapshot.observed,
            name,
            cacerts.get(name),
            istio,
            gateway_api=session.settings.gateway_api.install,
        )
        link = link_step(required_by(snapshot.clusters[name], desired), snapshot.remotes[name])
        return Drift(
            (*steps, link) if link else steps,
            "" if istioctl else f"Istio itself was not compared: no istioctl {mesh.version} is here",
        )

    drifts: dict[str, Drift] = {}
    failures: Failures = {}
    what = Observation.DRIFT.value
    results, _ = session.clusters.each(
        lambda name: results_in_time(
            {what: (_DEADLINE_S, partial(read_cluster, name))}, context=name, until=session.run.overdue
        ),
        snapshot.observed,
    )
    for name, (drift, missed) in results.items():
        if what in drift:
            drifts[name] = drift[what]
        else:
            failures[name] = missed[what]
    return drifts, failures


def _cacerts(snapshot: MeshSnapshot) -> Mapping[str, Step]:
    if snapshot.now is None:
        return {}
    try:
        return trust.decide(
            snapshot.session.ca_store(),
            snapshot.clusters,
            snapshot.observed,
            CaOptions(),
            snapshot.now,
            dry_run=True,
        ).steps
    except ProblemError:
        return {}
