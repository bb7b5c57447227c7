"""Services that several clusters have and some do not reach: each reason once, warnings only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.runner import run
from istio_mc.domain.istio.services import Meshed, Services, endpoints_of
from istio_mc.domain.kube.policies import Policies
from istio_mc.domain.trace import policies
from istio_mc.domain.trace.model import IstioConfig
from istio_mc.domain.trace.sources import Configuration
from istio_mc.domain.traffic.data_path import DataPath, Handshake, Judged
from istio_mc.domain.traffic.data_path import Outcome as DataPathOutcome
from tests.support.world import CLUSTERS, World

if TYPE_CHECKING:
    from istio_mc.checks.model import Facts
    from istio_mc.domain.problem import Problem

Config = dict[str, tuple[dict[str, Any], ...]]


def service(name: str, namespace: str = "sample") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    ports = [{"name": "http", "port": 80}]
    return {"kind": "Service", "metadata": metadata, "spec": {"ports": ports, "selector": {"app": name}}}


def address(context: str, number: int) -> str:
    return f"10.{list(CLUSTERS).index(context)}.{number // 250}.{number % 250}"


def pods(context: str, names: list[str], *, bare: tuple[str, ...] = ()) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "metadata": {
                "name": f"{name}-1",
                "namespace": "sample",
                "labels": {"app": name, "security.istio.io/tlsMode": "istio"},
            },
            "spec": {},
            "status": {
                "podIP": address(context, number),
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
        for number, name in enumerate(names)
        if name not in bare
    )


def slices(context: str, names: list[str], absent: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [
        {
            "metadata": {
                "name": name,
                "namespace": "sample",
                "labels": {"kubernetes.io/service-name": name},
            },
            "endpoints": [] if name in absent else [{"addresses": [address(context, number)]}],
        }
        for number, name in enumerate(names)
    ]


def item(kind: str, name: str = "one", namespace: str = "sample", **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def problem(
    names: list[str],
    config: dict[str, Config] | None = None,
    *,
    bare: dict[str, tuple[str, ...]] | None = None,
    absent: dict[str, tuple[str, ...]] | None = None,
) -> Problem | None:
    """What the check says of these services in all clusters."""
    checks = [check for check in ALL if check.id == "services.reached"]
    (result,) = run(checks, facts_of(names, config, bare=bare, absent=absent))
    return result.problem


def facts_of(
    names: list[str],
    config: dict[str, Config] | None = None,
    *,
    bare: dict[str, tuple[str, ...]] | None = None,
    absent: dict[str, tuple[str, ...]] | None = None,
    world: World | None = None,
) -> Facts:
    """A mesh with these services in all clusters."""
    found = {context: slices(context, names, (absent or {}).get(context, ())) for context in CLUSTERS}
    return replace(
        (world or World()).facts(),
        services={
            context: Services(
                tuple(service(name) for name in names),
                endpoints=endpoints_of(found[context]),
                slices=tuple(found[context]),
            )
            for context in CLUSTERS
        },
        configuration={
            context: Configuration(
                {"sample": {}},
                IstioConfig(**(config or {}).get(context, {})),
                pods(context, names, bare=(bare or {}).get(context, ())),
            )
            for context in CLUSTERS
        },
    )


MANY = [f"service-{number:04}" for number in range(300)]


def test_services_that_every_cluster_reaches_are_no_fault() -> None:
    assert problem(["reviews", "ratings"]) is None


def test_a_reason_is_reported_once_however_many_services_it_concerns() -> None:
    off = item("PeerAuthentication", mtls={"mode": "DISABLE"})
    found = problem(MANY, {"nhn": {"peer_authentications": (off,)}})
    assert found
    assert found.message == "300 services not reachable from all clusters, 1 root cause"
    assert found.seen == (
        "nhn: PeerAuthentication sample/one turns mTLS off for sample/service-0000 "
        "(kt → nhn, ncloud → nhn, nhn → kt and 1 more) and 299 more services"
    )
    assert str(found.hint).startswith("kubectl --context nhn -n sample patch peerauthentication one ")


def test_of_several_reasons_the_trace_of_the_first_is_suggested() -> None:
    plain = item("DestinationRule", host="ratings", trafficPolicy={"tls": {"mode": "DISABLE"}})
    entry = item("ServiceEntry", hosts=["reviews.sample.svc.cluster.local"])
    config: dict[str, Config] = {"kt": {"destination_rules": (plain,)}, "nhn": {"service_entries": (entry,)}}
    found = problem(["ratings", "reviews"], config)
    assert found
    assert found.message == "2 services not reachable from all clusters, 2 root causes"
    assert str(found.hint) == "check every hop of the first: istio-mc trace sample/ratings"


PLAIN = item("DestinationRule", host="reviews", trafficPolicy={"tls": {"mode": "DISABLE"}})


def closed_at(context: str, *requested: str) -> World:
    """A mesh in which a cluster's gateway ends the handshakes for these services."""
    world = World()
    (trace,) = world.ways[context].traces
    handshakes = tuple(Handshake(Meshed("sample", name, 80), DataPathOutcome.CLOSED) for name in requested)
    trace = replace(trace, handshakes=handshakes, answer=None)
    world.ways[context] = DataPath((trace,), (Judged(DataPathOutcome.CLOSED, "closed at the handshake"),))
    return world


