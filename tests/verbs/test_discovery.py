"""verify compares what each istiod has with what the other clusters have; the printed restart repairs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from istio_mc.gateways.istio import istiod as gateway
from istio_mc.ops.verify import discovery
from tests.support.fixtures import made_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
RESTART = "kubectl --context nhn -n istio-system rollout restart deployment istiod"


@pytest.fixture
def sampled(installed: Mesh, monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """A mesh with a service in every cluster."""
    monkeypatch.setattr(discovery, "_AGAIN_S", 0.01)
    made_once(installed, "a service everywhere", lambda: deploy_everywhere(installed))
    return installed


def deploy_everywhere(mesh: Mesh) -> None:
    for one in mesh.clusters.values():
        one.deploy("reviews", "sample")
        one.settle()


def verified(mesh: Mesh, code: int) -> Result:
    return mesh.run("verify", "-o", "json").exits(code)


def roots(result: Result) -> list[str]:
    return [f"{one['id']} {one['cluster']} {one['peer']}" for one in result.data["rootCauses"]]


def restart(mesh: Mesh) -> None:
    """What `kubectl rollout restart` does with one pod."""
    nhn = mesh["nhn"]
    (pod,) = [
        item for item in nhn.store.of("Pod", SYSTEM) if item["metadata"]["labels"].get("app") == "istiod"
    ]
    nhn.delete(pod)
    nhn.settle()


def blind(mesh: Mesh) -> None:
    (istiod,) = mesh["nhn"].istiods.running()
    istiod.blind.add("kt-k2p")


def stale(mesh: Mesh) -> None:
    (istiod,) = mesh["nhn"].istiods.running()
    istiod.stale["kt-k2p"] = []


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (blind, ["discovery.gateways nhn kt", "discovery.endpoints nhn kt"]),
        pytest.param(stale, ["discovery.gateways nhn kt"], marks=pytest.mark.thorough),
    ],
)
def test_a_blind_istiod_is_the_root_cause_and_its_restart_repairs_it(
    sampled: Mesh, spoil: Callable[[Mesh], None], found: list[str]
) -> None:
    assert roots(verified(sampled, 0)) == []
    spoil(sampled)
    result = verified(sampled, 4)
    assert roots(result) == found
    hints = {
        one["problem"]["hint"]
        for one in result.data["checks"]
        if one["verdict"] == "failed" and one["id"].startswith("discovery.")
    }
    assert hints == {RESTART}
    synced = [one for one in result.data["checks"] if one["id"] == "link.synced"]
    assert {one["verdict"] for one in synced} == {"ok"}
    restart(sampled)
    assert roots(verified(sampled, 0)) == []


@pytest.mark.thorough
def test_endpoints_that_come_with_the_second_reading_are_no_fault(
    sampled: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind(sampled)
    (istiod,) = sampled["nhn"].istiods.running()
    monkeypatch.setattr(discovery, "_wait", lambda _: istiod.blind.clear())
    assert roots(verified(sampled, 0)) == []


def test_endpoints_missing_at_the_second_read_are_not_a_fault(
    sampled: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    (istiod,) = sampled["nhn"].istiods.running()
    istiod.stale["kt-k2p"] = ["198.18.0.1"]
    istiod.blind.add("kt-k2p")

    def gone(_: object) -> None:
        kt = sampled["kt"]
        kt.delete(kt.get("Deployment", "reviews", "sample"))
        kt.settle()

    monkeypatch.setattr(discovery, "_wait", gone)
    assert "discovery.endpoints nhn kt" not in roots(verified(sampled, 4))


@pytest.mark.thorough
def test_an_answer_that_is_too_long_is_one_error(sampled: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "MOST_BYTES", 10)
    result = verified(sampled, 4)
    unread = [one for one in result.data["checks"] if one["id"] == "access.observed" and one["problem"]]
    assert {one["problem"]["code"] for one in unread} == {"malformed-answer"}
