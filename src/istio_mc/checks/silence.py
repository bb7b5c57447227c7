"""Unreachable clusters: since when, and services that exist only there, according to the other clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.checks.model import Check, Facts, Finding, Observation, Severity, Target
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.documents import MULTI_CLUSTER_LABEL
from istio_mc.domain.istio.istiod import running_istiods
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.links.silence import services_only_in, silence
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Object

SILENT = "discovery.silent"
_MOST_NAMED = 10


def _silent(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    if name not in facts.unreachable:
        return Finding("its API server responds")
    cluster_id = facts.clusters[name].cluster_id
    secrets = {other: _remote_secrets(facts, other, cluster_id) for other in facts.observed}
    if not any(secrets.values()):
        return Finding(f"no cluster that responds is linked with {cluster_id}", unknown=True)
    pods = {other: running_istiods(one.of(objects.POD)) for other, one in facts.observed.items()}
    times = silence(cluster_id, secrets, pods, facts.seen)
    others = [facts.clusters[other].cluster_id for other in facts.unreachable if other != name]
    views = [view for one in facts.discovery.values() for view in one.istiods.values()]
    services = services_only_in(cluster_id, views, others)
    seen = f"{times}; {_described(services)}"
    problem = Problem(
        code=Code.CLUSTER_SILENT,
        message=f"{name} does not respond and the other clusters are still linked with it",
        seen=seen,
        expected="a response; or a cluster that the others have forgotten",
        hint=Advice(
            "repair it or the way to it; or, if it is gone for good: ", istio_mc("uninstall", "--lost", name)
        ),
    )
    return Finding(seen, problem)


def _remote_secrets(facts: Facts, holder: str, cluster_id: str) -> list[Object]:
    return [
        secret
        for secret in facts.observed[holder].of(objects.SECRET)
        if labels_of(secret).get(MULTI_CLUSTER_LABEL) == "true" and cluster_id in (secret.get("data") or {})
    ]


def _described(services: tuple[str, ...] | None) -> str:
    if services is None:
        return "services that live only there are unknown: no istiod has endpoints of it"
    if not services:
        return "no service lives only there"
    return f"only there: {few(services, _MOST_NAMED)}"


CHECKS = (
    Check(
        id=SILENT,
        title="responses of API servers",
        passes="API server responds",
        looks_at=(
            "of a cluster that does not respond: when its remote secrets were written, `/debug/clusterz` and "
            "`/debug/endpointShardz` of the other clusters' istiods, and when these started"
        ),
        usual_cause="its API server is down, or is gone for good",
        fix=f"repair it; or, if it is gone for good, `{istio_mc('uninstall', '--lost', 'CONTEXT')}`",
        severity=Severity.WARNING,
        evaluate=_silent,
        needs=(),
        reads=(Observation.DISCOVERY, Observation.CLUSTERZ, Observation.SERVICES),
        docs="day-two.md#lost",
    ),
)
