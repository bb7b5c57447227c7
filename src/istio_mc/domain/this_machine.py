"""Names of API servers and gateways that lead to the machine of this run, and not to their cluster."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from istio_mc.domain.gateway.address import is_ip, used_addresses
from istio_mc.domain.hosts import is_loopback
from istio_mc.domain.links.remote_secrets import of_cluster

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.links.remote_secrets import RemoteSecret
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed


class Use(StrEnum):
    """What a name is of."""

    API_SERVER = "API server"
    GATEWAY = "gateway"


class Name(NamedTuple):
    """A name by which other clusters call a cluster."""

    use: Use
    host: str


class Here(NamedTuple):
    """A name that leads to this machine, and how that is known."""

    name: Name
    why: str


def names_of(
    context: str,
    cluster: Cluster,
    observed: Mapping[str, Observed],
    remotes: Mapping[str, Collection[RemoteSecret]],
) -> tuple[Name, ...]:
    """The names by which other clusters call one: those they have of it, else those an install would give.

    Addresses that are no names are left out: what they mean needs no resolver.
    """
    held = [
        remote.access.server
        for holder, secrets in remotes.items()
        if holder != context
        for remote in of_cluster(secrets, cluster.cluster_id)[:1]
        if remote.access
    ]
    # The remote secrets of all others usually have the same server.
    servers = [_host(server) for server in dict.fromkeys(held or [cluster.api_server.server])]
    gateways = used_addresses(context, cluster, observed) or cluster.gateway_addresses
    names = [*(Name(Use.API_SERVER, one) for one in servers), *(Name(Use.GATEWAY, one) for one in gateways)]
    return tuple(name for name in dict.fromkeys(names) if _is_name(name.host))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # what is no URL leads nowhere
        return ""


def _is_name(host: str) -> bool:
    return bool(host) and not is_loopback(host) and not is_ip(host)


def leads_here(host: str, addresses: Collection[str], own_name: str) -> str:
    """Why a name leads to this machine; empty where it does not.

    Args:
        own_name: This machine's own name. One without a domain means it alone; one with a domain may be
            known everywhere, and so only counts where it resolves to a loopback address.
    """
    if loopback := [address for address in addresses if is_loopback(address)]:
        return f"{host} resolves to {', '.join(loopback)} here"
    short = own_name.lower().partition(".")[0]
    if short and host.lower().rstrip(".") == short:
        return f"{host} is this machine's own name"
    return ""
