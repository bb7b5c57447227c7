"""kt's provider gives its gateway no address: `address` shows what to set up, gives one, and takes it back.

On the lab a static NAT outside kt's cluster has 198.18.0.21 and forwards each port to its nodePort, as the
guide has its reader set it up by hand.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.harness import (
    CONTEXTS,
    GATEWAY,
    SYSTEM,
    Site,
    command,
    get,
    kubectl,
    rolled_out,
    snapshots,
    soon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "istio-ingressgateway"
NAT = "198.18.0.21"
POOL_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ipaddresspools.metallb.io"},
    "spec": {
        "group": "metallb.io",
        "scope": "Namespaced",
        "names": {"kind": "IPAddressPool", "plural": "ipaddresspools", "singular": "ipaddresspool"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}
METALLB = [
    POOL_CRD,
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "metallb-system"}},
]
POOL_OF_OTHERS = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: of-others, namespace: metallb-system}
spec: {addresses: [192.0.2.0/28]}
"""


@pytest.fixture(scope="module")
def silent(whole: Site) -> Iterator[Site]:
    """The mesh under a mesh.yaml that knows of no gateway's address, with the sample in it."""
    whole.run("sample", "deploy").exits(0)
    clusters = [{"context": name} for name in CONTEXTS]
    site = Site.at(whole.folder / "silent", certs=whole.certs, clusters=clusters)
    yield site
    site.run("install", "--gateway-address", f"kt={NAT}").exits(0)


@pytest.fixture
def pending(silent: Site) -> Site:
    """kt's gateway without an address."""
    silent.run("address", "--unset", "kt", "--yes").exits(0)
    return silent


@pytest.fixture
def metallb() -> Iterator[None]:
    """As much of MetalLB in kt as its API is: its pools, one of somebody else's, and its namespace."""
    documents = yaml.safe_dump_all(METALLB)
    kubectl("kt", "apply", "-f", "-", stdin=documents)
    kubectl("kt", "wait", "--for=condition=Established", "crd/ipaddresspools.metallb.io", "--timeout=20s")
    kubectl("kt", "apply", "-f", "-", stdin=POOL_OF_OTHERS)
    yield
    kubectl("kt", "delete", "--ignore-not-found", "-f", "-", stdin=documents)


def service(context: str = "kt") -> dict[str, Any]:
    return get(context, "service", SERVICE)


def pools() -> dict[str, Any]:
    """What each of MetalLB's pools in kt says, by name."""
    found = get("kt", "ipaddresspools", namespace="metallb-system")
    return {item["metadata"]["name"]: item["spec"] for item in found["items"]}


def remote_gateways(context: str) -> list[str]:
    found = get(context, "gateways.gateway.networking.k8s.io")
    return [item["metadata"]["name"] for item in (found or {}).get("items", [])]


def shown(site: Site, context: str = "kt") -> dict[str, Any]:
    clusters = site.run("address", "-o", "json").exits(0).data["clusters"]
    return next(cluster for cluster in clusters if cluster["name"] == context)


def known(context: str, network: str) -> list[tuple[str, str]]:
    """Which gateways of a network an istiod knows: the cluster it read each from, and its address."""
    asked = ("exec", "-n", SYSTEM, "deployment/istiod", "--", "pilot-discovery", "request", "GET")
    found = json.loads(kubectl(context, *asked, "/debug/networkz")) or []
    return [(one["Cluster"], one["Addr"]) for one in found if one["Network"] == network]


def assert_matrix(site: Site) -> None:
    """Every client reaches every version, once proxies have taken in the last change."""
    deadline = time.monotonic() + 30
    while (result := site.run("sample", "test", "-o", "json")).code and time.monotonic() < deadline:
        time.sleep(1)
    result.exits(0)


