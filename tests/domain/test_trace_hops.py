"""Each hop on a path that works but for one thing, and what an Envoy's page lists."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.istio.discovery import Discovery, IstiodView, NetworkGateway
from istio_mc.domain.kube.objects import selects
from istio_mc.domain.mesh import ApiServer, Cluster
from istio_mc.domain.trace.additions import added_slices, filter_warnings, selected_entries
from istio_mc.domain.trace.hops import HOPS, walk
from istio_mc.domain.trace.http_routes import as_virtual_services
from istio_mc.domain.trace.injection import (
    INJECT,
    bypassed_inbound,
    bypassed_outbound,
    inject,
    injectors,
    mark,
    why_not_injected,
)
from istio_mc.domain.trace.matching import full_host, is_visible, matches_host
from istio_mc.domain.trace.model import ClusterView, Endpoint, IstioConfig, Path, ServiceName, State
from istio_mc.domain.trace.proxies import ProxyEndpoint, outbound, read_endpoints, sni_dnat
from istio_mc.domain.trace.sidecars import forwarding

if TYPE_CHECKING:
    from istio_mc.domain.problem import Problem

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
        gateway_pods=(pod("gateway", istio="ingressgateway"),),
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


def bare(name: str) -> dict[str, Any]:
    """A pod without a sidecar."""
    return {"metadata": {"name": name, "namespace": "sample", "labels": {"app": name}}, "spec": {}}


def annotated(name: str = "sleep", **traffic: str) -> dict[str, Any]:
    found = pod(name, app=name)
    found["metadata"]["annotations"] = {
        f"traffic.sidecar.istio.io/{key}": value for key, value in traffic.items()
    }
    return found


def not_intercepted(name: str) -> dict[str, Any]:
    found = pod(name, app=name)
    found["metadata"]["annotations"] = {"sidecar.istio.io/interceptionMode": "NONE"}
    return found


def delay(fixed: str, share: int = 100) -> dict[str, Any]:
    return {"fault": {"delay": {"percentage": {"value": share}, "fixedDelay": fixed}}}


def reached(**traffic: str) -> tuple[Endpoint, ...]:
    """An endpoint whose pod has annotations for its sidecar."""
    return (Endpoint("10.202.0.7", annotated("reviews", **traffic), "zone-1", meshed=True),)


def with_ports(ports: dict[str, int]) -> tuple[Endpoint, ...]:
    return (Endpoint("10.202.0.7", pod("reviews", app="reviews"), "zone-1", meshed=True, ports=ports),)


def of_network(name: str) -> tuple[Endpoint, ...]:
    labelled = pod("reviews", app="reviews")
    labelled["metadata"]["labels"]["topology.istio.io/network"] = name
    return (Endpoint("10.202.0.7", labelled, "zone-1", meshed=True),)


def on_nodes(endpoint: str, gateway: str) -> dict[str, Any]:
    """Where the endpoint and the gateway run."""
    there = pod("gateway", istio="ingressgateway")
    there["spec"]["nodeName"] = gateway
    return {
        "endpoints": (
            Endpoint("10.202.0.7", pod("reviews", app="reviews"), "zone-1", meshed=True, node=endpoint),
        ),
        "gateway_pods": (there,),
    }


DNS: dict[str, Any] = {"defaultConfig": {"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}}}
LOCAL = service(internalTrafficPolicy="Local")


def mesh(**values: Any) -> dict[str, Any]:
    return {"mesh_config": values}


def virtual(*routes: dict[str, Any], hosts: tuple[str, ...] = ("reviews",), **more: Any) -> dict[str, Any]:
    return item("VirtualService", hosts=list(hosts), http=list(routes), **more)


def to(host: str = "reviews", subset: str = "", port: int = 0, **more: Any) -> dict[str, Any]:
    destination = {
        "host": host,
        **({"subset": subset} if subset else {}),
        **({"port": {"number": port}} if port else {}),
    }
    return {"route": [{"destination": destination}], **more}


def rule(host: str = "reviews", namespace: str = "sample", **policy: Any) -> dict[str, Any]:
    return item("DestinationRule", namespace=namespace, host=host, trafficPolicy=policy)


def of_subset(*, policy: dict[str, Any], whole: dict[str, Any] | None = None) -> dict[str, Any]:
    """What routes all calls to subset v1, which has a policy of its own."""
    made = subsets(v1={"version": "v1"})
    made["spec"]["subsets"][0]["trafficPolicy"] = policy
    if whole:
        made["spec"]["trafficPolicy"] = whole
    return config(virtual_services=[virtual(to(subset="v1"))], destination_rules=[made])


def selecting(app: str) -> dict[str, Any]:
    """A rule without mTLS for the calls of some pods."""
    selector = {"matchLabels": {"app": app}}
    policy = {"tls": {"mode": "DISABLE"}}
    return item("DestinationRule", host="reviews", workloadSelector=selector, trafficPolicy=policy)


def subsets(**labels: dict[str, str]) -> dict[str, Any]:
    given = [{"name": name, "labels": found} for name, found in labels.items()]
    return item("DestinationRule", host="reviews", subsets=given)


def of_port(**policy: Any) -> dict[str, Any]:
    return {"portLevelSettings": [{"port": {"number": 9080}, **policy}]}


UNENCRYPTED: dict[str, Any] = {"tls": {"mode": "DISABLE"}}
MUTUAL: dict[str, Any] = {"tls": {"mode": "ISTIO_MUTUAL"}}
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
        ({"client": None, "other_pods": (bare("sleep"),)}, None, ("injection", "broken")),
        ({"client": None, "pods": (bare("reviews"),)}, None, ("injection", "broken")),
        ({"client": annotated(excludeOutboundPorts="80,9080")}, None, ("injection", "broken")),
        ({"client": annotated(excludeOutboundPorts="80")}, None, END),
        (
            {
                "client": annotated(excludeOutboundIPRanges="10.96.0.0/12"),
                "service": service(clusterIP="10.96.0.9"),
            },
            None,
            ("injection", "broken"),
        ),
        (
            {
                "client": annotated(excludeOutboundIPRanges="10.112.0.0/12"),
                "service": service(clusterIP="10.96.0.9"),
            },
            None,
            END,
        ),
        (
            {
                "client": annotated(includeOutboundIPRanges="10.112.0.0/12"),
                "service": service(clusterIP="10.96.0.9"),
            },
            None,
            ("injection", "broken"),
        ),
        (
            {
                "client": annotated(includeOutboundIPRanges="*"),
                "service": service(clusterIP="10.96.0.9"),
            },
            None,
            END,
        ),
        (
            {
                "client": annotated(includeOutboundIPRanges="10.112.0.0/12", includeOutboundPorts="9080"),
                "service": service(clusterIP="10.96.0.9"),
            },
            None,
            END,
        ),
        ({"client": not_intercepted("sleep")}, None, ("injection", "broken")),
        (
            None,
            {"endpoints": (Endpoint("10.202.0.7", not_intercepted("reviews"), "zone-1", meshed=True),)},
            ("endpoints", "broken"),
        ),
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
        (None, {"service": LOCAL, **on_nodes("a", "a")}, END),
        (None, {"service": LOCAL, **on_nodes("a", "b")}, ("sharing", "broken")),
        (None, {"service": service(), **on_nodes("a", "b")}, END),
        ({"service": service(trafficDistribution="PreferClose")}, None, ("sharing", "local")),
        ({"service": service(trafficDistribution="PreferClose"), "endpoints": ()}, None, END),
        # Export
        (mesh(defaultServiceExportTo=["."]), None, END),
        (None, mesh(defaultServiceExportTo=["."]), ("export", "broken")),
        (None, mesh(defaultServiceExportTo=["*"]), END),
        (None, mesh(defaultServiceExportTo=["istio-system"]), END),
        (
            {"service": None, **mesh(**DNS)},
            mesh(defaultServiceExportTo=["istio-system"]),
            ("export", "broken"),
        ),
        # discoverySelectors
        (None, mesh(discoverySelectors=[{"matchLabels": {"a": "b"}}]), ("selectors", "broken")),
        (None, mesh(discoverySelectors=[{"matchLabels": {"istio-injection": "enabled"}}]), END),
        (
            mesh(discoverySelectors=[{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]),
            None,
            ("selectors", "broken"),
        ),
        # A headless Service
        ({"service": service(clusterIP="None")}, None, ("sharing", "local")),
        ({"service": service(clusterIP="None"), "endpoints": ()}, None, ("sharing", "broken")),
        (None, {"service": service(clusterIP="None")}, END),
        # Endpoints
        (None, {"endpoints": ()}, ("endpoints", "broken")),
        (None, {"endpoints": BARE}, ("endpoints", "broken")),
        (None, {"endpoints": with_ports({})}, ("endpoints", "broken")),
        (None, {"endpoints": with_ports({"grpc": 9080})}, ("endpoints", "broken")),
        (None, {"endpoints": with_ports({"http": 9080})}, END),
        (None, {"refused": "reviews-1"}, ("endpoints", "broken")),
        (None, {"endpoints": of_network("network1")}, ("endpoints", "broken")),
        (None, {"endpoints": of_network("network2")}, END),
        (None, {"endpoints": reached(excludeInboundPorts="9080")}, ("endpoints", "broken")),
        (None, {"endpoints": reached(excludeInboundPorts="80")}, END),
        (None, {"endpoints": reached(includeInboundPorts="80")}, ("endpoints", "broken")),
        (None, {"endpoints": reached(includeInboundPorts="*")}, END),
        # Discovery
        ({"discovery": Discovery({"x": IstiodView("x", (), {})}, {})}, None, ("discovery", "broken")),
        ({"discovery": None, "client_endpoints": None}, None, END),
        ({"discovery": None}, None, END),
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
        (
            config(sidecars=[item("Sidecar", egress=[{"port": {"number": 80}, "hosts": ["*/*"]}])]),
            None,
            ("sidecar", "broken"),
        ),
        (
            config(sidecars=[item("Sidecar", egress=[{"port": {"number": 9080}, "hosts": ["*/*"]}])]),
            None,
            END,
        ),
        # ServiceEntry
        (
            config(service_entries=[item("ServiceEntry", hosts=[NAME.host])]),
            None,
            ("service-entry", "broken"),
        ),
        (config(service_entries=[item("ServiceEntry", hosts=["a.com"])]), None, END),
        (config(service_entries=[item("ServiceEntry", namespace="x", hosts=[NAME.host])]), None, END),
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
        (config(virtual_services=[virtual(to(timeout="9ms"))]), None, (ROUTES, "broken")),
        (config(virtual_services=[virtual(to(timeout="0s"))]), None, END),
        (config(virtual_services=[virtual(to(timeout="10ms"))]), None, END),
        (config(virtual_services=[virtual(to(timeout="1m0.001s"))]), None, END),
        (config(virtual_services=[virtual(to(**delay("5s")))]), None, (ROUTES, "broken")),
        (config(virtual_services=[virtual(to(**delay("4.9s")))]), None, END),
        (config(virtual_services=[virtual(to(**delay("5s", 99)))]), None, END),
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
        (config(virtual_services=[virtual(to(port=8080))]), None, (ROUTES, "broken")),
        (config(virtual_services=[virtual(to(port=9080))]), None, END),
        (
            {
                **config(virtual_services=[virtual(to("ratings"), namespace="x", hosts=(NAME.host,))]),
                **mesh(defaultVirtualServiceExportTo=["."]),
            },
            None,
            END,
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
        (
            {
                **config(
                    destination_rules=[
                        rule(namespace="x", host=NAME.host, tls={"mode": "DISABLE"}),
                    ]
                ),
                "client": {**pod("sleep"), "metadata": {"name": "sleep", "namespace": "x"}},
            },
            None,
            ("destination-rule", "broken"),
        ),
        (
            config(
                destination_rules=[
                    rule(host="*.local", tls={"mode": "DISABLE"}),
                    rule(tls={"mode": "ISTIO_MUTUAL"}),
                ]
            ),
            None,
            END,
        ),
        (config(destination_rules=[V1, rule(tls={"mode": "DISABLE"})]), None, ("destination-rule", "broken")),
        (of_subset(policy=UNENCRYPTED), config(destination_rules=[V1]), ("destination-rule", "broken")),
        (
            of_subset(policy=OUTLIER, whole=UNENCRYPTED),
            config(destination_rules=[V1]),
            ("destination-rule", "broken"),
        ),
        (of_subset(policy=MUTUAL, whole=UNENCRYPTED), config(destination_rules=[V1]), END),
        (of_subset(policy={**UNENCRYPTED, **of_port(**MUTUAL)}), config(destination_rules=[V1]), END),
        (of_subset(policy={**UNENCRYPTED, **of_port()}), config(destination_rules=[V1]), END),
        (
            config(virtual_services=[virtual(to(subset="v1"))], destination_rules=[V1]),
            of_subset(policy=UNENCRYPTED),
            ("destination-rule", "broken"),
        ),
        (config(destination_rules=of_subset(policy=UNENCRYPTED)["config"].destination_rules), None, END),
        (config(destination_rules=[rule(**UNENCRYPTED, **of_port())]), None, END),
        (config(destination_rules=[selecting("sleep")]), None, ("destination-rule", "broken")),
        (config(destination_rules=[selecting("other")]), None, END),
        (None, config(destination_rules=[selecting("sleep")]), END),
        (mesh(enableAutoMtls=False), None, ("destination-rule", "broken")),
        (None, mesh(enableAutoMtls=False), ("destination-rule", "broken")),
        (
            {**mesh(enableAutoMtls=False), **config(destination_rules=[rule(tls={"mode": "ISTIO_MUTUAL"})])},
            None,
            END,
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
        # Gateway
        (None, {"config": IstioConfig()}, ("gateway", "broken")),
        (None, {"gateway_pods": (pod("gateway", istio="other"),)}, ("gateway", "broken")),
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


def test_a_gateway_whose_hosts_omit_the_service_is_repaired_by_a_patch() -> None:
    servers = [{**OPEN["spec"]["servers"][0], "hosts": ["other/*"]}]  # type: ignore[index]
    closed = {**OPEN, "spec": {**OPEN["spec"], "servers": servers}}  # type: ignore[dict-item]
    last = walk(path(None, {"config": IstioConfig(gateways=(closed,))})).broken
    assert last
    assert last.outcome.problem
    assert str(last.outcome.problem.hint) == (
        "kubectl --context nhn -n istio-system patch gateways.networking.istio.io cross-network-gateway "
        """--type json -p '[{"op": "replace", "path": "/spec/servers/0/hosts", "value": ["*.local"]}]'"""
    )


def test_a_short_timeout_ends_calls_of_other_networks_only() -> None:
    short = config(virtual_services=[virtual(to(timeout="1ms"))])
    assert within(**short) == ("authorization", "ok")
    problem = problem_of(short)
    assert (problem.code, problem.seen) == ("route-delays", "a timeout of 1ms")


def test_a_route_that_aborts_names_the_status_of_grpc_too() -> None:
    abort = {"percentage": {"value": 100}, "grpcStatus": "UNAVAILABLE"}
    problem = problem_of(config(virtual_services=[virtual(to(fault={"abort": abort}))]))
    assert problem.seen == "every request is aborted with status UNAVAILABLE"


def test_a_policy_that_decides_by_the_request_leaves_the_path_open() -> None:
    tokens = item("AuthorizationPolicy", rules=[{"from": [{"source": {"requestPrincipals": ["*"]}}]}])
    trace = walk(path(None, config(authorization_policies=[tokens])))
    assert [(one.hop.id, one.outcome.state) for one in trace.open] == [("authorization", State.OK)]
    by_path = virtual(to("ratings", match=[{"uri": {"prefix": "/x"}}]))
    (hop,) = walk(path(config(virtual_services=[by_path]))).open
    assert hop.hop.id == ROUTES


HTTP, GRPC = service(), service(ports=[{"name": "grpc", "port": 9080}])
OTHER = service(ports=[{"name": "http", "port": 9090}])


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ({"kt": HTTP, "ncloud": HTTP, "nhn": GRPC}, "nhn: port 9080 of sample/reviews is not that of kt"),
        ({"kt": GRPC, "ncloud": HTTP, "nhn": HTTP}, "kt: port 9080 of sample/reviews is not that of ncloud"),
        ({"kt": HTTP, "nhn": GRPC}, "nhn: port 9080 of sample/reviews is not that of kt"),
        (
            {"kt": HTTP, "ncloud": OTHER, "nhn": OTHER},
            "nhn: port 9080 of sample/reviews is not that of kt",
        ),
    ],
    ids=["one of three", "the first of three", "one of two", "the port is missing in two"],
)
def test_the_cluster_with_the_deviating_port_is_named_for_every_caller(
    services: dict[str, Any], message: str
) -> None:
    kt, nhn = view("kt", 1, service=services["kt"]), view("nhn", 2, service=services["nhn"])
    ends = [walk(Path(NAME, 9080, a, b, services=services)).broken for a, b in ((kt, nhn), (nhn, kt))]
    assert {one.outcome.problem.message for one in ends if one and one.outcome.problem} == {message}


def test_a_cluster_whose_own_service_lacks_the_port_is_named_for_its_own_calls_too() -> None:
    nhn = view("nhn", 2, service=OTHER)
    end = walk(Path(NAME, 9080, nhn, nhn, services={"kt": HTTP, "nhn": OTHER})).broken
    assert end
    assert end.outcome.problem
    assert end.outcome.problem.message == "nhn: port 9080 of sample/reviews is not that of kt"


def test_a_service_that_names_another_host_is_one_problem_of_all_paths() -> None:
    external = service(externalName="x.example")
    kt, nhn = view("kt", 1), view("nhn", 2, service=external)
    services = {"kt": service(), "nhn": external}
    pairs = ((kt, nhn), (nhn, kt), (nhn, nhn))
    ends = [walk(Path(NAME, 9080, a, b, services=services)).broken for a, b in pairs]
    problems = {one.outcome.problem for one in ends if one}
    assert [str(one.hint) for one in problems if one] == [
        "use type ClusterIP, with selector and ports: kubectl --context nhn -n sample edit service reviews"
    ]


def test_a_missing_service_is_created_like_that_of_the_first_cluster_that_has_it() -> None:
    nhn = view("nhn", 2, service=None)
    services = {"kt": service(), "ncloud": service()}
    for client in (view("kt", 1), view("ncloud", 1)):
        end = walk(Path(NAME, 9080, client, nhn, services=services)).broken
        assert end
        assert end.outcome.problem
        assert str(end.outcome.problem.hint) == (
            "create it in nhn, like that of kt: kubectl --context kt -n sample get service reviews -o yaml"
        )


def test_within_a_cluster_only_its_own_needs_are_checked() -> None:
    kt = view("kt", 1, gateway_endpoints={}, discovery=None)
    trace = walk(Path(NAME, 9080, kt, kt))
    assert (trace.broken, [one.outcome.state for one in trace.hops if one.outcome.state is not State.OK]) == (
        None,
        [],
    )


PAGE = b"""\
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
    assert read_endpoints(b"", outbound(9080, NAME.host)) == ()


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


