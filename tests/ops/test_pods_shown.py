"""verify and status show why a pod does not come up, and ask for that only where one does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube import objects
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from tests.support.fake_api import Reply
from tests.support.fake_mesh import FakeMesh
from tests.support.pod_objects import POD, QUOTA, back_off, deployment, pod

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran

REASON = (
    f"Pod {POD}, container discovery: CrashLoopBackOff, exit code 1, 3 restarts; last log line: no such flag"
)
LOG = f"{objects.POD.path(SYSTEM_NAMESPACE, POD)}/log"


@pytest.fixture
def run(istio_mc: Callable[..., Ran], tmp_path: Path) -> Callable[..., Ran]:
    def do(*verb: str, own: tuple[dict[str, Any], ...]) -> Ran:
        mesh = FakeMesh(2, own=lambda cluster: own if cluster.context == "c1" else ())
        mesh.servers["c1"].on(LOG, Reply(b"starting\nno such flag\n"))
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(mesh.kubeconfig()))
        with mesh.serve():
            return istio_mc("--kubeconfig", path, "-o", "json", *verb)

    return do


def test_verify_names_pod_container_reason_and_the_last_line_of_the_log(run: Callable[..., Ran]) -> None:
    done = run("verify", "--only", "control-plane.istiod", own=(deployment(), pod(back_off())))
    (error,) = done.envelope["errors"]
    assert (done.code, error["code"], error["cluster"]) == (4, "pod-crashing", "c1")
    assert error["seen"] == f"0 of 1 replicas available, 1 updated\n{REASON}"
    assert error["docs"] == "troubleshooting.md#pod-crashing"


def test_verify_names_what_refuses_the_pods(run: Callable[..., Ran]) -> None:
    done = run("verify", "--only", "control-plane.istiod", own=(deployment(refused=QUOTA),))
    assert [error["code"] for error in done.envelope["errors"]] == ["quota-exceeded"]


def test_status_has_the_reason_of_each_pod(run: Callable[..., Ran]) -> None:
    done = run("status", own=(deployment(), pod(back_off())))
    pods = {one["name"]: one["reason"] for one in done.envelope["data"]["clusters"][0]["pods"]}
    assert {name: reason for name, reason in pods.items() if reason} == {POD: REASON}


def test_status_has_what_refuses_the_pods(run: Callable[..., Ran]) -> None:
    done = run("status", own=(deployment(refused=QUOTA),))
    assert done.envelope["data"]["clusters"][0]["notes"] == [f"Deployment istiod: FailedCreate, {QUOTA}"]