def install_with_istioctl(site: Site) -> list[str]:
    """An install that has to run istioctl in kt, for the gateway there is not as wanted; its steps."""
    kubectl("kt", "set", "env", GATEWAY, "-n", SYSTEM, "ISTIO_META_ROUTER_MODE=standard")
    done = site.run("install", "-o", "json").exits(0)
    cluster = next(one for one in done.data["clusters"] if one["name"] == "kt")
    return [step["name"] for step in cluster["steps"]]


class TestPending:
    def test_an_install_ends_in_time_and_names_the_command_that_mends_it(self, pending: Site) -> None:
        result = pending.run("install", "-o", "json", "--timeout", "25s").exits(3)
        (error,) = result.json["errors"]
        assert (error["code"], error["cluster"]) == ("gateway-address-pending", "kt")
        assert error["hint"].startswith("istio-mc address --set kt=ADDRESS")

    def test_verify_fails(self, pending: Site) -> None:
        result = pending.run("verify", "-o", "json", "--only", "gateway.address").exits(4)
        assert {error["cluster"] for error in result.json["errors"]} == {"kt"}

    def test_each_port_is_shown_with_its_node_port(self, pending: Site) -> None:
        live = {port["port"]: port["nodePort"] for port in service()["spec"]["ports"]}
        found = shown(pending)
        assert found["status"] == "pending"
        assert {port["port"]: port["nodePort"] for port in found["ports"]} == live
        assert {port["port"] for port in found["ports"] if port["needed"]} == {15443, 15021}

    def test_three_ways_out_are_shown_each_with_its_command(self, pending: Site) -> None:
        commands = [way["command"] for way in shown(pending)["waysOut"]]
        assert commands == [
            f"istio-mc address --set kt=ADDRESS --via {via}" for via in ("external-ip", "metallb", "gateway")
        ]
        text = pending.run("address").exits(0).stdout
        assert all(command in text for command in commands)

    def test_a_host_name_is_shown_with_what_it_resolves_to(self, pending: Site) -> None:
        found = shown(pending, "ncloud")
        assert found["gatewayAddresses"] == ["gw.ncloud.lab.test"]
        assert found["resolved"] == {"gw.ncloud.lab.test": ["198.18.0.22"]}

    def test_an_address_that_is_not_public_is_pointed_out(self, pending: Site) -> None:
        assert [doubt["address"] for doubt in shown(pending, "nhn")["doubts"]] == ["198.18.0.23"]

    def test_a_dry_run_prints_the_documents_and_touches_nothing(self, pending: Site) -> None:
        before = snapshots()
        result = pending.run("address", "--set", f"kt={NAT}", "--via", "gateway", "--dry-run", "-o", "json")
        changes = result.exits(0).data["changes"]
        assert {(one["cluster"], one["document"]["kind"]) for one in changes} == {
            ("ncloud", "Gateway"),
            ("nhn", "Gateway"),
        }
        assert snapshots() == before


class TestExternalIp:
    def test_the_matrix_is_complete_and_a_later_install_keeps_the_address(self, pending: Site) -> None:
        done = pending.run("address", "--set", f"kt={NAT}", "--via", "external-ip", "-o", "json").exits(0)
        assert done.data["changed"]
        assert service()["spec"]["externalIPs"] == [NAT]
        assert_matrix(pending)

        assert "istio" in install_with_istioctl(pending)

        assert service()["spec"]["externalIPs"] == [NAT]
        assert_matrix(pending)

    def test_a_second_time_there_is_nothing_to_change(self, pending: Site) -> None:
        pending.run("address", "--set", f"kt={NAT}").exits(0)
        again = pending.run("address", "--set", f"kt={NAT}").exits(0)
        assert "Nothing to change." in again.stdout

    def test_taking_it_back_asks_first(self, pending: Site) -> None:
        pending.run("address", "--set", f"kt={NAT}").exits(0)
        pending.run("address", "--unset", "kt").exits(2)
        assert service()["spec"]["externalIPs"] == [NAT]

    def test_what_an_install_wrote_is_taken_back_too_and_stays_away(self, pending: Site) -> None:
        pending.run("install", "--gateway-address", f"kt={NAT}").exits(0)
        pending.run("address", "--unset", "kt", "--yes").exits(0)
        assert "externalIPs" not in service()["spec"]


