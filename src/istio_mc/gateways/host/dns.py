"""DNS look-ups from this machine, with a deadline."""

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
    """Result of a look-up."""

    host: str
    addresses: tuple[str, ...] = ()
    fault: str = ""


def resolve(host: str, timeout_s: float = 5.0) -> Resolved:
    """Resolves a host name, IPv4 and IPv6; never raises.

    Args:
        timeout_s: Maximum time in seconds; the system's resolver has no deadline of its own.
    """
    answers: list[Resolved] = []
    # A daemon thread: a resolver that does not respond must not delay the end of the process.
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


def names_here(names: Collection[Name]) -> tuple[Here, ...]:
    """Returns those of the names that resolve to this machine; all look-ups run at once."""
    hosts = dict.fromkeys(name.host for name in names)
    resolved = all_of({host: partial(resolve, host, 3.0) for host in hosts})
    own_name = socket.gethostname()
    why = {host: leads_here(host, resolution.addresses, own_name) for host, resolution in resolved.items()}
    return tuple(Here(name, why[name.host]) for name in names if why[name.host])
