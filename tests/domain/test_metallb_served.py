"""Services that have their address from MetalLB, and the commands that take it from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.gateway.metallb import in_use, served
from istio_mc.domain.mesh import EAST_WEST_GATEWAY, MANAGED_BY

if TYPE_CHECKING:
    from istio_mc.domain.problem import Problem


def pool(*addresses: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "office", "labels": labels}, "spec": {"addresses": list(addresses)}}


def service(
    name: str, address: str, namespace: str = "shop", *, prefix: str = "metallb.io"
) -> dict[str, Any]:
    annotations = {f"{prefix}/ip-allocated-from-pool": "office"}
    return {
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
    }


OFFICE = pool("192.0.2.0/28", "2001:db8::1-2001:db8::9")
OURS = pool("203.0.113.7/32", **MANAGED_BY)
GATEWAY = service(EAST_WEST_GATEWAY, "203.0.113.7", "istio-system")


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (service("web", "192.0.2.5"), ["Service shop/web 192.0.2.5"]),
        (service("web", "2001:db8::5"), ["Service shop/web 2001:db8::5"]),
        (service("web", "192.0.2.5", prefix="metallb.universe.tf"), ["Service shop/web 192.0.2.5"]),
        # Its pool is gone: MetalLB takes the address back.
        (service("web", "192.0.2.99"), []),
        (service("web", ""), []),
    ],
)
def test_a_service_is_served_by_the_pool_that_has_its_address(one: dict[str, Any], found: list[str]) -> None:
    assert list(map(str, served([one], [OFFICE]))) == found


def problem(*services: dict[str, Any]) -> Problem:
    return in_use("kt", served(services, [OFFICE, OURS]))


def test_of_the_gateway_all_that_address_wrote_goes_first() -> None:
    found = problem(GATEWAY, service("web", "192.0.2.5"))
    assert found.message == "kt: 2 Services with an address from MetalLB"
    assert str(found.hint) == (
        "istio-mc address --unset kt --yes && kubectl --context kt -n shop patch service web --type merge "
        """-p '{"spec": {"type": "NodePort"}}'"""
    )


def test_a_gateway_in_a_pool_of_others_is_a_service_as_any() -> None:
    found = problem(service(EAST_WEST_GATEWAY, "192.0.2.5", "istio-system"))
    assert str(found.hint).startswith("kubectl --context kt -n istio-system patch service")


def test_of_many_services_the_first_command_is_an_example() -> None:
    found = problem(*(service(f"web-{number}", f"192.0.2.{number}") for number in range(1, 7)))
    assert str(found.seen).endswith("Service shop/web-5 192.0.2.5 and 1 more")
    assert str(found.hint).startswith("do the same for each of them: ")
