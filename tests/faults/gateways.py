"""Faults of east-west gateways: of their Services, addresses, ports and Gateway resource."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab import faults
from tests.e2e.harness import GATEWAY, SYSTEM, get, kubectl, rolled_out
from tests.faults.harness import Fault, fault, of, patch

if TYPE_CHECKING:
    from tests.e2e.harness import Site

_SERVICE = "istio-ingressgateway"
_RESOURCE = "gateways.networking.istio.io"
_NETWORK = "topology.istio.io/network"
_HOSTS = Path("/etc/hosts")


def _external_ips(context: str, addresses: list[str] | None) -> None:
    patch(context, "service", _SERVICE, {"spec": {"externalIPs": addresses}})


def _without_port(_site: Site) -> None:
    ports = get("nhn", "service", _SERVICE)["spec"]["ports"]
    (index,) = [place for place, port in enumerate(ports) if port["port"] == 15443]
    patch("nhn", "service", _SERVICE, [{"op": "remove", "path": f"/spec/ports/{index}"}], "json")


def _unresolved(_site: Site) -> None:
    """The name that the lab put there, as a public DNS would, is not known to this machine any more."""
    text = _HOSTS.read_text()
    _HOSTS.write_text(text.replace("gw.ncloud.lab.test", "gone.ncloud.lab.test"))


def _resolved(_site: Site) -> None:
    text = _HOSTS.read_text()
    _HOSTS.write_text(text.replace("gone.ncloud.lab.test", "gw.ncloud.lab.test"))


def _view(_site: Site) -> None:
    kubectl("kt", "set", "env", GATEWAY, "-n", SYSTEM, "ISTIO_META_REQUESTED_NETWORK_VIEW-")
    rolled_out("kt")


def _without_label(_site: Site) -> None:
    kubectl("nhn", "label", "service", _SERVICE, "-n", SYSTEM, f"{_NETWORK}-")


WITHOUT_ADDRESS = fault(
    "gateway Service without an address",
    of("gateway.address", "kt"),
    make=lambda _: _external_ips("kt", None),
)
WITHOUT_ROUTE = fault(
    "gateway address that nobody routes",
    of("data-path.reachable", "kt"),
    make=lambda _: _external_ips("kt", ["198.18.0.99"]),
    undo=lambda _: _external_ips("kt", ["198.18.0.21"]),
)
UNRESOLVED = fault(
    "gateway hostname that does not resolve",
    of("data-path.resolves", "ncloud"),
    make=_unresolved,
    undo=_resolved,
)
WITHOUT_PORT = fault("port 15443 missing", of("gateway.ports", "nhn"), make=_without_port)
FIREWALL = fault(
    "firewall drops 15443",
    of("data-path.reachable", "nhn"),
    make=lambda _: faults.swallow("nhn", 15443),
    undo=lambda _: faults.unswallow("nhn"),
)
WITHOUT_RESOURCE = fault(
    "Gateway resource missing",
    of("gateway.exposed", "nhn"),
    make=lambda _: kubectl("nhn", "delete", _RESOURCE, "cross-network-gateway", "-n", SYSTEM),
)
WRONG_SELECTOR = fault(
    "Gateway resource with the wrong selector",
    of("gateway.exposed", "ncloud"),
    make=lambda _: patch(
        "ncloud", _RESOURCE, "cross-network-gateway", {"spec": {"selector": {"istio": "eastwestgateway"}}}
    ),
)
WITHOUT_LABEL = fault(
    "network label missing on the gateway", of("gateway.network", "nhn"), make=_without_label
)
FORWARDING = fault("gateway forwards to other networks", of("gateway.network", "kt"), make=_view)

ROUNDS: tuple[tuple[Fault, ...], ...] = (
    (WITHOUT_ADDRESS, UNRESOLVED, WITHOUT_PORT),
    (WITHOUT_ROUTE, WRONG_SELECTOR, WITHOUT_LABEL),
    (FORWARDING, WITHOUT_RESOURCE),
)
