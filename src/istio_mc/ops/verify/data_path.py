"""The paths from here to every gateway: its address, the service to request, and the client certificate."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.gateway import address
from istio_mc.domain.istio.operator import CROSS_NETWORK_PORT
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of
from istio_mc.domain.mesh import EAST_WEST_GATEWAY
from istio_mc.domain.pki import cacerts
from istio_mc.domain.pki.cacerts import CA_KEY, CaCerts
from istio_mc.domain.pki.certificates import Authority
from istio_mc.domain.pki.pem import NamedPem, dump_certificates, load_key
from istio_mc.domain.pki.signing import signing
from istio_mc.domain.pki.workload import Identity, client_identity
from istio_mc.domain.problem import ProblemError
from istio_mc.domain.traffic.data_path import DataPath, shown
from istio_mc.gateways.host.parallel import Failures, results_in_time
from istio_mc.gateways.istio.data_path import Caller, Route, trace

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.istio.services import Meshed, Services
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.pki.signing import Signing
    from istio_mc.ops.verify.snapshot import MeshSnapshot

_DEADLINE_S = 25.0
"""DNS, TCP, readiness, up to four handshakes that end and one that is silent, and a call."""

_PORT_LABEL = "networking.istio.io/gatewayPort"
"""On a gateway's Service: the port istiod gives to the other clusters (pilot/pkg/model, Istio 1.26.0)."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A cluster's CA, as its cacerts hold it."""

    files: CaCerts
    ca: Signing


def trace_gateways(
    snapshot: MeshSnapshot, services: Mapping[str, Services]
) -> tuple[dict[str, DataPath], Failures]:
    """Tries the way to every gateway that has an address, all at once; nothing is changed.

    Returns:
        What came of each, and why a gateway could not be tried to the end.
    """
    members = _members(snapshot.observed)
    cas = {name: member.ca for name, member in members.items()}
    roots = _roots(cas)
    clusters_of = Counter(one for of_cluster in services.values() for one in set(of_cluster.meshed))

    def probe_cluster(name: str) -> DataPath:
        behind = services[name].meshed if name in services else ()
        shared = frozenset(one for one in behind if clusters_of[one] > 1)
        route = _route(snapshot, name, behind, shared, roots)
        traces = trace(route, _caller(snapshot, name, members))
        return DataPath(traces, tuple(shown(one, name, cas) for one in traces))

    def within(name: str) -> DataPath:
        calls = {"data path": (_DEADLINE_S, partial(probe_cluster, name))}
        results, late = results_in_time(calls, context=name, until=snapshot.session.run.overdue)
        if late:
            raise ProblemError(*late["data path"])
        return results["data path"]

    return snapshot.session.clusters.each(within, snapshot.observed)


def _members(observed: Mapping[str, Observed]) -> dict[str, _Member]:
    """The CAs of the clusters whose cacerts can be read; the others are reported by another check."""
    members = {}
    for name, live in observed.items():
        with suppress(ProblemError):
            secret = live.find(objects.SECRET, "cacerts") or {}
            files = CaCerts.from_secret_data(secret.get("data") or {})
            members[name] = _Member(files, signing(files))
    return members


def _roots(cas: Mapping[str, Signing]) -> str:
    roots = dict.fromkeys(root for ca in cas.values() for root in ca.roots)
    return dump_certificates(roots).decode()


def _route(
    snapshot: MeshSnapshot, name: str, behind: Collection[Meshed], shared: frozenset[Meshed], roots: str
) -> Route:
    gateway = snapshot.observed[name].find(objects.SERVICE, EAST_WEST_GATEWAY)
    label = labels_of(gateway).get(_PORT_LABEL, "")
    return Route(
        addresses=address.used_addresses(name, snapshot.clusters[name], snapshot.observed),
        # Those first that other clusters have too: only they tell whether the gateway forwards to others.
        services=tuple(sorted(behind, key=lambda one: (one not in shared, not one.http, one))),
        shared=shared,
        roots=roots,
        port=int(label) if label.isdigit() else CROSS_NETWORK_PORT,
    )


def _caller(snapshot: MeshSnapshot, name: str, members: Mapping[str, _Member]) -> Caller | None:
    """Another cluster's CA under the same root where there is one, for so the calls of the mesh come."""
    if name not in members:
        return None
    names = list(members)
    at = names.index(name)
    for issuer in [*names[at + 1 :], *names[:at], name]:
        member = members[issuer]
        trusted = member.ca.path[-1:] and member.ca.path[-1] in members[name].ca.roots
        if trusted and not cacerts.faults(member.files, datetime.now(UTC)):
            key = load_key(NamedPem(CA_KEY, member.files.ca_key))
            authority = Authority(member.ca.certificate, key, member.ca.path[1:])
            return Caller(issuer, partial(_minted, authority), snapshot.session.run.folder)
    return None


def _minted(authority: Authority, trust_domain: str) -> Identity:
    return client_identity(authority, trust_domain, datetime.now(UTC))
