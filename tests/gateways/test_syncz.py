"""What istiod answers is read as its proxies, or is one clear error."""

from __future__ import annotations

import json

import pytest

from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.kube import Kube
from istio_mc.gateways.syncz import syncz

POD = {"metadata": {"name": "istiod-1", "annotations": {"prometheus.io/port": "15999"}}}
# As istiod 1.26.0 of the lab answered, shortened.
ANSWER = [
    {
        "cluster_id": "kt-k2p",
        "proxy": "istio-ingressgateway-c47b4b99-km2md.istio-system",
        "proxy_type": "router",
        "istio_version": "1.26.0",
        "cluster_sent": "2026-03-01T08:06:44Z/16dc",
        "cluster_acked": "2026-03-01T08:06:44Z/16dc",
        "resources": {
            "type.googleapis.com/envoy.config.cluster.v3.Cluster": {
                "sent": "2026-03-01T08:06:44Z/16dc",
                "acked": "2026-03-01T08:06:44Z/16dc",
            }
        },
    }
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the port-forward was asked for, and, first, what it will answer."""
    calls: list[object] = [json.dumps(ANSWER).encode()]

    def http_get(_: Kube, *what: object) -> object:
        calls.append(what)
        return calls[0]

    monkeypatch.setattr(Kube, "http_get", http_get)
    return calls


def test_the_port_is_the_one_istiod_names(asked: list[object]) -> None:
    syncz(Kube("kt", {}), POD)

    assert asked[1:] == [("istio-system", "istiod-1", 15999, "/debug/syncz")]


def test_each_row_is_a_proxy(asked: list[object]) -> None:
    (proxy,) = syncz(Kube("kt", {}), POD)

    assert asked
    assert (proxy.name, proxy.cluster_id, proxy.version, proxy.istiod, proxy.synced) == (
        "istio-ingressgateway-c47b4b99-km2md.istio-system",
        "kt-k2p",
        "1.26.0",
        "istiod-1",
        True,
    )


@pytest.mark.parametrize("answer", [b"<html>", b"{}x", b'["a"]', b'[{"cluster_id": "x"}]', b"3"])
def test_anything_else_is_one_error_that_names_the_pod(asked: list[object], answer: bytes) -> None:
    asked[0] = answer

    with pytest.raises(ProblemError) as error:
        syncz(Kube("kt", {}), POD)

    (problem,) = error.value.problems
    assert (problem.code, problem.cluster) == ("malformed-answer", "kt")
    assert "istiod-1" in problem.message
