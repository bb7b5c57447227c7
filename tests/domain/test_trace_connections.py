"""What users write of connections: of DestinationRules beside mTLS, and of a Sidecar's listeners."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from istio_mc.domain.trace.destination_rule import limits
from istio_mc.domain.trace.hops import walk
from istio_mc.domain.trace.model import Endpoint, Outcome, Path
from tests.domain.test_trace_hops import (
    END,
    NAME,
    STRICT,
    V1,
    bare,
    config,
    item,
    mesh,
    not_intercepted,
    of_port,
    of_subset,
    outcome,
    path,
    pod,
    problem_of,
    rule,
    service,
    to,
    view,
    virtual,
    within,
)

RULE = "destination-rule"
BROKEN, LOCAL = (RULE, "broken"), (RULE, "local")
PROXY: dict[str, Any] = {"proxyProtocol": {"version": "V2"}}
ORIGINAL: dict[str, Any] = {"loadBalancer": {"simple": "PASSTHROUGH"}}
DISTRIBUTE: dict[str, Any] = {"localityLbSetting": {"distribute": [{"from": "a/*", "to": {"a/*": 100}}]}}
SPREAD = {"loadBalancer": {"localityLbSetting": {"enabled": False}}}
OWN_NAME = "outbound_.9080_._.reviews.sample.svc.cluster.local"
ACCOUNT = "spiffe://cluster.local/ns/sample/sa/reviews"


def ruled(**policy: Any) -> dict[str, Any]:
    return config(destination_rules=[rule(**policy)])


def mutual(**more: Any) -> dict[str, Any]:
    return ruled(tls={"mode": "ISTIO_MUTUAL", **more})


def pool(*, tcp: dict[str, Any] | None = None, **http: int) -> dict[str, Any]:
    return {"connectionPool": {**({"tcp": tcp} if tcp else {}), **({"http": http} if http else {})}}


@pytest.mark.parametrize(
    ("client", "target", "expected"),
    [
        # A PROXY header before TLS
        (ruled(**PROXY), None, BROKEN),
        (ruled(proxyProtocol={}), None, BROKEN),
        (ruled(**PROXY, **of_port()), None, END),
        (of_subset(policy=PROXY), config(destination_rules=[V1]), BROKEN),
        (None, ruled(**PROXY), END),
        # The address of the Service itself
        (ruled(**ORIGINAL), None, LOCAL),
        ({**ruled(**ORIGINAL), "endpoints": ()}, None, BROKEN),
        (None, ruled(**ORIGINAL), BROKEN),
        # Other names in TLS
        (mutual(sni="reviews.example"), None, BROKEN),
        (mutual(sni=OWN_NAME), None, END),
        (mutual(subjectAltNames=["reviews.example"]), None, BROKEN),
        (mutual(subjectAltNames=["reviews.example", ACCOUNT]), None, END),
        (mutual(subjectAltNames=[]), None, END),
        (ruled(tls={}), None, BROKEN),
        # A connection that may not take the time of a handshake
        (ruled(**pool(tcp={"connectTimeout": "1ms"})), None, BROKEN),
        (ruled(**pool(tcp={"connectTimeout": "1s"})), None, END),
        (None, ruled(**pool(tcp={"connectTimeout": "1ms"})), END),
        (
            config(virtual_services=[virtual(to(retries={"attempts": 2, "perTryTimeout": "2ms"}))]),
            None,
            ("virtual-service", "broken"),
        ),
        # Locality
        (mesh(**DISTRIBUTE), None, LOCAL),
        ({**mesh(**DISTRIBUTE), **ruled(**SPREAD)}, None, END),
        ({**mesh(**DISTRIBUTE), **ruled(loadBalancer={"simple": "RANDOM"})}, None, LOCAL),
    ],
)
def test_settings_of_connections_end_a_walk_or_do_not(
    client: dict[str, Any] | None, target: dict[str, Any] | None, expected: tuple[str, str]
) -> None:
    assert outcome(client, target) == expected


@pytest.mark.parametrize(
    ("client", "target", "seen", "operation"),
    [
        (
            ruled(**PROXY),
            None,
            "proxyProtocol V2: a PROXY header is sent before TLS",
            '"op": "remove", "path": "/spec/trafficPolicy"',
        ),
        (
            None,
            ruled(**ORIGINAL),
            "loadBalancer simple PASSTHROUGH: the gateway has no endpoint then",
            '"path": "/spec/trafficPolicy/loadBalancer/simple", "value": "LEAST_REQUEST"',
        ),
        (
            mutual(sni="reviews.example"),
            None,
            "tls sni reviews.example",
            '"op": "remove", "path": "/spec/trafficPolicy/tls/sni"',
        ),
        (
            mutual(subjectAltNames=["old"]),
            None,
            f"tls subjectAltNames old; pods have {ACCOUNT}",
            '"op": "remove", "path": "/spec/trafficPolicy/tls/subjectAltNames"',
        ),
        (
            ruled(**pool(tcp={"connectTimeout": "1ms"})),
            None,
            "connectTimeout 1ms",
            '"op": "remove", "path": "/spec/trafficPolicy"',
        ),
    ],
)
def test_the_setting_of_the_rule_is_named_and_repaired(
    client: dict[str, Any] | None, target: dict[str, Any] | None, seen: str, operation: str
) -> None:
    found = problem_of(client, target)
    where = "kt" if client else "nhn"
    assert found.code == "destination-rule-connection"
    assert found.message == f"{where}: calls of sample/reviews fail by DestinationRule sample/one"
    assert found.seen == seen
    assert str(found.hint).startswith(f"kubectl --context {where} -n sample patch destinationrule one ")
    assert operation in str(found.hint)


@pytest.mark.parametrize(
    ("policy", "operation"),
    [
        ({**PROXY, "outlierDetection": {}}, "/spec/trafficPolicy/proxyProtocol"),
        (
            pool(tcp={"connectTimeout": "1ms", "maxConnections": 9}),
            "/spec/trafficPolicy/connectionPool/tcp/connectTimeout",
        ),
        (
            {**pool(tcp={"connectTimeout": "1ms"}), "outlierDetection": {}},
            "/spec/trafficPolicy/connectionPool",
        ),
        (
            {
                "portLevelSettings": [{"port": {"number": 9080}, **pool(tcp={"connectTimeout": "1ms"})}],
                "outlierDetection": {},
            },
            "/spec/trafficPolicy/portLevelSettings",
        ),
    ],
)
def test_a_repair_removes_what_it_leaves_empty_and_nothing_else(
    policy: dict[str, Any], operation: str
) -> None:
    """Istio's webhook refuses an empty policy."""
    assert f'"path": "{operation}"' in str(problem_of(ruled(**policy), None).hint)


