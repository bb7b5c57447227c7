"""Addresses that people give: of gateways, of API servers."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_HOST_LENGTH = 253
_HOST = re.compile(
    r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*", re.IGNORECASE
)


def address_fault(text: str) -> str | None:
    """What keeps a text from being an address that other clusters can reach, or None.

    An address is an IP address or a host name. Addresses that only mean something on one machine (loopback,
    unspecified, link-local, multicast) are refused: so does the API server in `externalIPs` (kubernetes
    pkg/apis/core/validation/validation.go, ValidateNonSpecialIP, v1.32.3).
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None if _is_host(text) else "is neither an IP address nor a host name"
    if address.is_loopback or address.is_unspecified or address.is_link_local or address.is_multicast:
        return "cannot be reached from other clusters"
    return None


def is_for_us_only(url: str) -> bool:
    """Whether the host of a URL means the machine that reads it, and never another: a tunnel's, or kind's."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False  # what is no URL leads nowhere
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def https_url_fault(text: str) -> str | None:
    """What keeps a text from being an `https://host[:port][/path]` URL, or None."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port  # reading the port checks it
    except ValueError:
        return "is not a URL"
    if url.scheme != "https" or not host:
        return "is not an https:// URL"
    if not _is_ip(host) and not _is_host(host):
        return "is a URL whose host is neither an IP address nor a host name"
    if url.username is not None or url.query or url.fragment or re.search(r"\s", text):
        return "is more than https://host[:port][/path]"
    return None


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    # A name that ends in a number is a mistyped IP address (198.18.0.300): no top-level domain does.
    last = text.rpartition(".")[2]
    return len(text) <= _HOST_LENGTH and _HOST.fullmatch(text) is not None and not last.isdigit()
