"""Bringing the lab up."""

from __future__ import annotations

import json
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict
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
from lab.log import log_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lab.settings import Versions


def up(required: Versions, *, fresh: bool = False) -> None:
    """Bring the lab up: leave it if it is whole and has what is asked for, else build it anew."""
    cache = settings.cache()
    debian.ensure()
    running = _running()
    versions = running if not fresh and running and running.do_for(required) else required
    programs = binaries.gather(cache, versions)
    stamp = _stamp(versions, programs)
    if not fresh and settings.STATE.exists():
        if not (faults := health.faults()) and settings.STAMP.read_text(encoding="utf-8") == stamp:
            _outputs(versions, programs)
            log_line("already up")
            return
        log_line(f"building it anew: {'; '.join(faults) or 'what it is made of has changed'}")
    if down.left():
        down.clear()
    try:
        _build(versions, programs, cache)
    except BaseException:
        # What stands half is of no use to anybody but for the logs of what went wrong.
        proc.cancel()
        raise


def _stamp(versions: Versions, programs: Mapping[str, Path]) -> str:
    return json.dumps({**asdict(versions), "key": template.key(programs)})


def _running() -> Versions | None:
    """Return the versions of the lab whose last `up` finished."""
    try:
        found = json.loads(settings.STAMP.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return settings.Versions(found["kubernetes"], tuple(found["istio"]))


def _build(versions: Versions, programs: Mapping[str, Path], cache: Path) -> None:
    settings.STATE.mkdir(mode=0o755)
    node.install_init(programs["pause"])
    node.link_or_copy(programs["loadbalancer"], settings.BALANCER)
    images = template.ensure(cache, versions, programs)
    kernel.remember()
    network.up()
    log_line("starting three clusters")
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(cluster.create, one, versions, programs, images) for one in settings.CLUSTERS]
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
    _outputs(versions, programs)
    settings.STAMP.write_text(_stamp(versions, programs), encoding="utf-8")
    log_line('up; for a shell: eval "$(python -m lab env)"')


def _outputs(versions: Versions, programs: Mapping[str, Path]) -> None:
    files.write(versions, programs)
    network.unname_hosts()
    for one in settings.CLUSTERS:
        if one.hostname:
            network.name_host(one.gateway, one.hostname)
