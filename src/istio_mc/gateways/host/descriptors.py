"""The limit on open files and connections of this process, and how many clusters it allows at once."""

from __future__ import annotations

import resource
from contextlib import suppress

from istio_mc.domain.hint import Advice, on_this_machine
from istio_mc.domain.problem import Code, InputError, Problem

_OWN = 64
"""Files of the program itself: libraries, pipes of children, temporary files."""

_AT_REST = 1
"""Connections that stay open to a cluster while no work runs on it."""

_AT_WORK = 12
"""Connections to a cluster while work runs on it: requests, port-forwards, connections to gateways."""


def clusters_at_once(clusters: int, concurrency: int) -> int:
    """Returns how many of `clusters` clusters can be worked on at once, at most `concurrency`.

    The soft limit on open files (256 on macOS, 1,024 on most Linux systems) is raised if it is too low
    and if the hard limit allows it.

    Raises:
        InputError: The limit is too low even for one cluster at a time.
    """
    at_once = min(clusters, concurrency)
    always = _OWN + clusters * _AT_REST
    limit = _raise_limit(always + at_once * _AT_WORK)
    room = (limit - always) // _AT_WORK
    if clusters and room < 1:
        raise InputError(_too_few(limit, clusters, always + _AT_WORK))
    return max(1, min(concurrency, room))


def _raise_limit(needed: int) -> int:
    """Raises the soft limit to `needed`, or as far as permitted, and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with suppress(OSError, ValueError):  # macOS also has its own limit (kern.maxfilesperproc)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft


def _too_few(limit: int, clusters: int, least: int) -> Problem:
    return Problem(
        code=Code.TOO_FEW_OPEN_FILES,
        message=f"this process may not open enough files for {clusters} clusters",
        seen=f"at most {limit} open files, and the hard limit does not allow more",
        expected=f"at least {least}",
        hint=Advice("in the shell, before istio-mc: ", on_this_machine("ulimit", "-n", str(least))),
    )
