"""Host names that contain an IP address (nip.io, sslip.io), and the objects that use them. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from istio_mc.domain.kube.objects import annotations_of, ref_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from istio_mc.domain.kube.objects import Object

_V4 = r"(?:^|[.-])((?:\d{1,3}\.){3}\d{1,3}|(?:\d{1,3}-){3}\d{1,3})"
_LAST = re.compile(_V4 + r"$")
_ANYWHERE = re.compile(_V4 + r"(?=[.-])")
_HEX = re.compile(r"(?:^|[.-])([0-9a-f]{8})$")
_ISTIO_CLASS = "istio"


def address_in(host: str) -> str | None:
    """The IP address that DNS returns for a host name of nip.io or sslip.io; None: it contains none.

    Both read `10.0.0.1` and `10-0-0-1` with anything before; nip.io also `0a000001`, and sslip.io also IPv6
    with dashes for colons.
    """
    name, _, zone = host.lower().rstrip(".").removesuffix(".io").rpartition(".")
    if not name or not host.lower().rstrip(".").endswith((".nip.io", ".sslip.io")):
        return None
    if found := _LAST.search(name) or _ANYWHERE.search(name):
        return _ip(found[1].replace("-", "."))
    if zone == "nip":
        found = _HEX.search(name)
        return str(ipaddress.IPv4Address(int(found[1], 16))) if found else None
    return _ip(name.rpartition(".")[2].replace("-", ":"))


def _ip(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def users_of_addresses(
    gateways: Iterable[Object], virtual_services: Iterable[Object], ingresses: Iterable[Object]
) -> dict[str, dict[str, list[str]]]:
    """The objects that use a host name with an address: by address and host name.

    An Ingress of another class than Istio's is served by another controller, at an address of its own.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for item in (*gateways, *virtual_services, *filter(_is_of_istio, ingresses)):
        for host in dict.fromkeys(_hosts(item)):
            if address := address_in(host):
                found.setdefault(address, {}).setdefault(host, []).append(str(ref_of(item)))
    return found


def _hosts(item: Object) -> Iterator[str]:
    spec = item.get("spec") or {}
    for host in spec.get("hosts") or []:
        yield str(host)
    for server in spec.get("servers") or []:
        for host in server.get("hosts") or []:
            yield str(host).rpartition("/")[2]
    for rule in spec.get("rules") or []:
        yield str(rule.get("host") or "")
    for tls in spec.get("tls") or [] if item["kind"] == "Ingress" else []:
        yield from map(str, tls.get("hosts") or [])


def _is_of_istio(ingress: Object) -> bool:
    name = (ingress.get("spec") or {}).get("ingressClassName")
    return (
        name or annotations_of(ingress).get("kubernetes.io/ingress.class") or _ISTIO_CLASS
    ) == _ISTIO_CLASS
