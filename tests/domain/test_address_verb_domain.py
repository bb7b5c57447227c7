"""Addresses of gateways: which one counts, what must be open for it, and what sets it or takes it away."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from istio_mc.checks.gateway import _address
from istio_mc.checks.model import Finding, Target
from istio_mc.domain import removal
from istio_mc.domain.gateway import address
from istio_mc.domain.gateway.changes import Change, Live, Via, foreign, setting, unsetting
from istio_mc.domain.gateway.metallb import MetalLB, Request
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import Observed
from tests.support.world import CLUSTERS, MESH, World

KT = CLUSTERS["kt"]
IP = "203.0.113.7"


def service(
    spec: dict[str, Any] | None = None, ingress: list[dict[str, str]] | None = None, **by: str
) -> dict[str, Any]:
    """A gateway's Service; `by` says which manager wrote a field of its spec."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "istio-ingressgateway",
            "namespace": "istio-system",
            "managedFields": [
                {"manager": manager, "fieldsV1": {"f:spec": {f"f:{key}": {}}}} for key, manager in by.items()
            ],
        },
        "spec": {"type": "LoadBalancer", **(spec or {})},
        "status": {"loadBalancer": {"ingress": ingress} if ingress else {}},
    }


def observed(**found: list[dict[str, Any]]) -> dict[str, Observed]:
    """Three clusters with these objects; without any, a pending Service."""
    return {
        name: Observed(
            "v1.32.3", {ref_of(item): item for item in found.get(name, [service()])}, gateway_api=True
        )
        for name in CLUSTERS
    }


def live(pools: dict[str, Any] | None = None, **found: list[dict[str, Any]]) -> Live:
    found_pools = {name: MetalLB((one,)) for name, one in (pools or {}).items()}
    return Live(CLUSTERS, observed(**found), found_pools)


def pool(addresses: list[str]) -> dict[str, Any]:
    return Request(tuple(addresses)).pool


def lines_of(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.context, str(change)) for change in changes]


def standing_gateway(**changes: Any) -> dict[str, Any]:
    """The Gateway that stands for kt, spoilt."""
    made = copy.deepcopy(address.remote_gateway(KT, [IP]))
    made["spec"] |= changes
    return made


class TestPorts:
    def test_those_a_multi_primary_mesh_needs_come_first(self) -> None:
        entries = [{"port": port, "name": f"p{port}"} for port in (80, 15012, 15021, 15443, 9999)]
        found = address.ports(service({"ports": entries}))
        assert [(port.port, port.needed) for port in found] == [
            (15443, True),
            (15021, True),
            (80, False),
            (15012, False),
            (9999, False),
        ]

    def test_a_port_without_a_node_port_has_none(self) -> None:
        (found,) = address.ports(service({"ports": [{"port": 15443}]}))
        assert found.node_port is None


class TestReach:
    @pytest.mark.parametrize("text", ["10.0.0.7", "192.168.1.1", "172.16.9.9", "fd00::1", "100.64.0.1"])
    def test_addresses_behind_a_nat_are_doubted(self, text: str) -> None:
        assert address.why_unreachable(text)

    @pytest.mark.parametrize("text", ["8.8.8.8", "100.128.0.1", "2001:4860:4860::8888", "gw.example.com"])
    def test_public_ones_and_names_are_not(self, text: str) -> None:
        assert address.why_unreachable(text) is None


