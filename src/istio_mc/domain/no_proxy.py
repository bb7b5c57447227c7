"""NO_PROXY as Go reads it, and so kubectl (golang.org/x/net, http/httpproxy/proxy.go). Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def is_bypassed(server: str, no_proxy: str) -> bool:
    """Whether NO_PROXY has an API server called without the proxy of the environment.

    Args:
        server: The API server's URL.
        no_proxy: The list: `*`, networks, addresses and names, these two with or without a port.
    """
    parts = urlsplit(server)
    host, port = (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)
    address = _address(host)
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    return "*" in entries or any(_fits(entry, host, address, port) for entry in entries if entry)


def _fits(
    entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int | None
) -> bool:
    if "/" in entry and (network := _network(entry)) is not None:
        return address is not None and address in network
    name, wanted = _split(entry)
    if wanted and wanted != str(port):
        return False
    if (own := _address(name)) is not None:
        return own == address
    if not name or address is not None:
        return False
    name = name.removeprefix("*") if name.startswith("*.") else name
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")


def _split(entry: str) -> tuple[str, str]:
    """Host and port of an entry; a port that is not there is empty."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    name, colon, port = entry.rpartition(":")
    return (name, port) if colon and ":" not in name else (entry, "")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
