"""What proxies hold is read from Envoy's admin port, from as many as are asked, and no key with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.pki.certificates import Authority, new_intermediate
from istio_mc.domain.problem import ProblemError
from istio_mc.domain.trace.proxies import outbound
from istio_mc.gateways.istio import proxies
from istio_mc.gateways.istio.istiod import distributed_roots
from istio_mc.gateways.istio.proxies import injected_pods, proxies_hold, read_cluster
from istio_mc.gateways.kube.client import Kube
from tests.support.fake_api import FakeApi, Reply, status
from tests.support.leaves import secrets_dump, workload_leaf
from tests.support.world import EC, root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from istio_mc.domain.istio.proxies import ProxiesHold

GATEWAY = {
    "metadata": {
        "name": "gateway-1",
        "namespace": "istio-system",
        "labels": {"app": "istio-ingressgateway"},
    },
    "status": {"phase": "Running"},
}
PODS = "/api/v1/pods"
DUMP = "/config_dump"


def _root(context: str) -> bytes:
    """A dump whose ROOTCA has this validation context."""
    secret = f'{{"name": "ROOTCA", "secret": {{"validation_context": {context}}}}}'
    return f'{{"configs": [{secret}]}}'.encode()


@pytest.fixture(scope="module")
def intermediate() -> Authority:
    return new_intermediate(root(), "kt-k2p", datetime.now(UTC), key=EC)


@pytest.fixture
def envoy(intermediate: Authority) -> Iterator[FakeApi]:
    """The admin port of every pod."""
    chain = [workload_leaf(intermediate).certificate, *intermediate.path]
    with FakeApi().serve() as server:
        server.on(DUMP, secrets_dump(chain, [root().certificate]))
        yield server


@pytest.fixture
def api(envoy: FakeApi) -> Iterator[FakeApi]:
    with FakeApi().serve() as server:
        server.on_forward("istio-system", "gateway-1", p15000=envoy.address)
        yield server


@pytest.fixture
def kube(api: FakeApi) -> Iterator[Kube]:
    found = Kube("kt", api.kubeconfig(), read_timeout_s=5)
    yield found
    found.close()


def injected(number: int, **metadata: object) -> dict[str, Any]:
    created = f"2026-01-01T00:{60 - number:02}:00Z"
    return {
        "metadata": {
            "name": f"pod-{number}",
            "namespace": "sample",
            "creationTimestamp": created,
            **metadata,
        }
    }


def runs(api: FakeApi, envoy: FakeApi, count: int) -> None:
    """So many pods with a sidecar; the higher its number, the older a pod."""
    api.on(PODS, {"items": [injected(number) for number in range(1, count + 1)]})
    for number in range(1, count + 1):
        api.on_forward("sample", f"pod-{number}", p15000=envoy.address)


def hold(kube: Kube, most: int = 20) -> ProxiesHold:
    return proxies_hold(kube, [GATEWAY], injected_pods(kube), most=most)


def forwards(api: FakeApi) -> list[str]:
    return sorted(path.split("/")[6] for _, path in api.calls if "/portforward" in path)


def test_a_proxys_chain_and_roots_are_certificates(
    api: FakeApi, envoy: FakeApi, kube: Kube, intermediate: Authority
) -> None:
    runs(api, envoy, 1)
    gateway, pod = hold(kube).proxies
    assert (gateway.name, pod.name) == ("istio-system/gateway-1", "sample/pod-1")
    assert pod.chain[1:] == intermediate.path
    assert pod.roots == (root().certificate,)


def test_only_the_oldest_are_queried_and_their_number_is_reported(
    api: FakeApi, envoy: FakeApi, kube: Kube
) -> None:
    runs(api, envoy, 5)
    found = hold(kube, most=2)
    assert forwards(api) == ["gateway-1", "pod-4", "pod-5"]
    assert found.coverage == "3 of 6 proxies read"


def test_pods_are_found_with_one_request_for_those_that_run_and_have_a_sidecar(
    api: FakeApi, envoy: FakeApi, kube: Kube
) -> None:
    runs(api, envoy, 1)
    injected_pods(kube)
    assert api.calls[0][1] == (
        f"{PODS}?labelSelector=security.istio.io%2FtlsMode%3Distio&fieldSelector=status.phase%3DRunning"
    )


def test_pods_on_their_way_out_are_not_queried(api: FakeApi, kube: Kube) -> None:
    api.on(PODS, {"items": [injected(1, deletionTimestamp="2026-01-01T00:00:00Z")]})
    assert injected_pods(kube) == []


def test_what_no_check_looks_at_is_not_kept(api: FakeApi, kube: Kube) -> None:
    spec = {
        "serviceAccountName": "sleep",
        "containers": [{"name": "sleep", "ports": [{"containerPort": 80}], "env": [{"name": "A"}]}],
        "initContainers": [{"name": "istio-proxy", "args": ["proxy"]}],
        "volumes": [{"name": "workload-certs"}],
    }
    api.on(PODS, {"items": [{**injected(1, managedFields=[{"manager": "kubelet"}]), "spec": spec}]})
    (pod,) = injected_pods(kube)
    assert "managedFields" not in pod["metadata"]
    assert pod["spec"] == {
        "serviceAccountName": "sleep",
        "containers": [{"name": "sleep", "ports": [{"containerPort": 80}]}],
        "initContainers": [{"name": "istio-proxy"}],
    }


class TestClusters:
    NAME = outbound(80, "one.shop.svc.cluster.local")
    PAGE = f"{NAME}::10.1.0.1:80::health_flags::healthy\n".encode()

    def test_the_endpoints_of_one_cluster_are_read(self, envoy: FakeApi, kube: Kube) -> None:
        envoy.on("/clusters", Reply(self.PAGE))
        assert [str(one) for one in read_cluster(kube, GATEWAY, self.NAME)] == ["10.1.0.1:80"]

    def test_a_page_that_is_cut_before_a_cluster_is_an_error_and_not_a_cluster_without_endpoints(
        self, envoy: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(proxies, "MOST_BYTES", len(self.PAGE))
        other = outbound(80, "two.shop.svc.cluster.local")
        envoy.on("/clusters", Reply(self.PAGE + self.PAGE.replace(b"one", b"two")))
        assert read_cluster(kube, GATEWAY, self.NAME)
        with pytest.raises(ProblemError) as raised:
            read_cluster(kube, GATEWAY, other)
        (problem,) = raised.value.problems
        assert problem.message == "kt: the clusters of proxy istio-system/gateway-1 are too long to read"
        assert problem.seen == f"more than 0 MiB, and {other} not among them"


def test_one_that_does_not_respond_is_reported_and_does_not_stop_the_others(
    api: FakeApi, envoy: FakeApi, kube: Kube
) -> None:
    runs(api, envoy, 2)
    api.on_forward("sample", "pod-1", p15000=("127.0.0.1", 1))
    found = hold(kube)
    assert [proxy.pod for proxy in found.proxies] == ["gateway-1", "pod-2"]
    assert found.coverage == "3 of 3 proxies read, 1 without a response"
    assert "connection refused" in (found.silent["sample/pod-1"].seen or "")


def test_a_proxy_without_secrets_has_no_chain_and_no_roots(api: FakeApi, envoy: FakeApi, kube: Kube) -> None:
    envoy.on(DUMP, Reply(b"{}"))
    api.on(PODS, {"items": []})
    (proxy,) = hold(kube).proxies
    assert (proxy.chain, proxy.roots) == ((), ())


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"3",
        b'{"configs": 3}',
        b'{"configs": ["x"]}',
        _root("3"),
        _root('{"trusted_ca": {"inline_bytes": "%%"}}'),
        _root('{"trusted_ca": {"inline_string": "no certificate"}}'),
    ],
)
def test_any_other_response_is_reported_for_that_proxy_and_not_quoted(
    api: FakeApi, envoy: FakeApi, kube: Kube, answer: bytes
) -> None:
    envoy.on(DUMP, Reply(answer))
    api.on(PODS, {"items": []})
    (problem,) = hold(kube).silent.values()
    assert (problem.code, problem.cluster) == ("malformed-answer", "kt")
    assert problem.seen == f"{len(answer)} bytes"


def test_pods_that_cannot_be_listed_are_an_error(api: FakeApi, kube: Kube) -> None:
    api.on(PODS, status(403, "pods is forbidden"))
    with pytest.raises(Exception, match="refused GET /api/v1/pods"):
        injected_pods(kube)


def test_a_private_key_in_the_response_of_a_proxy_is_not_kept(
    api: FakeApi, envoy: FakeApi, kube: Kube
) -> None:
    document = json.dumps(secrets_dump([], [root().certificate]))
    envoy.on(DUMP, Reply(document.replace("W3JlZGFjdGVkXQ==", "UFJJVkFURSBLRVk=").encode()))
    api.on(PODS, {"items": []})
    assert "PRIVATE" not in repr(hold(kube))


class TestDistributedRoots:
    def test_all_namespaces_are_read_with_one_request(self, api: FakeApi, kube: Kube) -> None:
        items = [
            {"metadata": {"namespace": "sample"}, "data": {"root-cert.pem": "A"}},
            {"metadata": {"namespace": "default"}, "data": {"root-cert.pem": "A"}},
            {"metadata": {"namespace": "shop"}, "data": None},
        ]
        api.on("/api/v1/configmaps", {"items": items})
        found = distributed_roots(kube, "our-roots")
        assert found.by_bundle() == {"A": ["sample", "default"], "": ["shop"]}
        assert [path for _, path in api.calls] == [
            "/api/v1/configmaps?fieldSelector=metadata.name%3Dour-roots"
        ]