def policy(namespace: str, direction: str, *rules: dict[str, Any]) -> dict[str, Any]:
    """A NetworkPolicy for all pods of a namespace."""
    spec = {"podSelector": {}, "policyTypes": [direction.title()], direction: list(rules)}
    return {"metadata": {"name": "deny", "namespace": namespace}, "spec": spec}


BLOCKED = ("network-policy", "broken")


@pytest.mark.parametrize(
    ("client", "target", "expected"),
    [
        (policy("sample", "egress"), None, BLOCKED),
        (policy("sample", "egress", {"ports": [{"port": 15443}]}), None, END),
        (policy("sample", "egress", {"to": [{"ipBlock": {"cidr": "198.18.0.21/32"}}]}), None, BLOCKED),
        (policy("sample", "egress", {"to": [{"ipBlock": {"cidr": "198.18.0.22/32"}}]}), None, END),
        (policy("sample", "ingress"), None, END),  # the client is not called
        (policy("shop", "egress"), None, END),
        (None, policy("sample", "ingress"), BLOCKED),
        (None, policy("sample", "ingress", {"from": [{"podSelector": {}}]}), BLOCKED),
        (None, policy("sample", "ingress", {"from": [{"namespaceSelector": {}}]}), END),
        (None, policy("sample", "ingress", {"ports": [{"port": 9080}]}), END),
        (None, policy("sample", "egress"), END),
        (None, policy("istio-system", "egress"), BLOCKED),
        (None, policy("istio-system", "egress", {}), END),
    ],
    ids=str,
)
def test_network_policies_end_a_call_that_no_rule_allows(
    client: dict[str, Any] | None, target: dict[str, Any] | None, expected: tuple[str, str]
) -> None:
    found = [{"network_policies": (one,)} if one else None for one in (client, target)]
    assert outcome(*found) == expected


