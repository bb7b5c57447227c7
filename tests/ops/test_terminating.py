"""A namespace that is being deleted: nothing can be created in it, so that nothing is begun."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.checks.catalogue import ALL
from istio_mc.checks.runner import run as run_checks
from istio_mc.domain.kube.objects import deletion_blockers, terminating
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from tests.support.fake_istioctl import write_istioctl
from tests.support.fake_mesh import FakeMesh
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Ran

HELD = {
    "type": "NamespaceFinalizersRemaining",
    "status": "True",
    "message": "Some content in the namespace has finalizers remaining: x.example in 1 resource instances",
}


def deleted(name: str, *conditions: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"phase": "Terminating", "conditions": list(conditions)},
    }


class TestDomain:
    def test_what_it_waits_for_is_in_its_controllers_words(self) -> None:
        discovery = {
            "type": "NamespaceDeletionDiscoveryFailure",
            "status": "True",
            "message": "Discovery failed",
        }
        is_healthy = {"type": "NamespaceContentRemaining", "status": "False", "message": "all gone"}
        assert (
            deletion_blockers(deleted("x", discovery, is_healthy, HELD))
            == f"Discovery failed; {HELD['message']}"
        )

    @pytest.mark.parametrize("phase", ["Active", None])
    def test_one_that_stays_is_no_problem(self, phase: str | None) -> None:
        assert terminating("kt", {"metadata": {"name": "x"}, "status": {"phase": phase}}) is None
        assert terminating("kt", None) is None


@pytest.fixture
def mesh() -> Iterator[FakeMesh]:
    """Two clusters; istio-system of c1 is being deleted."""
    going = deleted(SYSTEM_NAMESPACE, HELD)
    made = FakeMesh(2, own=lambda cluster: [going] if cluster.context == "c1" else [])
    with made.serve():
        yield made


@pytest.fixture
def run(istio_mc: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    monkeypatch.setenv("ISTIO_MC_BIN_DIR", str(write_istioctl(tmp_path / "bin")))

    def do(mesh: FakeMesh, *arguments: str) -> Ran:
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(mesh.kubeconfig()))
        return istio_mc("--kubeconfig", path, "-o", "json", "--contexts", "c1,c2", *arguments)

    return do


def writes(mesh: FakeMesh) -> list[tuple[str, str]]:
    return [
        call
        for server in mesh.servers.values()
        for call in server.calls
        if call[0] != "GET" and "selfsubject" not in call[1] and "/leases" not in call[1]  # that of the run
    ]


@pytest.mark.parametrize("verb", [("install",), ("install", "--dry-run"), ("adopt",)])
def test_install_stops_before_the_first_change(
    mesh: FakeMesh, run: Callable[..., Ran], verb: tuple[str, ...]
) -> None:
    done = run(mesh, *verb)
    (error,) = done.envelope["errors"]
    assert (done.code, error["code"], error["cluster"]) == (1, "namespace-terminating", "c1")
    assert HELD["message"] in error["seen"]
    assert writes(mesh) == []


def test_link_leaves_that_cluster_out(mesh: FakeMesh, run: Callable[..., Ran]) -> None:
    done = run(mesh, "link", "--dry-run")
    assert [(e["code"], e["cluster"]) for e in done.envelope["errors"]] == [("namespace-terminating", "c1")]
    assert done.code == 3


def test_verify_names_it_as_the_root_cause_of_what_is_gone_with_it() -> None:
    world = World()
    going = world.find("kt", "Namespace", SYSTEM_NAMESPACE)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.objects["kt"] = [going]
    world.seen["kt"] = {}
    failed = [result for result in run_checks(ALL, world.facts()) if result.is_root_cause]
    assert [(result.check.id, str(result.target)) for result in failed] == [("access.namespace", "kt")]


def test_the_sample_stops_before_the_first_change(run: Callable[..., Ran]) -> None:
    going = deleted("sample")
    mesh = FakeMesh(2, own=lambda cluster: [going] if cluster.context == "c2" else [])
    with mesh.serve():
        done = run(mesh, "sample", "deploy")
        assert writes(mesh) == []
    (error,) = done.envelope["errors"]
    assert (done.code, error["code"], error["cluster"]) == (1, "namespace-terminating", "c2")
