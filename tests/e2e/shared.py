"""The mesh that the tests on the lab share: its folder outlives a session, a failed test does not harm it.

Each folder of tests is a session of its own. An install of three empty clusters takes half a minute, one that
finds the mesh of the session before takes three seconds; so all sessions use the same folder, which goes with
the lab.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lab import faults, health, settings
from tests.e2e.harness import CONTEXTS, Site, clean, each, live_root, set_cilium

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = settings.STATE / "tests"
_WELL_WITHIN_S = 60
_UP_WITHIN_S = 300


def lab_is_up() -> None:
    """The lab, whole and without faults; where something of it is broken, it is built again."""
    if not settings.STATE.exists():
        pytest.fail("the lab is not up: run `make lab-up` first", pytrace=False)
    if health.faults():
        subprocess.run([sys.executable, "-m", "lab", "up"], timeout=_UP_WITHIN_S, check=True)
    heal()


def heal() -> None:
    """No cluster is cut off, loses packets, or has a name that does not resolve."""
    for name in CONTEXTS:
        faults.heal(name)
        faults.undrop(name)
        faults.unswallow(name)
        faults.unblind(name)


def shared_site(folder: Path = FOLDER) -> Site:
    """The folder of the shared mesh, with the lab's mesh.yaml and the CA of the sessions before."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return Site.at(folder)


def make_whole(site: Site) -> None:
    """Has the three clusters be one mesh under the site's CA: repaired where that works, else built again."""
    foreign = [name for name, root in each(live_root).items() if root not in (None, site.root)]
    if foreign or site.run("install", "-o", "json").code != 0:
        clean()
        site.run("install", "-o", "json").exits(0)


def is_well(site: Site, wait_s: int) -> bool:
    """Whether verify finds nothing wrong, within some seconds."""
    wait = ("--wait", f"{wait_s}s") if wait_s else ()
    return site.run("verify", *wait, "-o", "json", timeout_s=wait_s + 120).code == 0


def repair(site: Site) -> None:
    """Has verify find nothing wrong with the shared mesh, after a test that failed.

    First what a user would do. Where that does not help, the mesh is built again; where a cluster is broken,
    the lab is too.
    """
    lab_is_up()
    set_cilium()
    if is_well(site, 0):
        return
    site.run("link", "--prune", "--yes")
    if site.run("install").code == 0 and is_well(site, _WELL_WITHIN_S):
        return
    clean()
    site.run("install").exits(0)
    site.run("sample", "deploy").exits(0)
    assert is_well(site, _WELL_WITHIN_S), "the mesh was built again, and verify still fails"