class TestStanding:
    def test_istiod_takes_the_gateway_that_is_written_for_a_cluster(self) -> None:
        assert address.accepted_addresses(KT.network, address.remote_gateway(KT, [IP, "gw.example.com"])) == (
            IP,
            "gw.example.com",
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"gatewayClassName": "istio"},
            {"addresses": [{"value": IP}]},
            {"addresses": [{"type": "NamedAddress", "value": "x"}]},
            {"listeners": []},
            {"listeners": [{"port": 15443, "protocol": "TLS"}]},
            {"listeners": [{"port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}}]},
        ],
        ids=["class", "no type", "other type", "no listener", "no TLS", "no passthrough by SNI"],
    )
    def test_istiod_skips_an_invalid_one(self, changes: dict[str, Any]) -> None:
        assert address.accepted_addresses(KT.network, standing_gateway(**changes)) == ()

    def test_one_for_another_network_does_not_count(self) -> None:
        assert address.accepted_addresses("network9", standing_gateway()) == ()

    def test_one_in_the_cluster_itself_does_not_count(self) -> None:
        assert address.remote_gateways("kt", KT, {"kt": [standing_gateway()]}) == ()

    def test_every_other_cluster_must_have_one(self) -> None:
        found = address.remote_gateways("kt", KT, {"ncloud": [standing_gateway()], "nhn": []})
        assert not address.is_everywhere(found, ["ncloud", "nhn"])
        assert address.is_everywhere(found, ["ncloud"])

    def test_a_mesh_of_one_has_no_caller(self) -> None:
        assert not address.is_everywhere([], [])

    def test_a_services_own_address_goes_before(self) -> None:
        gateway = standing_gateway()
        own = service({"externalIPs": ["198.51.100.1"]})
        found = observed(kt=[own], ncloud=[gateway], nhn=[gateway])
        assert address.used_addresses("kt", KT, found) == ("198.51.100.1",)

    def test_without_one_the_gateways_count(self) -> None:
        found = observed(ncloud=[standing_gateway()], nhn=[standing_gateway()])
        assert address.used_addresses("kt", KT, found) == (IP,)


class TestJoining:
    def test_a_cluster_that_joins_is_to_hold_what_the_others_hold(self) -> None:
        found = observed(ncloud=[standing_gateway()])
        assert address.desired_remote_gateways("nhn", CLUSTERS, found) == [address.remote_gateway(KT, [IP])]

    def test_a_cluster_holds_none_for_itself(self) -> None:
        assert address.desired_remote_gateways("kt", CLUSTERS, observed(ncloud=[standing_gateway()])) == []

    def test_its_own_address_for_a_cluster_stays(self) -> None:
        other = address.remote_gateway(KT, ["198.51.100.1"])
        found = observed(ncloud=[standing_gateway()], nhn=[other])
        assert address.desired_remote_gateways("nhn", CLUSTERS, found) == [other]

    def test_what_others_wrote_is_not_spread(self) -> None:
        gateway = standing_gateway()
        del gateway["metadata"]["labels"]["app.kubernetes.io/managed-by"]
        assert address.desired_remote_gateways("nhn", CLUSTERS, observed(ncloud=[gateway])) == []


class TestSetting:
    def test_an_external_ip_is_one_field_of_the_service(self) -> None:
        (change,) = setting(live(), "kt", [IP], Via.EXTERNAL_IP)
        assert (change.context, change.document["spec"]) == ("kt", {"externalIPs": [IP]})

    @pytest.mark.parametrize("via", list(Via))
    def test_what_is_so_already_is_no_change(self, via: Via) -> None:
        gateway = standing_gateway()
        found = {
            Via.EXTERNAL_IP: live(kt=[service({"externalIPs": [IP]}, externalIPs="istio-mc")]),
            Via.METALLB: live(
                {"kt": pool([IP])}, kt=[service({"loadBalancerIP": IP}, loadBalancerIP="istio-mc")]
            ),
            Via.GATEWAY: live(ncloud=[gateway], nhn=[gateway]),
        }[via]
        assert setting(found, "kt", [IP], via) == []

    def test_a_pool_has_one_address_and_is_reserved(self) -> None:
        assert pool([IP])["spec"] == {"addresses": ["203.0.113.7/32"], "autoAssign": False}
        assert pool(["2001:db8::7"])["spec"]["addresses"] == ["2001:db8::7/128"]

    def test_a_pool_that_the_guides_reader_wrote_is_as_good(self) -> None:
        by_hand = pool([IP])
        del by_hand["metadata"]["labels"]
        assert lines_of(setting(live({"kt": by_hand}), "kt", [IP], Via.METALLB)) == [
            ("kt", "patch Service istio-system/istio-ingressgateway")
        ]

    def test_a_gateway_is_written_where_it_is_missing_or_has_another_address(self) -> None:
        found = live(ncloud=[standing_gateway()], nhn=[address.remote_gateway(KT, ["198.51.100.1"])])
        changes = setting(found, "kt", [IP], Via.GATEWAY)
        assert lines_of(changes) == [("nhn", "apply Gateway istio-system/istio-remote-kt-k2p")]

    def test_a_host_name_is_typed_as_one(self) -> None:
        gateway = address.remote_gateway(KT, ["gw.example.com"])
        assert gateway["spec"]["addresses"] == [{"type": "Hostname", "value": "gw.example.com"}]

    def test_the_way_it_had_before_is_undone_once_the_new_one_is_there(self) -> None:
        found = live(ncloud=[standing_gateway()], nhn=[standing_gateway()])
        assert lines_of(setting(found, "kt", [IP], Via.EXTERNAL_IP)) == [
            ("kt", "patch Service istio-system/istio-ingressgateway"),
            ("ncloud", "delete Gateway istio-system/istio-remote-kt-k2p"),
            ("nhn", "delete Gateway istio-system/istio-remote-kt-k2p"),
        ]


class TestUnsetting:
    @pytest.mark.parametrize("manager", ["istio-mc", "istio-operator"])
    def test_what_this_tool_wrote_or_istioctl_for_it_goes(self, manager: str) -> None:
        found = live(kt=[service({"externalIPs": [IP]}, externalIPs=manager)])
        (change,) = unsetting(found, "kt")
        assert change.document["spec"] == {"externalIPs": None}

    def test_objects_of_others_stay_and_are_reported(self) -> None:
        found = live(kt=[service({"externalIPs": [IP]}, externalIPs="kubectl-edit")])
        assert unsetting(found, "kt") == []
        assert foreign(found, "kt") == [f"spec.externalIPs {IP}"]

    def test_metallb_is_no_longer_used_before_its_pool_is_removed(self) -> None:
        found = live({"kt": pool([IP])}, kt=[service({"loadBalancerIP": IP}, loadBalancerIP="istio-mc")])
        assert lines_of(unsetting(found, "kt")) == [
            ("kt", "patch Service istio-system/istio-ingressgateway"),
            ("kt", "delete IPAddressPool metallb-system/istio-ingressgateway"),
        ]

    def test_a_pool_of_others_stays(self) -> None:
        by_hand = pool([IP])
        del by_hand["metadata"]["labels"]
        assert unsetting(live({"kt": by_hand}), "kt") == []

    def test_nothing_of_ours_is_nothing_to_do(self) -> None:
        assert unsetting(live(), "kt") == []


def test_istios_gateways_and_the_gateway_apis_are_kept_apart() -> None:
    gateway = standing_gateway()
    found = observed(kt=[gateway])["kt"]
    assert found.of(objects.KUBERNETES_GATEWAY) == [gateway]
    assert found.of(objects.ISTIO_GATEWAY) == []


class TestUninstall:
    @pytest.fixture
    def going(self) -> list[str]:
        by_hand = standing_gateway()
        by_hand["metadata"] = {**by_hand["metadata"], "name": "by-hand", "labels": {}}
        items = [standing_gateway(), by_hand, pool([IP])]
        found = Observed("v1.32.3", {ref_of(item): item for item in items}, gateway_api=True)
        return [str(item) for item in removal.plan(MESH, found, [], ["c1"], {}).objects]

    def test_what_this_tool_wrote_goes(self, going: list[str]) -> None:
        assert "Gateway istio-system/istio-remote-kt-k2p" in going
        assert "IPAddressPool metallb-system/istio-ingressgateway" in going

    def test_what_others_wrote_stays(self, going: list[str]) -> None:
        assert "Gateway istio-system/by-hand" not in going


class TestVerify:
    @pytest.fixture
    def world(self) -> World:
        """A mesh whose kt has no address of its own."""
        made = World()
        made.find("kt", "Service", "istio-ingressgateway")["spec"] = {}
        return made

    def test_a_gateway_in_every_other_cluster_is_an_address(self, world: World) -> None:
        for name in ("ncloud", "nhn"):
            world.objects[name].append(standing_gateway())
        assert _address(world.facts(), Target("kt")) == Finding(f"{IP} (istio-remote Gateway in ncloud, nhn)")

    def test_where_one_is_missing_it_is_pending(self, world: World) -> None:
        world.objects["ncloud"].append(standing_gateway())
        problem = _address(world.facts(), Target("kt")).problem
        assert problem is not None
        assert (problem.code, problem.seen) == (
            "gateway-address-pending",
            "no LoadBalancer address, no externalIPs, an istio-remote Gateway only in ncloud",
        )


class TestStaying:
    def test_a_services_external_ips_stay_where_the_settings_name_none(self) -> None:
        found = observed(kt=[service({"externalIPs": [IP]})])
        assert address.external_ips(found["kt"]) == (IP,)

    def test_a_cluster_that_was_not_read_has_none(self) -> None:
        assert address.external_ips(None) == ()
