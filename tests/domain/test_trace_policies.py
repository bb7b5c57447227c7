"""AuthorizationPolicy and PeerAuthentication, decided as Istio does where nothing depends on the request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from istio_mc.domain.mesh import ApiServer, Cluster
from istio_mc.domain.trace.authentication import effective_mode
from istio_mc.domain.trace.model import ClusterView, IstioConfig
from istio_mc.domain.trace.policies import Caller, decide, matches_text

CALLER = Caller("cluster.local", "sample", "sleep", 9080, http=True, local_domains=("cluster.local",))
SAMPLE = {"namespaces": ["sample"]}
OTHER = {"namespaces": ["other"]}


def policy(action: str | None, *rules: dict[str, Any] | None, name: str = "one") -> dict[str, Any]:
    spec: dict[str, Any] = {"rules": list(rules)} if rules else {}
    if action:
        spec["action"] = action
    metadata = {"name": name, "namespace": "sample"}
    return {"kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}


def source(**fields: list[str]) -> dict[str, Any]:
    return {"from": [{"source": fields}]}


def to(**fields: list[str]) -> dict[str, Any]:
    return {"to": [{"operation": fields}]}


def when(key: str, *values: str, negated: bool = False) -> dict[str, Any]:
    return {"when": [{"key": key, "notValues" if negated else "values": list(values)}]}


def verdict(*policies: dict[str, Any], caller: Caller = CALLER) -> str:
    found = decide(policies, caller)
    if found.refusing:
        return f"refused by {found.action}"
    return "depends" if found.undecided else "let in"


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([], "let in"),
        ([policy(None)], "refused by ALLOW"),
        ([policy("ALLOW", {})], "let in"),
        ([policy("ALLOW", None)], "let in"),
        ([policy("DENY")], "let in"),
        ([policy("DENY", {})], "refused by DENY"),
        ([policy("AUDIT", {})], "let in"),
        ([policy("CUSTOM", {})], "depends"),
        ([policy("ALLOW", source(**SAMPLE))], "let in"),
        ([policy("ALLOW", source(**OTHER))], "refused by ALLOW"),
        ([policy("ALLOW", source(**OTHER)), policy("ALLOW", source(**SAMPLE))], "let in"),
        ([policy("ALLOW", source(**OTHER), source(**SAMPLE))], "let in"),
        ([policy("ALLOW", {}), policy("DENY", source(**SAMPLE))], "refused by DENY"),
        ([policy("DENY", source(**OTHER))], "let in"),
        ([policy("DENY", source(notNamespaces=["sample"]))], "let in"),
        ([policy("DENY", source(notNamespaces=["other"]))], "refused by DENY"),
        ([policy("ALLOW", source(principals=["cluster.local/ns/sample/sa/sleep"]))], "let in"),
        ([policy("ALLOW", source(principals=["cluster.local/ns/sample/sa/default"]))], "refused by ALLOW"),
        ([policy("ALLOW", source(principals=["*/ns/sample/*"]))], "refused by ALLOW"),
        ([policy("ALLOW", source(principals=["*/sa/sleep"]))], "let in"),
        ([policy("ALLOW", source(principals=["cluster.local/ns/sample/*"]))], "let in"),
        ([policy("ALLOW", source(principals=["*"]))], "let in"),
        ([policy("ALLOW", source(principals=["other.example/ns/sample/sa/sleep"]))], "refused by ALLOW"),
        ([policy("ALLOW", source(serviceAccounts=["sample/sleep"]))], "let in"),
        ([policy("ALLOW", source(serviceAccounts=["sample/other"]))], "refused by ALLOW"),
        ([policy("ALLOW", source(serviceAccounts=["sleep"]))], "let in"),
        ([policy("ALLOW", source(serviceAccounts=["other"]))], "refused by ALLOW"),
        ([policy("DENY", source(notServiceAccounts=["sleep"]))], "let in"),
        ([policy("ALLOW", when("source.serviceAccount", "sleep"))], "let in"),
        ([policy("ALLOW", source(requestPrincipals=["*"]))], "depends"),
        ([policy("ALLOW", source(ipBlocks=["10.0.0.0/8"]))], "depends"),
        ([policy("ALLOW", source(namespaces=["other"], ipBlocks=["10.0.0.0/8"]))], "refused by ALLOW"),
        ([policy("DENY", {**source(**SAMPLE), **to(paths=["/admin"])})], "depends"),
        ([policy("DENY", {**source(**OTHER), **to(paths=["/admin"])})], "let in"),
        ([policy("ALLOW", to(ports=["9080"]))], "let in"),
        ([policy("ALLOW", to(ports=["80"]))], "refused by ALLOW"),
        ([policy("DENY", to(notPorts=["80"]))], "refused by DENY"),
        ([policy("ALLOW", to(methods=["GET"]))], "depends"),
        ([policy("ALLOW", to(methods=["GET"])), policy("ALLOW", source(**SAMPLE))], "let in"),
        ([policy("ALLOW", when("source.namespace", "sample"))], "let in"),
        ([policy("ALLOW", when("source.namespace", "sample", negated=True))], "refused by ALLOW"),
        ([policy("ALLOW", when("destination.port", "80"))], "refused by ALLOW"),
        ([policy("ALLOW", when("source.principal", "*/sa/sleep"))], "let in"),
        ([policy("ALLOW", when("request.headers[x]", "1"))], "depends"),
    ],
)
def test_a_caller_is_let_in_refused_or_it_depends(policies: list[dict[str, Any]], expected: str) -> None:
    assert verdict(*policies) == expected


@pytest.mark.parametrize(
    ("accounts", "expected"), [("sleep", "refused by ALLOW"), ("sample/sleep", "let in")]
)
def test_a_service_account_without_a_namespace_is_of_the_policys_namespace(
    accounts: str, expected: str
) -> None:
    given = policy("ALLOW", source(serviceAccounts=[accounts]))
    given["metadata"]["namespace"] = "istio-system"
    assert verdict(given) == expected


def test_cluster_local_in_a_principal_means_the_clusters_own_trust_domain_and_its_aliases() -> None:
    given = policy("ALLOW", source(principals=["cluster.local/ns/sample/sa/sleep"]))
    seoul = replace(CALLER, trust_domain="seoul", local_domains=("seoul", "busan"))
    assert verdict(given, caller=seoul) == "let in"
    assert verdict(given, caller=replace(seoul, trust_domain="busan")) == "let in"
    assert verdict(given, caller=replace(seoul, trust_domain="jeju")) == "refused by ALLOW"
    own = policy("ALLOW", source(principals=["seoul/ns/sample/sa/sleep"]))
    assert verdict(own, caller=replace(seoul, trust_domain="busan")) == "let in"


PLAIN = Caller("", "", "", 9080, http=False)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([policy("ALLOW", source(principals=["*"]))], "refused by ALLOW"),
        ([policy("ALLOW", source(namespaces=["*"]))], "refused by ALLOW"),
        ([policy("ALLOW", to(methods=["GET"]))], "refused by ALLOW"),
        ([policy("ALLOW", to(ports=["9080"]))], "let in"),
        ([policy("ALLOW", when("request.headers[x]", "1", negated=True))], "refused by ALLOW"),
        ([policy("DENY", when("request.headers[x]", "1", negated=True))], "refused by DENY"),
        ([policy("DENY", to(methods=["GET"]))], "refused by DENY"),
        ([policy("DENY", {**to(methods=["GET"]), **source(**SAMPLE)})], "let in"),
        ([policy("DENY", source(notPrincipals=["a"]))], "refused by DENY"),
        ([policy("ALLOW", source(ipBlocks=["10.0.0.0/8"]))], "depends"),
    ],
)
def test_tcp_calls_without_a_certificate_have_no_principal_and_no_request(
    policies: list[dict[str, Any]], expected: str
) -> None:
    assert verdict(*policies, caller=PLAIN) == expected


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [("*", "a", True), ("*", "", False), ("a*", "ab", True), ("*b", "ab", True), ("a", "ab", False)],
)
def test_patterns_are_exact_prefixes_or_suffixes(pattern: str, value: str, *, fits: bool) -> None:
    assert matches_text(pattern, value) is fits


def peer(
    mode: str | None,
    name: str = "one",
    namespace: str = "sample",
    *,
    created: str = "2026-01-01T00:00:00Z",
    app: str = "",
    ports: dict[str, Any] | None = None,
) -> dict[str, Any]:
    spec: dict[str, Any] = {"mtls": {"mode": mode}} if mode else {}
    if app:
        spec["selector"] = {"matchLabels": {"app": app}}
    if ports:
        spec["portLevelMtls"] = ports
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {"kind": "PeerAuthentication", "metadata": metadata, "spec": spec}


PODS = [{"metadata": {"namespace": "sample", "labels": {"app": "reviews"}}}]


@pytest.mark.parametrize(
    ("policies", "mode", "name"),
    [
        ([], "PERMISSIVE", None),
        ([peer("STRICT")], "STRICT", "one"),
        ([peer("DISABLE", "mesh", "istio-system")], "DISABLE", "mesh"),
        ([peer("DISABLE", "mesh", "istio-system"), peer("STRICT")], "STRICT", "one"),
        ([peer("DISABLE", "mesh", "istio-system"), peer(None)], "DISABLE", "mesh"),
        ([peer("DISABLE", "mesh", "istio-system"), peer("UNSET")], "DISABLE", "mesh"),
        ([peer("STRICT"), peer("DISABLE", "reviews", app="reviews")], "DISABLE", "reviews"),
        ([peer("STRICT"), peer("DISABLE", "other", app="other")], "STRICT", "one"),
        ([peer("DISABLE", namespace="other")], "PERMISSIVE", None),
        ([peer("DISABLE", app="reviews", namespace="istio-system")], "PERMISSIVE", None),
        ([peer("DISABLE"), peer("STRICT", "old", created="2025-01-01T00:00:00Z")], "STRICT", "old"),
        ([peer("STRICT", "port", app="reviews", ports={"9080": {"mode": "DISABLE"}})], "DISABLE", "port"),
        ([peer("STRICT", "port", app="reviews", ports={"80": {"mode": "DISABLE"}})], "STRICT", "port"),
    ],
)
def test_the_mode_is_that_of_the_nearest_peer_authentication(
    policies: list[dict[str, Any]], mode: str, name: str | None
) -> None:
    cluster = Cluster("kt", "kt-k2p", "network1", ApiServer("https://kt:6443"))
    view = ClusterView("kt", cluster, config=IstioConfig(peer_authentications=tuple(policies)))
    found, of = effective_mode(view, "sample", PODS, 9080)
    assert (found, of and of["metadata"]["name"]) == (mode, name)


FROM_KT = {"from": [{"source": {"ipBlocks": ["10.201.0.0/16"]}}]}


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("10.201.0.9",), "let in"),
        (("10.202.0.9", "10.202.0.10"), "refused by ALLOW"),
        (("10.201.0.9", "10.202.0.9"), "depends"),
        ((), "depends"),
    ],
)
def test_addresses_are_those_that_the_pods_see(addresses: tuple[str, ...], expected: str) -> None:
    caller = replace(CALLER, addresses=addresses)
    assert verdict(policy("ALLOW", FROM_KT), caller=caller) == expected
    assert verdict(policy("ALLOW", when("source.ip", "10.201.0.0/16")), caller=caller) == expected


def test_a_missing_external_authorizer_rejects_all_requests_of_its_rules() -> None:
    def custom(*rules: dict[str, Any]) -> dict[str, Any]:
        found = policy("CUSTOM", *rules)
        found["spec"]["provider"] = {"name": "opa"}
        return found

    without, with_it = (replace(CALLER, providers=frozenset(names)) for names in ([], ["opa"]))
    assert verdict(custom({}), caller=without) == "refused by CUSTOM"
    assert verdict(custom({}), caller=with_it) == "depends"
    assert verdict(custom(source(**OTHER)), caller=without) == "let in"
