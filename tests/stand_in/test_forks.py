"""A stand-in mesh in a forked process: `make mutants` forks for each mutant, instead of installing again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FORKS = """
import os
from tests.support.mesh import remembering_mesh

def installs(mesh):
    mesh.run("install", "--contexts", "kt").exits(0)
    return mesh["kt"].has("Deployment", "istiod", "istio-system")

with remembering_mesh("kt") as mesh:
    bare = mesh.state()
    mesh.pause()
    for _ in range(2):
        if not (child := os.fork()):
            mesh.resume()
            os._exit(0 if installs(mesh) else 3)
        print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    mesh.resume()
    mesh.restore(bare)
    print("itself", installs(mesh))
"""


@pytest.mark.thorough
def test_a_fork_goes_on_with_the_mesh_and_so_does_the_process_afterwards() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.splitlines() == ["child 0", "child 0", "itself True"], done.stderr
