"""Each istiod has the gateway and the endpoints of each other cluster, or it is named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.model import Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.istio.discovery import Discovery, NetworkGateway
from tests.support.world import IDS, World, endpoints, view

if TYPE_CHECKING:
    from istio_mc.checks.model import Result
    from istio_mc.domain.istio.discovery import IstiodView

RESTART = "kubectl --context nhn -n istio-system rollout restart deployment istiod"


@pytest.fixture
def world() -> World:
    return World()


def failed(world: World) -> dict[str, Result]:
    found = run(ALL, world.facts())
    return {f"{one.check.id} {one.target}": one for one in found if one.verdict is Verdict.FAILED}


def of_discovery(world: World) -> dict[str, str]:
    """What the checks of discovery see, by pair."""
    found = run([check for check in ALL if check.topic == "discovery"], world.facts())
    return {f"{one.check.id} {one.target}": one.seen for one in found if one.verdict is Verdict.UNKNOWN}


def istiods(world: World, *views: IstiodView) -> None:
    world.discovery["nhn"] = Discovery({one.pod: one for one in views}, endpoints("nhn"))


def without(peer: str, pod: str = "istiod-1") -> IstiodView:
    """What an istiod has that lacks a cluster's endpoints."""
    whole = view(pod)
    return replace(
        whole, endpoints={key: found for key, found in whole.endpoints.items() if key != IDS[peer]}
    )


def test_a_mesh_that_works_has_no_fault(world: World) -> None:
    assert failed(world) == {}


def test_the_replica_that_lacks_a_clusters_endpoints_is_named_and_its_restart(world: World) -> None:
    istiods(world, view("istiod-x1"), without("kt", "istiod-x2"))
    (found,) = failed(world).values()
    assert f"{found.check.id} {found.target}" == "discovery.endpoints nhn → kt"
    assert found.problem
    assert found.problem.message == "istiod-x2 has 0 of 5 endpoints of kt (synced)"
    assert found.problem.seen == (
        "istiod-x1: 5 of 5 endpoints; istiod-x2: 0 of 5 endpoints, missing in sample/reviews, shop/cart"
    )
    assert str(found.problem.hint) == RESTART
    assert found.is_root_cause


def test_a_part_of_the_endpoints_is_counted(world: World) -> None:
    whole = view()
    kt = {key: frozenset(sorted(found)[1:]) for key, found in endpoints("kt").items()}
    istiods(world, replace(whole, endpoints={**whole.endpoints, IDS["kt"]: kt}))
    (found,) = failed(world).values()
    assert found.seen == "istiod-1: 3 of 5 endpoints"


def test_thousands_of_services_are_a_count_and_a_few_names(world: World) -> None:
    many = {("shop", f"service-{number:04}"): frozenset({f"10.1.0.{number}"}) for number in range(2000)}
    world.discovery["kt"] = Discovery(world.discovery["kt"].istiods, many)
    found = failed(world)["discovery.endpoints nhn → kt"].problem
    assert found
    assert found.seen == (
        "istiod-1: 0 of 2000 endpoints, missing in shop/service-0000, shop/service-0001, shop/service-0002 "
        "and 1997 more"
    )


def test_an_istiod_without_the_gateway_is_named_and_its_restart(world: World) -> None:
    istiods(world, view("istiod-x1"), replace(view("istiod-x2"), gateways=view().gateways[1:]))
    (found,) = failed(world).values()
    assert f"{found.check.id} {found.target}" == "discovery.gateways nhn → kt"
    assert found.problem
    assert found.problem.message == "istiod-x2 does not have the gateway of kt (synced)"
    assert (found.problem.seen, str(found.problem.hint)) == ("istiod-x2: no gateway", RESTART)
    assert found.problem.expected == "198.18.0.21 for network1"


