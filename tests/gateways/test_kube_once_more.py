"""Reads are tried once more where their connection breaks; refusals are final, and a write is sent once."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube.rights import Right
from istio_mc.gateways.istio.data_path import serving
from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.errors import KubeError
from istio_mc.gateways.kube.retries import once_more
from istio_mc.gateways.kube.rights import allowed
from tests.support.fake_api import FakeApi, Reply, free_port, kubeconfig, status
from tests.support.stream_server import SUCCESS, Peer, StreamServer
from tests.support.tls_peer import closes, listening, resets

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from tests.support.tls_peer import Peer as TlsPeer

PORT = (15014).to_bytes(2, "little")
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
PODS = "/api/v1/namespaces/istio-system/pods"
SETTINGS = "/api/v1/namespaces/istio-system/configmaps"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer().serve() as made:
        yield made


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi().serve() as made:
        yield made


def kube(server: StreamServer | FakeApi, **settings: Any) -> Kube:
    return Kube("kt", kubeconfig({"kt": server.url}), **settings)


def get(kube: Kube, most: int | None = None) -> bytes:
    return kube.http_get("istio-system", "istiod-1", 15014, "/debug/clusterz", most=most)


def failure(call: Callable[[], object]) -> str:
    """What was seen of the one problem that a call ends with."""
    with pytest.raises(KubeError) as error:
        call()
    (problem,) = error.value.problems
    return f"{problem.code}: {problem.seen}"


def begun(peer: Peer) -> None:
    """A port-forward up to the request."""
    for channel in (0, 1):
        peer.send(channel, PORT)
    peer.receive()


def answered(peer: Peer) -> None:
    begun(peer)
    peer.send(0, BODY)
    peer.close()


def in_turn(*scripts: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """The first stream by the first script, and so on; the last goes on."""
    left = list(scripts)

    def script(peer: Peer) -> None:
        chosen = left.pop(0) if len(left) > 1 else left[0]
        chosen(peer)

    return script


def silent(peer: Peer) -> None:
    peer.wait(20)


def reset(peer: Peer) -> None:
    peer.reset()


def reset_after_the_request(peer: Peer) -> None:
    begun(peer)
    peer.reset()


def ended_without_an_answer(peer: Peer) -> None:
    begun(peer)
    peer.close()


def ended_within_the_answer(peer: Peer) -> None:
    begun(peer)
    peer.send(0, BODY[:-1])
    peer.close()


def ended_within_a_chunk(peer: Peer) -> None:
    begun(peer)
    peer.send(0, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[")
    peer.close()


def reports(words: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        begun(peer)
        peer.send(1, words)
        peer.close()

    return script


class TestPortForward:
    @pytest.mark.parametrize(
        "broken",
        [
            reset,
            reset_after_the_request,
            ended_without_an_answer,
            ended_within_the_answer,
            ended_within_a_chunk,
            reports(b"error forwarding port 15014: read tcp4: read: connection reset by peer"),
            reports(b"error forwarding port 15014: write tcp4: write: broken pipe"),
            reports(b"error forwarding port 15014: EOF"),
        ],
    )
    def test_that_breaks_is_opened_once_more(
        self, server: StreamServer, broken: Callable[[Peer], None]
    ) -> None:
        server.script = in_turn(broken, answered)
        assert get(kube(server)) == b"[]"
        assert len(server.requests) == 2

    def test_that_breaks_within_the_first_part_of_an_answer_is_opened_once_more(
        self, server: StreamServer
    ) -> None:
        server.script = in_turn(ended_within_the_answer, answered)
        assert get(kube(server), most=100) == b"[]"

    def test_that_breaks_twice_is_a_problem_with_its_reason(self, server: StreamServer) -> None:
        server.script = reset_after_the_request
        assert failure(lambda: get(kube(server))).startswith("stream-failed: ")
        assert len(server.requests) == 2

    def test_for_which_the_kubelet_was_lost_is_opened_once_more(self, server: StreamServer) -> None:
        server.refusal = (500, {}, b'{"message": "error dialing backend: EOF"}')
        assert "error dialing backend: EOF" in failure(lambda: get(kube(server)))
        assert len(server.requests) == 2

    @pytest.mark.parametrize("code", [403, 404, 500])
    def test_that_the_server_refuses_is_not_requested_again(self, server: StreamServer, code: int) -> None:
        server.refusal = (code, {}, b'{"message": "no"}')
        assert f"{code}: no" in failure(lambda: get(kube(server)))
        assert len(server.requests) == 1

    def test_that_the_pod_refuses_is_not_requested_again(self, server: StreamServer) -> None:
        server.script = reports(b"dial tcp4 127.0.0.1:15014: connect: connection refused")
        assert "connection refused" in failure(lambda: get(kube(server)))
        assert len(server.requests) == 1

    def test_that_brings_another_status_than_200_is_not_requested_again(self, server: StreamServer) -> None:
        def script(peer: Peer) -> None:
            begun(peer)
            peer.send(0, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        server.script = script
        assert "404 Not Found" in failure(lambda: get(kube(server)))
        assert len(server.requests) == 1

    def test_that_keeps_silent_is_not_waited_for_again(self, server: StreamServer) -> None:
        server.script = silent
        assert failure(lambda: get(kube(server, read_timeout_s=0.3))) == "stream-failed: no data for 0.3 s"
        assert len(server.requests) == 1

    def test_is_not_opened_again_past_the_deadline(self, server: StreamServer) -> None:
        def script(peer: Peer) -> None:
            peer.wait(0.95)
            peer.reset()

        server.script = script
        with pytest.raises(KubeError):
            get(kube(server, deadline=time.monotonic() + 1.0))
        assert len(server.requests) == 1

    def test_has_the_rest_of_the_deadline_the_second_time(self, server: StreamServer) -> None:
        server.script = in_turn(reset, silent)
        begun_at = time.monotonic()
        assert "no data for" in failure(lambda: get(kube(server, deadline=begun_at + 1.0)))
        assert len(server.requests) == 2
        assert time.monotonic() - begun_at < 10  # not the 30 s that an answer may take

    def test_for_a_certificate_is_opened_once_more(self, server: StreamServer) -> None:
        server.script = ended_without_an_answer
        with pytest.raises(KubeError, match="15012"):
            serving(kube(server), {"metadata": {"name": "istiod-1"}})
        assert len(server.requests) == 2

    def test_opened_once_more_is_logged(self, server: StreamServer, caplog: pytest.LogCaptureFixture) -> None:
        server.script = in_turn(reset_after_the_request, answered)
        with caplog.at_level(logging.DEBUG, logger="istio_mc"):
            get(kube(server))
        (line,) = [one for one in caplog.messages if "tried once more" in one]
        assert line.startswith("kt: port-forward to istio-system/istiod-1:15014: ")


class TestExec:
    """A command of which nothing is known may have been carried out."""

    def test_that_breaks_is_not_run_again(self, server: StreamServer) -> None:
        server.script = reset
        failure(lambda: kube(server).execute("sample", "sleep-1", "sleep", ["true"], timeout_s=5.0))
        assert len(server.requests) == 1

    def test_of_a_command_that_only_reads_is_run_once_more(self, server: StreamServer) -> None:
        server.script = in_turn(reset, lambda peer: peer.end(SUCCESS))
        done = kube(server).execute("sample", "sleep-1", "sleep", ["true"], timeout_s=5.0, reads=True)
        assert done.exit_code == 0

    def test_is_not_run_again_past_its_time(self, server: StreamServer) -> None:
        def late(peer: Peer) -> None:
            peer.wait(0.5)
            peer.reset()

        server.script = late
        failure(
            lambda: kube(server).execute("sample", "sleep-1", "sleep", ["true"], timeout_s=0.55, reads=True)
        )
        assert len(server.requests) == 1


class TestRequest:
    @pytest.mark.parametrize("broken", [Reply(reset=True), Reply(body={"items": []}, cut=True)])
    def test_that_reads_is_sent_once_more_where_its_connection_breaks(
        self, api: FakeApi, broken: Reply
    ) -> None:
        api.on(PODS, broken, Reply(body={"items": []}))
        assert kube(api).request("GET", PODS) == {"items": []}
        assert [path for _, path in api.calls] == [PODS, PODS]

    @pytest.mark.parametrize("part", [b"2\r\n{}\r\n", b"9\r\n{"], ids=["between chunks", "within one"])
    def test_whose_answer_in_chunks_breaks_off_is_sent_once_more(
        self, server: StreamServer, part: bytes
    ) -> None:
        server.answer = (200, {"Transfer-Encoding": "chunked", "Connection": "close"}, part)
        failure(lambda: kube(server).request("GET", PODS))
        assert len(server.requests) == 2

    def test_whose_connection_breaks_twice_is_a_problem(self, api: FakeApi) -> None:
        api.on(PODS, Reply(reset=True))
        assert failure(lambda: kube(api).request("GET", PODS)).startswith("cluster-unreachable: ")
        assert len(api.calls) == 2

    @pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
    @pytest.mark.parametrize("broken", [Reply(reset=True), Reply(body={"kind": "ConfigMap"}, cut=True)])
    def test_that_writes_is_never_sent_twice(self, api: FakeApi, method: str, broken: Reply) -> None:
        api.on(SETTINGS, broken)
        with pytest.raises(KubeError):
            kube(api).request(method, SETTINGS, body={"kind": "ConfigMap"})
        assert len(api.calls) == 1

    def test_whether_something_is_allowed_is_sent_once_more(self, api: FakeApi) -> None:
        api.on(REVIEWS, Reply(reset=True), Reply(body={"status": {"allowed": True}}, status=201))
        assert allowed(kube(api), Right("list", "pods", "", ""))

    @pytest.mark.parametrize("how", [closes, resets])
    def test_whose_tls_handshake_breaks_twice_reports_no_certificate(
        self, how: Callable[[TlsPeer, socket.socket], None]
    ) -> None:
        with listening(how) as peer:
            client = Kube("kt", kubeconfig({"kt": f"https://127.0.0.1:{peer.port}"}))
            with pytest.raises(KubeError) as error:
                client.request("GET", PODS)
        assert peer.served == 2
        assert not error.value.untrusted

    @pytest.mark.parametrize("code", [401, 403, 404, 500])
    def test_that_is_refused_is_not_sent_again(self, api: FakeApi, code: int) -> None:
        api.on(PODS, status(code, "no"))
        with pytest.raises(KubeError):
            kube(api).request("GET", PODS)
        assert len(api.calls) == 1

    def test_that_times_out_is_not_sent_again(self, api: FakeApi) -> None:
        api.on(PODS, Reply(delay_s=5))
        with pytest.raises(KubeError):
            kube(api, read_timeout_s=0.3).request("GET", PODS)
        assert len(api.calls) == 1

    def test_to_a_port_that_refuses_is_not_retried(self, caplog: pytest.LogCaptureFixture) -> None:
        nowhere = Kube("kt", kubeconfig({"kt": f"http://127.0.0.1:{free_port()}"}))
        with caplog.at_level(logging.DEBUG, logger="istio_mc"):
            assert "refused" in failure(lambda: nowhere.request("GET", PODS))
        assert "tried once more" not in caplog.text


class TestOnceMore:
    def test_needs_time_that_is_left(self) -> None:
        timeouts = []

        def call() -> None:
            timeouts.append(1)
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            once_more("what", call, left=lambda: 0.0)
        assert len(timeouts) == 1
