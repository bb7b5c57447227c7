"""What verify asks of the clusters of a mesh that works: the same of each, however many there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.fake_mesh import TO_THE_GATEWAY, FakeMesh

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

pytestmark = pytest.mark.thorough

FEW, MANY = 2, 6


def requests_of(folder: Path, clusters: int) -> dict[str, Counter[str]]:
    with FakeMesh(clusters).serve() as mesh:
        kubeconfig = folder / f"kubeconfig-{clusters}"
        kubeconfig.write_text(json.dumps(mesh.kubeconfig()))
        done = subprocess.run(
            [sys.executable, "-m", "istio_mc", "verify", "--kubeconfig", kubeconfig, "--no-progress"],
            capture_output=True,
            text=True,
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != "ISTIO_MC_CONFIG"},
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return mesh.counts()


Found = dict[int, dict[str, "Counter[str]"]]


@pytest.fixture(name="found", scope="module")
def _found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("cost")
    return {count: requests_of(folder, count) for count in (FEW, MANY)}


def test_requests_to_a_cluster_are_the_same_however_many_there_are(found: Found) -> None:
    few = next(iter(found[FEW].values()))
    assert dict.fromkeys(found[MANY], few) == found[MANY]


def test_no_object_is_read_twice_from_an_api_server(found: Found) -> None:
    twice = {what: times for what, times in found[FEW]["c1"].items() if times > 1}
    del twice[TO_THE_GATEWAY]
    (rights,) = [what for what in twice if "selfsubjectrulesreviews" in what]
    assert twice.pop(rights) == 2  # the user's, and those of the token that other clusters have
    (forwards,) = twice.items()  # clusterz; later, of istiods that respond, networkz and endpointShardz
    assert forwards[0].endswith("/istiod-1/portforward?ports=15014")
    assert forwards[1] == 2


def test_verify_loads_no_http_client_that_it_does_not_use() -> None:
    loaded = "import sys, istio_mc.ops.verify, istio_mc.present.verify; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], timeout=60, check=False).returncode == 0
