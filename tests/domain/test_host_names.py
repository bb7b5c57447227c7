"""Host names that contain an address: which address it is, and which objects use them."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.gateway.host_names import address_in, users_of_addresses


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("203.0.113.7.nip.io", "203.0.113.7"),
        ("portal.203.0.113.7.nip.io", "203.0.113.7"),
        ("*.203.0.113.7.NIP.io.", "203.0.113.7"),
        ("portal-203-0-113-7.nip.io", "203.0.113.7"),
        ("portal.5.203.0.113.7.nip.io", "203.0.113.7"),
        ("portal-cb007107.nip.io", "203.0.113.7"),
        ("203-0-113-7.portal.sslip.io", "203.0.113.7"),
        ("2001-db8--7.sslip.io", "2001:db8::7"),
        ("portal-cb007107.sslip.io", None),
        ("203.0.113.700.nip.io", None),
        ("203.0.113.7.example.com", None),
        ("portal.nip.io", None),
        ("nip.io", None),
        ("203.0.113.7.notnip.io", None),
    ],
)
def test_the_address_is_the_one_that_dns_returns(host: str, address: str | None) -> None:
    assert address_in(host) == address


def made(kind: str, spec: dict[str, Any], **metadata: object) -> dict[str, Any]:
    named = {"name": "portal", "namespace": "cp", **metadata}
    return {"apiVersion": "networking/v1", "kind": kind, "metadata": named, "spec": spec}


HOST = "portal.203.0.113.7.nip.io"
INGRESS = {"rules": [{"host": HOST}], "tls": [{"hosts": [HOST]}]}


@pytest.mark.parametrize(
    "item",
    [
        made("VirtualService", {"hosts": ["portal", HOST]}),
        made("Gateway", {"servers": [{"hosts": [f"cp/{HOST}"], "port": {"number": 80}}]}),
        made("Ingress", INGRESS),
        made("Ingress", {"tls": [{"hosts": [HOST]}], "ingressClassName": "istio"}),
        made("Ingress", INGRESS, annotations={"kubernetes.io/ingress.class": "istio"}),
    ],
    ids=lambda item: f"{item['kind']} {'class' in str(item)}",
)
def test_whatever_names_a_host_uses_its_address(item: dict[str, Any]) -> None:
    sorts: dict[str, list[Any]] = {kind: [] for kind in ("Gateway", "VirtualService", "Ingress")}
    sorts[item["kind"]].append(item)
    found = users_of_addresses(*sorts.values())
    assert found == {"203.0.113.7": {HOST: [f"{item['kind']} cp/portal"]}}


def test_an_ingress_of_another_controller_has_its_own_address() -> None:
    ours = made("Ingress", {**INGRESS, "ingressClassName": "nginx"})
    old = made("Ingress", INGRESS, annotations={"kubernetes.io/ingress.class": "nginx"})
    assert users_of_addresses([], [], [ours, old]) == {}
