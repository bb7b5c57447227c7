"""Which services a gateway can pass a connection through to."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.istio import services
from istio_mc.domain.istio.services import Meshed, meshed


def service(annotations: dict[str, str] | None = None, **spec: object) -> dict[str, Any]:
    return {
        "metadata": {"name": "reviews", "namespace": "sample", "annotations": annotations or {}},
        "spec": {"selector": {"app": "reviews"}, "ports": [{"port": 9080, "name": "http"}], **spec},
    }


def pod(labels: dict[str, str] | None = None, ready: str = "True", **metadata: object) -> dict[str, Any]:
    all_labels = {"app": "reviews", "security.istio.io/tlsMode": "istio"} | (labels or {})
    return {
        "metadata": {"name": "reviews-1", "namespace": "sample", "labels": all_labels, **metadata},
        "spec": {"containers": [{"name": "reviews", "ports": [{"name": "web", "containerPort": 8080}]}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def test_a_service_with_an_injected_pod_is_reached_by_its_port() -> None:
    assert meshed([service()], [pod()]) == (Meshed("sample", "reviews", 9080, http=True),)


def test_it_is_named_as_gateways_know_it() -> None:
    (found,) = meshed([service()], [pod()])
    assert found.sni == "outbound_.9080_._.reviews.sample.svc.cluster.local"


@pytest.mark.parametrize(
    "spoilt",
    [
        pod(labels={"security.istio.io/tlsMode": "disabled"}),
        pod(labels={"app": "ratings"}),
        pod(ready="False"),
        pod(deletionTimestamp="2026-01-01T00:00:00Z"),
        pod(namespace="other"),
    ],
    ids=["no sidecar", "another service's", "not ready", "terminating", "another namespace's"],
)
def test_a_pod_that_takes_no_calls_of_the_mesh_does_not_count(spoilt: dict[str, Any]) -> None:
    assert meshed([service()], [spoilt]) == ()


@pytest.mark.parametrize(
    "hidden",
    [
        service(type="ExternalName"),
        service(selector=None),
        service(ports=[{"port": 53, "protocol": "UDP"}]),
        service(ports=[{"port": 80, "targetPort": "metrics"}]),
        service(annotations={"networking.istio.io/exportTo": "."}),
        service(annotations={"networking.istio.io/exportTo": "~"}),
    ],
    ids=["name elsewhere", "no selector", "UDP", "port no pod has", "its namespace's own", "nobody's"],
)
def test_a_service_that_the_gateway_does_not_know_is_left_out(hidden: dict[str, Any]) -> None:
    assert meshed([hidden], [pod()]) == ()


@pytest.mark.parametrize("given", ["*", "other, istio-system"])
def test_a_service_that_is_exported_to_the_gateway_is_reached(given: str) -> None:
    assert meshed([service(annotations={"networking.istio.io/exportTo": given})], [pod()])


def test_a_port_may_be_named_as_the_pod_names_it() -> None:
    assert meshed([service(ports=[{"port": 80, "targetPort": "web"}])], [pod()])


def test_services_that_speak_http_come_first() -> None:
    ports = [
        {"port": 1, "name": "grpc"},
        {"port": 2, "name": "http-web"},
        {"port": 3, "appProtocol": "http"},
        {"port": 4, "name": "http2"},
        {"port": 5},
    ]
    found = meshed([service(ports=ports)], [pod()])
    assert [(one.port, one.http) for one in found] == [
        (2, True),
        (3, True),
        (1, False),
        (4, False),
        (5, False),
    ]


def test_of_thousands_of_services_each_is_compared_with_pods_of_its_rarest_label(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = []
    leads_to = services._leads_to

    def count(*pair: Any) -> bool:
        compared.append(pair)
        return leads_to(*pair)

    monkeypatch.setattr(services, "_leads_to", count)
    apps = [f"app-{number}" for number in range(40)]
    pods = [pod({"team": "shop", "app": app}) for app in apps]
    offered = [service(selector={"team": "shop", "app": app}) for app in apps]
    for one, app in zip(offered, apps, strict=True):
        one["metadata"]["name"] = app
    assert [one.service for one in meshed(offered, pods)] == sorted(apps)
    assert len(compared) == len(apps)
