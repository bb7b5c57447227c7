"""What istiod answers, through a port-forward, is read as what it is, or is one clear error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.gateways.istio.istiod import clusterz, read_view, syncz
from istio_mc.gateways.kube.client import Kube
from tests.support.fake_api import FakeApi, Reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

POD = {"metadata": {"name": "istiod-1", "annotations": {"prometheus.io/port": "15999"}}}
# As istiod 1.26.0 of the lab answered, shortened.
SYNCZ = [
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
CLUSTERZ = [
    {"id": "kt-k2p", "secretName": "", "syncStatus": "synced"},
    {"id": "nhn-nks", "secretName": "istio-system/istio-remote-secret-nhn-nks", "syncStatus": "timeout"},
]


@pytest.fixture
def istiod() -> Iterator[FakeApi]:
    """What listens in the pod."""
    with FakeApi().serve() as server:
        yield server


@pytest.fixture
def api(istiod: FakeApi) -> Iterator[FakeApi]:
    with FakeApi().serve() as server:
        server.on_forward("istio-system", "istiod-1", p15999=istiod.address, p15014=istiod.address)
        yield server


@pytest.fixture
def kube(api: FakeApi) -> Iterator[Kube]:
    found = Kube("kt", api.kubeconfig(), read_timeout_s=5)
    yield found
    found.close()


def failure(call: Callable[[Kube, Any], object], kube: Kube, pod: object = POD) -> Problem:
    with pytest.raises(ProblemError) as error:
        call(kube, pod)
    (problem,) = error.value.problems
    assert problem.cluster == "kt"
    return problem


def test_the_port_is_the_one_istiod_names(istiod: FakeApi, api: FakeApi, kube: Kube) -> None:
    istiod.on("/debug/syncz", SYNCZ)
    syncz(kube, POD)
    assert api.calls == [("GET", "/api/v1/namespaces/istio-system/pods/istiod-1/portforward?ports=15999")]


@pytest.mark.parametrize(
    "annotations", [None, {}, {"prometheus.io/port": ""}, {"prometheus.io/port": "http"}]
)
def test_without_such_a_name_it_is_istiods_usual_one(
    istiod: FakeApi, api: FakeApi, kube: Kube, annotations: object
) -> None:
    istiod.on("/debug/syncz", SYNCZ)
    syncz(kube, {"metadata": {"name": "istiod-1", "annotations": annotations}})
    assert api.calls[0][1].endswith("ports=15014")


def test_each_row_of_syncz_is_a_proxy(istiod: FakeApi, kube: Kube) -> None:
    istiod.on("/debug/syncz", SYNCZ)
    (proxy,) = syncz(kube, POD)
    assert (proxy.name, proxy.cluster_id, proxy.version, proxy.istiod, proxy.synced) == (
        "istio-ingressgateway-c47b4b99-km2md.istio-system",
        "kt-k2p",
        "1.26.0",
        "istiod-1",
        True,
    )


def test_each_row_of_clusterz_is_a_cluster(istiod: FakeApi, kube: Kube) -> None:
    istiod.on("/debug/clusterz", CLUSTERZ)
    assert [(row.pod, row.cluster_id, row.status) for row in clusterz(kube, POD)] == [
        ("istiod-1", "kt-k2p", "synced"),
        ("istiod-1", "nhn-nks", "timeout"),
    ]


def test_an_istiod_without_proxies_returns_null(istiod: FakeApi, kube: Kube) -> None:
    istiod.on("/debug/syncz", Reply(b"null"))
    assert syncz(kube, POD) == ()


@pytest.mark.parametrize(("path", "call"), [("/debug/clusterz", clusterz), ("/debug/syncz", syncz)])
@pytest.mark.parametrize(
    "answer", [b"<html>", b"{}x", b'["a"]', b'[{"cluster_id": "x"}]', b"3", b"\xff\xfe", b"# nothing\n"]
)
def test_anything_else_is_one_error_that_names_the_pod_and_the_endpoint(
    istiod: FakeApi, kube: Kube, path: str, call: Callable[[Kube, Any], object], answer: bytes
) -> None:
    istiod.on(path, Reply(answer))
    problem = failure(call, kube)
    assert problem.code == "malformed-answer"
    assert f"istiod-1 responded to {path}" in problem.message


def test_an_endpoint_that_refuses_is_reported_with_its_status(istiod: FakeApi, kube: Kube) -> None:
    istiod.on("/debug/syncz", Reply(status=401))
    problem = failure(syncz, kube)
    assert (problem.code, problem.seen) == ("stream-failed", "401 Unauthorized")


def test_a_pod_without_a_listener_is_reported_in_the_kubelets_words(api: FakeApi, kube: Kube) -> None:
    api.on_forward("istio-system", "istiod-1", p15999=("127.0.0.1", 1))
    problem = failure(syncz, kube)
    assert problem.code == "stream-failed"
    assert "connection refused" in (problem.seen or "")


def test_an_istiod_that_keeps_silent_costs_one_timeout(istiod: FakeApi, api: FakeApi) -> None:
    istiod.on("/debug/syncz", Reply(SYNCZ, delay_s=5))
    problem = failure(syncz, Kube("kt", api.kubeconfig(), read_timeout_s=0.3))
    assert (problem.code, problem.seen) == ("stream-failed", "no data for 0.3 s")


NETWORKZ = [{"Network": "network1", "Cluster": "kt-k2p", "Addr": "203.0.113.7", "Port": 15443}]
FORWARD = ("GET", "/api/v1/namespaces/istio-system/pods/istiod-1/portforward?ports=15999")


class TestPagesOfOneIstiod:
    """Gateways and endpoints, which are read together."""

    @pytest.fixture(autouse=True)
    def pages(self, istiod: FakeApi) -> None:
        istiod.on("/debug/networkz", NETWORKZ)
        istiod.on("/debug/endpointShardz", {})

    @staticmethod
    def read(kube: Kube) -> frozenset[str]:
        return read_view(kube, POD).addresses_of("network1")

    def test_come_through_one_port_forward(self, api: FakeApi, kube: Kube) -> None:
        assert self.read(kube) == {"203.0.113.7"}
        assert api.calls == [FORWARD]

    def test_come_through_two_where_the_connection_is_closed_between(
        self, istiod: FakeApi, api: FakeApi, kube: Kube
    ) -> None:
        istiod.on("/debug/networkz", Reply(NETWORKZ, headers={"Connection": "close"}))
        assert self.read(kube) == {"203.0.113.7"}
        assert api.calls == [FORWARD, FORWARD]

    def test_come_through_two_where_it_is_closed_without_a_word(self, api: FakeApi, kube: Kube) -> None:
        bodies = {b"networkz": json.dumps(NETWORKZ).encode(), b"endpointShardz": b"{}"}

        def once(connection: socket.socket) -> None:
            head = connection.recv(4096)
            body = next(body for page, body in bodies.items() if page in head)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        api.on_forward("istio-system", "istiod-1", p15999=once)
        assert self.read(kube) == {"203.0.113.7"}
        assert api.calls == [FORWARD, FORWARD]

    @pytest.mark.parametrize("page", ["/debug/networkz", "/debug/endpointShardz"])
    def test_one_that_is_refused_is_named(self, istiod: FakeApi, kube: Kube, page: str) -> None:
        istiod.on(page, Reply({}, status=503))
        problem = failure(read_view, kube)
        assert (problem.code, problem.seen) == ("stream-failed", "503 Service Unavailable")
        assert page in problem.message