class TestGateway:
    @pytest.fixture
    def told(self, pending: Site) -> Site:
        """The others told by a Gateway where kt is."""
        pending.run("address", "--set", f"kt={NAT}", "--via", "gateway").exits(0)
        return pending

    def test_it_stands_in_every_other_cluster_and_kt_itself_is_left_alone(self, told: Site) -> None:
        assert {name: remote_gateways(name) for name in CONTEXTS} == {
            "kt": [],
            "ncloud": ["istio-remote-kt-k2p"],
            "nhn": ["istio-remote-kt-k2p"],
        }
        assert not {"externalIPs", "loadBalancerIP"} & service()["spec"].keys()
        assert shown(told)["gatewayAddresses"] == [NAT]

    def test_the_matrix_is_complete_and_verify_finds_nothing(self, told: Site) -> None:
        assert_matrix(told)
        told.run("verify", "-o", "json", "--wait", "20s").exits(0)

    def test_a_later_install_finds_nothing_to_change(self, told: Site) -> None:
        assert not told.run("install", "-o", "json").exits(0).data["changed"]

    def test_an_install_that_runs_istioctl_keeps_it(self, told: Site) -> None:
        assert "istio" in install_with_istioctl(told)
        assert remote_gateways("ncloud") == remote_gateways("nhn") == ["istio-remote-kt-k2p"]
        assert_matrix(told)

    def test_where_one_is_missing_verify_says_so_and_install_brings_it_as_to_one_that_joins(
        self, told: Site
    ) -> None:
        kubectl("nhn", "delete", "gateways.gateway.networking.k8s.io", "istio-remote-kt-k2p", "-n", SYSTEM)
        found = told.run("verify", "-o", "json", "--only", "gateway.address").exits(4)
        assert "only in ncloud" in found.json["errors"][0]["seen"]

        done = told.run("install", "-o", "json").exits(0)

        steps = {one["name"]: [step["name"] for step in one["steps"]] for one in done.data["clusters"]}
        assert steps == {"kt": [], "ncloud": [], "nhn": ["remote-gateways"]}
        assert remote_gateways("nhn") == ["istio-remote-kt-k2p"]

    def test_another_way_takes_its_place(self, told: Site) -> None:
        told.run("address", "--set", f"kt={NAT}", "--via", "external-ip").exits(0)
        assert remote_gateways("ncloud") == remote_gateways("nhn") == []
        assert_matrix(told)

    def test_unset_takes_it_from_every_cluster(self, told: Site) -> None:
        told.run("address", "--unset", "kt", "--yes").exits(0)
        assert remote_gateways("ncloud") == remote_gateways("nhn") == []
        assert shown(told)["status"] == "pending"