def test_within_a_cluster_a_proxy_header_is_refused_by_sidecars_only() -> None:
    assert within(**ruled(**PROXY)) == BROKEN
    plain = (Endpoint("10.201.0.7", bare("reviews"), "zone-1", meshed=False),)
    assert within(**ruled(**PROXY), endpoints=plain)[1] == "ok"


def test_within_a_cluster_names_and_timeouts_of_gateways_do_not_count() -> None:
    for given in (
        mutual(sni="reviews.example"),
        ruled(**pool(tcp={"connectTimeout": "1ms"})),
        ruled(**ORIGINAL),
    ):
        assert within(**given)[1] == "ok"


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (bare("reviews"), "broken"),
        # Its sidecar accepts mTLS all the same.
        (pod("reviews", app="reviews", **{"security.istio.io/tlsMode": "disabled"}), "ok"),
        (None, "ok"),
    ],
)
def test_within_a_cluster_a_rule_of_mutual_tls_needs_sidecars(
    server: dict[str, Any] | None, expected: str
) -> None:
    endpoints = (Endpoint("10.201.0.7", server, "zone-1", meshed=False),)
    assert within(**mutual(), endpoints=endpoints)[1] == expected


def dr_hop(client: dict[str, Any] | None = None, target: dict[str, Any] | None = None) -> Outcome:
    return next(one.outcome for one in walk(path(client, target)).hops if one.hop.id == RULE)