def test_network_policies_that_this_user_may_not_list_leave_the_hop_unknown() -> None:
    hops = walk(path({"network_policies": None})).hops
    assert {one.hop.id: one.outcome.state for one in hops}["network-policy"] is State.UNKNOWN


@pytest.mark.parametrize(("namespace", "is_blocked"), [("sample", True), ("istio-system", False)])
def test_within_a_cluster_the_pods_themselves_are_called(namespace: str, *, is_blocked: bool) -> None:
    own = view("kt", 1, network_policies=(policy(namespace, "egress"),))
    assert (walk(Path(NAME, 9080, own, own)).broken is not None) is is_blocked


def within(**changes: Any) -> tuple[str, str]:
    """Where a walk within a cluster ends."""
    kt = view("kt", 1, **changes)
    last = walk(Path(NAME, 9080, kt, kt)).hops[-1]
    return last.hop.id, last.outcome.state.value


PLAIN = rule(tls={"mode": "DISABLE"})
STRICT = item("PeerAuthentication", mtls={"mode": "STRICT"})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (config(destination_rules=[PLAIN]), "ok"),
        (config(destination_rules=[PLAIN], peer_authentications=[STRICT]), "broken"),
        (config(peer_authentications=[STRICT]), "ok"),
        ({**config(peer_authentications=[STRICT]), **mesh(enableAutoMtls=False)}, "broken"),
        (
            {
                "endpoints": (Endpoint("10.201.0.7", None, "", meshed=False),),
                **config(peer_authentications=[STRICT], destination_rules=[PLAIN]),
            },
            "ok",
        ),
    ],
)
def test_within_a_cluster_plain_text_is_refused_only_where_mtls_is_required(
    changes: dict[str, Any], expected: str
) -> None:
    assert within(**changes)[1] == expected