class TestGatewayAlone:
    """kt's Gateways, where no istiod ever learned an address of kt's Service."""

    @pytest.fixture
    def unheard_of(self, silent: Site) -> Site:
        """kt's gateway without an address, and istiods that know of none: restarted as `--unset` says."""
        silent.run("address", "--set", f"kt={NAT}").exits(0)
        done = silent.run("address", "--unset", "kt", "--yes", "-o", "json").exits(0)
        (told,) = [one for one in done.json["messages"] if one["code"] == "address-remembered"]
        command("sh", "-c", told["hint"])
        for name in ("ncloud", "nhn"):
            rolled_out(name, "deployment/istiod")
        return silent

    def test_the_matrix_is_complete_by_them_and_by_nothing_else(self, unheard_of: Site) -> None:
        assert {name: known(name, "network1") for name in ("ncloud", "nhn")} == {"ncloud": [], "nhn": []}
        before = unheard_of.run("sample", "test", "--wait", "1s", "-o", "json").exits(4)
        rows = {row["name"]: row["answered"] for row in before.data["clusters"]}
        assert {name: row["v1"] for name, row in rows.items() if name != "kt"} == {"ncloud": 0, "nhn": 0}

        unheard_of.run("address", "--set", f"kt={NAT}", "--via", "gateway").exits(0)

        assert_matrix(unheard_of)
        assert {name: known(name, "network1") for name in ("ncloud", "nhn")} == {
            "ncloud": [("ncloud-nks", NAT)],
            "nhn": [("nhn-nks", NAT)],
        }
        unheard_of.run("verify", "--wait", "20s", "--skip", "cni").exits(0)

    def test_a_gateway_that_goes_is_forgotten_at_once(self, unheard_of: Site) -> None:
        unheard_of.run("address", "--set", f"kt={NAT}", "--via", "gateway").exits(0)
        soon(lambda: known("ncloud", "network1") != [], "ncloud's istiod has read the Gateway")

        done = unheard_of.run("address", "--unset", "kt", "--yes", "-o", "json").exits(0)

        assert [one["code"] for one in done.json["messages"] if one["code"] == "address-remembered"] == []
        soon(lambda: known("ncloud", "network1") == [], "ncloud's istiod has forgotten the Gateway")


class TestMetalLB:
    def test_its_absence_is_one_error_that_names_what_to_install(self, pending: Site) -> None:
        result = pending.run("address", "--set", f"kt={NAT}", "--via", "metallb", "-o", "json").exits(1)
        (error,) = result.json["errors"]
        assert (error["code"], error["cluster"]) == ("metallb-missing", "kt")
        assert "install MetalLB first" in error["hint"]

    @pytest.mark.usefixtures("metallb")
    def test_the_pool_and_the_service_are_written_as_the_guide_has_them_and_taken_back(
        self, pending: Site
    ) -> None:
        before = service()["spec"], pools()
        assert [*before[1]] == ["of-others"]

        pending.run("address", "--set", f"kt={NAT}", "--via", "metallb").exits(0)

        written = {"addresses": [f"{NAT}/32"], "autoAssign": False}
        assert pools() == {**before[1], SERVICE: written}
        assert service()["spec"] == {**before[0], "loadBalancerIP": NAT}
        again = pending.run("address", "--set", f"kt={NAT}", "--via", "metallb").exits(0)
        assert "Nothing to change." in again.stdout

        pending.run("address", "--unset", "kt", "--yes").exits(0)

        assert (service()["spec"], pools()) == before

    @pytest.mark.usefixtures("metallb")
    def test_an_install_that_runs_istioctl_keeps_what_metallb_was_asked_for(self, pending: Site) -> None:
        pending.run("address", "--set", f"kt={NAT}", "--via", "metallb").exits(0)
        kubectl("kt", "set", "env", GATEWAY, "-n", SYSTEM, "ISTIO_META_ROUTER_MODE=standard")
        # Nobody plays MetalLB's part here, so that the address stays pending.
        pending.run("install", "--timeout", "35s").exits(3)
        assert service()["spec"]["loadBalancerIP"] == NAT
        pending.run("address", "--unset", "kt", "--yes").exits(0)


class TestLeaving:
    def test_a_cluster_that_leaves_takes_what_stands_for_it_along(self, pending: Site) -> None:
        pending.run("address", "--set", f"kt={NAT}", "--via", "gateway").exits(0)

        result = pending.run("uninstall", "--contexts", "kt", "--yes", "-o", "json").exits(0)

        removed = {one["name"]: one["removed"] for one in result.data["clusters"]}
        for name in ("ncloud", "nhn"):
            assert f"Gateway {SYSTEM}/istio-remote-kt-k2p" in removed[name]
            assert remote_gateways(name) == []