def test_consistent_hash_depends_on_the_request() -> None:
    found = dr_hop(ruled(loadBalancer={"consistentHash": {"useSourceIp": True}}))
    assert found.is_open
    assert (
        found.seen
        == "DestinationRule sample/one: consistentHash by useSourceIp sends equal calls to one endpoint"
    )


def test_requests_that_are_aborted_in_part_depend_on_the_request() -> None:
    fault = {"abort": {"percentage": {"value": 50}, "httpStatus": 503}}
    hops = walk(path(config(virtual_services=[virtual(to(fault=fault))]))).hops
    found = next(one.outcome for one in hops if one.hop.id == "virtual-service")
    assert (found.is_open, found.seen) == (
        True,
        "VirtualService sample/one aborts 50 % of requests with status 503",
    )


@pytest.mark.parametrize(
    ("client", "target", "seen"),
    [
        (
            ruled(**pool(http1MaxPendingRequests=1, tcp={"maxConnections": 1})),
            None,
            ["kt: http1MaxPendingRequests 1"],
        ),
        (ruled(**pool(http2MaxRequests=9)), None, ["kt: http2MaxRequests 9"]),
        (ruled(**pool(http2MaxRequests=10)), None, []),
        (ruled(**pool(http1MaxPendingRequests=0)), None, []),
        # Calls wait for a connection.
        (ruled(**pool(tcp={"maxConnections": 1})), None, []),
        (
            None,
            ruled(**pool(tcp={"maxConnections": 1})),
            ["nhn: maxConnections 1 in the gateway, for all clients together"],
        ),
        (ruled(**pool(http2MaxRequests=1), **of_port()), None, []),
    ],
)
def test_a_connection_pool_that_refuses_all_but_a_few_calls_is_a_warning(
    client: dict[str, Any] | None, target: dict[str, Any] | None, seen: list[str]
) -> None:
    found = limits(path(client, target))
    assert [f"{one.cluster}: {one.seen}" for one in found] == [
        one.replace(": ", ": DestinationRule sample/one: ", 1) for one in seen
    ]
    assert {one.code for one in found} <= {"connection-pool-small"}
    assert dr_hop(client, target).is_open == bool(seen)


def test_calls_over_tcp_are_refused_beyond_the_connections() -> None:
    tcp = service(ports=[{"name": "tcp-db", "port": 9080}])
    few = {**ruled(**pool(tcp={"maxConnections": 2})), "service": tcp}
    whole = Path(NAME, 9080, view("kt", 1, **few), view("nhn", 2, service=tcp))
    assert [one.seen for one in limits(whole)] == ["DestinationRule sample/one: maxConnections 2"]


def listening(**listener: Any) -> dict[str, Any]:
    return item("Sidecar", egress=[{"port": {"number": 9080}, "hosts": ["*/*"], **listener}])


@pytest.mark.parametrize(
    ("listeners", "expected"),
    [
        ([listening(captureMode="NONE")], ("sidecar", "broken")),
        ([listening(bind="127.0.0.1")], ("sidecar", "broken")),
        ([listening(bind="10.96.0.9")], END),
        ([listening(bind="0.0.0.0")], END),  # noqa: S104
        ([listening(captureMode="IPTABLES")], END),
        (
            [
                item(
                    "Sidecar",
                    egress=[
                        {"port": {"number": 9080}, "hosts": ["*/*"], "captureMode": "NONE"},
                        {"hosts": ["*/*"]},
                    ],
                )
            ],
            END,
        ),
    ],
)
def test_an_egress_listener_gets_the_calls_of_the_address_of_the_service_or_none(
    listeners: list[dict[str, Any]], expected: tuple[str, str]
) -> None:
    addressed = service(clusterIP="10.96.0.9")
    assert outcome({**config(sidecars=listeners), "service": addressed}) == expected


