"""What is wrong in a mesh is told: which check, which cluster or pair, and what mends it."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import (
    CONTEXTS,
    GATEWAY,
    SYSTEM,
    Site,
    command,
    environment,
    gone,
    kubectl,
    rolled_out,
    snapshots,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def sample(mesh: Site) -> Site:
    """The mesh with the sample in it."""
    mesh.run("sample", "deploy").exits(0)
    return mesh


@pytest.fixture
def without_secret(sample: Site) -> Iterator[Site]:
    """The mesh without kt's remote secret of nhn, which the fixture's end gives back."""
    kubectl("kt", "delete", "secret", "istio-remote-secret-nhn-nks", "-n", SYSTEM)
    yield sample
    sample.run("link").exits(0)


@pytest.fixture
def without_gateway(sample: Site) -> Iterator[Site]:
    """The mesh with nhn's gateway scaled to nothing."""
    kubectl("nhn", "scale", GATEWAY, "-n", SYSTEM, "--replicas=0")
    gone("nhn", "pods", "app=istio-ingressgateway")
    yield sample
    kubectl("nhn", "scale", GATEWAY, "-n", SYSTEM, "--replicas=1")
    rolled_out("nhn")


@pytest.fixture
def without_reviews(sample: Site) -> Iterator[Site]:
    """The mesh with no reviews in ncloud."""
    kubectl("ncloud", "scale", "deployment/reviews-v2", "-n", "sample", "--replicas=0")
    gone("ncloud", "pods", "app=reviews", "sample")
    yield sample
    kubectl("ncloud", "scale", "deployment/reviews-v2", "-n", "sample", "--replicas=1")
    rolled_out("ncloud", "deployment/reviews-v2", "sample")


def _failed(data: dict[str, Any]) -> dict[tuple[str, str | None, str | None], dict[str, Any]]:
    """The root causes; the lab has warnings of its own (no metrics, no StorageClass, Cilium's defaults)."""
    errors = [c for c in data["checks"] if c["verdict"] == "failed" and c["severity"] == "error"]
    failed = [c for c in errors if not c["causedBy"]]
    return {(c["id"], c["cluster"], c["peer"]): c for c in failed}


def _pasted(line: str) -> tuple[int, str]:
    """Exit code and output of a command that an error gives to paste, in a shell as a user has it."""
    done = subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(KUBECONFIG=""),
        check=False,
    )
    return done.returncode, "\n".join(part for part in (done.stdout.strip(), done.stderr.strip()) if part)


def _seldom(errors: list[dict[str, Any]]) -> dict[str, str]:
    return {error["cluster"]: error["message"] for error in errors}


def test_a_missing_remote_secret_fails_verify_for_that_pair_alone_and_link_mends_it(
    without_secret: Site,
) -> None:
    result = without_secret.run("verify", "-o", "json").exits(4)

    assert result.json["status"] == "error"
    failed = _failed(result.data)
    assert failed.keys() == {("link.secret", "kt", "nhn")}
    problem = failed["link.secret", "kt", "nhn"]["problem"]
    assert "istio-remote-secret-nhn-nks" in problem["seen"]
    assert problem["hint"].startswith("istio-mc link")
    assert result.json["errors"] == [problem]

    without_secret.run("link").exits(0)
    without_secret.run("verify", "--wait", "20s").exits(0)


def test_link_writes_nothing_but_the_missing_secret(without_secret: Site) -> None:
    result = without_secret.run("link", "-o", "json").exits(0)

    written = {c["name"]: c["remoteSecrets"] for c in result.data["clusters"]}
    assert written == {"kt": ["istio-remote-secret-nhn-nks"], "ncloud": [], "nhn": []}


def test_a_missing_link_fails_the_sample_in_its_one_direction_and_is_named_as_the_first_wrong_hop(
    without_secret: Site,
) -> None:
    result = without_secret.run("sample", "test", "--wait", "3s", "-o", "json").exits(4)

    told = _seldom(result.json["errors"])
    assert told.keys() == {"kt"}
    assert told["kt"].startswith("v3 in nhn answered kt in 0 of ")
    assert "link.secret (kt → nhn)" in told["kt"]


