"""Host names looked up as this machine sees them, with a deadline."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.this_machine import Here, Name, leads_here
from istio_mc.gateways.host.parallel import all_of

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of a look-up."""

    host: str
    addresses: tuple[str, ...] = ()
    fault: str = ""


def resolve(host: str, timeout_s: float = 5.0) -> Resolved:
    """Looks a host name up, IPv4 and IPv6; never raises.

    Args:
        timeout_s: How long the answer may take, in seconds: the system's own resolver knows no deadline.
    """
    answers: list[Resolved] = []
    # A daemon: a resolver that stays silent shall not hold up the end of the process.
    lookup = threading.Thread(target=lambda: answers.append(_resolve(host)), daemon=True)
    lookup.start()
    lookup.join(timeout_s)
    return answers[0] if answers else Resolved(host, fault=f"no response within {timeout_s:g} s")


def _resolve(host: str) -> Resolved:
    try:
        records = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Resolved(host, fault=getattr(error, "strerror", None) or str(error))
    return Resolved(host, tuple(dict.fromkeys(str(entry[4][0]) for entry in records)))


def names_here(names: Collection[Name], timeout_s: float = 3.0) -> tuple[Here, ...]:
    """Those of some names that lead to this machine; all are looked up at once."""
    hosts = dict.fromkeys(name.host for name in names)
    resolved = all_of({host: partial(resolve, host, timeout_s) for host in hosts})
    own_name = socket.gethostname()
    why = {host: leads_here(host, resolution.addresses, own_name) for host, resolution in resolved.items()}
    return tuple(Here(name, why[name.host]) for name in names if why[name.host])
