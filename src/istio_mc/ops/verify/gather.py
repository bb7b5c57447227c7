"""Reads the mesh once for the checks: only what they look at, all clusters at once, each with a deadline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from istio_mc.checks.model import Facts, Observation
from istio_mc.domain.events import Event, State
from istio_mc.domain.istio.istiod import RemoteCluster, running_istiods
from istio_mc.domain.istio.proxies import (
    DistributedRoots,
    ProxiesHold,
    Serving,
    abridged,
    gateway_pods,
    ready,
    root_config_map,
)
from istio_mc.domain.istio.services import namespaces_without_sidecar
from istio_mc.domain.kube import objects
from istio_mc.domain.links.remote_secrets import of_cluster, remote_secrets_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, SYSTEM_NAMESPACE
from istio_mc.domain.pki.certificates import parse_validity
from istio_mc.domain.this_machine import names_of
from istio_mc.domain.traffic.probe_pod import DEFAULT_IMAGE
from istio_mc.gateways.host.dns import names_here
from istio_mc.gateways.host.parallel import Failures, all_of, once, results_in_time
from istio_mc.gateways.istio.data_path import serving
from istio_mc.gateways.istio.istiod import clusterz, distributed_roots
from istio_mc.gateways.istio.proxies import injected_pods, proxies_hold
from istio_mc.gateways.kube.configuration import read_configuration
from istio_mc.gateways.kube.pods import read_deployment_faults
from istio_mc.gateways.kube.remote_access import try_access
from istio_mc.gateways.kube.snapshot import observe, read_services, survey
from istio_mc.ops.session import istio_version, topology
from istio_mc.ops.verify import data_path, deep, discovery, drift
from istio_mc.ops.verify.snapshot import MeshSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from istio_mc.domain.istio.pod_faults import PodFault
    from istio_mc.domain.istio.services import Services
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.links.remote_secrets import Access, AccessResult
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.problem import Problem
    from istio_mc.domain.this_machine import Here
    from istio_mc.domain.trace.sources import Configuration
    from istio_mc.ops.session.session import Session


@dataclass(frozen=True, slots=True)
class Probe:
    """How one observation is made of a cluster.

    Attributes:
        deadline_s: How long it may take, in seconds; the calls it makes have timeouts of their own.
        read: Makes it of a context's cluster; a ProblemError says why it could not.
    """

    observation: Observation
    deadline_s: float
    read: Callable[[MeshSnapshot, str], object]


def _surroundings(snapshot: MeshSnapshot, name: str) -> object:
    return survey(snapshot.session.clusters.kubes[name], partial(snapshot.daemon_sets, name))


def _pods(snapshot: MeshSnapshot, name: str) -> Mapping[str, tuple[PodFault, ...]]:
    live = snapshot.observed[name]
    desired = (live.own(snapshot.mesh).istiod, EAST_WEST_GATEWAY)
    deployments = [live.find(objects.DEPLOYMENT, one) for one in desired]
    return read_deployment_faults(
        snapshot.session.clusters.kubes[name], SYSTEM_NAMESPACE, [one for one in deployments if one]
    )


def _names(snapshot: MeshSnapshot, name: str) -> tuple[Here, ...]:
    return names_here(names_of(name, snapshot.clusters[name], snapshot.observed, snapshot.remotes))


def _clusterz(snapshot: MeshSnapshot, name: str) -> Mapping[str, tuple[RemoteCluster, ...]]:
    kube = snapshot.session.clusters.kubes[name]
    pods = running_istiods(snapshot.observed[name].of(objects.POD))
    return all_of({pod["metadata"]["name"]: partial(clusterz, kube, pod) for pod in pods})


def _services(snapshot: MeshSnapshot, name: str) -> Services:
    return read_services(snapshot.session.clusters.kubes[name], partial(snapshot.injected, name))


def _serving(snapshot: MeshSnapshot, name: str) -> tuple[Serving, ...]:
    pods = ready(running_istiods(snapshot.observed[name].of(objects.POD)))
    kube = snapshot.session.clusters.kubes[name]
    return tuple(all_of({pod["metadata"]["name"]: partial(serving, kube, pod) for pod in pods}).values())


def _proxies(snapshot: MeshSnapshot, name: str) -> ProxiesHold:
    gateways = gateway_pods(snapshot.observed[name].of(objects.POD), EAST_WEST_GATEWAY)
    return proxies_hold(snapshot.session.clusters.kubes[name], gateways, snapshot.injected(name))


def _distributed_roots(snapshot: MeshSnapshot, name: str) -> DistributedRoots:
    live = snapshot.observed[name]
    istiod = live.find(objects.DEPLOYMENT, live.own(snapshot.mesh).istiod)
    return distributed_roots(snapshot.session.clusters.kubes[name], root_config_map(istiod))


def _configuration(snapshot: MeshSnapshot, name: str) -> Configuration:
    kube = snapshot.session.clusters.kubes[name]
    return read_configuration(kube, partial(snapshot.injected, name), partial(snapshot.daemon_sets, name))


def _peers(snapshot: MeshSnapshot, name: str) -> Mapping[Access, AccessResult]:
    """Tries each access that another cluster holds to this one; equal ones once."""
    cluster_id = snapshot.clusters[name].cluster_id
    accesses = {
        remote.access
        for holder, remotes in snapshot.remotes.items()
        if holder != name
        for remote in of_cluster(remotes, cluster_id)
        if remote.access
    }
    calls = {a: partial(try_access, name, a, snapshot.session.run.deadline) for a in accesses}
    results = all_of({str(number): call for number, call in enumerate(calls.values())})
    return dict(zip(calls, results.values(), strict=True))


def _with_bare_pods(
    session: Session, services: Mapping[str, Services], configuration: Mapping[str, Configuration]
) -> dict[str, Configuration]:
    """Adds the pods of Services that have a sidecar in another cluster only: a fix names what runs them."""
    needed = {
        name: namespaces
        for name, namespaces in namespaces_without_sidecar(services).items()
        if name in configuration
    }

    def read(name: str) -> tuple[Object, ...]:
        kube = session.clusters.kubes[name]
        running = partial(kube.list, objects.POD, fields="status.phase=Running")
        pods = all_of({namespace: partial(running, namespace) for namespace in needed[name]})
        found = [pod for one in pods.values() for pod in one]
        return tuple(abridged(pod) for pod in found if not pod["metadata"].get("deletionTimestamp"))

    bare, _ = session.clusters.each(read, needed)
    return {name: replace(one, bare=bare.get(name, ())) for name, one in configuration.items()}


PROBES: tuple[Probe, ...] = (
    Probe(Observation.SURROUNDINGS, 20.0, _surroundings),
    Probe(Observation.PODS, 20.0, _pods),
    Probe(Observation.NAMES, 10.0, _names),
    Probe(Observation.CLUSTERZ, 20.0, _clusterz),
    Probe(Observation.SERVICES, 20.0, _services),
    Probe(Observation.PEERS, 20.0, _peers),
    Probe(Observation.SERVING, 20.0, _serving),
    Probe(Observation.PROXIES, 25.0, _proxies),
    Probe(Observation.DISTRIBUTED_ROOTS, 20.0, _distributed_roots),
    Probe(Observation.CONFIGURATION, 20.0, _configuration),
)
"""What is observed of each cluster beside its objects; the data path is tried once this is there."""


def gather(
    session: Session,
    now: datetime | None,
    reads: Collection[Observation],
    probe_image: str = DEFAULT_IMAGE,
) -> tuple[Facts, tuple[Problem, ...]]:
    """Reads what checks look at: every cluster's objects, and the observations of `reads`.

    Nothing is asked of an API server twice. Only for the observation `deep` is anything changed.

    Returns:
        What was read, and what of the pods for `deep` could not be removed again.
    """

    def read(name: str) -> Observed:
        session.run.progress(Event(name, "verify", State.STARTED, "reading"))
        # The namespace read before is used once: a run that waits reads it again.
        return observe(session.clusters.kubes[name], session.clusters.pop_namespace(name))

    observed, failed = session.clusters.each(read)
    for name in failed:
        session.run.progress(Event(name, "verify", State.FAILED))
    clusters, faults = topology.identified(session.clusters.contexts, session.settings, observed)
    # An istiod that reads kubeconfigs from files ignores remote secrets.
    remotes = {
        name: () if clusters[name].kubeconfig_folder else remote_secrets_of(cluster)
        for name, cluster in observed.items()
    }
    injected = once(lambda name: injected_pods(session.clusters.kubes[name]))
    daemon_sets = once(lambda name: session.clusters.kubes[name].list(objects.DAEMON_SET))
    istio = istio_version.decide(session, observed, now.date() if now else None)
    mesh = topology.mesh_of(session.settings, istio.version)
    snapshot = MeshSnapshot(session, mesh, clusters, observed, now, remotes, injected, daemon_sets)
    probes = [probe for probe in PROBES if probe.observation in reads]

    def probe(name: str) -> tuple[dict[str, object], dict[str, tuple[Problem, ...]]]:
        cluster = results_in_time(
            {probe.observation: (probe.deadline_s, partial(probe.read, snapshot, name)) for probe in probes},
            context=name,
            until=session.run.overdue,
        )
        session.run.progress(Event(name, "verify", State.DONE))
        return cluster

    came, missing = session.clusters.each(probe, observed)
    answers: dict[Observation, dict[str, Any]] = {observation: {} for observation in Observation}
    failures: dict[Observation, dict[str, tuple[Problem, ...]]] = {}
    for each, (name, problems) in product(probes, missing.items()):
        failures.setdefault(each.observation, {})[name] = problems
    for name, (results, missed) in came.items():
        for observation, answer in results.items():
            answers[Observation(observation)][name] = answer
        for observation, problems in missed.items():
            failures.setdefault(Observation(observation), {})[name] = problems
    services = answers[Observation.SERVICES]
    # One waits for gateways, one compares, one reads istiods: none needs what another brings.
    last: dict[Observation, Callable[[], tuple[dict[str, Any], Failures]]] = {
        Observation.DATA_PATH: partial(data_path.trace_gateways, snapshot, services),
        Observation.DRIFT: partial(drift.drifts_of, snapshot),
        Observation.DISCOVERY: partial(
            discovery.read, snapshot, services, failures.get(Observation.CLUSTERZ, ())
        ),
    }
    both = all_of({observation: call for observation, call in last.items() if observation in reads})
    ways, lost = both.get(Observation.DATA_PATH, ({}, {}))
    drifts, uncompared = both.get(Observation.DRIFT, ({}, {}))
    views, unread = both.get(Observation.DISCOVERY, ({}, {}))
    called = deep.call_from_pods(snapshot, probe_image) if Observation.DEEP in reads else deep.Called()
    failures |= {
        Observation.DATA_PATH: lost,
        Observation.DRIFT: uncompared,
        Observation.DEEP: called.failures,
        Observation.DISCOVERY: unread,
    }
    facts = Facts(
        mesh=snapshot.mesh,
        clusters=clusters,
        observed=observed,
        unreachable=session.clusters.unusable | failed,
        identity_faults=tuple(faults),
        seen=answers[Observation.CLUSTERZ],
        remotes=remotes,
        peers=answers[Observation.PEERS],
        elsewhere=topology.elsewhere(session, clusters),
        has_settings=session.settings.file is not None,
        surroundings=answers[Observation.SURROUNDINGS],
        pod_faults=answers[Observation.PODS],
        here=answers[Observation.NAMES],
        drift=drifts,
        services=services,
        data_path=ways,
        deep=called.replies,
        serving=answers[Observation.SERVING],
        proxies=answers[Observation.PROXIES],
        discovery=views,
        configuration=_with_bare_pods(session, services, answers[Observation.CONFIGURATION]),
        distributed_roots=answers[Observation.DISTRIBUTED_ROOTS],
        releases=session.run.releases,
        now=now,
        token_age=parse_validity(session.settings.links.token_age),
        failures=failures,
    )
    return facts, called.left
