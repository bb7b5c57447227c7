"""What `status` asks, how often, and how a watch goes on after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.ops import status as op
from istio_mc.ops.session.inputs import Inputs
from tests.support.fake_api import FakeApi, status, write_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

PODS = "/api/v1/namespaces/istio-system/pods"
ISTIOD = {
    "metadata": {"name": "istiod-1", "namespace": "istio-system", "labels": {"app": "istiod"}},
    "spec": {"containers": [{"name": "discovery"}]},
    "status": {"phase": "Running"},
}


def inputs(api: FakeApi, folder: Path, *contexts: str) -> Inputs:
    path = write_kubeconfig(folder / "config", dict.fromkeys(contexts, api.url))
    return Inputs(kubeconfig=str(path), contexts=contexts, timeout_s=20)


def test_nothing_is_read_twice(api: FakeApi, tmp_path: Path) -> None:
    api.on("/version", {"gitVersion": "v1.32.3"})
    readings = op.watch(inputs(api, tmp_path, "kt"), every_s=0)

    next(readings)
    readings.close()

    assert len(api.calls) == len(set(api.calls))


def test_a_silent_istiod_costs_only_its_own_data(api: FakeApi, tmp_path: Path) -> None:
    api.on("/version", {"gitVersion": "v1.32.3"})
    api.on(PODS, {"items": [ISTIOD]})
    readings = op.watch(inputs(api, tmp_path, "kt"), every_s=0)

    seen = next(readings)
    readings.close()

    assert [pod.name for pod in seen.clusters["kt"].pods] == ["istiod-1"]
    assert [problem.code for problem in seen.silent_istiods["kt"]] == ["stream-failed"]
    assert seen.failures == {}


def test_a_watch_shows_a_cluster_again_once_it_answers_again(api: FakeApi, tmp_path: Path) -> None:
    version = {"gitVersion": "v1.32.3"}
    api.on("/version", version, status(401, "Unauthorized"), version)
    readings = op.watch(inputs(api, tmp_path, "kt"), every_s=0)

    seen = [next(readings) for _ in range(3)]
    readings.close()

    assert [list(reading.clusters) for reading in seen] == [["kt"], [], ["kt"]]
    assert [problem.code for problem in seen[1].failures["kt"]] == ["unauthenticated"]