def test_a_sidecar_that_intercepts_no_calls_is_repaired_at_its_listener() -> None:
    found = problem_of(config(sidecars=[listening(captureMode="NONE", bind="127.0.0.1")]))
    assert found.message == "kt: Sidecar sample/one does not intercept calls of sample/reviews"
    assert found.seen == "its listener (port 9080) has captureMode: NONE"
    assert str(found.hint) == (
        "kubectl --context kt -n sample patch sidecar one --type json -p "
        """'[{"op": "remove", "path": "/spec/egress/0/captureMode"}, """
        """{"op": "remove", "path": "/spec/egress/0/bind"}]'"""
    )


def binding(mode: str | None, port: int = 9080) -> dict[str, Any]:
    listener = {"port": {"number": port}, "defaultEndpoint": "127.0.0.1:8080"}
    return item("Sidecar", ingress=[{**listener, **({"captureMode": mode} if mode else {})}])


@pytest.mark.parametrize(
    ("sidecar", "expected"),
    [
        (binding(None), END),
        (binding("NONE"), END),
        (binding("IPTABLES"), ("endpoints", "broken")),
        (binding(None, 80), ("endpoints", "broken")),
    ],
)
def test_a_port_that_the_sidecar_listens_on_itself_needs_no_interception(
    sidecar: dict[str, Any], expected: tuple[str, str]
) -> None:
    endpoints = (Endpoint("10.202.0.7", not_intercepted("reviews"), "zone-1", meshed=True),)
    assert outcome(None, {"endpoints": endpoints, **config(sidecars=[sidecar])}) == expected


def test_an_ingress_listener_beside_the_interception_is_not_decided_where_only_mtls_is_accepted() -> None:
    def seen(*policies: dict[str, Any]) -> tuple[bool, str]:
        target = config(sidecars=[binding("NONE")], peer_authentications=policies)
        hops = walk(path(None, target)).hops
        found = next(one.outcome for one in hops if one.hop.id == "endpoints")
        return found.is_open, found.seen

    assert seen() == (False, "1 ready endpoint")
    is_open, shown = seen(STRICT)
    assert is_open
    assert shown == (
        "1 ready endpoint; not decided: pod reviews has a Sidecar with captureMode: NONE for port 9080, "
        "and accepts mTLS only"
    )


def test_an_account_is_known_only_if_all_pods_are() -> None:
    nhn = view("nhn", 2)
    endpoints = (*nhn.endpoints, Endpoint("10.202.0.8", None, "zone-1", meshed=True))
    called = replace(path(mutual(subjectAltNames=["old"])), target=replace(nhn, endpoints=endpoints))
    assert walk(called).broken is None


def labelled_service(*ports: int, namespace: str = "shop", **labels: str) -> dict[str, Any]:
    metadata = {
        "name": "web",
        "namespace": namespace,
        "labels": {"topology.istio.io/network": "network2", **labels},
    }
    status = {"loadBalancer": {"ingress": [{"ip": "198.18.0.22"}]}}
    spec = {"ports": [{"port": one} for one in ports]}
    return {"kind": "Service", "metadata": metadata, "spec": spec, "status": status}


GATEWAY_PORT = {"networking.istio.io/gatewayPort": "443"}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (labelled_service(80), ("discovery", "broken")),
        (labelled_service(80, 15443), END),
        (labelled_service(443, **GATEWAY_PORT), END),
        (labelled_service(15443, **GATEWAY_PORT), ("discovery", "broken")),
        (labelled_service(80, **{"topology.istio.io/network": "network1"}), END),
        ({**labelled_service(80), "status": {}}, END),
    ],
)
def test_a_service_with_the_label_of_a_network_is_named_where_istiods_call_it(
    found: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert outcome(None, {"of_network": (found,)}) == expected


def test_a_service_that_is_taken_for_a_gateway_loses_the_label() -> None:
    found = problem_of({"of_network": (labelled_service(80),)})
    assert found.message == "kt: istiods take Service shop/web for a gateway of network2"
    assert str(found.hint) == (
        "kubectl --context kt -n shop patch service web --type merge -p "
        """'{"metadata": {"labels": {"topology.istio.io/network": null}}}'"""
    )
