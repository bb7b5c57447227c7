"""--deep on the command line: said first, listed, and asked of those who ask for it only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.fake_api import FakeApi, status, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran

SYSTEM = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "istio-system",
        "labels": {"istio-mc/mesh-id": "mesh1", "istio-mc/cluster-id": "kt-k2p"},
    },
}


def test_deep_checks_are_rejected_without_deep_and_the_hint_names_it(istio_mc: Callable[..., Ran]) -> None:
    done = istio_mc("verify", "--only", "data-path.deep", "-o", "json")
    (error,) = done.envelope["errors"]
    assert (done.code, error["hint"]) == (2, "istio-mc verify --deep")


def test_its_checks_are_listed_all_the_same(istio_mc: Callable[..., Ran]) -> None:
    listed = {check["id"] for check in istio_mc("verify", "--list", "-o", "json").envelope["data"]["checks"]}
    assert {"data-path.probe", "data-path.deep"} <= listed


def test_an_image_without_it_is_a_mistake(istio_mc: Callable[..., Ran]) -> None:
    done = istio_mc("verify", "--probe-image", "mine:1")
    assert done.code == 2
    assert "--deep" in done.err


def test_it_first_prints_the_steps_and_their_location(
    istio_mc: Callable[..., Ran], api: FakeApi, tmp_path: Path
) -> None:
    api.on("/version", {"gitVersion": "v1.32.3"})
    api.on("/api/v1/namespaces/istio-system", SYSTEM)
    api.on("/api/v1/namespaces", status(403, "namespaces is forbidden"))
    config = write_kubeconfig(tmp_path / "kt.yaml", {"kt": api.url})

    done = istio_mc(
        "verify", "--kubeconfig", config, "--deep", "--probe-image", "mine:1", "--only", "data-path.probe"
    )

    first = done.err.splitlines()[0]
    assert first == (
        "--deep creates a namespace istio-mc-probe-… with one pod (mine:1) in kt, and removes it afterwards"
    )


def test_a_user_without_the_right_to_create_namespaces_gets_the_refused_right(
    istio_mc: Callable[..., Ran], api: FakeApi, tmp_path: Path
) -> None:
    api.on("/version", {"gitVersion": "v1.32.3"})
    api.on("/api/v1/namespaces/istio-system", SYSTEM)
    api.on("/api/v1/namespaces", status(403, "namespaces is forbidden"))
    config = write_kubeconfig(tmp_path / "kt.yaml", {"kt": api.url})

    done = istio_mc(
        "verify", "--kubeconfig", config, "--deep", "--only", "data-path.probe", "-o", "json", "--no-progress"
    )

    probe = next(c for c in json.loads(done.out)["data"]["checks"] if c["id"] == "data-path.probe")
    assert (done.code, probe["verdict"], probe["problem"]["code"]) == (4, "failed", "forbidden")
