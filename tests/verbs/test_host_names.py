"""Host names made of the gateway's address: no fault while it is that, and a warning once it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.store import By

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
GATEWAY = "istio-ingressgateway"
IP = "203.0.113.7"
ONLY = ("verify", "--only", "gateway.host-names", "-o", "json")


def move(mesh: Mesh, cluster: str, *ingress: dict[str, str]) -> None:
    """The load balancer of a gateway gets another address."""
    mesh[cluster].balancer = ""
    service = mesh[cluster].get("Service", GATEWAY, SYSTEM)
    status = {"loadBalancer": {"ingress": [*ingress]}}
    mesh[cluster].set_status(service, status, By("cloud-controller-manager", subresource="status"))


def portal(mesh: Mesh, cluster: str, address: str) -> str:
    """The portal's host name, as the guide makes it, in what serves it."""
    host = f"portal.{address}.nip.io"
    mesh[cluster].make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cp"}})
    specs: dict[str, dict[str, Any]] = {
        "Gateway": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"hosts": [host], "port": {"number": 80, "name": "http", "protocol": "HTTP"}}],
        },
        "VirtualService": {"hosts": [host], "gateways": ["portal"]},
    }
    for kind, spec in specs.items():
        metadata = {"name": "portal", "namespace": "cp"}
        mesh[cluster].make(
            {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
        )
    return host


@pytest.fixture
def host(installed: Mesh) -> str:
    """The host name of a portal behind kt's gateway."""
    move(installed, "kt", {"ip": IP})
    return portal(installed, "kt", IP)


def test_the_address_of_the_gateway_is_no_fault(installed: Mesh, host: str) -> None:
    assert host
    assert installed.run(*ONLY).exits(0).json["messages"] == []


def test_an_ingress_address_of_another_member_is_not_a_fault_either(installed: Mesh) -> None:
    move(installed, "nhn", {"ip": IP})
    portal(installed, "kt", IP)
    assert installed.run(*ONLY).exits(0).json["messages"] == []


def test_a_changed_address_is_a_warning_with_what_depends_on_it(installed: Mesh, host: str) -> None:
    move(installed, "kt", {"ip": "203.0.113.99"})
    (warning,) = installed.run(*ONLY).exits(0).json["messages"]
    assert (warning["code"], warning["cluster"]) == ("host-name-outdated", "kt")
    assert warning["seen"] == f"{host}: Gateway cp/portal, VirtualService cp/portal"
    assert warning["expected"] == "the address of the gateway: 203.0.113.99"


def test_the_old_address_given_back_is_no_fault_any_more(installed: Mesh, host: str) -> None:
    assert host
    move(installed, "kt", {"ip": "203.0.113.99"})
    installed.run("address", "--set", f"kt={IP}").exits(0)
    assert installed.run(*ONLY).exits(0).json["messages"] == []


def test_beside_a_gateway_with_a_host_name_it_is_unknown(installed: Mesh, host: str) -> None:
    assert host
    move(installed, "kt", {"hostname": "lb.example.com"})
    found = [one for one in installed.run(*ONLY).json["data"]["checks"] if one["id"] == "gateway.host-names"]
    assert {one["cluster"]: one["verdict"] for one in found}["kt"] == "unknown"
