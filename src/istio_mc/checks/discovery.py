"""Discovery checks: every istiod has the gateways and endpoints of the other clusters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.checks import control_plane, gateway, hints, identity, remote_access, remote_secret
from istio_mc.checks.model import Check, Facts, Finding, Observation, Scope, Target, cached
from istio_mc.domain.gateway import address
from istio_mc.domain.istio.discovery import missing_endpoints
from istio_mc.domain.istio.mesh_config import read_mesh_config, reads_namespace
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.problem import Code, Problem
from istio_mc.domain.text import few, plural
from istio_mc.domain.trace.selection import left_out

if TYPE_CHECKING:
    from istio_mc.domain.istio.discovery import IstiodView, Missing, ServiceKey

GATEWAYS, ENDPOINTS = "discovery.gateways", "discovery.endpoints"
_SHOWN = 3


def _gateways(facts: Facts, target: Target) -> Finding:
    name, peer = str(target.cluster), str(target.peer)
    network = facts.clusters[peer].network
    expected = _used_addresses(facts)[peer]
    views = facts.discovery[name].istiods
    if network == facts.clusters[name].network:
        return Finding("the same network: no gateway is needed")
    if not expected or not views:
        return Finding(
            f"the gateway of {peer} has no address" if views else "no istiod is running", unknown=True
        )
    wrong = [view for view in views.values() if not _has(view.addresses_of(network), expected)]
    if not wrong:
        return Finding(f"{plural(len(views), 'istiod')}: {', '.join(expected)}")
    config = read_mesh_config(facts.observed[name], facts.mesh_of(name).revision)
    of_gateway = {SYSTEM_NAMESPACE: facts.observed[peer].labels}
    if unread := left_out(name, config, peer, of_gateway):
        return Finding(str(unread.seen), unread)
    seen = "; ".join(f"{view.pod}: {_listed(view, network)}" for view in wrong)
    problem = Problem(
        code=Code.DISCOVERY_GATEWAY,
        message=f"{wrong[0].pod} does not have the gateway of {peer} (synced)"
        if len(wrong) < len(views) or len(wrong) == 1
        else f"no istiod has the gateway of {peer} (synced)",
        seen=seen,
        expected=f"{', '.join(expected)} for {network}",
        hint=hints.restart_istiod(facts, name),
    )
    return Finding(seen, problem)


@cached
def _used_addresses(facts: Facts) -> dict[str, tuple[str, ...]]:
    """The addresses at which the other clusters call the gateway of each cluster."""
    return {
        name: address.used_addresses(name, cluster, facts.observed)
        for name, cluster in facts.clusters.items()
    }


def _has(has: frozenset[str], expected: tuple[str, ...]) -> bool:
    """Whether an istiod has a gateway at each IP address; of a host name it lists what that resolves to."""
    if has.issuperset(expected):
        return True
    given = {one for one in expected if address.is_ip(one)}
    return given <= has and len(given) < len(expected) and bool(has - given)


def _listed(view: IstiodView, network: str) -> str:
    return ", ".join(sorted(view.addresses_of(network))) or "no gateway"


def _endpoints(facts: Facts, target: Target) -> Finding:
    name, peer = str(target.cluster), str(target.peer)
    views = facts.discovery[name].istiods
    if not views:
        return Finding("no istiod is running", unknown=True)
    cluster_id = facts.clusters[peer].cluster_id
    expected = _expected(facts, name, peer)
    missing = {pod: missing_endpoints(view, cluster_id, expected) for pod, view in views.items()}
    wrong = {pod: one for pod, one in missing.items() if one.count}
    if not wrong:
        return Finding(str(next(iter(missing.values()))))
    pod, first = next(iter(wrong.items()))
    problem = Problem(
        code=Code.DISCOVERY_ENDPOINTS,
        message=f"{pod} has {first} of {peer} (synced)",
        seen="; ".join(f"{one}: {_described(endpoints)}" for one, endpoints in missing.items()),
        expected="all endpoints of its services with sidecars, in every istiod",
        hint=hints.restart_istiod(facts, name),
    )
    return Finding(f"{pod}: {first}", problem)


def _described(missing: Missing) -> str:
    lacking = [f"{namespace}/{name}" for namespace, name in missing.services]
    return f"{missing}, missing in {few(lacking, _SHOWN)}" if lacking else str(missing)


def _expected(facts: Facts, name: str, peer: str) -> dict[ServiceKey, frozenset[str]]:
    """The endpoints of a cluster that an istiod of another must have: of the namespaces that it reads."""
    there, config = (
        facts.discovery[peer],
        read_mesh_config(facts.observed[name], facts.mesh_of(name).revision),
    )
    return {
        key: found
        for key, found in there.endpoints.items()
        if reads_namespace(config, there.namespaces.get(key[0], {}))
    }


_check = partial(
    Check,
    scope=Scope.PAIR,
    fix=hints.RESTART_ISTIOD,
    because=(
        *(check.id for check in identity.CHECKS),
        control_plane.ISTIOD,
        *(check.id for check in gateway.CHECKS),
        *(check.id for check in remote_secret.CHECKS),
        *(check.id for check in remote_access.CHECKS),
    ),
)

CHECKS = (
    _check(
        id=GATEWAYS,
        title="gateways in istiod",
        passes="every istiod has the gateways of the other clusters",
        looks_at="`/debug/networkz` of every istiod, and the address of the other cluster's gateway",
        usual_cause=(
            "the address changed or the remote secret was replaced, and a defect of istiod kept the old state"
        ),
        evaluate=_gateways,
        needs=(remote_secret.ISTIODS_RESPOND, remote_access.SYNCED),
        reads=(Observation.DISCOVERY, Observation.CLUSTERZ),
        docs="troubleshooting.md#discovery-gateway",
    ),
    _check(
        id=ENDPOINTS,
        title="endpoints in istiod",
        passes="every istiod has the endpoints of the other clusters",
        looks_at=(
            "`/debug/endpointShardz` of every istiod, and the EndpointSlices of the other cluster's "
            "services with sidecars"
        ),
        usual_cause="the API server was not available while istiod started, or a defect of istiod",
        evaluate=_endpoints,
        needs=(remote_secret.ISTIODS_RESPOND, remote_access.SYNCED),
        reads=(Observation.DISCOVERY, Observation.CLUSTERZ, Observation.SERVICES),
        docs="troubleshooting.md#discovery-endpoints",
    ),
)
