"""Changes of keys, cut off in each of their phases. By hand, `make lab-phases`: it takes half an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import faults
from tests.e2e.harness import CONTEXTS, get
from tests.e2e_life.test_keys import without_a_failed_request
from tests.e2e_life.test_upgrade import api_server_stops
from tests.e2e_life.test_upgrade_phases import whole_again

if TYPE_CHECKING:
    from tests.e2e.harness import Site

TOKENS = ("link", "--rotate", "-o", "json")
INTERMEDIATES = ("ca", "rotate", "--intermediates", "-o", "json")
ROOT = ("ca", "rotate", "-o", "json")

PHASES = {
    TOKENS: (
        r"\bmesh  gate started",
        r"\bkt  token started",
        r"\bncloud  remote secrets started: .*kt-k2p",
        r"\bkt  old token started",
    ),
    INTERMEDIATES: (r"\bkt  cacerts started", r"\bkt  sign under the new CA (started|waiting)"),
    ROOT: (
        r"\bmesh  gate started",
        r"\bkt  trust both roots started",
        r"\bmesh  trust both roots waiting",
        r"\bkt  sign under the new root started",
        r"\bkt  renew certificates started",
        r"\bkt  trust the new root alone started",
    ),
}
"""The first line of each phase, in their order."""

EACH = [(command, phase) for command, phases in PHASES.items() for phase in phases]


@pytest.mark.parametrize("command", PHASES, ids=" ".join)
def test_killed_in_each_phase_the_same_command_goes_on(with_sample: Site, command: tuple[str, ...]) -> None:
    for phase in PHASES[command]:
        # A phase may take seconds only: not every version responds in that time.
        any_version: dict[str, set[str]] = {name: set() for name in CONTEXTS}
        with without_a_failed_request(f"{' '.join(command)}, killed at {phase}", versions=any_version):
            running = with_sample.start(*command, "--canary", "kt")
            running.until(phase, 240)
            running.kill()
    with without_a_failed_request(f"{' '.join(command)}, to its end"):
        with_sample.run(*command, "--canary", "kt", timeout_s=350).exits(0)
    with_sample.run("verify", "--wait", "30s").exits(0)


@pytest.mark.parametrize(("command", "phase"), EACH, ids=lambda one: one if isinstance(one, str) else one[1])
def test_an_api_server_that_does_not_respond_stops_each_phase(
    with_sample: Site, command: tuple[str, ...], phase: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each goes on from where the one before has stopped."""
    made = api_server_stops(with_sample, (*command, "--canary", "kt", "--timeout", "60s"), phase, capsys)

    assert all({"v2", "v3"} <= set(made.versions(name)) for name in ("ncloud", "nhn")), str(made)
    whole_again(with_sample)
    # A kubelet that has lost its API server asks for Secrets again after more than a minute.
    with_sample.run("verify", "--skip", "drift", "--wait", "150s", timeout_s=200).exits(0)


def test_what_was_cut_off_is_finished(with_sample: Site) -> None:
    for command in PHASES:
        with without_a_failed_request(f"{' '.join(command)}, to its end"):
            with_sample.run(*command, "--canary", "kt", timeout_s=350).exits(0)
    with_sample.run("verify", "--wait", "30s").exits(0)


def goes_on(site: Site) -> None:
    """The same command goes on after the repair."""
    whole_again(site)
    with without_a_failed_request("ca rotate, to its end"):
        site.run(*ROOT, "--canary", "kt", timeout_s=350).exits(0)
    site.run("verify", "--wait", "30s").exits(0)


def test_a_proxy_that_keeps_the_old_root_stops_it_by_name(with_sample: Site) -> None:
    (pod,) = (
        one["metadata"]["name"]
        for one in get("nhn", "pods", "-l", "app=reviews", namespace="sample")["items"]
    )
    faults.stop_agent(pod)
    try:
        with without_a_failed_request("ca rotate, a proxy that keeps the old root"):
            # After a minute the pod is not ready: then it serves nothing, and is not waited for.
            stopped = with_sample.run(*ROOT, "--canary", "kt", "--timeout", "45s", timeout_s=80)
    finally:
        faults.resume_agent(pod)
    assert ("root-not-followed", "nhn") in [(one["code"], one["cluster"]) for one in stopped.json["errors"]]
    assert any(pod in str(one["seen"]) for one in stopped.json["errors"]), stopped.json["errors"]
    goes_on(with_sample)


def test_an_istiod_that_does_not_follow_stops_it_and_its_cluster_is_named(with_sample: Site) -> None:
    """Without its kubelet its Secret is not updated, and no port-forward reaches it."""
    # Without its kubelet for 40 seconds, a node counts as lost: the run ends before.
    running = with_sample.start(*ROOT, "--canary", "kt", "--timeout", "55s")
    with without_a_failed_request("ca rotate, an istiod that does not follow"):
        running.until(r"\bkt  sign under the new root done", 160)
        faults.stop_kubelet("nhn")
        try:
            stopped = running.wait(180)
        finally:
            faults.resume_kubelet("nhn")
    found = [(one["code"], one["cluster"]) for one in stopped.json["errors"]]
    assert "nhn" in {cluster for _, cluster in found}, found
    assert {"root-stopped", "root-gate"} & {code for code, _ in found}, found
    goes_on(with_sample)
