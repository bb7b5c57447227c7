"""What istiod's pods and the gateway's Service tell."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.istio.istiod import gateway_addresses, running_istiods, unavailable


def service(*ingress: dict[str, str], external: list[str] | None = None) -> dict[str, Any]:
    spec = {"externalIPs": external} if external else {}
    return {"spec": spec, "status": {"loadBalancer": {"ingress": list(ingress)} if ingress else {}}}


@pytest.mark.parametrize(
    ("found", "addresses"),
    [
        (None, ()),
        (service(), ()),
        ({"spec": {}}, ()),
        (service({"ip": "198.18.0.23"}), ("198.18.0.23",)),
        (service({"hostname": "lb.ncloud.example"}), ("lb.ncloud.example",)),
        (service(external=["198.18.0.21"]), ("198.18.0.21",)),
        (service({"ip": "198.18.0.21"}, external=["198.18.0.21"]), ("198.18.0.21",)),
        (service({"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}), ("10.0.0.1", "10.0.0.2")),
    ],
    ids=["no-service", "pending", "no-status", "ip", "hostname", "external", "both-the-same", "two"],
)
def test_gateway_addresses_are_those_istiod_takes(
    found: dict[str, Any] | None, addresses: tuple[str, ...]
) -> None:
    assert gateway_addresses(found) == addresses


def pod(app: str = "istiod", phase: str = "Running", **metadata: str) -> dict[str, Any]:
    return {"metadata": {"name": "p", "labels": {"app": app}, **metadata}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("found", "runs"),
    [
        (pod(), True),
        (pod("sleep"), False),
        (pod(phase="Pending"), False),
        (pod(deletionTimestamp="2026-01-01T00:00:00Z"), False),
        ({"metadata": {"name": "p", "labels": {"app": "istiod"}}}, False),
    ],
    ids=["running", "another-app", "pending", "on-its-way-out", "no-status"],
)
def test_running_istiods(found: dict[str, Any], *, runs: bool) -> None:
    assert bool(running_istiods([found])) is runs


def deployment(desired: int | None = 1, generation: int = 2, **status: int) -> dict[str, Any]:
    spec = {} if desired is None else {"replicas": desired}
    return {"metadata": {"generation": generation}, "spec": spec, "status": status}


DONE = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


class TestUnavailable:
    def test_one_that_is_rolled_out(self) -> None:
        assert unavailable(deployment(**DONE)) == ""

    def test_one_without_a_number_requires_one(self) -> None:
        assert unavailable(deployment(None, **DONE)) == ""

    def test_none_at_all(self) -> None:
        assert unavailable(None) == "no such Deployment"

    def test_a_change_that_is_not_observed_yet(self) -> None:
        assert "has not processed" in unavailable(deployment(generation=3, **DONE))

    def test_too_few(self) -> None:
        assert unavailable(deployment(3, **DONE)) == "1 of 3 replicas available, 1 updated"

    def test_old_replicas_that_still_run(self) -> None:
        assert unavailable(deployment(**{**DONE, "replicas": 2}))

    def test_one_without_a_status(self) -> None:
        assert unavailable({"metadata": {}, "spec": {}}) == "0 of 1 replicas available, 0 updated"

    def test_one_scaled_to_nothing(self) -> None:
        assert unavailable(deployment(0, observedGeneration=2)) == "scaled to 0 replicas"