def problem_of(client: dict[str, Any] | None = None, target: dict[str, Any] | None = None) -> Problem:
    """What is said of the hop that is broken."""
    found = walk(path(client, target)).broken
    assert found
    assert found.outcome.problem
    return found.outcome.problem


def http_route(*rules: dict[str, Any], namespace: str = "sample", **parent: Any) -> dict[str, Any]:
    """A config with an HTTPRoute whose parent is the Service, as it is read."""
    of = {"group": "", "kind": "Service", "name": "reviews", "namespace": "sample", **parent}
    route = item("HTTPRoute", namespace=namespace, parentRefs=[of], rules=list(rules))
    return config(virtual_services=as_virtual_services(route))


def backend(name: str = "reviews", **more: Any) -> dict[str, Any]:
    return {"backendRefs": [{"name": name, "port": 9080}], **more}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (http_route(backend()), END),
        (http_route(backend("ratings")), (ROUTES, "broken")),
        (http_route({}), (ROUTES, "broken")),
        (http_route(backend(filters=[{"type": "RequestRedirect"}])), (ROUTES, "broken")),
        (http_route(backend(filters=[{"type": "RequestMirror"}])), END),
        (http_route(backend("ratings"), kind="Gateway", group="gateway.networking.k8s.io"), END),
        (http_route(backend("ratings"), name="ratings"), END),
        (http_route(backend("ratings"), port=9080), (ROUTES, "broken")),
        (http_route(backend("ratings"), port=80), END),
        (http_route(backend("ratings"), namespace="shop"), END),
        (
            http_route(
                backend("ratings", matches=[{"path": {"type": "PathPrefix", "value": "/x"}}]), backend()
            ),
            END,
        ),
        (
            http_route(backend("ratings", matches=[{"path": {"type": "PathPrefix", "value": "/"}}])),
            (ROUTES, "broken"),
        ),
        (
            http_route({"backendRefs": [{"name": "ratings"}, {"name": "reviews", "weight": 0}]}),
            (ROUTES, "broken"),
        ),
        (http_route({"backendRefs": [{"name": NAME.host, "kind": "Hostname"}]}), END),
    ],
)
def test_an_http_route_of_a_service_is_followed(found: dict[str, Any], expected: tuple[str, str]) -> None:
    assert outcome(found) == expected


