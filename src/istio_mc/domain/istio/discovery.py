"""The gateways and endpoints that an istiod has of each cluster, as its debug endpoints list them.

`/debug/networkz` is a JSON list of `Network`, `Cluster`, `Addr`, `Port`, `HBONEPort`; istiod resolves host
names, and lists IP addresses only (pilot/pkg/model/network.go, type NetworkGateway). `/debug/endpointShardz`
is JSON: host → namespace → `Shards`, keyed `Kubernetes/<cluster ID>` → a list of endpoints with `Addresses`
(pilot/pkg/model/endpointshards.go, type EndpointShards, and service.go, type IstioEndpoint). Read in
pilot/pkg/xds/debug.go of Istio 1.26.0, 1.29.1 and 1.31.0: the same fields in all three.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from istio_mc.domain import jsontext

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from istio_mc.domain.kube.objects import Object

ServiceKey = tuple[str, str]
"""Namespace and name of a Service."""

Endpoints = dict[str, dict[ServiceKey, frozenset[str]]]
"""Addresses of endpoints by cluster ID and service."""

_KUBERNETES = "Kubernetes/"


class NetworkGateway(NamedTuple):
    """A gateway of a network, as an istiod has it."""

    network: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class IstiodView:
    """What one istiod has of all clusters.

    Attributes:
        endpoints: The endpoints of each cluster, its own included.
    """

    pod: str
    gateways: tuple[NetworkGateway, ...]
    endpoints: Mapping[str, Mapping[ServiceKey, frozenset[str]]] = field(repr=False)
    _by_network: dict[str, set[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def addresses_of(self, network: str) -> frozenset[str]:
        """The addresses of a network's gateways."""
        if not self._by_network:  # of many clusters each looks for every other one
            for one in self.gateways:
                self._by_network.setdefault(one.network, set()).add(one.address)
        return frozenset(self._by_network.get(network, ()))

    def with_endpoints(self, more: IstiodView) -> IstiodView:
        """The view with the endpoints of a second reading added, and the gateways of that reading."""
        both: Endpoints = {cluster_id: dict(endpoints) for cluster_id, endpoints in self.endpoints.items()}
        for cluster_id, endpoints in more.endpoints.items():
            services = both.setdefault(cluster_id, {})
            for key, addresses in endpoints.items():
                services[key] = services.get(key, frozenset()) | addresses
        return IstiodView(self.pod, more.gateways, both)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the istiods of a cluster have, beside what the cluster itself has.

    Attributes:
        endpoints: Ready endpoints of the cluster's services that other clusters reach through its gateway.
        namespaces: The labels of its namespaces; empty where no istiod of the mesh has discoverySelectors.
    """

    istiods: Mapping[str, IstiodView] = field(repr=False)
    endpoints: Mapping[ServiceKey, frozenset[str]] = field(repr=False)
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Missing:
    """The endpoints of a cluster that an istiod lacks."""

    total: int
    services: Mapping[ServiceKey, int]

    @property
    def count(self) -> int:
        """How many are missing."""
        return sum(self.services.values())

    def __str__(self) -> str:
        return f"{self.total - self.count} of {self.total} endpoints"


def read_gateways(raw: bytes) -> tuple[NetworkGateway, ...]:
    """Reads an istiod's `/debug/networkz`; an istiod without gateways answers `null`, or nothing.

    Raises:
        ValueError: It is not JSON.
        KeyError, TypeError: It is not such a list.
    """
    rows = jsontext.load(raw) if raw.strip() else None
    return tuple(
        NetworkGateway(str(row["Network"]), str(row["Addr"]), int(row["Port"])) for row in rows or []
    )


def read_endpoints(raw: bytes) -> Endpoints:
    """Reads an istiod's `/debug/endpointShardz`: the addresses alone, whatever their health.

    Each endpoint is reduced as soon as it is parsed: of thousands of services only addresses stay in memory.

    Raises:
        ValueError: It is not JSON.
        KeyError, TypeError, AttributeError: It is not such an object.
    """
    by_cluster: Endpoints = {}
    for host, namespaces in (jsontext.load(raw, _addresses) or {}).items():
        name, namespace = host.split(".")[0], _namespace_of(host)
        for of, shards in namespaces.items():
            # A ServiceEntry may be about the same host from another namespace: that is not the Service.
            if namespace != of:
                continue
            for shard, endpoints in (shards["Shards"] or {}).items():
                if shard.startswith(_KUBERNETES):
                    addresses = frozenset(address for one in endpoints or [] for address in one)
                    by_cluster.setdefault(shard.removeprefix(_KUBERNETES), {})[namespace, name] = addresses
    return by_cluster


def read_regions(raw: bytes) -> dict[str, frozenset[str]]:
    """Reads the regions of each cluster's endpoints, by cluster ID, of an istiod's `/debug/endpointShardz`.

    The locality is `region/zone/subzone`, by the labels of nodes (pilot/pkg/model/service.go, Locality).

    Raises:
        ValueError: It is not JSON.
        KeyError, TypeError, AttributeError: It is not such an object.
    """
    by_cluster: dict[str, set[str]] = {}
    for namespaces in (jsontext.load(raw, _region) or {}).values():
        for shards in namespaces.values():
            for shard, regions in (shards["Shards"] or {}).items():
                if shard.startswith(_KUBERNETES):
                    by_cluster.setdefault(shard.removeprefix(_KUBERNETES), set()).update(regions or ())
    return {cluster_id: frozenset(filter(None, regions)) for cluster_id, regions in by_cluster.items()}


def _region(parsed: dict[str, Any]) -> Any:  # noqa: ANN401 - what stands for the parsed object
    if "Addresses" not in parsed:
        return parsed
    return str((parsed.get("Locality") or {}).get("Label") or "").split("/")[0]


def _addresses(parsed: dict[str, Any]) -> Any:  # noqa: ANN401 - what stands for the parsed object
    return tuple(parsed["Addresses"] or ()) if "Addresses" in parsed else parsed


def _namespace_of(host: str) -> str:
    """The namespace in a Service's host name, such as `reviews.sample.svc.cluster.local`."""
    labels = host.split(".")
    return labels[1] if len(labels) > 3 and labels[2] == "svc" else ""  # noqa: PLR2004 - name, namespace, svc, domain


def ready_addresses(slices: Iterable[Object]) -> dict[ServiceKey, frozenset[str]]:
    """The addresses of ready endpoints of each Service, out of its EndpointSlices."""
    by_service: dict[ServiceKey, set[str]] = {}
    for item in slices:
        name = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        if not name or item.get("addressType") == "FQDN":  # istiod does not read these
            continue
        addresses = by_service.setdefault((item["metadata"]["namespace"], name), set())
        for endpoint in item.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                addresses.update(endpoint.get("addresses") or ())
    return {key: frozenset(addresses) for key, addresses in by_service.items()}


def missing_endpoints(
    view: IstiodView, cluster_id: str, expected: Mapping[ServiceKey, frozenset[str]]
) -> Missing:
    """The expected endpoints of a cluster that an istiod lacks."""
    has = view.endpoints.get(cluster_id, {})
    lacking = {key: len(addresses - has.get(key, frozenset())) for key, addresses in expected.items()}
    return Missing(
        sum(len(addresses) for addresses in expected.values()),
        {key: count for key, count in lacking.items() if count},
    )
