"""address: a gateway without an address gets one, by each of the three options, keeps it, and loses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.addons import AddonName
from istio_mc.gateways.kube.addons import read_addon
from tests.support.fixtures import made_once
from tests.support.store import By

if TYPE_CHECKING:
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

THREE = ("--contexts", "kt,ncloud,nhn")
SYSTEM = "istio-system"
GATEWAY = "istio-ingressgateway"
NAT = "203.0.113.7"
SET = ("address", "--set", f"kt={NAT}")
UNSET = ("address", "--unset", "kt", "--yes")
API = "gateway.networking.k8s.io"
REMOTE = "istio-remote-kt-k2p"


@pytest.fixture
def pending(installed: Mesh) -> Mesh:
    """A mesh whose kt gives its gateway no address."""
    take_address(installed)
    return installed


def take_address(mesh: Mesh) -> None:
    kt = mesh["kt"]
    kt.balancer = ""
    service = kt.get("Service", GATEWAY, SYSTEM)
    kt.set_status(service, {"loadBalancer": {}}, By("cloud-controller-manager", subresource="status"))


def spec(mesh: Mesh) -> dict[str, Any]:
    found: dict[str, Any] = mesh["kt"].get("Service", GATEWAY, SYSTEM)["spec"]
    return found


def external_ips(mesh: Mesh) -> list[str] | None:
    return spec(mesh).get("externalIPs") or None


def remote_gateways(mesh: Mesh) -> dict[str, list[str]]:
    return {name: one.names("Gateway", SYSTEM, API) for name, one in mesh.clusters.items()}


def drift(mesh: Mesh) -> None:
    """Has the next install run istioctl in kt."""
    kt = mesh["kt"]
    kt.edit(kt.get("Service", "istiod", SYSTEM), lambda item: item["spec"].update(selector={"app": "nobody"}))


def steps(result: Result) -> dict[str, list[str]]:
    return {one["name"]: [step["name"] for step in one["steps"]] for one in result.data["clusters"]}


@pytest.fixture
def metallb(pending: Mesh) -> Mesh:
    """kt has MetalLB's API, and a pool of somebody else's."""
    kt = pending["kt"]
    for document in read_addon(AddonName.METALLB).documents:
        if document["kind"] == "CustomResourceDefinition":
            kt.make(document)
    kt.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "metallb-system"}})
    kt.settle()
    metadata = {"name": "of-others", "namespace": "metallb-system"}
    pool = {"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": metadata}
    kt.make(pool | {"spec": {"addresses": ["192.0.2.0/28"]}})
    return pending


class TestPending:
    @pytest.mark.thorough
    def test_an_install_ends_at_the_deadline_and_names_the_command_that_fixes_it(self, pending: Mesh) -> None:
        result = pending.run("install", *THREE, "--timeout", "10s", "-o", "json").exits(3)
        (error,) = result.json["errors"]
        assert (error["code"], error["cluster"]) == ("gateway-address-pending", "kt")
        assert error["hint"].startswith("istio-mc address --set kt=ADDRESS")

    def test_verify_fails_for_that_cluster_alone(self, pending: Mesh) -> None:
        result = pending.run("verify", "--only", "gateway.address", "-o", "json").exits(4)
        assert {cluster for _, cluster in result.errors} == {"kt"}

    def test_three_options_are_shown_each_with_its_command(self, pending: Mesh) -> None:
        shown = pending.run("address", "-o", "json").exits(0).cluster("kt")
        assert shown["status"] == "pending"
        assert [option["command"] for option in shown["options"]] == [
            f"istio-mc address --set kt=ADDRESS --via {via}" for via in ("external-ip", "metallb", "gateway")
        ]

    def test_status_shows_it(self, pending: Mesh) -> None:
        services = pending.run("status", "-o", "json").exits(0).cluster("kt")["services"]
        assert {one["name"]: one["pending"] for one in services} == {GATEWAY: True, "istiod": False}

    def test_a_dry_run_prints_the_documents_and_changes_nothing(self, pending: Mesh) -> None:
        writes = pending.writes
        shown = pending.run(*SET, "--via", "gateway", "--dry-run", "-o", "json").exits(0)
        changes = {(one["cluster"], one["document"]["kind"]) for one in shown.data["changes"]}
        assert changes == {("ncloud", "Gateway"), ("nhn", "Gateway")}
        assert pending.writes == writes


class TestExternalIp:
    @pytest.fixture
    def given(self, pending: Mesh) -> Mesh:
        made_once(pending, "external IP", lambda: pending.run(*SET, "--via", "external-ip").exits(0))
        take_address(pending)
        return pending

    def test_a_second_time_nothing_is_changed(self, given: Mesh) -> None:
        writes = given.writes
        given.run(*SET).exits(0)
        assert (external_ips(given), given.writes) == ([NAT], writes)

    @pytest.mark.thorough
    def test_an_install_that_runs_istioctl_keeps_it(self, given: Mesh) -> None:
        drift(given)
        done = given.run("install", *THREE, "-o", "json").exits(0)
        assert (steps(done)["kt"], external_ips(given)) == (["istio"], [NAT])

    def test_it_is_removed_only_with_confirmation(self, given: Mesh) -> None:
        given.run("address", "--unset", "kt").exits(2)
        assert external_ips(given) == [NAT]

    @pytest.mark.thorough
    def test_one_that_an_install_wrote_is_removed_too(self, pending: Mesh) -> None:
        pending.run("install", *THREE, "--gateway-address", f"kt={NAT}").exits(0)
        assert external_ips(pending) == [NAT]
        pending.run(*UNSET).exits(0)
        assert external_ips(pending) is None


class TestGateway:
    @pytest.fixture
    def given(self, pending: Mesh) -> Mesh:
        """The others know kt's gateway by a Gateway resource of their own."""
        made_once(pending, "remote gateways", lambda: pending.run(*SET, "--via", "gateway").exits(0))
        take_address(pending)
        return pending

    def test_every_other_cluster_has_one_and_kt_itself_is_left_unchanged(self, given: Mesh) -> None:
        assert remote_gateways(given) == {"kt": [], "ncloud": [REMOTE], "nhn": [REMOTE]}
        assert not {"externalIPs", "loadBalancerIP"} & spec(given).keys()
        shown = given.run("address", "-o", "json").exits(0).cluster("kt")
        assert shown["gatewayAddresses"] == [NAT]

    def test_a_later_install_changes_nothing(self, given: Mesh) -> None:
        assert not given.run("install", *THREE, "-o", "json").exits(0).data["changed"]

    @pytest.mark.thorough
    def test_an_install_that_runs_istioctl_keeps_it(self, given: Mesh) -> None:
        drift(given)
        assert steps(given.run("install", *THREE, "-o", "json").exits(0))["kt"] == ["istio"]
        assert remote_gateways(given)["nhn"] == [REMOTE]

    def test_one_that_is_missing_fails_verify_and_an_install_writes_it_again(self, given: Mesh) -> None:
        nhn = given["nhn"]
        nhn.delete(nhn.get("Gateway", REMOTE, SYSTEM, API))
        found = given.run("verify", "--only", "gateway.address", "-o", "json").exits(4)
        assert "only in ncloud" in found.json["errors"][0]["seen"]

        done = given.run("install", *THREE, "-o", "json").exits(0)

        assert steps(done) == {"kt": [], "ncloud": [], "nhn": ["remote-gateways"]}
        assert remote_gateways(given)["nhn"] == [REMOTE]

    def test_another_option_replaces_it(self, given: Mesh) -> None:
        given.run(*SET, "--via", "external-ip").exits(0)
        assert (external_ips(given), any(remote_gateways(given).values())) == ([NAT], False)

    def test_it_is_removed_from_every_cluster(self, given: Mesh) -> None:
        given.run(*UNSET).exits(0)
        assert not any(remote_gateways(given).values())

    def test_another_cluster_leaves_without_a_wait_for_a_gateway_of_kt_in_kt_itself(
        self, given: Mesh
    ) -> None:
        given.run("uninstall", "--contexts", "nhn", "--yes", "--timeout", "30s").exits(0)
        assert not given["nhn"].has("Namespace", SYSTEM)

    def test_a_cluster_that_leaves_takes_it_along(self, given: Mesh) -> None:
        left = given.run("uninstall", "--contexts", "kt", "--yes", "-o", "json").exits(0)
        for name in ("ncloud", "nhn"):
            assert f"Gateway {SYSTEM}/{REMOTE}" in left.cluster(name)["removed"]
        assert not any(remote_gateways(given).values())