def test_an_http_route_is_edited_as_what_it_is() -> None:
    found = problem_of(http_route(backend("ratings")))
    assert found.message == "kt: HTTPRoute sample/one routes sample/reviews elsewhere"
    assert str(found.hint).endswith("kubectl --context kt -n sample edit httproute one")


def ingress(port: int = 9080, to: str = "127.0.0.1:8081", **selector: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"ingress": [{"port": {"number": port}, "defaultEndpoint": to}]}
    if selector:
        spec["workloadSelector"] = {"labels": selector}
    return config(sidecars=[item("Sidecar", **spec)])


@pytest.mark.parametrize(
    ("found", "port"),
    [
        (ingress(), 8081),
        (ingress(app="reviews"), 8081),
        (ingress(app="other"), None),
        (ingress(port=80), None),
        (ingress(to="127.0.0.1:9080"), None),
        (ingress(to="unix:///run/app"), None),
    ],
)
def test_the_ingress_of_a_sidecar_sends_calls_to_another_port(
    found: dict[str, Any], port: int | None
) -> None:
    sent = forwarding(view("nhn", 2, **found), pod("reviews", app="reviews"), 9080)
    assert (sent[1] if sent else None) == port


def test_a_sidecar_that_sends_calls_to_a_port_that_refuses_is_named() -> None:
    found = problem_of(None, {**ingress(), "refused": "reviews-1"})
    assert found.message == "nhn: Sidecar sample/one sends calls of sample/reviews to port 8081"
    assert str(found.hint).endswith("kubectl --context nhn -n sample edit sidecar one")


