"""Hosts and addresses: what people give for gateways and API servers, and what NO_PROXY takes out. Pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_HOST_LENGTH = 253
_LOOPBACK_NAMES = frozenset(
    {"localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"}
)
"""As /etc/hosts of the common systems has them, each also with a domain behind it."""
_HOST = re.compile(
    r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*", re.IGNORECASE
)


def address_fault(text: str) -> str | None:
    """What keeps a text from being an address that other clusters can reach, or None.

    An address is an IP address or a host name. Addresses that only mean something on one machine (loopback,
    unspecified, link-local, multicast) are refused: so does the API server in `externalIPs` (kubernetes
    pkg/apis/core/validation/validation.go, ValidateNonSpecialIP, v1.32.3).
    """
    if fault := host_fault(text):
        return fault
    address = _ip(text)
    special = address is not None and (address.is_link_local or address.is_multicast)
    return "is not reachable from other clusters" if special or is_loopback(text) else None


def host_fault(text: str) -> str | None:
    """What keeps a text from being an IP address or a host name, or None."""
    return None if _ip(text) or _is_host(text) else "is neither an IP address nor a host name"


def is_loopback(host: str) -> bool:
    """Whether an address or a name means the machine that reads it, wherever that is."""
    address = _ip(host)
    if address is None:
        name = host.lower().rstrip(".")
        return name.partition(".")[0] in _LOOPBACK_NAMES or name.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any(one.is_loopback or one.is_unspecified for one in (address, mapped) if one)


def is_for_us_only(url: str) -> bool:
    """Whether the host of a URL means the machine that reads it, and never another: a tunnel's, or kind's."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False  # what is no URL leads nowhere


def https_url_fault(text: str) -> str | None:
    """What keeps a text from being an `https://host[:port][/path]` URL, or None."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port  # reading the port checks it
    except ValueError:
        return "is not a URL"
    if url.scheme != "https" or not host:
        return "is not an https:// URL"
    if host_fault(host):
        return "is a URL whose host is neither an IP address nor a host name"
    if url.username is not None or url.query or url.fragment or re.search(r"\s", text):
        return "is more than https://host[:port][/path]"
    return None


def mirror_fault(text: str) -> str | None:
    """What is wrong with a mirror's base URL, as words that follow it, or None."""
    try:
        url = urlsplit(text)
        good = url.scheme in ("https", "http") and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"\s", text) or url.query or url.fragment:
        return "is not an https:// or http:// URL"
    if url.username is not None or url.password is not None:
        return "contains a user name or password, which is not allowed in this file"
    return None


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_host(text: str) -> bool:
    # A name that ends in a number is a mistyped IP address (198.18.0.300): no top-level domain does.
    last = text.rpartition(".")[2]
    return len(text) <= _HOST_LENGTH and _HOST.fullmatch(text) is not None and not last.isdigit()


_PORTS = {"http": 80, "https": 443}


def is_bypassed(server: str, no_proxy: str) -> bool:
    """Whether NO_PROXY has an API server called without the proxy of the environment.

    Args:
        no_proxy: The list: `*`, networks, addresses and names, these two with or without a port.
    """
    parts = urlsplit(server)
    host, port = (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)
    address = _ip(host)
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    return "*" in entries or any(_fits(entry, host, address, port) for entry in entries if entry)


def _fits(
    entry: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int | None
) -> bool:
    if "/" in entry and (network := _network(entry)) is not None:
        return address is not None and address in network
    name, desired = _split(entry)
    if desired and desired != str(port):
        return False
    if (own := _ip(name)) is not None:
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


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