def test_a_gateway_without_replicas_fails_verify_and_is_green_again_afterwards(without_gateway: Site) -> None:
    result = without_gateway.run("verify", "-o", "json").exits(4)

    failed = _failed(result.data)
    assert failed.keys() == {("control-plane.gateway", "nhn", None)}
    problem = failed["control-plane.gateway", "nhn", None]["problem"]
    assert problem["cluster"] == "nhn"
    assert problem["seen"] == "scaled to 0 replicas"

    command(*shlex.split(problem["hint"]))
    without_gateway.run("verify", "--wait", "60s").exits(0)


def test_a_version_without_pods_fails_the_sample_from_every_cluster_and_is_named(
    without_reviews: Site,
) -> None:
    result = without_reviews.run("sample", "test", "--wait", "3s").exits(4)

    for name in CONTEXTS:
        assert f"v2 in ncloud answered {name} in 0 of " in result.stderr
    assert "v1 in kt" not in result.stderr
    assert "v3 in nhn" not in result.stderr
    assert "pairs." not in result.stdout


def test_a_gateway_without_its_network_view_shows_as_drift(sample: Site) -> None:
    """Traffic then takes detours through other gateways, at times so evenly that calls alone do not tell."""
    kubectl("kt", "set", "env", GATEWAY, "-n", SYSTEM, "ISTIO_META_REQUESTED_NETWORK_VIEW-")
    rolled_out("kt")

    dry = sample.run("install", "--dry-run", "-o", "json").exits(0)

    (step,) = next(c["steps"] for c in dry.data["clusters"] if c["name"] == "kt")
    assert any("ISTIO_META_REQUESTED_NETWORK_VIEW" in reason for reason in step["reasons"])
    sample.run("install").exits(0)
    rolled_out("kt")
    sample.run("sample", "test").exits(0)


def test_values_that_istioctl_refuses_are_answered_with_its_own_words_before_anything_is_touched(
    sample: Site, tmp_path: Path
) -> None:
    values = sample.settings["values"] | {"pilot": {"autoscaleMin": "three"}}
    wrong = Site.at(tmp_path, certs=sample.certs, values=values)
    before = snapshots()

    result = wrong.run("install", "-o", "json").exits(1)

    (error, *_) = result.json["errors"]
    assert error["code"] == "istioctl-failed"
    assert "exit code 1" in error["message"]
    assert "could not unmarshal" in error["seen"]
    assert " manifest generate -f " in error["hint"]
    assert _pasted(error["hint"]) == (1, error["seen"])
    assert snapshots() == before


def test_values_that_the_cluster_refuses_are_answered_with_the_command_to_paste(
    sample: Site, tmp_path: Path
) -> None:
    clusters = [dict(entry) for entry in sample.settings["clusters"]]
    clusters[2]["values"] = {"pilot": {"resources": {"requests": {"cpu": "much"}}}}
    wrong = Site.at(tmp_path, certs=sample.certs, clusters=clusters)

    result = wrong.run("install", "-o", "json").exits(3)

    (error,) = result.json["errors"]
    assert error["cluster"] == "nhn"
    assert error["code"] == "istioctl-failed"
    assert "exit code 1" in error["message"]
    assert "quantities must match" in error["seen"]
    assert "istioctl install --context nhn" in error["hint"]
    code, said = _pasted(error["hint"])
    assert code == 1
    assert said.splitlines()[-1] == error["seen"].splitlines()[-1]
    sample.run("install").exits(0)
    sample.run("verify", "--wait", "20s").exits(0)


def test_an_istiod_that_crashes_at_start_ends_the_wait_with_the_last_line_of_its_log(
    sample: Site, tmp_path: Path
) -> None:
    clusters = [dict(entry) for entry in sample.settings["clusters"]]
    clusters[2]["values"] = {"global": {"logging": {"level": "default:nonsense"}}}
    wrong = Site.at(tmp_path, certs=sample.certs, clusters=clusters)

    result = wrong.run("install", "-o", "json").exits(3)

    (error,) = result.json["errors"]
    assert (error["cluster"], error["code"]) == ("nhn", "pod-crashing")
    assert "container discovery: CrashLoopBackOff, exit code 255" in error["seen"]
    assert "invalid output level 'nonsense'" in error["seen"]
    assert "container discovery" in result.stderr
    sample.run("install").exits(0)
    sample.run("verify", "--wait", "20s").exits(0)
