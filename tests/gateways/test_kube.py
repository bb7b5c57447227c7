"""An API server that refuses, stumbles or keeps silent: what comes of it is one KubeError that says so."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError

from istio_mc.domain.kube import objects
from istio_mc.gateways.host.parallel import fan_out
from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.errors import KubeError, unreachable
from istio_mc.gateways.kube.snapshot import observe
from tests.support.fake_api import FakeApi, Reply, elapsed, free_port, kubeconfig, status
from tests.support.self_signed import self_signed, server_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from istio_mc.domain.problem import Problem

NAMESPACE = "/api/v1/namespaces/istio-system"
FOUND = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}}


@pytest.fixture
def kube(api: FakeApi) -> Iterator[Kube]:
    made = Kube("kt", api.kubeconfig(), connect_timeout_s=2.0, read_timeout_s=1.0)
    yield made
    made.close()


def get(kube: Kube) -> dict[str, Any] | None:
    return kube.get(objects.NAMESPACE, "istio-system")


def failure(kube: Kube) -> tuple[KubeError, Problem]:
    with pytest.raises(KubeError) as error:
        get(kube)
    (problem,) = error.value.problems
    return error.value, problem


class TestFailures:
    """Each is one problem that names the context, what was seen and expected, and what to do."""

    @pytest.mark.parametrize(
        ("reply", "code", "seen"),
        [
            (status(401, "Unauthorized"), "unauthenticated", "401: Unauthorized"),
            (status(403, "namespaces is forbidden"), "forbidden", "403: namespaces is forbidden"),
            (status(500, "etcd is on fire"), "api-error", "500: etcd is on fire"),
            (Reply(b"<html>gateway down</html>", 502), "api-unavailable", "502: <html>gateway down</html>"),
            (Reply(b"<html>none of mine</html>", 404), "malformed-answer", "404: <html>none of mine</html>"),
            (Reply(b"<html>log in here</html>"), "malformed-answer", "<html>log in here</html>"),
            (Reply([1, 2]), "malformed-answer", "[1, 2]"),
            (Reply(b""), "malformed-answer", "0 bytes"),
            (Reply(FOUND, cut=True), "cluster-unreachable", "IncompleteRead"),
            (Reply(reset=True), "cluster-unreachable", "reset by peer"),
            (Reply(FOUND, delay_s=5), "cluster-unreachable", "Read timed out"),
        ],
        ids=[
            "401",
            "403",
            "500",
            "proxy-502",
            "proxy-404",
            "no-json",
            "list",
            "empty",
            "cut",
            "reset",
            "silent",
        ],
    )
    def test_an_answer_that_is_none(
        self, api: FakeApi, kube: Kube, reply: Reply, code: str, seen: str
    ) -> None:
        api.on(NAMESPACE, reply)
        _, problem = failure(kube)
        assert (problem.code, problem.cluster, seen in (problem.seen or "")) == (code, "kt", True), problem
        assert problem.expected
        assert problem.hint

    def test_no_process_listens(self) -> None:
        server = f"http://127.0.0.1:{free_port()}"
        error, problem = failure(Kube("kt", kubeconfig({"kt": server}), connect_timeout_s=1.0))
        assert error.unreachable
        assert (problem.code, problem.cluster) == ("cluster-unreachable", "kt")
        assert "refused" in (problem.seen or "")
        assert server in (problem.expected or "")
        assert "--context kt" in str(problem.hint)

    def test_a_connection_that_times_out_is_reported_in_a_sentence(self) -> None:
        waits = HTTPSConnection("192.0.2.1", 6443)
        timed_out = ConnectTimeoutError(waits, "Connection to 192.0.2.1 timed out. (connect timeout=5.0)")
        gave_up = MaxRetryError(HTTPSConnectionPool("192.0.2.1", 6443), "/version", timed_out)

        problem = unreachable("kt", "https://192.0.2.1:6443", gave_up).problems[0]

        assert problem.seen == "Connection to 192.0.2.1 timed out. (connect timeout=5.0)"

    def test_a_name_that_does_not_resolve(self) -> None:
        document = kubeconfig({"kt": "http://no-such-host.invalid:6443"})
        _, problem = failure(Kube("kt", document, connect_timeout_s=1.0))
        assert "no-such-host.invalid" in f"{problem.seen} {problem.expected}"

    def test_a_kubeconfig_that_cannot_be_used(self) -> None:
        _, problem = failure(Kube("kt", {"clusters": [], "contexts": [], "users": []}))
        assert (problem.code, problem.cluster) == ("kubeconfig-unusable", "kt")
        assert problem.hint

    def test_a_refusal_does_not_count_as_unreachable(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, status(403, "no"))
        error, _ = failure(kube)
        assert (error.status, error.unreachable) == (403, False)

    def test_a_token_is_in_no_error(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, status(401, "Unauthorized"))
        error, _ = failure(kube)
        assert "token-of-kt" not in repr(error.problems) + repr(kube)

    def test_version_of_what_is_no_api_server(self, api: FakeApi, kube: Kube) -> None:
        api.on("/version", {"build": "7"})
        with pytest.raises(KubeError) as error:
            kube.version()
        assert error.value.problems[0].code == "malformed-answer"


class TestPatience:
    def test_busy_servers_are_queried_again_at_their_retry_after(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, status(429, "slow down", Retry_After="1"), FOUND)
        begun = time.monotonic()
        assert get(kube) == FOUND
        assert len(api.calls) == 2
        assert elapsed(begun) >= 1.0

    def test_writes_too_are_sent_again_to_a_busy_server(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, status(503, "starting", Retry_After="0"), FOUND)
        kube.apply(FOUND)
        assert [method for method, _ in api.calls] == ["PATCH", "PATCH"]
        assert [json.loads(body) for body in api.bodies] == [FOUND, FOUND]

    def test_a_server_that_stays_busy_is_given_up(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, status(503, "starting"))
        error, problem = failure(kube)
        assert (error.status, problem.code, problem.seen) == (503, "api-unavailable", "503: starting")
        assert len(api.calls) == 4

    def test_no_wait_goes_past_the_deadline(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, status(429, "come back in an hour", Retry_After="3600"))
        begun = time.monotonic()
        error, _ = failure(kube.until(begun + 1.0))
        assert error.status == 429
        assert elapsed(begun) < 1.0

    def test_a_silent_server_is_given_up_at_the_deadline(self, api: FakeApi) -> None:
        api.on(NAMESPACE, Reply(FOUND, delay_s=5))
        kube = Kube("kt", api.kubeconfig(), deadline=time.monotonic() + 0.3)
        begun = time.monotonic()
        failure(kube)
        kube.close()
        assert elapsed(begun) < 2.0

    def test_a_silent_server_is_queried_once(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, Reply(FOUND, delay_s=5))
        failure(kube)
        assert len(api.calls) == 1


class TestCalls:
    def test_an_object_that_is_not_there_is_none(self, kube: Kube) -> None:
        assert get(kube) is None

    def test_a_kind_that_is_not_served_has_no_objects(self, kube: Kube) -> None:
        assert kube.list(objects.ISTIO_GATEWAY) == []

    def test_listed_objects_carry_their_kind(self, api: FakeApi, kube: Kube) -> None:
        api.on("/api/v1/namespaces/istio-system/pods", {"items": [{"metadata": {"name": "istiod-1"}}]})
        (pod,) = kube.list(objects.POD, "istio-system", labels="app=istiod")
        assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
        assert api.calls == [("GET", "/api/v1/namespaces/istio-system/pods?labelSelector=app%3Distiod")]

    def test_apply_is_server_side_and_in_our_name(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, FOUND)
        kube.apply(FOUND)
        assert api.calls == [("PATCH", f"{NAMESPACE}?fieldManager=istio-mc&force=true")]

    def test_a_merge_patch_is_sent_as_the_object_it_is(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, FOUND)
        kube.patch(objects.NAMESPACE, "istio-system", None, {"metadata": {"labels": {"gone": None}}})
        assert [json.loads(body) for body in api.bodies] == [{"metadata": {"labels": {"gone": None}}}]

    def test_a_server_side_apply_is_sent_as_the_object_it_is(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, FOUND)
        kube.apply(FOUND)
        assert [json.loads(body) for body in api.bodies] == [FOUND]

    def test_creating_what_is_there_leaves_it(self, api: FakeApi, kube: Kube) -> None:
        api.on("/api/v1/namespaces", status(409, "already exists"))
        assert kube.create(FOUND) is None

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ('object is being deleted: namespaces "istio-system" already exists', "namespace-terminating"),
            ('Operation cannot be fulfilled on resourcequotas "q": the object has been modified', "conflict"),
        ],
    )
    def test_what_was_not_created_does_not_count_as_being_there(
        self, api: FakeApi, kube: Kube, message: str, code: str
    ) -> None:
        api.on("/api/v1/namespaces", status(409, message))
        with pytest.raises(KubeError) as error:
            kube.create(FOUND)
        assert error.value.problems[0].code == code

    def test_an_answer_of_a_web_server_does_not_count_as_an_object_that_is_not_there(
        self, api: FakeApi, kube: Kube
    ) -> None:
        api.on(NAMESPACE, Reply(b"<html>404 Not Found</html>", 404))
        with pytest.raises(KubeError):
            kube.delete(objects.NAMESPACE, "istio-system")

    def test_deleting_returns_whether_it_existed(self, api: FakeApi, kube: Kube) -> None:
        api.on(NAMESPACE, {"status": "Success"})
        assert kube.delete(objects.NAMESPACE, "istio-system")
        assert not kube.delete(objects.NAMESPACE, "other")

    @pytest.mark.parametrize(
        ("headers", "hours"), [({"Date": "Mon, 01 Jan 2126 00:00:00 GMT"}, 24 * 365), ({}, -1)]
    )
    def test_how_far_the_servers_clock_is_ahead_is_known_from_its_answer(
        self, api: FakeApi, kube: Kube, headers: dict[str, str], hours: int
    ) -> None:
        api.on("/version", Reply({"gitVersion": "v1.32.3"}, headers=headers))
        kube.version()
        assert kube.ahead_s is not None
        assert kube.ahead_s > hours * 3600

    def test_another_deadline_is_another_value_over_the_same_connections(
        self, api: FakeApi, kube: Kube
    ) -> None:
        api.on("/version", {"gitVersion": "v1.32.3"})
        short = kube.until(time.monotonic() + 5.0)
        assert kube.deadline is None
        assert (kube.version(), short.version(), kube.with_silence(0.1).version()) == ("v1.32.3",) * 3
        assert (kube.requests, short.requests) == (3, 3)
        assert len(api.peers) == 1

    def test_of_idle_connections_one_is_kept(self, api: FakeApi, kube: Kube) -> None:
        api.on("/version", Reply({"gitVersion": "v1.32.3"}, delay_s=0.05))

        def several() -> None:
            fan_out(("a", "b", "c"), lambda _: kube.version(), concurrency=3, until=time.monotonic() + 9)

        several()
        before = len(api.peers)
        kube.close_all_but_one()
        kube.version()
        assert (before, len(api.peers)) == (3, 3)
        several()
        assert len(api.peers) == 5

    def test_a_port_forward_that_is_refused_names_the_pod(self, kube: Kube) -> None:
        with pytest.raises(KubeError) as error:
            kube.http_get("istio-system", "istiod-1", 15014, "/debug/clusterz")
        (problem,) = error.value.problems
        assert (problem.code, problem.cluster) == ("stream-failed", "kt")
        assert "istio-system/istiod-1:15014" in problem.message
        assert problem.hint


class TestObserve:
    def test_a_run_requests_each_url_once(self, api: FakeApi, kube: Kube) -> None:
        api.on("/version", {"gitVersion": "v1.32.3"})
        observe(kube)
        assert len(api.calls) == len(set(api.calls)) == kube.requests

    def test_what_lives_is_found_by_reference(self, api: FakeApi, kube: Kube) -> None:
        api.on("/version", {"gitVersion": "v1.32.3"})
        labels = {"istio-mc/mesh-id": "mesh1"}
        api.on(NAMESPACE, FOUND | {"metadata": {"name": "istio-system", "labels": labels}})
        found = observe(kube)
        assert (found.version, found.mesh_id) == ("v1.32.3", "mesh1")
        assert not found.gateway_api

    def test_specs_of_crds_that_are_equal_are_kept_once(self, api: FakeApi, kube: Kube) -> None:
        api.on("/version", {"gitVersion": "v1.32.3"})
        crds = [
            {"metadata": {"name": "x.istio.io", "uid": str(number)}, "spec": {"versions": [version]}}
            for number, version in enumerate(("v1", "v1", "v2"))
        ]
        api.on(objects.CRD.path(), *({"items": [crd]} for crd in crds))
        (one,), (equal,), (other,) = (observe(kube).of(objects.CRD) for _ in crds)
        assert one["spec"] is equal["spec"]
        assert [crd["metadata"]["uid"] for crd in (one, equal, other)] == ["0", "1", "2"]
        assert other["spec"] == {"versions": ["v2"]}

    def test_a_silent_cluster_costs_one_request(self, api: FakeApi, kube: Kube) -> None:
        api.on("/version", Reply(delay_s=5))
        with pytest.raises(KubeError):
            observe(kube)
        assert api.calls == [("GET", "/version")]

    def test_one_refused_kind_is_one_problem(self, api: FakeApi, kube: Kube) -> None:
        api.on("/version", {"gitVersion": "v1.32.3"})
        api.on("/api/v1/namespaces/istio-system/secrets", status(403, "secrets is forbidden"))
        with pytest.raises(Exception, match="secrets") as error:
            observe(kube)
        assert len(error.value.problems) == 1  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed("api.kt").write(tmp_path_factory.mktemp("tls") / "server.pem")


class TestTls:
    """The server's certificate is checked with the kubeconfig's CA and name, and no other."""

    @pytest.fixture
    def secure(self, certificate: Path) -> Iterator[FakeApi]:
        with FakeApi(server_context(certificate)).serve() as server:
            server.on(NAMESPACE, FOUND)
            yield server

    def test_tls_server_name_stands_in_for_the_address(self, secure: FakeApi, certificate: Path) -> None:
        document = secure.kubeconfig(
            **{"certificate-authority": str(certificate), "tls-server-name": "api.kt"}
        )
        kube = Kube("kt", document)
        assert get(kube) == FOUND
        kube.close()

    def test_another_name_than_the_address_is_refused(self, secure: FakeApi, certificate: Path) -> None:
        document = secure.kubeconfig(**{"certificate-authority": str(certificate)})
        _, problem = failure(Kube("kt", document, connect_timeout_s=2.0))
        assert "certificate is not valid for '127.0.0.1'" in (problem.seen or "")
        assert "tls-server-name of the cluster of kt" in str(problem.hint)

    def test_an_unknown_ca_is_refused(self, secure: FakeApi) -> None:
        _, problem = failure(Kube("kt", secure.kubeconfig(), connect_timeout_s=2.0))
        assert "self-signed certificate" in (problem.seen or "")
        assert "CA of this API server" in str(problem.hint)

    @pytest.mark.parametrize("year", [2001, 2091])
    def test_a_certificate_out_of_its_dates_is_not_taken_for_one_of_another_ca(
        self, year: int, tmp_path: Path
    ) -> None:
        shown = self_signed(
            "127.0.0.1", valid=(datetime(year, 1, 1, tzinfo=UTC), datetime(year, 2, 1, tzinfo=UTC))
        ).write(tmp_path / "server.pem")
        with FakeApi(server_context(shown)).serve() as server:
            document = server.kubeconfig(**{"certificate-authority": str(shown)})
            _, problem = failure(Kube("kt", document, connect_timeout_s=2.0))
        assert "renew the certificate of the API server of kt" in str(problem.hint)
        assert "the CA of" not in str(problem.hint)

    def test_a_tls_server_name_missing_in_the_certificate_is_reported_as_a_name_fault(
        self, secure: FakeApi, certificate: Path
    ) -> None:
        more = {"certificate-authority": str(certificate), "tls-server-name": "api.nhn"}
        _, problem = failure(Kube("kt", secure.kubeconfig(**more), connect_timeout_s=2.0))
        assert "tls-server-name of the cluster of kt" in str(problem.hint)

    def test_a_server_without_tls_is_not_reported_as_another_ca(self) -> None:
        with FakeApi().serve() as server:
            document = server.kubeconfig()
            document["clusters"][0]["cluster"]["server"] = document["clusters"][0]["cluster"][
                "server"
            ].replace("http://", "https://")
            _, problem = failure(Kube("kt", document, connect_timeout_s=2.0))
        assert str(problem.hint) == "kubectl --context kt get --raw /readyz"

    def test_clusters_of_one_ca_are_queried_at_once(self, secure: FakeApi, certificate: Path) -> None:
        ca = base64.b64encode(certificate.read_bytes()).decode()
        more = {"certificate-authority-data": ca, "tls-server-name": "api.kt"}
        kubes = {name: Kube(name, secure.kubeconfig(name, **more)) for name in (f"c{n}" for n in range(16))}

        answers, failed = fan_out(
            kubes, lambda name: get(kubes[name]), concurrency=16, until=time.monotonic() + 60
        )
        for kube in kubes.values():
            kube.close()
        assert (answers, failed) == (dict.fromkeys(kubes, FOUND), {})