def test_an_old_address_of_the_gateway_is_shown_beside_the_new_one(world: World) -> None:
    istiods(
        world,
        replace(view(), gateways=(NetworkGateway("network1", "203.0.113.9", 15443), *view().gateways[1:])),
    )
    (found,) = failed(world).values()
    assert found.problem
    assert (found.problem.seen, found.problem.expected) == (
        "istiod-1: 203.0.113.9",
        "198.18.0.21 for network1",
    )


@pytest.mark.parametrize(("has", "wrong"), [(("203.0.113.7",), False), ((), True), (("198.18.0.21",), False)])
def test_of_a_host_name_an_istiod_lists_what_it_resolves_to(
    world: World, has: tuple[str, ...], *, wrong: bool
) -> None:
    service = world.find("kt", "Service", "istio-ingressgateway")
    service["spec"].pop("externalIPs")
    service["status"] = {"loadBalancer": {"ingress": [{"hostname": "kt.example"}]}}
    gateways = tuple(NetworkGateway("network1", address, 15443) for address in has)
    istiods(world, replace(view(), gateways=(*gateways, *view().gateways[1:])))
    assert ("discovery.gateways nhn → kt" in failed(world)) is wrong


def test_a_cluster_that_is_not_synced_is_the_cause(world: World) -> None:
    world.status("nhn", "kt", "timeout")
    istiods(world, without("kt"))
    assert [one.check.id for one in failed(world).values() if one.is_root_cause] == ["link.synced"]


def config(world: World, context: str, mesh: str) -> None:
    metadata = {"name": "istio", "namespace": "istio-system"}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": mesh}}
    world.objects[context].append(document)


SELECTORS = "discoverySelectors:\n- matchLabels:\n    mesh: 'yes'\n"


def selecting(world: World, *selected: str) -> None:
    """The istiod of nhn reads some namespaces only, of kt those that are named."""
    config(world, "nhn", SELECTORS)
    labels = {name: {"mesh": "yes"} if name in selected else {} for name in ("sample", "shop")}
    world.discovery["kt"] = replace(world.discovery["kt"], namespaces=labels)
    whole = view()
    sample = {key: found for key, found in endpoints("kt").items() if key[0] == "sample"}
    istiods(world, replace(whole, endpoints={**whole.endpoints, IDS["kt"]: sample}))


def test_a_namespace_that_discovery_selectors_leave_out_is_not_missing(world: World) -> None:
    selecting(world, "sample")
    assert "discovery.endpoints nhn → kt" not in failed(world)


def test_missing_objects_of_a_selected_namespace_count_as_missing(world: World) -> None:
    selecting(world, "sample", "shop")
    assert "discovery.endpoints nhn → kt" in failed(world)


def test_a_gateway_in_an_excluded_namespace_needs_a_label_and_no_restart(world: World) -> None:
    config(world, "nhn", SELECTORS)
    istiods(world, replace(view(), gateways=view().gateways[1:]))
    found = failed(world)["discovery.gateways nhn → kt"].problem
    assert found
    assert found.message == "kt: namespace istio-system is left out by discoverySelectors of nhn"
    assert str(found.hint) == "kubectl --context kt label namespace istio-system mesh=yes --overwrite"


def test_clusters_of_one_network_need_no_gateway(world: World) -> None:
    facts = world.facts()
    clusters = {**facts.clusters, "nhn": replace(facts.clusters["nhn"], network="network1")}
    istiods(world, replace(view(), gateways=()))
    checks = [check for check in ALL if check.id == "discovery.gateways"]
    found = run(checks, replace(world.facts(), clusters=clusters))
    assert "nhn → kt" not in [str(one.target) for one in found if one.verdict is Verdict.FAILED]


def test_without_an_istiod_nothing_is_known(world: World) -> None:
    istiods(world)
    assert of_discovery(world) == dict.fromkeys(
        f"discovery.{name} nhn → {peer}" for peer in ("kt", "ncloud") for name in ("gateways", "endpoints")
    ) | dict.fromkeys(of_discovery(world), "no istiod is running")
