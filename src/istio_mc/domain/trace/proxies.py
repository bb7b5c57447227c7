"""What an Envoy has for a service, as its admin page `/clusters` lists it."""

from __future__ import annotations

import re
from typing import NamedTuple

_HEALTH = rb"(?P<endpoint>[^:\n]+:\d+|\[[^\]\n]+\]:\d+)::health_flags::(?P<flags>\S+)"


class ProxyEndpoint(NamedTuple):
    """An endpoint in a cluster of an Envoy.

    Attributes:
        healthy: Whether the Envoy calls it.
    """

    address: str
    port: int
    healthy: bool

    def __str__(self) -> str:
        return f"{self.address}:{self.port}" + ("" if self.healthy else " (unhealthy)")


def outbound(port: int, host: str) -> str:
    """The name of a sidecar's cluster for a service (pilot/pkg/model/push_context.go, BuildSubsetKey)."""
    return f"outbound|{port}||{host}"


def sni_dnat(port: int, host: str) -> str:
    """The name of a gateway's cluster for a service (likewise, BuildDNSSrvSubsetKey)."""
    return f"outbound_.{port}_._.{host}"


def read_endpoints(page: bytes, cluster: str) -> tuple[ProxyEndpoint, ...]:
    """The endpoints of one cluster in the text of `/clusters`.

    Lines are `<cluster>::<address>:<port>::health_flags::healthy`, in Envoy's
    source/server/admin/clusters_handler.cc; with thousands of services the page has tens of megabytes.
    """
    line = re.compile(rb"^%b::%b" % (re.escape(cluster.encode()), _HEALTH), re.MULTILINE)
    endpoints: dict[tuple[str, int], ProxyEndpoint] = {}
    for match in line.finditer(page):
        address, _, port = match["endpoint"].decode().rpartition(":")
        one = ProxyEndpoint(address.strip("[]"), int(port), match["flags"] == b"healthy")
        endpoints[one.address, one.port] = one
    return tuple(endpoints.values())
