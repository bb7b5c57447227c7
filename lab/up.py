"""Bringing the lab up."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from lab import (
    binaries,
    cluster,
    debian,
    down,
    files,
    health,
    kernel,
    network,
    node,
    proc,
    settings,
    template,
)
from lab.errors import Cancelled
from lab.log import say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def up(*, fresh: bool = False) -> None:
    """Bring the lab up: leave it if it is whole and of this version, else build it anew."""
    cache = settings.cache()
    debian.ensure()
    programs = binaries.gather(cache)
    stamp = template.key(programs)
    if not fresh and settings.STATE.exists():
        if not (faults := health.faults()) and settings.STAMP.read_text(encoding="utf-8") == stamp:
            _outputs(programs)
            say("already up")
            return
        say(f"building it anew: {'; '.join(faults) or 'what it is made of has changed'}")
    if down.left():
        down.clear()
    try:
        _build(programs, cache, stamp)
    except BaseException:
        # What stands half is of no use to anybody but for the logs of what went wrong.
        proc.cancel()
        raise


def _build(programs: Mapping[str, Path], cache: Path, stamp: str) -> None:
    settings.STATE.mkdir(mode=0o755)
    node.install_init(programs["pause"])
    node.link_or_copy(programs["loadbalancer"], settings.BALANCER)
    images = template.ensure(cache, programs)
    kernel.remember()
    network.up()
    say("starting three clusters")
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(cluster.create, one, programs, images) for one in settings.CLUSTERS]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
            if any(job.done() and job.exception() for job in jobs):
                proc.cancel()
        except BaseException:
            proc.cancel()
            raise
    failed = [error for job in jobs if (error := job.exception())]
    if failed:
        proc.resume()
        # The others were stopped because of the first: it alone tells something.
        raise next((error for error in failed if not isinstance(error, Cancelled)), failed[0])
    _outputs(programs)
    settings.STAMP.write_text(stamp, encoding="utf-8")
    say('up; for a shell: eval "$(python -m lab env)"')


def _outputs(programs: Mapping[str, Path]) -> None:
    files.write(programs)
    network.unname_hosts()
    for one in settings.CLUSTERS:
        if one.hostname:
            network.name_host(one.gateway, one.hostname)
