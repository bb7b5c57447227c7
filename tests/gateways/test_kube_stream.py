"""An exec or a port-forward ends in time, whole or with one KubeError that says why it did not."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
import websocket

from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.errors import KubeError
from istio_mc.gateways.kube.stream import run
from tests.support.fake_api import free_port
from tests.support.stream_server import SUCCESS, Peer, StreamServer, ended
from tests.support.websocket_frames import PING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from istio_mc.domain.problem import Problem
    from istio_mc.gateways.kube.stream import Channels, Execution

FORBIDDEN = {
    "kind": "Status",
    "status": "Failure",
    "message": 'pods "sleep-1" is forbidden: User "jane" cannot get resource "pods/exec"',
    "code": 403,
}
PORT = (15014).to_bytes(2, "little")


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer().serve() as made:
        yield made


@pytest.fixture
def kube(server: StreamServer) -> Iterator[Kube]:
    made = Kube("kt", kubeconfig(server.url))
    yield made
    made.close()


@pytest.fixture
def hasty(server: StreamServer) -> Iterator[Kube]:
    """One that waits for a message for a moment only."""
    made = Kube("kt", kubeconfig(server.url), read_timeout_s=0.3)
    yield made
    made.close()


def kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kt", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": "abc"}}],
        "contexts": [{"name": "kt", "context": {"cluster": "kt", "user": "me"}}],
        "current-context": "kt",
    }


def execute(kube: Kube, *command: str, timeout_s: float = 10.0) -> Execution:
    return kube.execute("sample", "sleep-1", "sleep", command or ("true",), timeout_s=timeout_s)


def get(kube: Kube) -> bytes:
    return kube.http_get("istio-system", "istiod-1", 15014, "/debug/clusterz")


def failure(call: Callable[[], object]) -> Problem:
    with pytest.raises(KubeError) as error:
        call()
    (problem,) = error.value.problems
    assert (problem.code, problem.cluster) == ("stream-failed", "kt")
    return problem


def in_turn(*steps: Callable[[Peer], object]) -> Callable[[Peer], None]:
    """Several things that a server does, one after the other."""

    def script(peer: Peer) -> None:
        for step in steps:
            step(peer)

    return script


def forwarding(answer: Callable[[Peer], object]) -> Callable[[Peer], None]:
    """A port-forward: the port's number on both channels, the client's request, and then the answer."""

    def script(peer: Peer) -> None:
        for channel in (0, 1):
            peer.send(channel, PORT)
        peer.receive()
        answer(peer)

    return script


class TestExec:
    def test_is_requested_with_each_word_of_the_command(self, server: StreamServer, kube: Kube) -> None:
        execute(kube, "sh", "-c", "echo a&b #c")
        assert server.requests[0].path == (
            "/api/v1/namespaces/sample/pods/sleep-1/exec?container=sleep&stdout=true&stderr=true"
            "&command=sh&command=-c&command=echo+a%26b+%23c"
        )

    def test_below_the_path_of_a_server_behind_a_proxy(self, server: StreamServer) -> None:
        kube = Kube("kt", kubeconfig(f"{server.url}/k8s/clusters/c-1/"), connect_timeout_s=2.0)
        execute(kube)
        assert server.requests[0].path.startswith("/k8s/clusters/c-1/api/v1/namespaces/sample/pods/")

    def test_names_no_origin(self, server: StreamServer, kube: Kube) -> None:
        execute(kube)
        assert "origin" not in dict(server.requests[0].headers)

    @pytest.mark.parametrize("code", [0, 1, 126, 255])
    def test_ends_with_the_exit_code_of_the_command(
        self, server: StreamServer, kube: Kube, code: int
    ) -> None:
        server.script = lambda peer: peer.end(ended(code) if code else SUCCESS)
        assert execute(kube).exit_code == code

    def test_has_both_outputs_apart(self, server: StreamServer, kube: Kube) -> None:
        def script(peer: Peer) -> None:
            for channel, data in ((1, b""), (1, b"out "), (2, b"err "), (1, b"again"), (2, b"too")):
                peer.send(channel, data)
            peer.end(ended(7))

        server.script = script
        done = execute(kube)
        assert (done.stdout, done.stderr, done.exit_code) == ("out again", "err too", 7)

    def test_has_a_character_whole_that_two_messages_carry(self, server: StreamServer, kube: Kube) -> None:
        def script(peer: Peer) -> None:
            first, rest = "운".encode()[:1], "운".encode()[1:]
            peer.send(1, first)
            peer.send(1, rest + b"\xff")
            peer.end(SUCCESS)

        server.script = script
        assert execute(kube).stdout == "운\ufffd"

    @pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 1 << 20])
    def test_has_a_large_output_whole(self, server: StreamServer, kube: Kube, size: int) -> None:
        def script(peer: Peer) -> None:
            for number in range(8):
                peer.send(1, bytes([ord("a") + number]) * size)
            peer.end(SUCCESS)

        server.script = script
        assert execute(kube).stdout == "".join(chr(ord("a") + number) * size for number in range(8))

    def test_has_what_comes_after_the_status(self, server: StreamServer, kube: Kube) -> None:
        def script(peer: Peer) -> None:
            peer.send(3, json.dumps(SUCCESS).encode())
            peer.send(1, b"late")
            peer.close()

        server.script = script
        assert execute(kube).stdout == "late"

    @pytest.mark.parametrize("after", [lambda peer: peer.reset(), lambda _: None], ids=["reset", "closed"])
    def test_is_over_with_the_status_however_the_connection_ends(
        self, server: StreamServer, kube: Kube, after: Callable[[Peer], None]
    ) -> None:
        def script(peer: Peer) -> None:
            peer.send(1, b"out")
            peer.send(3, json.dumps(ended(3)).encode())
            after(peer)

        server.script = script
        done = execute(kube)
        assert (done.stdout, done.exit_code) == ("out", 3)

    def test_is_waited_for_only_a_moment_after_the_status(self) -> None:
        patience: list[float] = []

        class Stream:
            """A server that reports the status and never ends the stream."""

            patience = staticmethod(lambda: 3600.0)

            def receive(self) -> tuple[int, bytes]:
                patience.append(self.patience())
                if len(patience) > 1:
                    raise TimeoutError
                return 3, json.dumps(SUCCESS).encode()

        assert run(cast("Channels", Stream())).exit_code == 0
        assert patience[0] == 3600.0
        assert patience[1] <= 5.0

    def test_that_cannot_start_is_reported_in_the_clusters_words(
        self, server: StreamServer, kube: Kube
    ) -> None:
        status = {"status": "Failure", "reason": "InternalError", "message": 'exec: "nope": not found (x): y'}
        server.script = lambda peer: peer.end(status)
        problem = failure(lambda: execute(kube))
        assert problem.seen == 'exec: "nope": not found (x): y'
        assert problem.message == "exec in sample/sleep-1 failed in kt"

    @pytest.mark.parametrize("status", [b"nonsense", b"[]", b'{"status": "Failure", "details": null}'])
    def test_whose_status_is_none_is_a_failure(self, server: StreamServer, kube: Kube, status: bytes) -> None:
        server.script = in_turn(lambda peer: peer.send(3, status), Peer.close)
        assert status.decode() in (failure(lambda: execute(kube)).seen or "")

    def test_without_a_status_is_a_failure(self, server: StreamServer, kube: Kube) -> None:
        server.script = in_turn(lambda peer: peer.send(1, b"out"), Peer.close)
        assert failure(lambda: execute(kube)).seen == "the API server closed the stream without an exit code"

    def test_that_does_not_end_is_given_up(self, server: StreamServer, kube: Kube) -> None:
        server.script = lambda peer: peer.wait(30)
        assert failure(lambda: execute(kube, timeout_s=0.4)).seen == "not finished after 0.4 s"

    def test_may_be_silent_for_longer_than_a_request(self, server: StreamServer, hasty: Kube) -> None:
        def script(peer: Peer) -> None:
            peer.wait(0.6)
            peer.end(SUCCESS)

        server.script = script
        assert execute(hasty).exit_code == 0

    def test_that_prints_without_end_is_given_up(self, server: StreamServer, kube: Kube) -> None:
        def script(peer: Peer) -> None:
            while not peer.wait(0.05):
                peer.send(1, b".")

        server.script = script
        failure(lambda: execute(kube, timeout_s=0.6))

    def test_names_the_missing_right_to_exec(self, server: StreamServer, kube: Kube) -> None:
        server.refusal = (403, {}, json.dumps(FORBIDDEN).encode())
        problem = failure(lambda: execute(kube))
        assert problem.seen == f"403: {FORBIDDEN['message']}"
        assert str(problem.hint) == ("kubectl --context kt -n sample auth can-i get pods --subresource=exec")


class TestPortForward:
    def test_carries_a_large_answer_whole(self, server: StreamServer, kube: Kube) -> None:
        body = b"x" * 3_000_000

        def answer(peer: Peer) -> None:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            for begin in range(0, len(body), 100_000):
                peer.send(0, (head if not begin else b"") + body[begin : begin + 100_000])
            peer.close()

        server.script = forwarding(answer)
        assert get(kube) == body

    def test_ends_where_the_pod_closes(self, server: StreamServer, kube: Kube) -> None:
        def answer(peer: Peer) -> None:
            peer.send(0, b"HTTP/1.1 200 OK\r\n\r\nsome")
            peer.send(0, b"thing")
            peer.close()

        server.script = forwarding(answer)
        assert get(kube) == b"something"

    @pytest.mark.parametrize(
        "end",
        [lambda _: None, lambda peer: peer.reset(), lambda peer: peer.begin(0, 1000)],
        ids=["closed", "reset", "within a message"],
    )
    @pytest.mark.parametrize("length", ["", "Content-Length: 9\r\n"], ids=["until the end", "with a length"])
    def test_that_breaks_off_is_no_shorter_answer(
        self, server: StreamServer, kube: Kube, end: Callable[[Peer], None], length: str
    ) -> None:
        def answer(peer: Peer) -> None:
            peer.send(0, f"HTTP/1.1 200 OK\r\n{length}\r\nsome".encode())
            end(peer)

        server.script = forwarding(answer)
        seen = failure(lambda: get(kube)).seen or ""
        assert "broke" in seen or "reset" in seen

    def test_to_a_pod_that_closes_too_early_is_no_shorter_answer(
        self, server: StreamServer, kube: Kube
    ) -> None:
        def answer(peer: Peer) -> None:
            peer.send(0, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")
            peer.close()

        server.script = forwarding(answer)
        assert "IncompleteRead" in (failure(lambda: get(kube)).seen or "")

    def test_that_fails_is_reported_in_the_kubelets_words(self, server: StreamServer, kube: Kube) -> None:
        words = (
            "error forwarding port 15014 to pod 3a, uid : (x): dial tcp4 127.0.0.1:15014: connection refused"
        )
        server.script = forwarding(lambda peer: peer.send(1, words.encode()))
        assert failure(lambda: get(kube)).seen == words

    @pytest.mark.parametrize(
        "silence",
        [
            lambda peer: peer.wait(30),
            lambda peer: _every(0.1, peer, lambda: peer.frame(PING, b"")),
            in_turn(
                lambda peer: peer.begin(0, 1000),
                lambda peer: _every(0.1, peer, lambda: peer.raw(b".")),
            ),
        ],
        ids=["silent", "pings", "byte by byte"],
    )
    def test_to_a_pod_that_sends_nothing_is_given_up(
        self, server: StreamServer, hasty: Kube, silence: Callable[[Peer], object]
    ) -> None:
        server.script = forwarding(silence)
        assert failure(lambda: get(hasty)).seen == "no data for 0.3 s"

    @pytest.mark.thorough
    def test_goes_on_while_something_comes(self, server: StreamServer) -> None:
        def answer(peer: Peer) -> None:
            peer.send(0, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            for byte in b"slow":
                peer.wait(1.0)
                peer.send(0, bytes([byte]))

        server.script = forwarding(answer)
        kube = Kube("kt", kubeconfig(server.url), read_timeout_s=3.0)
        assert get(kube) == b"slow"

    def test_ends_at_the_deadline_whatever_comes(self, server: StreamServer, kube: Kube) -> None:
        server.script = forwarding(lambda peer: _every(0.05, peer, lambda: peer.send(0, b"HTTP/1.1 ")))
        failure(lambda: get(kube.until(time.monotonic() + 0.8)))

    def test_closes_its_stream_once_it_is_read(self, server: StreamServer, kube: Kube) -> None:
        received: list[bytes | None] = []
        server.script = lambda peer: received.append(peer.receive())
        kube.forward("istio-system", "istiod-1", 15014, lambda _: None)
        until = time.monotonic() + 5
        while not received and time.monotonic() < until:
            time.sleep(0.01)
        assert received == [None]


class TestOpening:
    @pytest.mark.parametrize(
        ("refusal", "seen"),
        [
            ((403, {}, json.dumps(FORBIDDEN).encode()), f"403: {FORBIDDEN['message']}"),
            ((404, {}, b"<html>"), "404: <html>"),
            ((200, {}, b""), "200, not a WebSocket"),
            ((503, {}, b""), "503, not a WebSocket"),
        ],
        ids=["403", "404", "200", "503"],
    )
    def test_that_is_refused_is_reported_in_the_servers_words(
        self, server: StreamServer, kube: Kube, refusal: tuple[int, dict[str, str], bytes], seen: str
    ) -> None:
        server.refusal = refusal
        assert failure(lambda: get(kube)).seen == seen

    def test_is_not_led_elsewhere_with_its_credentials(self, server: StreamServer, kube: Kube) -> None:
        with StreamServer().serve() as elsewhere:
            server.refusal = (302, {"Location": elsewhere.url.replace("http", "ws")}, b"")
            failure(lambda: get(kube))
            assert elsewhere.requests == []

    def test_with_another_protocol_is_a_failure(self, server: StreamServer, kube: Kube) -> None:
        server.protocol = "v9.channel.k8s.io"
        assert "not the WebSocket protocol" in (failure(lambda: get(kube)).seen or "")

    def test_by_something_that_speaks_no_http_is_a_failure(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            kube = Kube("kt", kubeconfig(f"http://127.0.0.1:{silent.getsockname()[1]}"), read_timeout_s=0.3)
            assert failure(lambda: get(kube)).seen == "no data for 0.3 s"

    def test_without_a_listener_is_a_failure(self) -> None:
        kube = Kube("kt", kubeconfig(f"http://127.0.0.1:{free_port()}"), connect_timeout_s=1.0)
        assert "Connection refused" in (failure(lambda: get(kube)).seen or "")

    def test_after_the_deadline_is_a_failure(self, server: StreamServer, kube: Kube) -> None:
        late = kube.until(time.monotonic() - 1)
        assert failure(lambda: get(late)).seen == "the deadline has passed"
        assert server.requests == []

    def test_sets_nothing_for_the_whole_process(self, kube: Kube) -> None:
        execute(kube)
        assert websocket.getdefaulttimeout() is None
        assert socket.getdefaulttimeout() is None


class TestRequests:
    def test_that_is_answered_byte_by_byte_is_given_up_at_the_deadline(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=_drip, args=(listening,))
            thread.start()
            kube = Kube("kt", kubeconfig(f"http://127.0.0.1:{listening.getsockname()[1]}"))
            with pytest.raises(KubeError) as error:
                kube.until(time.monotonic() + 0.6).request("GET", "/version")
            kube.close()
            thread.join()
        assert error.value.problems[0].seen == "the response was not complete before the deadline"


def _drip(listening: socket.socket) -> None:
    """Answers one request with a long body, byte by byte, as long as the client is there."""
    connection, _ = listening.accept()
    with connection, suppress(OSError):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b" ")
            time.sleep(0.05)


def _every(seconds: float, peer: Peer, do: Callable[[], None]) -> None:
    while not peer.wait(seconds):
        do()