def entry(namespace: str = "sample", **labels: str) -> dict[str, Any]:
    return item("WorkloadEntry", namespace=namespace, address="192.0.2.7", labels=labels)


def test_a_workload_entry_that_the_service_selects_is_a_warning() -> None:
    kt = view("kt", 1)
    (found,) = selected_entries(kt, NAME, [entry(app="other"), entry(app="reviews", version="v1")])
    assert found.message == "kt: WorkloadEntry sample/one is an endpoint of Service sample/reviews too"
    assert "192.0.2.7" in str(found.seen)
    assert selected_entries(kt, NAME, [entry("shop", app="reviews")]) == []
    assert selected_entries(view("kt", 1, service=None), NAME, [entry(app="reviews")]) == []


@pytest.mark.parametrize(
    ("labels", "namespace", "named"),
    [({}, "sample", True), ({"app": "x"}, "sample", False), ({}, "istio-system", True), ({}, "shop", False)],
)
def test_an_envoy_filter_of_a_proxy_without_endpoints_is_named(
    labels: dict[str, str], namespace: str, *, named: bool
) -> None:
    envoy_filter = item("EnvoyFilter", "odd", namespace, workloadSelector={"labels": labels})
    found = problem_of({"client_endpoints": (), "envoy_filters": (envoy_filter,)})
    assert (f"EnvoyFilter {namespace}/odd" in str(found.seen)) is named
    assert ("edit envoyfilter odd" in str(found.hint)) is named


ADDED = Endpoint("10.9.9.9", None, "")


def slice_of(address: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": "manual", "namespace": "sample", "labels": labels}
    return {"kind": "EndpointSlice", "metadata": metadata, "endpoints": [{"addresses": [address]}]}


def test_an_endpoint_that_a_user_added_is_a_warning_with_its_slice() -> None:
    nhn = view("nhn", 2, endpoints=(*view("nhn", 2).endpoints, ADDED))
    (problem,) = added_slices(nhn, NAME, [slice_of("10.9.9.9"), slice_of("10.202.0.7")])
    assert problem.message == "nhn: EndpointSlice sample/manual adds an endpoint to Service sample/reviews"
    assert problem.seen == "10.9.9.9, which no pod has; a share of the calls goes there"
    assert str(problem.hint) == (
        "if none does, remove the address: kubectl --context nhn -n sample edit endpointslice manual"
    )


CONTROLLER = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}


@pytest.mark.parametrize(
    ("changes", "slices"),
    [
        ({}, [slice_of("10.202.0.7")]),
        ({"endpoints": (ADDED,)}, [slice_of("10.9.9.9", **CONTROLLER)]),
        ({"endpoints": (ADDED,), "pods": None}, [slice_of("10.9.9.9")]),
        ({"endpoints": (ADDED,), "service": service(selector=None)}, [slice_of("10.9.9.9")]),
    ],
    ids=["of a pod", "of a pod that just ended", "pods were not read", "a Service without a selector"],
)
def test_other_endpoints_are_no_warning(changes: dict[str, Any], slices: list[dict[str, Any]]) -> None:
    assert added_slices(view("nhn", 2, **changes), NAME, slices) == []


def envoy_filter(context: str, app: str, namespace: str = "sample") -> dict[str, Any]:
    patches = [{"applyTo": "HTTP_FILTER", "match": {"context": context}}]
    selector = {"labels": {"app": app}}
    return item("EnvoyFilter", namespace=namespace, workloadSelector=selector, configPatches=patches)


PLUGIN = item("WasmPlugin", selector={"matchLabels": {"app": "reviews"}})
ON_SERVER, ON_CLIENT = (
    "it applies to the proxy of server sample/reviews",
    "it applies to the proxy of client sample/sleep",
)


@pytest.mark.parametrize(
    ("found", "seen"),
    [
        (envoy_filter("SIDECAR_INBOUND", "reviews"), ON_SERVER),
        (envoy_filter("SIDECAR_OUTBOUND", "reviews"), None),
        (envoy_filter("SIDECAR_OUTBOUND", "sleep"), ON_CLIENT),
        (envoy_filter("ANY", "sleep"), ON_CLIENT),
        (envoy_filter("ANY", "sleep", "istio-system"), ON_CLIENT),
        (envoy_filter("ANY", "sleep", "shop"), None),
        (envoy_filter("GATEWAY", "reviews"), None),
        (item("EnvoyFilter", configPatches=[{}]), f"{ON_CLIENT} and server sample/reviews"),
        (PLUGIN, ON_SERVER),
    ],
)
def test_a_filter_of_the_proxies_of_a_call_is_a_warning(found: dict[str, Any], seen: str | None) -> None:
    warnings = filter_warnings(view("kt", 1, envoy_filters=(found,)), NAME)
    assert [one.seen for one in warnings] == ([seen] if seen else [])
    if warnings:
        kind = found["kind"]
        assert warnings[0].message.startswith(f"kt: {kind} ")
        assert f" get {kind.lower()} one -o yaml" in str(warnings[0].hint)


