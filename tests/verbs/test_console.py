"""address --console: exactly what is entered in the consoles, by cloud; it reads, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.store import By

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
GATEWAY = "istio-ingressgateway"
PLACEHOLDER = "PUBLIC-IP"


@pytest.fixture
def pending(installed: Mesh) -> Mesh:
    """A mesh whose kt gives its gateway no address; the nodes have addresses."""
    kt = installed["kt"]
    kt.balancer = ""
    service = kt.get("Service", GATEWAY, SYSTEM)
    kt.set_status(service, {"loadBalancer": {}}, By("cloud-controller-manager", subresource="status"))
    for number, name in enumerate(installed.names):
        cluster = installed[name]
        (node,) = cluster.store.of("Node")
        addresses = [{"type": "InternalIP", "address": f"10.0.{number}.5"}]
        if name == "nhn":
            addresses.append({"type": "ExternalIP", "address": "203.0.113.50"})
        cluster.set_status(node, {"addresses": addresses}, By("kubelet", subresource="status"))
    return installed


def screens(mesh: Mesh, *words: str) -> dict[str, list[dict[str, Any]]]:
    """The entries of each screen of one cluster, by title, in their order."""
    (cluster,) = mesh.run("address", "--console", *words, "-o", "json").exits(0).data["clusters"]
    return {one["title"]: one["entries"] for one in cluster["screens"]}


def node_port(mesh: Mesh, cluster: str, port: int) -> str:
    ports = mesh[cluster].get("Service", GATEWAY, SYSTEM)["spec"]["ports"]
    return str(next(one["nodePort"] for one in ports if one["port"] == port))


def test_kts_screens_are_in_the_order_of_the_guide(pending: Mesh) -> None:
    assert list(screens(pending, "kt")) == [
        "Load balancers",
        "Public IP and static NAT",
        "Firewall",
        "API server: Firewall",
    ]


def test_each_port_is_forwarded_to_its_node_port_on_the_nodes(pending: Mesh) -> None:
    entries = screens(pending, "kt")["Load balancers"]
    assert [one["port"] for one in entries] == ["15443", "15021", "80", "443", "31400"]
    assert entries[0] == {
        "name": "kt-k2p-15443",
        "protocol": "TCP",
        "port": "15443",
        "servers": "10.0.0.5",
        "serverPort": node_port(pending, "kt", 15443),
        "healthCheck": "TCP",
        "inTheMesh": "required",
    }


def test_ports_of_primary_remote_are_not_opened(pending: Mesh) -> None:
    ports = {one["port"] for one in screens(pending, "kt")["Firewall"]}
    assert ports == {"15443", "15021", "80", "443", "31400"}


def test_callers_are_named_by_their_address_or_by_what_to_look_up(pending: Mesh) -> None:
    first = screens(pending, "kt")["Firewall"][0]
    assert first["source"] == "NAT address of the nodes of ncloud; 203.0.113.50"
    assert first["destination"] == PLACEHOLDER
    by_port = {one["port"]: one["source"] for one in screens(pending, "kt")["Firewall"]}
    assert by_port["443"] == "0.0.0.0/0"


def test_an_address_that_is_known_is_filled_in(pending: Mesh) -> None:
    pending.run("address", "--set", "kt=203.0.113.7").exits(0)
    assert screens(pending, "kt")["Public IP and static NAT"][0]["publicIp"] == "203.0.113.7"


def test_a_cloud_that_creates_the_load_balancer_needs_no_manual_one(pending: Mesh) -> None:
    assert list(screens(pending, "nhn")) == [
        "Load balancer",
        "Security group, ingress",
        "API server: access control of the endpoint",
    ]
    assert "ACG, inbound" in screens(pending, "ncloud")


def test_a_cloud_can_be_named(pending: Mesh) -> None:
    assert "ACG, inbound" in screens(pending, "kt=ncloud")


def test_the_command_that_follows_is_printed_and_nothing_is_changed(pending: Mesh) -> None:
    writes = pending.writes
    shown = pending.run("address", "--console", "kt", "--console", "nhn").exits(0).stdout
    assert f"Then: istio-mc address --set kt={PLACEHOLDER} --via metallb" in shown
    assert "nhn  nhn-nks, NHN Cloud" in shown
    assert pending.writes == writes


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--console", "kt=aws"), "option-malformed"),
        (("--console", "kt", "--set", "kt=203.0.113.7"), "option-malformed"),
        (("--console", "aws"), "not-in-this-run"),
    ],
)
def test_what_cannot_be_shown_is_refused(installed: Mesh, words: tuple[str, ...], code: str) -> None:
    found = installed.run("address", *words, "-o", "json").exits(2)
    assert [error for error, _ in found.errors] == [code]
