"""An install that ends in the middle, however it ends, is finished by the next one."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import CONTEXTS, Site, clean, get, live_root

if TYPE_CHECKING:
    from tests.e2e.harness import Running

GATEWAY_API = {"gatewayclasses", "gateways", "grpcroutes", "httproutes", "referencegrants"}


@pytest.fixture(scope="module")
def without_nhn(mesh: Site) -> Site:
    """The mesh, of which nhn has nothing any more; each test goes on from where the one before has ended."""
    clean(["nhn"])
    return mesh


def test_ctrl_c_while_istioctl_runs_ends_it_within_seconds_and_leaves_no_istioctl(without_nhn: Site) -> None:
    interrupted = without_nhn.start("install")
    interrupted.until(r"\bnhn  istio started")
    assert any("istioctl install" in line for line in _soon(interrupted)), "istioctl runs by now"
    interrupted.process.send_signal(signal.SIGINT)
    result = interrupted.wait(6)

    assert result.code == 130, str(result)
    assert interrupted.left_behind() == []


def test_killed_while_istioctl_runs_it_is_finished_by_the_next_run_at_once(without_nhn: Site) -> None:
    """The next run begins while the killed one's istioctl may still be at work: nothing holds a lock."""
    root = without_nhn.root
    killed = without_nhn.start("install")
    killed.until(r"\bnhn  istio started")
    assert any("istioctl install" in line for line in _soon(killed)), "istioctl runs by now"
    killed.kill()

    without_nhn.run("install").exits(0)

    assert without_nhn.root == root
    _whole(without_nhn)


def _soon(running: Running) -> list[str]:
    """What the run has started, once an istioctl is among it, or after five seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if any("istioctl install" in line for line in running.left_behind()):
            break
        time.sleep(0.05)
    return running.left_behind()


def _whole(site: Site) -> None:
    for context in CONTEXTS:
        names = {item["metadata"]["name"] for item in get(context, "crd", namespace=None)["items"]}
        assert {f"{kind}.gateway.networking.k8s.io" for kind in GATEWAY_API} <= names
    site.run("verify", "-o", "json", "--wait", "20s").exits(0)
    assert {live_root(context) for context in CONTEXTS} == {site.root}