def test_pods_that_are_not_ready_are_named_with_what_they_wait_for() -> None:
    waiting = bare("reviews-1")
    waiting["status"] = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}
    changes: dict[str, Any] = {"endpoints": (), "pods": (waiting, bare("reviews-2"))}
    seen = problem_of(None, changes).seen
    assert seen == "2 pods, none ready: reviews-1 (ImagePullBackOff), reviews-2"


def test_a_selector_without_pods_is_written_as_kubectl_writes_it() -> None:
    changes: dict[str, Any] = {"endpoints": (), "service": service(selector={"app": "review", "v": "1"})}
    assert problem_of(None, changes).seen == "no pod has the labels of its selector: app=review,v=1"


def test_an_envoy_filter_of_a_gateway_without_a_route_is_named() -> None:
    envoy_filter = item("EnvoyFilter", "odd", "istio-system")
    found = problem_of(None, {"gateway_endpoints": {"gateway": ()}, "envoy_filters": (envoy_filter,)})
    assert "EnvoyFilter istio-system/odd" in str(found.seen)


def test_pods_of_a_headless_service_are_called_within_their_cluster() -> None:
    kt = view("kt", 1, service=service(clusterIP="None"), client_endpoints=())
    assert walk(Path(NAME, 9080, kt, kt)).broken is None


def test_a_subset_without_mtls_is_named_and_repaired_at_that_subset() -> None:
    found = problem_of(of_subset(policy=UNENCRYPTED), config(destination_rules=[V1]))
    assert found.message == "kt: DestinationRule sample/one turns mTLS off for subset v1 of sample/reviews"
    assert '"path": "/spec/subsets/0/trafficPolicy/tls"' in str(found.hint)


def test_a_mutual_rule_of_one_port_is_repaired_at_that_port() -> None:
    levels = [{"port": {"number": one}, "tls": {"mode": "DISABLE"}} for one in (80, 9080)]
    found = problem_of(config(destination_rules=[rule(portLevelSettings=levels)]))
    assert str(found.hint) == (
        "kubectl --context kt -n sample patch destinationrule one --type json -p "
        """'[{"op": "replace", "path": "/spec/trafficPolicy/portLevelSettings/1/tls", """
        """"value": {"mode": "ISTIO_MUTUAL"}}]'"""
    )


def test_a_sidecar_gets_the_host_beside_those_it_has_but_not_beside_none() -> None:
    def hint(*hosts: str) -> str:
        sidecar = item("Sidecar", egress=[{"port": {"number": 80}, "hosts": ["*/*"]}, {"hosts": list(hosts)}])
        return str(problem_of(config(sidecars=[sidecar])).hint)

    host = "sample/reviews.sample.svc.cluster.local"
    assert hint("istio-system/*").endswith(
        f"""'[{{"op": "add", "path": "/spec/egress/1/hosts/-", "value": "{host}"}}]'"""
    )
    assert hint("~/*").endswith(
        f"""'[{{"op": "add", "path": "/spec/egress/1/hosts", "value": ["{host}"]}}]'"""
    )


def test_a_target_port_is_corrected_where_the_containers_declare_one() -> None:
    def hint(*numbers: int) -> str:
        there = pod("reviews", app="reviews")
        ports = [{"containerPort": one} for one in numbers]
        proxy = {"name": "istio-proxy", "ports": [{"containerPort": 15090}]}
        there["spec"]["containers"] = [{"name": "reviews", "ports": ports}, proxy]
        given = service(ports=[{"name": "x", "port": 1}, {"name": "http", "port": 9080, "targetPort": "web"}])
        return str(
            problem_of(
                None,
                {
                    "service": given,
                    "endpoints": (Endpoint("10.202.0.7", there, "zone-1", meshed=True, ports={}),),
                },
            ).hint
        )

    assert hint(9090) == (
        "kubectl --context nhn -n sample patch service reviews --type json -p "
        """'[{"op": "replace", "path": "/spec/ports/1/targetPort", "value": 9090}]'"""
    )
    assert hint(9090, 9091).startswith("correct its targetPort: ")


INJECTORS = (
    {
        "namespaceSelector": {
            "matchExpressions": [{"key": "istio-injection", "operator": "In", "values": ["enabled"]}]
        },
        "objectSelector": {
            "matchExpressions": [{"key": INJECT, "operator": "NotIn", "values": ["false"]}],
        },
    },
    {
        "namespaceSelector": {
            "matchExpressions": [
                {"key": "istio.io/rev", "operator": "In", "values": ["stable"]},
                {"key": "istio-injection", "operator": "DoesNotExist"},
            ]
        },
        "objectSelector": {
            "matchExpressions": [{"key": INJECT, "operator": "NotIn", "values": ["false"]}],
        },
    },
)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, "label namespace sample istio-injection=enabled --overwrite && R"),
        ({"istio-injection": "enable"}, "label namespace sample istio-injection=enabled --overwrite && R"),
        ({"istio.io/rev": "gone"}, "label namespace sample istio-injection=enabled --overwrite && R"),
        ({"istio-injection": "enabled"}, "R"),
        ({"istio.io/rev": "stable"}, "R"),
    ],
)
def test_pods_are_injected_by_the_label_that_a_webhook_selects(labels: dict[str, str], expected: str) -> None:
    kt = view("kt", 1, namespaces={"sample": labels}, injectors=INJECTORS)
    restart = "kubectl --context kt -n sample rollout restart deployment/reviews"
    hint = str(inject(kt, "sample", [owned(bare("reviews"))]))
    assert (
        hint.removeprefix("kubectl --context kt ")
        .replace(restart, "R")
        .replace(restart.removeprefix("kubectl --context kt "), "R")
        == expected
    )