def roots_of(world: World, config: dict[str, Config]) -> list[str]:
    """The root causes, with the fix of each."""
    results = run(ALL, facts_of(["reviews", "ratings"], config, world=world))
    return [f"{one.check.id} {one.problem.hint}" for one in results if one.is_root_cause and one.problem]


def test_a_rule_that_closes_the_gateways_handshakes_is_the_one_root_cause_with_its_patch() -> None:
    (root,) = roots_of(closed_at("kt", "reviews"), {"kt": {"destination_rules": (PLAIN,)}})
    assert root.startswith("services.reached kubectl --context kt -n sample patch destinationrule one ")


def test_a_rule_that_closes_handshakes_comes_before_other_reasons() -> None:
    entry = item("ServiceEntry", hosts=["ratings.sample.svc.cluster.local"])
    config: dict[str, Config] = {"kt": {"destination_rules": (PLAIN,)}, "nhn": {"service_entries": (entry,)}}
    (root,) = roots_of(closed_at("kt", "reviews"), config)
    assert root.startswith("services.reached kubectl --context kt -n sample patch destinationrule one ")


@pytest.mark.parametrize(
    ("requested", "cluster"),
    [(("reviews",), "nhn"), (("ratings",), "kt"), (("ratings", "reviews"), "kt")],
    ids=["rule of another cluster", "rule of another service", "rule of one of the services"],
)
def test_a_rule_that_does_not_close_all_handshakes_of_the_gateway_is_not_their_cause(
    requested: tuple[str, ...], cluster: str
) -> None:
    (root,) = roots_of(closed_at("kt", *requested), {cluster: {"destination_rules": (PLAIN,)}})
    assert root.startswith("data-path.handshake ")


def test_a_rule_of_one_gateway_is_not_the_cause_at_another() -> None:
    world = closed_at("kt", "reviews")
    world.ways["nhn"] = closed_at("nhn", "ratings").ways["nhn"]
    roots = roots_of(world, {"kt": {"destination_rules": (PLAIN,)}})
    assert [root.split()[0] for root in roots] == ["services.reached", "data-path.handshake"]


def test_a_rule_stays_a_warning_where_the_handshakes_pass() -> None:
    assert roots_of(World(), {"kt": {"destination_rules": (PLAIN,)}}) == []


def test_pods_without_a_sidecar_are_a_fault_only_where_others_have_one() -> None:
    found = problem(["reviews"], bare={"nhn": ("reviews",)})
    assert found
    assert found.message == "1 service not reachable from all clusters, 1 root cause"
    assert "nhn: no pod of Service sample/reviews has a sidecar" in str(found.seen)
    assert problem(["reviews"], bare=dict.fromkeys(CLUSTERS, ("reviews",))) is None


def test_a_cluster_without_endpoints_is_no_fault() -> None:
    assert problem(["reviews"], absent={"nhn": ("reviews",)}) is None


@pytest.mark.parametrize(
    ("policy", "is_fault"),
    [
        ({"rules": [{"from": [{"source": {"namespaces": ["ingress"]}}]}]}, False),
        ({"action": "DENY", "rules": [{}]}, False),
        ({"rules": [{"from": [{"source": {"principals": ["seoul/ns/sample/sa/default"]}}]}]}, True),
    ],
)
def test_a_policy_is_a_fault_only_if_it_rejects_callers_that_it_allows_locally(
    policy: dict[str, Any], *, is_fault: bool
) -> None:
    """The last one lets in its own cluster's trust domain, and no other."""
    world = World()
    metadata = {"name": "istio", "namespace": "istio-system"}
    kind = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    names = ["reviews"]
    configuration = {
        context: Configuration({"sample": {}}, IstioConfig(), pods(context, names)) for context in CLUSTERS
    }
    refusing = item("AuthorizationPolicy", **policy)
    configuration["nhn"] = replace(
        configuration["nhn"], config=IstioConfig(authorization_policies=(refusing,))
    )
    if is_fault:
        world.objects["nhn"].append({**kind, "data": {"mesh": "trustDomain: seoul\n"}})
    facts = replace(
        world.facts(),
        services={
            context: Services((service("reviews"),), slices=tuple(slices(context, names)))
            for context in CLUSTERS
        },
        configuration=configuration,
    )
    checks = [check for check in ALL if check.id == "services.reached"]
    (result,) = run(checks, facts)
    assert bool(result.problem) is is_fault


def test_of_thousands_of_policies_those_that_select_the_pods_are_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = []

    def count(policy: object, *_: object) -> bool:
        compared.append(policy)
        return True

    monkeypatch.setattr(policies, "applies_to", count)
    of_each = tuple(
        item("AuthorizationPolicy", name, selector={"matchLabels": {"app": name}}, rules=[{}])
        for name in MANY
    )
    config: dict[str, Config] = {name: {"authorization_policies": Policies(of_each)} for name in CLUSTERS}
    assert problem(MANY, config) is None
    pairs = len(CLUSTERS) * (len(CLUSTERS) - 1)
    assert len(compared) == pairs * len(MANY)
