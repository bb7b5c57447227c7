"""Identity checks: unique, consistent cluster IDs and networks; host names that resolve to their clusters."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from istio_mc.checks import hints
from istio_mc.checks.access import NO_NAMESPACE
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Severity, Target, cached
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.identity import Part, label_fix, mislabelled_mesh, sources_of
from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import CLUSTER_LABEL, NETWORK_LABEL, SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.this_machine import Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from istio_mc.domain.this_machine import Here

IDENTITY = "names.identity"
CLUSTER_ID = "names.cluster-id"
NETWORK = "names.network"


@cached
def conflicting_ids(facts: Facts) -> frozenset[str]:
    """The contexts whose cluster ID is not unique, or differs from mesh.yaml."""
    return _conflicting(facts, {name: cluster.cluster_id for name, cluster in facts.clusters.items()})


@cached
def conflicting_networks(facts: Facts) -> frozenset[str]:
    """The contexts whose network is not unique, or differs from mesh.yaml."""
    return _conflicting(facts, {name: cluster.network for name, cluster in facts.clusters.items()})


def _conflicting(facts: Facts, values: Mapping[str, str]) -> frozenset[str]:
    count = Counter(values.values())
    moved = {fault.cluster for fault in facts.identity_faults if fault.cluster}
    return frozenset(name for name, value in values.items() if count[value] > 1 or name in moved)


def explained_by_identity(conflicting: Iterable[str]) -> frozenset[frozenset[str]]:
    """The parts of a Finding that IDENTITY or a terminating namespace explains."""
    return frozenset({frozenset((IDENTITY, *NO_NAMESPACE) if any(conflicting) else NO_NAMESPACE)})


def _identity(facts: Facts, _target: Target) -> Finding:
    if faults := [*facts.identity_faults, *_mesh_labels(facts)]:
        first, *more = faults
        seen = "; ".join(fault.seen or fault.message for fault in faults)
        message = "; ".join(fault.message for fault in faults)
        return Finding(seen, replace(first, message=message, seen=seen) if more else first)
    return Finding(
        ", ".join(f"{cluster.cluster_id} on {cluster.network}" for cluster in facts.clusters.values())
    )


@cached
def mislabelled_meshes(facts: Facts) -> frozenset[str]:
    """The contexts whose namespace names another mesh than the one whose ID Istio runs with."""
    return frozenset(
        name for name, live in facts.observed.items() if sources_of(live, Part.MESH_ID).is_mislabelled
    )


def _mesh_labels(facts: Facts) -> Iterator[Problem]:
    for name in sorted(mislabelled_meshes(facts)):
        yield mislabelled_mesh(name, sources_of(facts.observed[name], Part.MESH_ID))


def _cluster_id(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    desired = facts.clusters[name].cluster_id
    label = facts.observed[name].labels.get(CLUSTER_LABEL)
    if label not in (desired, None):
        problem = Problem(
            code=Code.CLUSTER_ID_DIFFERS,
            message=f"Namespace {SYSTEM_NAMESPACE} has the wrong label for the cluster ID",
            seen=f"label {CLUSTER_LABEL} is {label}; {_places(facts, name, Part.CLUSTER_ID)}",
            expected=f"{CLUSTER_LABEL}={desired}",
            hint=label_fix(name, Part.CLUSTER_ID, desired),
        )
        return Finding(str(label), problem)
    istiod = facts.observed[name].find(objects.DEPLOYMENT, facts.mesh_of(name).istiod)
    live = objects.environment(istiod).get("CLUSTER_ID")
    if live in (desired, None):
        return Finding(desired)
    problem = Problem(
        code=Code.CLUSTER_ID_DIFFERS,
        message="istiod uses another cluster ID than the rest of the mesh",
        seen=f"CLUSTER_ID={live}",
        expected=f"CLUSTER_ID={desired}",
        hint=hints.install(facts),
    )
    return Finding(str(live), problem)


def _network(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    desired = facts.clusters[name].network
    live = facts.observed[name].labels.get(NETWORK_LABEL)
    if live == desired:
        return Finding(desired)
    places = f"; {_places(facts, name, Part.NETWORK)}" if live else ""
    problem = Problem(
        code=Code.NETWORK_LABEL_MISSING if live is None else Code.NETWORK_LABEL_DIFFERS,
        message=f"Namespace {SYSTEM_NAMESPACE} has {'no' if live is None else 'the wrong'} network label",
        seen=f"label {NETWORK_LABEL} is {live or 'absent'}: istiod assigns pods to the wrong network{places}",
        expected=f"{NETWORK_LABEL}={desired}",
        hint=label_fix(name, Part.NETWORK, desired) if live else hints.install(facts),
    )
    parts = explained_by_identity({name} & conflicting_networks(facts))
    return Finding(live or "absent", problem, parts=parts)


def _places(facts: Facts, name: str, part: Part) -> str:
    """What Istio runs with, and where that was read."""
    running = sources_of(facts.observed[name], part).running
    return ", ".join(f"{place} has {value}" for place, value in running.items())


CHECKS = (
    Check(
        id=IDENTITY,
        title="cluster IDs and networks",
        passes="cluster IDs and networks are unique and match mesh.yaml",
        looks_at="the cluster IDs and networks of labels, istiods, gateways and mesh.yaml",
        usual_cause="a cluster was copied from another, or mesh.yaml was changed after the install",
        fix="set the live values in mesh.yaml; remove a cluster that shares an ID, then install it again",
        scope=Scope.MESH,
        evaluate=_identity,
        docs="usage.md#identity",
    ),
    Check(
        id=CLUSTER_ID,
        title="cluster ID of istiod",
        passes="istiod uses the cluster's ID",
        looks_at="the variable `CLUSTER_ID` of istiod's Deployment, and the label `istio-mc/cluster-id`",
        usual_cause="Istio was installed manually with another `clusterName`, or the label was changed",
        fix=f"{hints.INSTALL}, which sets the label too",
        evaluate=_cluster_id,
        because=NO_NAMESPACE,
        docs="troubleshooting.md#cluster-id-differs",
    ),
    Check(
        id=NETWORK,
        title="network label",
        passes="Namespace istio-system has the network label",
        looks_at="the label `topology.istio.io/network` of the namespace `istio-system`",
        usual_cause="the namespace was created again, or a tool or a person changed the label",
        fix=f"{hints.INSTALL}, which sets the label to the network that Istio runs with",
        evaluate=_network,
        because=(IDENTITY, *NO_NAMESPACE),
        docs="troubleshooting.md#network-label-missing",
    ),
)


NAMES = "names.this-machine"


def _elsewhere(facts: Facts, target: Target) -> Finding:
    name = str(target.cluster)
    local = [one for one in facts.here.get(name, ()) if not _is_disproved(facts, name, one)]
    if not local:
        return Finding("none")
    first, *_ = local
    where = f"{name}=https://ADDRESS:6443" if first.name.use is Use.API_SERVER else f"{name}=ADDRESS"
    fix = (
        istio_mc("link", "--api-server", where, contexts=facts.clusters)
        if first.name.use is Use.API_SERVER
        else istio_mc("address", "--set", where)
    )
    problem = Problem(
        code=Code.NAME_OF_THIS_MACHINE,
        message=f"{first.name.use} name resolves to this machine",
        seen="; ".join(one.why for one in local),
        expected=f"a name that resolves to {name} from every cluster",
        hint=Advice("if it does not resolve correctly in the other clusters: ", fix),
    )
    return Finding("; ".join(one.why for one in local), problem)


def _is_disproved(facts: Facts, name: str, here: Here) -> bool:
    """Whether the istiods of all other clusters have synced the cluster by that name."""
    if here.name.use is not Use.API_SERVER:
        return False
    by_reader = _sync_status(facts).get(facts.clusters[name].cluster_id, {})
    status = [found for peer, found in by_reader.items() if peer != name]
    return bool(status) and set().union(*status) == {"synced"}


@cached
def _sync_status(facts: Facts) -> dict[str, dict[str, set[str]]]:
    """What istiods report of each cluster ID, by the context that they run in."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, pods in facts.seen.items():
        for row in chain.from_iterable(pods.values()):
            found.setdefault(row.cluster_id, {}).setdefault(name, set()).add(row.status)
    return found


THIS_MACHINE = (
    Check(
        id=NAMES,
        title="host names",
        passes="no host name resolves to this machine",
        looks_at="what those names resolve to here, and the name of this machine",
        usual_cause="a tunnel or an entry in /etc/hosts maps the name to 127.0.0.1",
        fix=f"`{istio_mc('link', '--api-server', 'CONTEXT=https://ADDRESS')}`, or another gateway address",
        severity=Severity.WARNING,
        evaluate=_elsewhere,
        reads=(Observation.NAMES,),
        docs="troubleshooting.md#names-this-machine",
    ),
)