class TestMetalLB:
    def test_the_pool_and_the_service_are_written_as_the_guide_has_them_and_removed_again(
        self, metallb: Mesh
    ) -> None:
        def pools() -> dict[str, Any]:
            found = metallb["kt"].store.of("IPAddressPool")
            return {item["metadata"]["name"]: item["spec"] for item in found}

        before = spec(metallb), pools()
        metallb.run(*SET, "--via", "metallb").exits(0)
        assert pools() == {**before[1], GATEWAY: {"addresses": [f"{NAT}/32"], "autoAssign": False}}
        assert spec(metallb) == {**before[0], "loadBalancerIP": NAT}
        metallb.run(*UNSET).exits(0)
        assert (spec(metallb), pools()) == before

    @pytest.mark.thorough
    def test_an_uninstall_removes_the_pool_and_not_that_of_others(self, metallb: Mesh) -> None:
        metallb.run(*SET, "--via", "metallb").exits(0)
        metallb.run("uninstall", "--yes").exits(0)
        assert metallb["kt"].names("IPAddressPool") == ["of-others"]

    @pytest.mark.thorough
    def test_an_install_that_runs_istioctl_keeps_what_was_requested(self, metallb: Mesh) -> None:
        metallb.run(*SET, "--via", "metallb").exits(0)
        drift(metallb)
        # No one assigns the address here, so that it stays pending.
        metallb.run("install", *THREE, "--timeout", "12s").exits(3)
        assert spec(metallb)["loadBalancerIP"] == NAT


