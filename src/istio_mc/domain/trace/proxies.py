"""What an Envoy has for a service, as its admin page `/clusters` lists it."""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE = re.compile(
    r"(?P<cluster>outbound[^:]*)::(?P<endpoint>[^:]+:\d+|\[[^\]]+\]:\d+)::health_flags::(?P<flags>\S+)"
)


class ProxyEndpoint(NamedTuple):
    """An endpoint in a cluster of an Envoy.

    Attributes:
        address: Its IP address.
        port: Its port.
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


def read_endpoints(page: str, cluster: str) -> tuple[ProxyEndpoint, ...]:
    """The endpoints of one cluster in the text of `/clusters`.

    Lines are `<cluster>::<address>:<port>::health_flags::healthy`, in Envoy's
    source/server/admin/clusters_handler.cc.
    """
    found: dict[tuple[str, int], ProxyEndpoint] = {}
    for line in page.splitlines():
        if not line.startswith(cluster + "::"):
            continue
        match = _LINE.match(line)
        if match and match["cluster"] == cluster:
            address, _, port = match["endpoint"].rpartition(":")
            one = ProxyEndpoint(address.strip("[]"), int(port), match["flags"] == "healthy")
            found[one.address, one.port] = one
    return tuple(found.values())