def owned(found: dict[str, Any]) -> dict[str, Any]:
    """A pod of a Deployment of the name of its app."""
    app = found["metadata"]["labels"]["app"]
    found["metadata"]["labels"]["pod-template-hash"] = "1"
    found["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": f"{app}-1"}]
    return found


def test_a_namespace_is_labelled_like_others_with_the_revision_that_injects() -> None:
    others = {"sample": {"istio-injection": "disabled"}, "shop": {"istio.io/rev": "stable"}}
    kt = view("kt", 1, namespaces=others, injectors=INJECTORS[1:])
    assert [str(one) for one in mark(kt, "sample") or ()] == [
        "kubectl --context kt label namespace sample istio.io/rev=stable istio-injection- --overwrite"
    ]
    assert mark(view("kt", 1, namespaces={"sample": {}}, injectors=()), "sample") is None


def test_pods_that_opt_out_do_so_no_more() -> None:
    out = owned(bare("sleep"))
    out["metadata"]["labels"][INJECT] = "false"
    kt = view("kt", 1, injectors=INJECTORS)
    hint = str(inject(kt, "sample", [out]))
    assert hint.startswith("kubectl --context kt -n sample patch deployment/sleep --type merge -p ")
    assert '"sidecar.istio.io/inject": null' in hint
    assert "rollout" not in hint
    assert why_not_injected(kt, "sample", [out]) == "sidecar.istio.io/inject: false on the pods"
    alone = bare("job")
    assert str(inject(kt, "sample", [alone])).startswith("have the pods injected, and restart them: ")


def test_a_pod_whose_label_turns_mtls_off_loses_that_label() -> None:
    off = owned(bare("sleep"))
    off["metadata"]["labels"]["security.istio.io/tlsMode"] = "disabled"
    kt = view("kt", 1, injectors=INJECTORS)
    assert why_not_injected(kt, "sample", [off]) == "label security.istio.io/tlsMode=disabled on the pods"
    assert '{"labels": {"security.istio.io/tlsMode": null}}' in str(inject(kt, "sample", [off]))


def test_pods_of_the_node_network_are_never_injected() -> None:
    found = owned(bare("reviews"))
    found["spec"]["hostNetwork"] = True
    nhn = view("nhn", 2)
    hint = inject(nhn, "sample", [found])
    assert str(hint) == (
        "remove hostNetwork, if it works without: kubectl --context nhn -n sample edit deployment/reviews"
    )
    assert (
        why_not_injected(nhn, "sample", [found]) == "hostNetwork: true in the pods: they are never injected"
    )


def test_only_webhooks_that_inject_sidecars_count() -> None:
    def configuration(app: str) -> dict[str, Any]:
        return {"metadata": {"labels": {"app": app}}, "webhooks": [{"name": app}]}

    assert injectors([configuration("sidecar-injector"), configuration("other")]) == (
        {"name": "sidecar-injector"},
    )


def test_an_annotation_keeps_what_it_has_of_other_ports() -> None:
    client = annotated(excludeOutboundPorts="80, 9080")
    client = owned({**client, "metadata": {**client["metadata"], "labels": {"app": "sleep"}}})
    assert bypassed_outbound(client, 9080, "") == ("traffic.sidecar.istio.io/excludeOutboundPorts", "80")
    assert '"traffic.sidecar.istio.io/excludeOutboundPorts": "80"' in str(problem_of({"client": client}).hint)
    reviews = annotated("reviews", includeInboundPorts="80")
    assert bypassed_inbound(reviews, 9080) == ("traffic.sidecar.istio.io/includeInboundPorts", "80,9080")


def test_a_namespace_is_labelled_as_a_selector_requires() -> None:
    def hint(*selectors: dict[str, Any]) -> str:
        return str(problem_of(None, mesh(discoverySelectors=list(selectors))).hint)

    named = {"matchLabels": {"kubernetes.io/metadata.name": "x"}}
    assert hint(named, {"matchLabels": {"mesh": "yes"}}) == (
        "kubectl --context nhn label namespace sample mesh=yes --overwrite"
    )
    assert hint(named).startswith("label the namespace as one of the selectors requires: ")


def test_the_selectors_of_a_client_count_for_the_namespaces_of_its_targets() -> None:
    found = problem_of(mesh(discoverySelectors=[{"matchLabels": {"mesh": "yes"}}]))
    assert found.message == "nhn: namespace sample is left out by discoverySelectors of kt"
    assert str(found.hint) == "kubectl --context nhn label namespace sample mesh=yes --overwrite"


def test_the_namespace_of_the_targets_gateway_must_be_selected_too() -> None:
    namespaces = {"sample": {"mesh": "yes"}, "istio-system": {}}
    selectors = mesh(discoverySelectors=[{"matchLabels": {"mesh": "yes"}}])
    found = problem_of(selectors, {"namespaces": namespaces})
    assert found.message == "nhn: namespace istio-system is left out by discoverySelectors of kt"
    both = problem_of(selectors, {"namespaces": {"sample": {}, "istio-system": {}}})
    assert both.message == "nhn: namespaces sample and istio-system are left out by discoverySelectors of kt"