METALLB_KINDS = ("IPAddressPool", "L2Advertisement", "BGPAdvertisement", "BGPPeer")
VIA = ("address", "--via", "metallb")


class TestAnnounced:
    """Pools of ranges, and how they are announced; a pool of others stands beside them."""

    def kept(self, mesh: Mesh) -> dict[str, dict[str, Any]]:
        """MetalLB's objects in kt, but the pool of others."""
        found = [one for kind in METALLB_KINDS for one in mesh["kt"].store.of(kind)]
        named = {f"{one['kind']} {one['metadata']['name']}": one["spec"] for one in found}
        return {name: spec for name, spec in named.items() if name != "IPAddressPool of-others"}

    def others(self, mesh: Mesh, kind: str, name: str, spec: dict[str, Any]) -> None:
        version = "v1beta2" if kind == "BGPPeer" else "v1beta1"
        metadata = {"name": name, "namespace": "metallb-system"}
        mesh["kt"].make(
            {"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": metadata, "spec": spec}
        )

    def refused(self, mesh: Mesh, *words: str, code: int = 1) -> list[tuple[str, str | None]]:
        writes = mesh.writes
        found = mesh.run(*VIA, *words, "-o", "json").exits(code).errors
        assert mesh.writes == writes
        return found

    def test_a_pool_of_ranges_is_made_and_announced_and_a_second_run_changes_nothing(
        self, metallb: Mesh
    ) -> None:
        words = (*VIA, "--pool", "kt=10.0.0.10-10.0.0.20,10.0.1.0/28", "--announce", "l2")
        metallb.run(*words).exits(0)
        assert self.kept(metallb) == {
            f"IPAddressPool {GATEWAY}": {
                "addresses": ["10.0.0.10-10.0.0.20", "10.0.1.0/28"],
                "autoAssign": True,
            },
            f"L2Advertisement {GATEWAY}": {"ipAddressPools": [GATEWAY]},
        }
        assert "loadBalancerIP" not in spec(metallb)
        writes = metallb.writes
        assert not metallb.run(*words, "-o", "json").exits(0).data["changed"]
        assert metallb.writes == writes

    def test_the_one_address_of_the_guide_is_announced_in_the_nodes_network(self, metallb: Mesh) -> None:
        metallb.run(*SET, "--via", "metallb", "--announce", "l2").exits(0)
        assert self.kept(metallb) == {
            f"IPAddressPool {GATEWAY}": {"addresses": [f"{NAT}/32"], "autoAssign": False},
            f"L2Advertisement {GATEWAY}": {"ipAddressPools": [GATEWAY]},
        }
        assert spec(metallb)["loadBalancerIP"] == NAT

    def test_routers_are_peers_of_the_announcement(self, metallb: Mesh) -> None:
        words = ("--announce", "bgp", "--peer", "kt=10.0.0.1@64513,fd00::@64514", "--asn", "64600")
        metallb.run(*SET, "--via", "metallb", *words).exits(0)
        six = "0000-0000-0000-0000-0000-0000-0000"
        assert self.kept(metallb) == {
            f"IPAddressPool {GATEWAY}": {"addresses": [f"{NAT}/32"], "autoAssign": False},
            f"BGPPeer {GATEWAY}-10.0.0.1": {"myASN": 64600, "peerASN": 64513, "peerAddress": "10.0.0.1"},
            f"BGPPeer {GATEWAY}-fd00-{six}": {"myASN": 64600, "peerASN": 64514, "peerAddress": "fd00::"},
            f"BGPAdvertisement {GATEWAY}": {
                "ipAddressPools": [GATEWAY],
                "peers": [f"{GATEWAY}-10.0.0.1", f"{GATEWAY}-fd00-{six}"],
            },
        }

    def test_all_of_it_is_removed_again(self, metallb: Mesh) -> None:
        metallb.run(*SET, "--via", "metallb", "--announce", "bgp", "--peer", "kt=10.0.0.1@64513").exits(0)
        metallb.run(*UNSET).exits(0)
        assert self.kept(metallb) == {}
        assert "loadBalancerIP" not in spec(metallb)

    def test_an_uninstall_removes_it(self, metallb: Mesh) -> None:
        metallb.run(*SET, "--via", "metallb", "--announce", "bgp", "--peer", "kt=10.0.0.1@64513").exits(0)
        metallb.run("uninstall", "--yes").exits(0)
        assert self.kept(metallb) == {}

    def test_another_announcement_replaces_the_first(self, metallb: Mesh) -> None:
        words = (*SET, "--via", "metallb", "--announce")
        metallb.run(*words, "bgp", "--peer", "kt=10.0.0.1@64513").exits(0)
        metallb.run(*words, "l2").exits(0)
        assert set(self.kept(metallb)) == {f"IPAddressPool {GATEWAY}", f"L2Advertisement {GATEWAY}"}

    def test_without_an_option_the_announcement_stays(self, metallb: Mesh) -> None:
        metallb.run(*SET, "--via", "metallb", "--announce", "l2").exits(0)
        assert not metallb.run(*SET, "--via", "metallb", "-o", "json").exits(0).data["changed"]

    def test_what_others_announce_is_left_alone(self, metallb: Mesh) -> None:
        self.others(metallb, "L2Advertisement", "everything", {})
        metallb.run(*SET, "--via", "metallb", "--announce", "l2").exits(0)
        assert set(self.kept(metallb)) == {"L2Advertisement everything", f"IPAddressPool {GATEWAY}"}

    def test_an_address_in_a_pool_of_others_needs_no_pool(self, metallb: Mesh) -> None:
        metallb.run("address", "--set", "kt=192.0.2.5", "--via", "metallb").exits(0)
        assert (self.kept(metallb), spec(metallb)["loadBalancerIP"]) == ({}, "192.0.2.5")
        shown = metallb.run("address", "-o", "json").exits(0).cluster("kt")
        assert shown["metallb"] == {"pool": "of-others", "addresses": ["192.0.2.0/28"], "announcedBy": []}

    def test_a_router_of_others_is_used(self, metallb: Mesh) -> None:
        router = {"myASN": 64600, "peerASN": 64513, "peerAddress": "10.0.0.1"}
        self.others(metallb, "BGPPeer", "tor", router)
        metallb.run(*SET, "--via", "metallb", "--announce", "bgp", "--peer", "kt=10.0.0.1@64513").exits(0)
        found = self.kept(metallb)
        assert [name for name in found if name.startswith("BGPPeer")] == ["BGPPeer tor"]
        assert found[f"BGPAdvertisement {GATEWAY}"]["peers"] == ["tor"]

    def test_a_range_across_a_pool_of_others_is_refused(self, metallb: Mesh) -> None:
        words = ("--pool", "kt=192.0.2.8-192.0.2.40")
        assert self.refused(metallb, *words) == [("pool-of-others", "kt")]

    def test_bgp_without_any_router_is_refused(self, metallb: Mesh) -> None:
        words = ("--pool", "kt=10.0.0.0/28", "--announce", "bgp")
        assert self.refused(metallb, *words) == [("no-bgp-peer", "kt")]

    def test_an_advertisement_of_others_with_the_gateways_name_is_not_changed(self, metallb: Mesh) -> None:
        self.others(metallb, "L2Advertisement", GATEWAY, {"ipAddressPools": ["of-others"]})
        words = ("--pool", "kt=10.0.0.0/28", "--announce", "l2")
        assert self.refused(metallb, *words) == [("pool-of-others", "kt")]

    def test_an_address_outside_the_range_is_refused(self, metallb: Mesh) -> None:
        metallb.run(*VIA, "--pool", "kt=10.0.0.0/28").exits(0)
        assert self.refused(metallb, "--set", f"kt={NAT}") == [("address-not-in-pool", "kt")]

    def test_a_pool_without_an_address_leaves_the_choice_to_metallb(self, metallb: Mesh) -> None:
        metallb.run(*SET, "--via", "metallb").exits(0)
        metallb.run(*VIA, "--pool", f"kt={NAT}/32").exits(0)
        assert "loadBalancerIP" not in spec(metallb)

    def test_the_announcement_is_shown(self, metallb: Mesh) -> None:
        metallb.run(*SET, "--via", "metallb", "--announce", "l2").exits(0)
        shown = metallb.run("address", "--contexts", "kt").exits(0).stdout
        assert f"MetalLB pool:   {GATEWAY}: {NAT}/32" in shown
        assert f"announced by:   L2Advertisement metallb-system/{GATEWAY}" in shown
