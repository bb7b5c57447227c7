"""verify of two hundred clusters, where a process may open as many files as most systems allow."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.fake_mesh import FakeMesh

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]


def verify(folder: Path, clusters: int, *, files: int) -> subprocess.CompletedProcess[str]:
    words = [
        "verify",
        "--no-progress",
        "--timeout",
        "9m",
        "--concurrency",
        "4",
        "--kubeconfig",
        str(folder / "kubeconfig"),
    ]
    with FakeMesh(clusters).serve() as mesh:
        (folder / "kubeconfig").write_text(json.dumps(mesh.kubeconfig()))
        limit = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (files, files))
        return subprocess.run(
            [sys.executable, "-m", "istio_mc", *words],
            preexec_fn=limit,
            capture_output=True,
            text=True,
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != "ISTIO_MC_CONFIG"},
            timeout=580,
            check=False,
        )


@pytest.mark.parametrize(("clusters", "files"), [(200, 1024), (50, 256)])
def test_a_healthy_mesh_is_healthy(tmp_path: Path, clusters: int, files: int) -> None:
    done = verify(tmp_path, clusters, files=files)
    assert done.returncode == 0, done.stderr


def test_fewer_files_than_one_cluster_at_a_time_needs_are_one_error(tmp_path: Path) -> None:
    done = verify(tmp_path, 50, files=100)
    assert done.returncode == 2
    assert done.stderr.startswith("error[too-few-open-files]: ")
