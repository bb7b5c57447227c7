"""upgrade on real clusters: a gate that stops it, and back; by revision; faults; no request fails in it."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from lab import faults, settings
from tests.e2e.harness import CONTEXTS, SYSTEM, Site, clean, each, get, kubectl
from tests.e2e.traffic import requests
from tests.e2e.trust import istiod_uses_the_given_ca, workload_is_signed_under

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.e2e.harness import Result
    from tests.e2e.traffic import Requests

OLD, NEW = settings.ISTIO[1], settings.ISTIO[0]
TO = ("upgrade", "--to", NEW, "--canary", "kt", "-o", "json")


@pytest.fixture(scope="module", name="old")
def mesh_of_the_older_version(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three clusters with the older Istio, and the sample; istioctl of the newer one is on PATH."""
    clean()
    site = Site.at(tmp_path_factory.mktemp("upgrade"), istio=OLD, ca={"key": "ec-256"})
    site.run("install").exits(0)
    site.run("sample", "deploy").exits(0)
    site.run("sample", "test").exits(0)
    yield site
    clean()


@contextmanager
def no_request_fails(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Requests from every cluster meanwhile: each gets a response, and every version responds to each."""
    with requests() as made:
        yield
    with capsys.disabled():
        sys.stdout.write(f"\n{made}\n")
    assert made.failed == []
    assert all(set(made.versions(name)) == {"v1", "v2", "v3"} for name in CONTEXTS), str(made)


def versions(deployment: str = "istiod") -> dict[str, str]:
    def of(context: str) -> str:
        (container,) = get(context, "deployment", deployment)["spec"]["template"]["spec"]["containers"]
        return str(container["image"]).rpartition(":")[2]

    return each(of)


def control_planes(context: str) -> set[str]:
    found = get(context, "deployments", "-l", "app=istiod")["items"]
    return {item["metadata"]["name"] for item in found}


def codes(result: Result) -> list[tuple[str, str | None]]:
    return [(one["code"], one["cluster"]) for one in result.json["errors"]]


def test_istiod_runs_under_an_ec_ca_and_signs_workloads_with_it(old: Site, tmp_path: Path) -> None:
    istiod_uses_the_given_ca("kt")

    intermediate = workload_is_signed_under(old, "kt", tmp_path)

    assert isinstance(intermediate.public_key(), ec.EllipticCurvePublicKey)


def test_a_gate_that_fails_in_the_canary_never_reaches_the_second_cluster(old: Site) -> None:
    gateway = kubectl(
        "kt", "get", "gateway.networking.istio.io", "cross-network-gateway", "-n", SYSTEM, "-o", "json"
    )
    running = old.start(*TO, "--timeout", "80s")
    running.until(r"\bkt  gateway done")
    kubectl("kt", "delete", "gateway.networking.istio.io", "cross-network-gateway", "-n", SYSTEM)
    result = running.wait(200)
    restored = json.loads(gateway)
    restored["metadata"] = {key: restored["metadata"][key] for key in ("name", "namespace")}
    kubectl("kt", "apply", "-f", "-", stdin=json.dumps(restored))

    assert codes(result.exits(1))[0] == ("upgrade-gate", "kt")
    assert versions() == {"kt": NEW, "ncloud": OLD, "nhn": OLD}


def test_the_canary_returns_and_no_request_fails(old: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with no_request_fails(capsys):
        old.run("upgrade", "--back", "--contexts", "kt").exits(0)

    assert versions() == dict.fromkeys(CONTEXTS, OLD)
    assert versions("istio-ingressgateway") == dict.fromkeys(CONTEXTS, OLD)
    assert get("kt", "configmap", "istio-mc-upgrade") is None


def test_by_revision_both_control_planes_serve_until_the_workloads_are_restarted(
    old: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = ("upgrade", "--to", NEW, "--revision", "1-31", "--contexts", "kt", "-o", "json")
    with no_request_fails(capsys):
        kept = old.run(*beside).exits(0)
    (cluster,) = kept.data["clusters"]
    assert cluster["oldRevisionKeptFor"] == ["Deployment sample/reviews-v1", "Deployment sample/sleep"]
    assert control_planes("kt") == {"istiod", "istiod-1-31"}

    old.run(*beside, "--restart-workloads", "--yes").exits(0)
    assert control_planes("kt") == {"istiod-1-31"}

    with no_request_fails(capsys):
        old.run("upgrade", "--back", "--contexts", "kt").exits(0)
    old.run("upgrade", "--back", "--contexts", "kt", "--restart-workloads", "--yes").exits(0)
    assert control_planes("kt") == {"istiod"}


FAULTY = {
    # istiod ends at once: no level of its log is called x.
    "kt": {"global": {"logging": {"level": "default:x"}}},
    "ncloud": {"pilot": {"image": "registry.invalid/pilot:none"}},
    "nhn": {"gateways": {"istio-ingressgateway": {"nodeSelector": {"absent": "true"}}}},
}
"""Values with which an upgrade cannot end: istiod crashes, its image is missing, the gateway has no node."""

ALL_AT_ONCE = ("upgrade", "--to", NEW, "--parallel", "3", "-o", "json")


@contextmanager
def values_of_clusters(site: Site, values: Mapping[str, Any]) -> Iterator[None]:
    """A mesh.yaml with these values of clusters, by context, for the length of a block."""
    path = site.folder / "mesh.yaml"
    before = path.read_text(encoding="utf-8")
    document = site.settings
    for cluster in document["clusters"]:
        cluster["values"] = values[cluster["context"]]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


@contextmanager
def api_server_stopped(context: str) -> Iterator[None]:
    """An API server that does not respond, for the length of a block; its pods go on."""
    faults.stop_api_server(context)
    try:
        yield
    finally:
        faults.resume_api_server(context)


def ready_pods(context: str, app: str) -> list[str]:
    """The names of the ready pods of a Deployment of istio-system."""
    pods = get(context, "pods", "-l", f"app={app}")["items"]
    return [
        pod["metadata"]["name"]
        for pod in pods
        if {"type": "Ready", "status": "True"}.items()
        <= next((one for one in pod["status"].get("conditions") or [] if one["type"] == "Ready"), {}).items()
    ]


def test_faults_of_istiod_image_and_gateway_stop_it_by_name_and_no_request_fails(
    old: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    gateways = versions("istio-ingressgateway")
    assert gateways == dict.fromkeys(CONTEXTS, OLD)

    with no_request_fails(capsys), values_of_clusters(old, FAULTY):
        stopped = old.run(*ALL_AT_ONCE, "--timeout", "100s", timeout_s=160)

    found = set(codes(stopped.exits(1)))
    assert found >= {("pod-crashing", "kt"), ("image-not-pulled", "ncloud"), ("pod-unschedulable", "nhn")}
    assert found >= {("upgrade-stopped", name) for name in CONTEXTS}
    crashing = next(one["seen"] for one in stopped.json["errors"] if one["code"] == "pod-crashing")
    assert "container discovery: CrashLoopBackOff, exit code 255" in crashing
    assert "invalid output level 'x'" in crashing
    assert all(ready_pods(name, "istiod") and ready_pods(name, "istio-ingressgateway") for name in CONTEXTS)


def api_server_stops(
    site: Site, command: tuple[str, ...], phase: str, capsys: pytest.CaptureFixture[str]
) -> Requests:
    """Runs a command, and stops the API server of kt in a phase: the run ends; the requests meanwhile."""
    # The clients of the other clusters: kubectl exec goes through the API server that is stopped.
    with requests(["ncloud", "nhn"]) as made:
        running = site.start(*command)
        running.until(phase)
        with api_server_stopped("kt"):
            stopped = running.wait(120)
    with capsys.disabled():
        sys.stdout.write(f"\n{phase}: {stopped.seconds:.0f} s; {made}\n")

    assert stopped.code != 0
    assert {code for code, cluster in codes(stopped) if cluster == "kt"} & {
        "cluster-unreachable",
        "no-answer-in-time",
        "stream-failed",
    }, stopped.json["errors"]
    assert made.failed == []
    return made


def test_an_api_server_that_does_not_respond_stops_it_and_no_request_fails(
    old: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    made = api_server_stops(old, (*ALL_AT_ONCE, "--timeout", "50s"), r"\bkt  control plane started", capsys)

    assert all(set(made.versions(name)) == {"v1", "v2", "v3"} for name in ("ncloud", "nhn")), str(made)


def test_the_same_command_continues_after_the_repair_and_no_request_fails(
    old: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with no_request_fails(capsys):
        old.run(*ALL_AT_ONCE).exits(0)

    assert versions() == dict.fromkeys(CONTEXTS, NEW)
    assert versions("istio-ingressgateway") == dict.fromkeys(CONTEXTS, NEW)
