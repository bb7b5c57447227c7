"""Each hop on a path that works but for one thing, and what an Envoy's page lists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from istio_mc.domain.istio.discovery import Discovery, IstiodView, NetworkGateway
from istio_mc.domain.kube.objects import selects
from istio_mc.domain.mesh import ApiServer, Cluster
from istio_mc.domain.trace.hops import HOPS, walk
from istio_mc.domain.trace.matching import full_host, is_visible, matches_host
from istio_mc.domain.trace.model import ClusterView, Endpoint, IstioConfig, Path, ServiceName, State
from istio_mc.domain.trace.proxies import ProxyEndpoint, outbound, read_endpoints, sni_dnat

NAME = ServiceName("sample", "reviews")
OPEN = {
    "kind": "Gateway",
    "metadata": {"name": "cross-network-gateway", "namespace": "istio-system"},
    "spec": {
        "selector": {"istio": "ingressgateway"},
        "servers": [{"port": {"number": 15443}, "tls": {"mode": "AUTO_PASSTHROUGH"}, "hosts": ["*.local"]}],
    },
}


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 9080}]
    metadata = {"name": "reviews", "namespace": "sample"}
    return {
        "kind": "Service",
        "metadata": metadata,
        "spec": {"ports": ports, "selector": {"app": "reviews"}, **spec},
    }


def pod(name: str, **labels: str) -> dict[str, Any]:
    labels = {"security.istio.io/tlsMode": "istio", **labels}
    return {
        "metadata": {"name": name, "namespace": "sample", "labels": labels},
        "spec": {"serviceAccountName": name},
    }


def view(context: str, number: int, **changes: Any) -> ClusterView:
    """A cluster in which nothing is wrong."""
    address = f"10.20{number}.0.7"
    views = IstiodView(
        "istiod-1",
        tuple(NetworkGateway(f"network{one}", f"198.18.0.2{one}", 15443) for one in (1, 2)),
        {f"{one}-k": {NAME.key: frozenset({f"10.20{place}.0.7"})} for place, one in ((1, "kt"), (2, "nhn"))},
    )
    other = 3 - number
    whole = ClusterView(
        context,
        Cluster(context, f"{context}-k", f"network{number}", ApiServer(f"https://{context}:6443")),
        namespaces={"sample": {"istio-injection": "enabled"}},
        service=service(),
        endpoints=(Endpoint(address, pod("reviews", app="reviews", version="v1"), "zone-1", meshed=True),),
        pods=(),
        config=IstioConfig(gateways=(OPEN,)),
        gateway_labels=({"istio": "ingressgateway"},),
        client=pod("sleep", app="sleep"),
        discovery=Discovery({"istiod-1": views}, {}),
        client_endpoints=(
            ProxyEndpoint(address, 9080, healthy=True),
            ProxyEndpoint(f"198.18.0.2{other}", 15443, healthy=True),
        ),
        gateway_endpoints={"gateway-1": (ProxyEndpoint(address, 9080, healthy=True),)},
    )
    return replace(whole, **changes)


def path(client: dict[str, Any] | None = None, target: dict[str, Any] | None = None) -> Path:
    """From kt to nhn; what is changed in either."""
    return Path(NAME, 9080, view("kt", 1, **(client or {})), view("nhn", 2, **(target or {})))


def outcome(*changes: dict[str, Any] | None) -> tuple[str, str]:
    """The hop at which a walk ends, and its state."""
    last = walk(path(*changes)).hops[-1]
    return last.hop.id, last.outcome.state.value


END = (HOPS[-1].id, "ok")


def item(kind: str, name: str = "one", namespace: str = "sample", **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def config(**kinds: Any) -> dict[str, Any]:
    return {"config": IstioConfig(gateways=(OPEN,), **{kind: tuple(found) for kind, found in kinds.items()})}


def mesh(**values: Any) -> dict[str, Any]:
    return {"mesh_config": values}


def virtual(*routes: dict[str, Any], hosts: tuple[str, ...] = ("reviews",), **more: Any) -> dict[str, Any]:
    return item("VirtualService", hosts=list(hosts), http=list(routes), **more)


def to(host: str = "reviews", subset: str = "", **more: Any) -> dict[str, Any]:
    destination = {"host": host, **({"subset": subset} if subset else {})}
    return {"route": [{"destination": destination}], **more}


def rule(**policy: Any) -> dict[str, Any]:
    return item("DestinationRule", host="reviews", trafficPolicy=policy)


def subsets(**labels: dict[str, str]) -> dict[str, Any]:
    given = [{"name": name, "labels": found} for name, found in labels.items()]
    return item("DestinationRule", host="reviews", subsets=given)


V1, V2 = subsets(v1={"version": "v1"}), subsets(v2={"version": "v2"})
OUTLIER: dict[str, Any] = {"outlierDetection": {"consecutive5xxErrors": 1}}
ELSEWHERE = (Endpoint("10.202.0.7", pod("reviews", app="reviews"), "zone-2", meshed=True),)
BARE = (Endpoint("10.202.0.7", None, "", meshed=False),)
ROUTES = "virtual-service"


@pytest.mark.parametrize(
    ("client", "target", "expected"),
    [
        (None, None, END),
        # The Service
        ({"service": None}, None, ("service", "broken")),
        (
            {"service": None, **mesh(defaultConfig={"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}})},
            None,
            END,
        ),
        (None, {"service": None}, ("service", "broken")),
        ({"service": service(ports=[{"name": "tcp", "port": 9080}])}, None, ("service", "broken")),
        ({"service": service(ports=[{"name": "http", "port": 80}])}, None, ("service", "broken")),
        ({"service": service(ports=[{"name": "http", "port": 9080}, {"name": "x", "port": 1}])}, None, END),
        # Injection
        ({"client": None, "namespaces": {"sample": {}}}, None, ("injection", "broken")),
        ({"client": None, "client_endpoints": None}, None, END),
        # Sharing
        (
            mesh(
                serviceSettings=[
                    {"hosts": ["*.sample.svc.cluster.local"], "settings": {"clusterLocal": True}}
                ]
            ),
            None,
            ("sharing", "local"),
        ),
        (mesh(serviceSettings=[{"hosts": ["a.b"], "settings": {"clusterLocal": True}}]), None, END),
        ({"service": service(internalTrafficPolicy="Local")}, None, ("sharing", "broken")),
        (None, {"service": service(internalTrafficPolicy="Local")}, END),
        ({"service": service(trafficDistribution="PreferClose")}, None, ("sharing", "local")),
        ({"service": service(trafficDistribution="PreferClose"), "endpoints": ()}, None, END),
        # Export
        (mesh(defaultServiceExportTo=["."]), None, END),
        (None, mesh(defaultServiceExportTo=["."]), ("export", "broken")),
        (None, mesh(defaultServiceExportTo=["*"]), END),
        # discoverySelectors
        (None, mesh(discoverySelectors=[{"matchLabels": {"a": "b"}}]), ("selectors", "broken")),
        (None, mesh(discoverySelectors=[{"matchLabels": {"istio-injection": "enabled"}}]), END),
        (
            mesh(discoverySelectors=[{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]),
            None,
            ("selectors", "broken"),
        ),
        # Endpoints
        (None, {"endpoints": ()}, ("endpoints", "broken")),
        (None, {"endpoints": BARE}, ("endpoints", "broken")),
        # Discovery
        ({"discovery": Discovery({"x": IstiodView("x", (), {})}, {})}, None, ("discovery", "broken")),
        ({"discovery": None, "client_endpoints": None}, None, END),
        # Sidecar
        (config(sidecars=[item("Sidecar", egress=[{"hosts": ["./*"]}])]), None, END),
        (
            config(sidecars=[item("Sidecar", egress=[{"hosts": ["istio-system/*"]}])]),
            None,
            ("sidecar", "broken"),
        ),
        (config(sidecars=[item("Sidecar", egress=[{"hosts": ["~/*"]}])]), None, ("sidecar", "broken")),
        (
            config(sidecars=[item("Sidecar", egress=[{"hosts": ["*/reviews.sample.svc.cluster.local"]}])]),
            None,
            END,
        ),
        (
            config(sidecars=[item("Sidecar", namespace="istio-system", egress=[{"hosts": ["./*"]}])]),
            None,
            ("sidecar", "broken"),
        ),
        (
            config(
                sidecars=[
                    item(
                        "Sidecar", egress=[{"hosts": ["~/*"]}], workloadSelector={"labels": {"app": "other"}}
                    )
                ]
            ),
            None,
            END,
        ),
        (
            config(
                sidecars=[
                    item("Sidecar", egress=[{"hosts": ["*/*"]}]),
                    item(
                        "Sidecar", egress=[{"hosts": ["~/*"]}], workloadSelector={"labels": {"app": "sleep"}}
                    ),
                ]
            ),
            None,
            ("sidecar", "broken"),
        ),
        (config(sidecars=[item("Sidecar")]), None, END),
        # ServiceEntry
        (
            config(service_entries=[item("ServiceEntry", hosts=[NAME.host])]),
            None,
            ("service-entry", "broken"),
        ),
        (config(service_entries=[item("ServiceEntry", hosts=["a.com"])]), None, END),
        (
            config(service_entries=[item("ServiceEntry", namespace="x", hosts=[NAME.host], exportTo=["."])]),
            None,
            END,
        ),
        # VirtualService
        (config(virtual_services=[virtual(to())]), None, END),
        (config(virtual_services=[virtual(to("ratings"))]), None, (ROUTES, "broken")),
        (config(virtual_services=[virtual(to("ratings"), hosts=("other",))]), None, END),
        (config(virtual_services=[virtual(to("ratings"), gateways=["ingress"])]), None, END),
        (config(virtual_services=[virtual(to("ratings"), hosts=("*",)), virtual(to())]), None, END),
        (
            config(virtual_services=[virtual(to("ratings", match=[{"uri": {"prefix": "/x"}}]), to())]),
            None,
            END,
        ),
        (config(virtual_services=[virtual(to("ratings", match=[{"uri": {"prefix": "/x"}}]))]), None, END),
        (
            config(virtual_services=[virtual(to("ratings", match=[{"port": 9080}]), to())]),
            None,
            (ROUTES, "broken"),
        ),
        (config(virtual_services=[virtual(to("ratings", match=[{"port": 80}]), to())]), None, END),
        (config(virtual_services=[virtual({"redirect": {"uri": "/"}})]), None, (ROUTES, "broken")),
        (
            config(
                virtual_services=[
                    virtual(to(fault={"abort": {"percentage": {"value": 100}, "httpStatus": 503}}))
                ]
            ),
            None,
            (ROUTES, "broken"),
        ),
        (config(virtual_services=[virtual(to(fault={"abort": {"percentage": {"value": 5}}}))]), None, END),
        (config(virtual_services=[virtual({"delegate": {"name": "x"}})]), None, END),
        (
            config(
                virtual_services=[
                    virtual(
                        {
                            "route": [
                                {"destination": {"host": "ratings"}, "weight": 100},
                                {"destination": {"host": "reviews"}, "weight": 0},
                            ]
                        }
                    )
                ]
            ),
            None,
            (ROUTES, "broken"),
        ),
        # Subsets
        (config(virtual_services=[virtual(to(subset="v1"))]), None, (ROUTES, "broken")),
        (
            config(virtual_services=[virtual(to(subset="v1"))], destination_rules=[V1]),
            None,
            (ROUTES, "broken"),
        ),
        (
            config(virtual_services=[virtual(to(subset="v1"))], destination_rules=[V1]),
            config(destination_rules=[V1]),
            END,
        ),
        (
            config(virtual_services=[virtual(to(subset="v2"))], destination_rules=[V2]),
            config(destination_rules=[V2]),
            (ROUTES, "broken"),
        ),
        # DestinationRule
        (config(destination_rules=[rule(tls={"mode": "DISABLE"})]), None, ("destination-rule", "broken")),
        (config(destination_rules=[rule(tls={"mode": "SIMPLE"})]), None, ("destination-rule", "broken")),
        (config(destination_rules=[rule(tls={"mode": "ISTIO_MUTUAL"})]), None, END),
        (None, config(destination_rules=[rule(tls={"mode": "DISABLE"})]), ("destination-rule", "broken")),
        (
            config(
                destination_rules=[
                    rule(portLevelSettings=[{"port": {"number": 9080}, "tls": {"mode": "DISABLE"}}])
                ]
            ),
            None,
            ("destination-rule", "broken"),
        ),
        (
            config(
                destination_rules=[
                    rule(portLevelSettings=[{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}])
                ]
            ),
            None,
            END,
        ),
        (
            config(
                destination_rules=[
                    item(
                        "DestinationRule",
                        namespace="x",
                        host="reviews.sample.svc.cluster.local",
                        trafficPolicy={"tls": {"mode": "DISABLE"}},
                    )
                ]
            ),
            None,
            END,
        ),
        (
            config(
                destination_rules=[
                    item(
                        "DestinationRule",
                        namespace="istio-system",
                        host="*.local",
                        trafficPolicy={"tls": {"mode": "DISABLE"}},
                    )
                ]
            ),
            None,
            ("destination-rule", "broken"),
        ),
        (config(destination_rules=[rule(**OUTLIER)]), None, END),
        (
            config(destination_rules=[rule(**OUTLIER)]),
            {"endpoints": ELSEWHERE},
            ("destination-rule", "local"),
        ),
        (config(destination_rules=[rule()]), {"endpoints": ELSEWHERE}, END),
        (
            config(
                destination_rules=[rule(**OUTLIER, loadBalancer={"localityLbSetting": {"enabled": False}})]
            ),
            {"endpoints": ELSEWHERE},
            END,
        ),
        (
            config(
                destination_rules=[
                    rule(
                        **OUTLIER,
                        loadBalancer={
                            "localityLbSetting": {"failoverPriority": ["topology.istio.io/cluster"]}
                        },
                    )
                ]
            ),
            None,
            ("destination-rule", "local"),
        ),
        (
            config(destination_rules=[rule(loadBalancer={"localityLbSetting": {"distribute": [{}]}})]),
            None,
            ("destination-rule", "local"),
        ),
        # PeerAuthentication
        (
            None,
            config(peer_authentications=[item("PeerAuthentication", mtls={"mode": "DISABLE"})]),
            ("peer-authentication", "broken"),
        ),
        (
            config(peer_authentications=[item("PeerAuthentication", mtls={"mode": "DISABLE"})]),
            None,
            ("peer-authentication", "broken"),
        ),
        (None, config(peer_authentications=[item("PeerAuthentication", mtls={"mode": "STRICT"})]), END),
        # Proxies
        ({"client_endpoints": ()}, None, ("proxy", "broken")),
        (
            {"client_endpoints": (ProxyEndpoint("198.18.0.22", 15443, healthy=False),)},
            None,
            ("proxy", "broken"),
        ),
        ({"client_endpoints": (ProxyEndpoint("10.201.0.7", 9080, healthy=True),)}, None, ("proxy", "broken")),
        ({"service": service(clusterIP="None"), "client_endpoints": ()}, None, END),
        # Gateway
        (None, {"config": IstioConfig()}, ("gateway", "broken")),
        (None, {"gateway_labels": ({"istio": "other"},)}, ("gateway", "broken")),
        (None, {"gateway_endpoints": {"g": ()}}, ("gateway", "broken")),
        (None, {"gateway_endpoints": None}, END),
        # AuthorizationPolicy
        (
            None,
            config(authorization_policies=[item("AuthorizationPolicy", action="DENY", rules=[{}])]),
            ("authorization", "broken"),
        ),
        (
            None,
            config(
                authorization_policies=[
                    item("AuthorizationPolicy", namespace="other", action="DENY", rules=[{}])
                ]
            ),
            END,
        ),
        (
            None,
            config(
                authorization_policies=[
                    item(
                        "AuthorizationPolicy",
                        namespace="istio-system",
                        action="ALLOW",
                        rules=[{"from": [{"source": {"principals": ["*"]}}]}],
                    )
                ]
            ),
            END,
        ),
        (
            None,
            config(
                authorization_policies=[item("AuthorizationPolicy", selector={"matchLabels": {"app": "x"}})]
            ),
            END,
        ),
    ],
)
def test_a_walk_ends_at_the_hop_that_is_broken(
    client: dict[str, Any] | None, target: dict[str, Any] | None, expected: tuple[str, str]
) -> None:
    assert outcome(client, target) == expected


def test_a_gateway_whose_hosts_leave_the_service_out_is_repaired_by_a_patch() -> None:
    servers = [{**OPEN["spec"]["servers"][0], "hosts": ["other/*"]}]  # type: ignore[index]
    closed = {**OPEN, "spec": {**OPEN["spec"], "servers": servers}}  # type: ignore[dict-item]
    last = walk(path(None, {"config": IstioConfig(gateways=(closed,))})).broken
    assert last
    assert last.outcome.problem
    assert str(last.outcome.problem.hint) == (
        "kubectl --context nhn -n istio-system patch gateways.networking.istio.io cross-network-gateway "
        """--type json -p '[{"op": "replace", "path": "/spec/servers/0/hosts", "value": ["*.local"]}]'"""
    )


def test_within_a_cluster_only_what_it_needs_itself_is_looked_at() -> None:
    kt = view("kt", 1, gateway_endpoints={}, discovery=None)
    trace = walk(Path(NAME, 9080, kt, kt))
    assert (trace.broken, [one.outcome.state for one in trace.hops if one.outcome.state is not State.OK]) == (
        None,
        [],
    )


PAGE = """\
outbound|9080||reviews.sample.svc.cluster.local::default_priority::max_connections::4294967295
outbound|9080||reviews.sample.svc.cluster.local::10.201.0.7:9080::cx_active::0
outbound|9080||reviews.sample.svc.cluster.local::10.201.0.7:9080::health_flags::healthy
outbound|9080||reviews.sample.svc.cluster.local::198.18.0.22:15443::health_flags::/failed_outlier_check
outbound|9080||reviews.sample.svc.cluster.local::[fd00::7]:9080::health_flags::healthy
outbound|9080|v1|reviews.sample.svc.cluster.local::10.9.9.9:9080::health_flags::healthy
outbound_.9080_._.reviews.sample.svc.cluster.local::10.201.0.8:9080::health_flags::healthy
"""


def test_endpoints_of_a_proxy_are_read_with_their_health() -> None:
    assert read_endpoints(PAGE, outbound(9080, NAME.host)) == (
        ProxyEndpoint("10.201.0.7", 9080, healthy=True),
        ProxyEndpoint("198.18.0.22", 15443, healthy=False),
        ProxyEndpoint("fd00::7", 9080, healthy=True),
    )
    assert read_endpoints(PAGE, sni_dnat(9080, NAME.host)) == (
        ProxyEndpoint("10.201.0.8", 9080, healthy=True),
    )
    assert read_endpoints("", outbound(9080, NAME.host)) == ()


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_label_selectors(selector: dict[str, Any], *, fits: bool) -> None:
    assert selects(selector, {"a": "1"}) is fits


def test_hosts_and_exports() -> None:
    assert full_host("reviews", "sample") == NAME.host
    assert full_host("*.local", "sample") == "*.local"
    assert matches_host("*.sample.svc.cluster.local", NAME.host)
    assert not matches_host("reviews", NAME.host)
    there = item("VirtualService")
    found = [is_visible(there, field, to) for field in (None, ["."], ["*"], ["x"]) for to in ("sample", "x")]
    assert found == [True, True, True, False, True, True, False, True]
