"""An API server that can be told to misbehave: real HTTP or HTTPS on 127.0.0.1, answers set in advance.

A path answers with the replies set for it, one after another, and goes on with the last one. A path that
nobody set answers as Kubernetes does where there is no such object: 404 and a Status. Port-forwards lead to
whatever really listens on this machine.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support.fake_forward import forward
from tests.support.local_server import LocalServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.fake_forward import Target


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        body: Sent as JSON, or as it is where it is bytes.
        status: HTTP status.
        headers: Beside Content-Length and Content-Type.
        cut: The answer ends in the middle of its body.
        reset: The connection is reset instead of an answer.
        delay_s: Silence before the answer, in seconds.
        endless: A byte of the body now and then, and never the last one.
    """

    body: object = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    reset: bool = False
    delay_s: float = 0.0
    endless: bool = False


def _field(item: dict[str, Any], path: str) -> object:
    return reduce(lambda part, name: part.get(name, {}), path.split("."), item)


def _is_named(item: dict[str, Any], labelSelector: str = "", fieldSelector: str = "") -> bool:  # noqa: N803
    """Whether an object has these labels and fields, of selectors that want them equal."""
    labels = item["metadata"].get("labels") or {}
    required_labels = [one.partition("=") for one in labelSelector.split(",") if one]
    required_fields = [one.partition("=") for one in fieldSelector.split(",") if one]
    return all(labels.get(key) == value for key, _, value in required_labels) and all(
        _field(item, path) == value for path, _, value in required_fields
    )


def status(code: int, message: str, **headers: str) -> Reply:
    """A refusal as API servers write it."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return Reply(body, code, {name.replace("_", "-"): value for name, value in headers.items()})


class FakeApi(LocalServer):
    """The server, while `serve` runs it.

    Attributes:
        calls: Every request so far: method, and path with its query.
        bodies: What each of them sent.
        peers: The connections that requests came over.
        most_at_once: How many requests were being answered at one moment, at most.
        selects: Whether label and field selectors are heeded.
        otherwise: What a path answers that nobody set; None: that there is no such object.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.peers: set[tuple[str, int]] = set()
        self.most_at_once = 0
        self.selects = False
        self.otherwise: Reply | None = None
        self._at_once = 0
        self._replies: dict[str, list[Reply]] = {}
        self._forwards: dict[str, dict[int, Target]] = {}
        self._lock = threading.Lock()
        super().__init__(_handler(self), tls)

    def on(self, path: str, *replies: object) -> None:
        """Sets what a path answers, whatever the method; what is not a Reply is sent as JSON."""
        self._replies[path] = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]

    def on_forward(self, namespace: str, pod: str, **ports: Target) -> None:
        """Sets where a pod's ports lead: `p15012=("127.0.0.1", 4711)`; any other port refuses."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        found = self._forwards.setdefault(path, {})
        found.update({int(name.removeprefix("p")): target for name, target in ports.items()})

    def forwards(self, path: str) -> Mapping[int, Target] | None:
        return self._forwards.get(path)

    def kubeconfig(self, context: str = "kt", **cluster: object) -> dict[str, Any]:
        """A kubeconfig of one context that leads here; `cluster` is added to its cluster entry."""
        return kubeconfig({context: self.url}, cluster)

    def reply(self, path: str) -> Reply:
        with self._lock:
            found = self._replies.get(path)
            if not found:
                return self.otherwise or status(404, f"{path} not found")
            return found.pop(0) if len(found) > 1 else found[0]

    def selected(self, target: str) -> Reply:
        """The reply for a path with its query: of a list, where `selects` is set, what its selectors name."""
        url = urlsplit(target)
        reply = self.reply(url.path)
        query = parse_qs(url.query)
        desired = {key: query[key][0] for key in ("labelSelector", "fieldSelector") if key in query}
        if not self.selects or not desired or not isinstance(reply.body, dict) or "items" not in reply.body:
            return reply
        items = [item for item in reply.body["items"] if _is_named(item, **desired)]
        return replace(reply, body={**reply.body, "items": items})

    @contextmanager
    def answering(self, method: str, path: str, body: bytes) -> Iterator[None]:
        with self._lock:
            self.calls.append((method, path))
            self.bodies.append(body)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def wait(self, seconds: float) -> bool:
        """Keeps silent, but never longer than the server lives; whether it has ended."""
        return self.over.wait(seconds)


def kubeconfig(servers: Mapping[str, str], cluster: Mapping[str, object] | None = None) -> dict[str, Any]:
    """A kubeconfig with a context, a cluster and a user for each name; the first is current."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": f"{name}-k", "cluster": {"server": server, **(cluster or {})}}
            for name, server in servers.items()
        ],
        "users": [{"name": f"{name}-me", "user": {"token": f"token-of-{name}"}} for name in servers],
        "contexts": [
            {"name": name, "context": {"cluster": f"{name}-k", "user": f"{name}-me"}} for name in servers
        ],
        "current-context": next(iter(servers)),
    }


def write_kubeconfig(path: Path, servers: Mapping[str, str]) -> Path:
    """Writes it; JSON is YAML."""
    path.write_text(json.dumps(kubeconfig(servers)))
    return path


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20
        disable_nagle_algorithm = True  # as API servers do: head and body are two writes here

        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            api.peers.add(self.client_address)
            targets = self.headers.get("Upgrade") and api.forwards(urlsplit(self.path).path)
            if targets:
                with api.answering(self.command, self.path, sent):
                    pass
                forward(self, targets)
                return
            # Counted until the answer begins: once it is there, the client's next call may overtake us.
            with api.answering(self.command, self.path, sent):
                reply = api.selected(self.path)
                if reply.delay_s:
                    api.wait(reply.delay_s)
            if reply.reset:
                self._reset()
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            head = {
                "Date": self.date_time_string(),
                "Content-Type": "application/json",
                "Content-Length": str(len(body) + (reply.endless << 20)),
            }
            self.send_response_only(reply.status)
            for name, value in (head | dict(reply.headers)).items():
                self.send_header(name, value)
            self.end_headers()
            while reply.endless and not api.wait(0.1):
                self.wfile.write(b" ")
            self.wfile.write(body[: len(body) // 2] if reply.cut else body)
            self.close_connection = self.close_connection or reply.cut

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

    return Handler


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def elapsed(since: float) -> float:
    """Seconds since a `time.monotonic()` value."""
    return time.monotonic() - since
