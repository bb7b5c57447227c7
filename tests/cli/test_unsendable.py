"""A credential that no request can carry stops its own context alone, and is never printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.istio import documents
from istio_mc.domain.mesh import ApiServer
from tests.support.fake_mesh import FakeMesh
from tests.support.world import cluster_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Ran

SECRET = "SECRETTOKEN"  # noqa: S105


@pytest.fixture(scope="module")
def mesh() -> Iterator[FakeMesh]:
    with FakeMesh(2).serve() as made:
        yield made


@pytest.fixture
def kubeconfig(mesh: FakeMesh, tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """A file with the mesh's contexts c1 and c2; c1 has another user's entry."""

    def write(user: dict[str, Any]) -> Path:
        found = mesh.kubeconfig()
        found["users"][0]["user"] = user
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(found))
        return path

    return write


def plugin(folder: Path) -> dict[str, Any]:
    """A user whose plugin prints its token with a line break."""
    token = json.dumps(f"{SECRET}\n")
    version = "client.authentication.k8s.io/v1beta1"
    path = folder / "plugin"
    path.write_text(
        f"#!/bin/sh\ncat <<'E'\n"
        f'{{"kind": "ExecCredential", "apiVersion": "{version}", "status": {{"token": {token}}}}}\nE\n'
    )
    path.chmod(0o755)
    return {"exec": {"command": str(path), "apiVersion": version}}


def token_file(folder: Path) -> dict[str, Any]:
    """A user whose token file has two lines."""
    path = folder / "token"
    path.write_text(f"{SECRET}\n{SECRET}\n")
    return {"tokenFile": str(path)}


USERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "token": lambda _: {"token": f"{SECRET}\n"},
    "token file": token_file,
    "plugin": plugin,
    "impersonation": lambda _: {"token": "token", "as": f"{SECRET}\n"},
}


@pytest.mark.parametrize("user", USERS)
def test_contexts_goes_on_with_the_others(
    istio_mc: Callable[..., Ran], kubeconfig: Callable[[dict[str, Any]], Path], tmp_path: Path, user: str
) -> None:
    done = istio_mc("contexts", "--kubeconfig", kubeconfig(USERS[user](tmp_path)), "-o", "json")
    broken, other = done.envelope["data"]["contexts"]
    assert (broken["reachable"], other["reachable"], other["problems"]) == (False, True, [])
    (problem,) = broken["problems"]
    assert "contains a control character, such as a line break" in problem["message"]
    assert SECRET not in done.out + done.err


@pytest.mark.parametrize("user", USERS)
def test_verify_goes_on_with_the_others(
    istio_mc: Callable[..., Ran], kubeconfig: Callable[[dict[str, Any]], Path], tmp_path: Path, user: str
) -> None:
    path = kubeconfig(USERS[user](tmp_path))
    done = istio_mc("verify", "--kubeconfig", path, "--contexts", "c1,c2", "--only", "access", "-o", "json")
    assert done.code == 4
    assert {error["cluster"] for error in done.envelope["errors"]} == {"c1"}
    assert SECRET not in done.out + done.err


def test_verify_reports_a_remote_secret_that_istiod_cannot_use(
    istio_mc: Callable[..., Ran], tmp_path: Path
) -> None:
    server = ApiServer("https://198.51.100.7:6443")
    kubeconfig = documents.remote_kubeconfig(cluster_id_of("c2"), server, f"{SECRET}\n", b"ca")
    secret = documents.remote_secret(cluster_id_of("c2"), kubeconfig)
    mesh = FakeMesh(2, own=lambda cluster: [secret] if cluster.context == "c1" else [])
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(mesh.kubeconfig()))
    with mesh.serve():
        done = istio_mc("verify", "--kubeconfig", path, "--only", "link", "-o", "json")
    (problem,) = done.envelope["errors"]
    assert (problem["code"], problem["cluster"]) == ("remote-secret-unusable", "c1")
    assert "its token contains a control character" in problem["seen"]
    assert SECRET not in done.out + done.err
