"""Client of one API server, in raw JSON.

Typed models cost about ten times as much as raw JSON (37.x client, 1,000 pods), and nothing here needs them.
Every call has a connect and a read timeout, and its errors name the context.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import urllib3

from istio_mc.domain import jsontext
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, Object, kind_of
from istio_mc.domain.kube.refusal import Reason
from istio_mc.domain.kube.request_headers import without_credentials
from istio_mc.domain.pki.chain import ahead_s
from istio_mc.gateways.kube import errors
from istio_mc.gateways.kube.endpoint import read_endpoint
from istio_mc.gateways.kube.errors import KubeError
from istio_mc.gateways.kube.retries import Patience, is_broken, once_more
from istio_mc.gateways.kube.stream import StreamError, Tunnel, channels, run, time_left

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from istio_mc.gateways.kube.endpoint import Endpoint, Sender
    from istio_mc.gateways.kube.stream import Channels, Execution

T = TypeVar("T")

_log = logging.getLogger(__name__)

FIELD_MANAGER = "istio-mc"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
_APPLY = "application/apply-patch+yaml"
_CHUNK = 1 << 16
_AT_ONCE = 4
"""Maximum parallel calls to one cluster: one more costs a TLS handshake, longer than most calls."""

_TURN_S = 1.0
"""Seconds that a call waits for a free connection; if calls take longer, a new handshake costs less."""

_FORWARD = "/portforward"


_DRY_RUN = {"dryRun": "All"}


@dataclass(slots=True)
class _Connections:
    """Connection state of one API server, shared by all calls.

    Attributes:
        requests: Number of calls so far.
        ahead_s: Seconds that the server's clock is ahead, from its last response.
        endpoint: Address and credentials; None before the first call.
        sender: Open connections; None before the first call.
        lock: Guards the creation of `endpoint` and `sender`.
        turns: Semaphore that limits the parallel calls.
    """

    requests: int = 0
    ahead_s: float | None = None
    endpoint: Endpoint | None = None
    sender: Sender | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    turns: threading.Semaphore = field(default_factory=partial(threading.Semaphore, _AT_ONCE))


@dataclass(frozen=True, slots=True)
class Kube:
    """The API server of one context.

    Attributes:
        context: Name of the context, in every error.
        kubeconfig: A self-contained kubeconfig of that one context, credentials already obtained.
        deadline: `time.monotonic()` value at which calls end and are not repeated; None: no deadline.
        connect_timeout_s: Time limit of a connection attempt, in seconds.
        read_timeout_s: Maximum silence of the server within a response, in seconds.
    """

    context: str
    kubeconfig: Mapping[str, Any] = field(repr=False)
    deadline: float | None = None
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    read_timeout_s: float = READ_TIMEOUT_S
    _kept: _Connections = field(default_factory=_Connections, repr=False, compare=False)

    def until(self, deadline: float) -> Kube:
        """Returns a client of the same API server with the same connections and another deadline."""
        return replace(self, deadline=deadline)

    def with_silence(self, most_s: float) -> Kube:
        """Returns a client with the same connections and another read timeout, in seconds."""
        return replace(self, read_timeout_s=min(self.read_timeout_s, most_s))

    @property
    def requests(self) -> int:
        """Number of calls so far."""
        return self._kept.requests

    @property
    def ahead_s(self) -> float | None:
        """Seconds that its clock is ahead of this machine's, from its last response; None: unknown."""
        return self._kept.ahead_s

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """Returns one object, or None if it does not exist."""
        try:
            return self.request("GET", kind.path(namespace, name))
        except KubeError as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise

    def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> list[Object]:
        """Lists all objects of a kind, in one namespace or in all; empty if the kind is not served.

        The result sets the kind and version of each object, which API servers omit in lists.
        """
        query = {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
        try:
            answer = self.request("GET", kind.path(namespace), query=query)
        except KubeError as error:
            if error.reason is Reason.NOT_FOUND:
                return []
            raise
        head = {"apiVersion": kind.api_version, "kind": kind.kind}
        return [head | item for item in answer.get("items") or []]

    def apply(self, document: Object, *, manager: str = FIELD_MANAGER, dry_run: bool = False) -> Object:
        """Server-side apply: sets the fields in the document and leaves all other fields unchanged.

        Args:
            manager: The field manager; fields that it set before and that the document lacks are removed.
            dry_run: Only admission, without storing (server-side dry run).
        """
        kind = kind_of(document)
        metadata = document["metadata"]
        query = {"fieldManager": manager, "force": "true"} | (_DRY_RUN if dry_run else {})
        return self.request(
            "PATCH",
            kind.path(metadata.get("namespace"), metadata["name"]),
            query=query,
            body=json.dumps(document),
            content_type=_APPLY,
        )

    def create(self, document: Object, *, dry_run: bool = False) -> Object | None:
        """Creates an object; returns None if one of that name exists already, and leaves that one unchanged.

        Args:
            dry_run: Only admission, without storing (server-side dry run).
        """
        kind = kind_of(document)
        path = kind.path(document["metadata"].get("namespace"))
        query = {"fieldManager": FIELD_MANAGER} | (_DRY_RUN if dry_run else {})
        try:
            return self.request("POST", path, query=query, body=document)
        except KubeError as error:
            if error.reason is Reason.EXISTS:
                return None
            raise

    def patch(self, kind: Kind, name: str, namespace: str | None, body: Mapping[str, Any]) -> Object:
        """Merge-patches an object (RFC 7386)."""
        return self.request(
            "PATCH",
            kind.path(namespace, name),
            query={"fieldManager": FIELD_MANAGER},
            body=dict(body),  # the client serialises bodies whose type ends in json
            content_type="application/merge-patch+json",
        )

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        """Deletes an object, and then the objects that it owns. Returns False if it did not exist."""
        try:
            self.request("DELETE", kind.path(namespace, name), body={"propagationPolicy": "Background"})
        except KubeError as error:
            if error.reason is Reason.NOT_FOUND:
                return False
            raise
        return True

    def version(self) -> str:
        """Returns the server's version, such as `v1.32.3`."""
        answer = self.request("GET", "/version")
        if "gitVersion" not in answer:
            raise errors.malformed(
                self.context,
                self._server(),
                "GET",
                "/version",
                http.HTTPStatus.OK,
                json.dumps(answer).encode(),
            )
        return str(answer["gitVersion"])

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        reads: bool = False,
    ) -> Object:
        """Makes one call and returns the JSON object of the response.

        Args:
            method: A GET is repeated once if its connection breaks.
            path: Path below the API server's URL.
            query: URL parameters.
            body: Request body.
            content_type: Type of the body.
            reads: True if a method other than GET changes nothing either.

        Raises:
            KubeError: The server refused, sent no valid JSON object, or did not respond in time.
        """
        headers = {"Accept": "application/json", "Content-Type": content_type}
        status, raw = self._answer(method, path, headers, query=query, body=body, reads=reads)
        try:
            value = jsontext.load(raw)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise errors.malformed(self.context, self._server(), method, path, status, raw)
        return value

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Makes one call and returns the plain text of the response, for example a pod's log.

        Raises:
            KubeError: The server refused, or did not respond in time.
        """
        _, raw = self._answer("GET", path, {"Accept": "*/*"}, query=query)
        return raw.decode(errors="replace")

    def _answer(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        reads: bool = False,
    ) -> tuple[int, bytes]:
        endpoint, sender = self._open()
        begun = time.monotonic()
        target = path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        # A header may be sent several times, and as UTF-8: http.client would encode each text as Latin-1.
        sent = urllib3.HTTPHeaderDict(headers)
        for name, value in endpoint.headers:
            sent.add(name, value.encode().decode("latin-1"))
        content = json.dumps(body) if isinstance(body, dict) else body

        def attempt() -> tuple[urllib3.BaseHTTPResponse, bytes]:
            with self._turn():
                answer = sender.send(method, target, sent, content, self._timeouts(), self._retries())
                return answer, self._body(answer)

        what = f"{self.context}: {method} {path}"
        try:
            answer, raw = once_more(what, attempt, left=self._left, reads=reads or method == "GET")
        except urllib3.exceptions.HTTPError as error:
            in_tls = isinstance(getattr(error, "reason", error), urllib3.exceptions.SSLError)
            untrusted = in_tls and not is_broken(error)  # it can break before the certificate arrives
            raise errors.unreachable(
                self.context, self._server(), error, untrusted=untrusted, through=endpoint.proxy
            ) from None
        self._kept.ahead_s = ahead_s(answer.headers.get("Date"), datetime.now(UTC))
        took = (time.monotonic() - begun) * 1000
        _log.debug("%s: %s %s: %s in %.0f ms", self.context, method, path, answer.status, took)
        if not http.HTTPStatus.OK <= answer.status < http.HTTPStatus.MULTIPLE_CHOICES:
            raise errors.refused(self.context, method, path, answer.status, raw)
        return answer.status, raw

    @contextmanager
    def _turn(self) -> Iterator[None]:
        mine = self._kept.turns.acquire(timeout=self._remaining(_TURN_S, least=0.0))
        try:
            yield
        finally:
            if mine:
                self._kept.turns.release()

    def _body(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """Reads a whole response; stops at the deadline, even if the server still sends slowly."""
        parts = []
        while part := response.read1(_CHUNK):
            parts.append(part)
            if self._remaining(1.0, least=0.0) <= 0 and response.length_remaining != 0:
                response.close()
                raise urllib3.exceptions.HTTPError("the response was not complete before the deadline")
        return b"".join(parts)

    def forward(self, namespace: str, pod: str, port: int, read: Callable[[Tunnel], T]) -> T:
        """Calls `read` with a port-forward to a pod's port; repeats it once if the connection breaks.

        Every fault is raised as a failed port-forward, with the API server's own reason if it sent one (for
        example "connection refused" by the pod).

        Args:
            namespace: Namespace of the pod.
            pod: Name of the pod.
            port: Port of the pod.
            read: Called with the connection, and with a new one when repeated. It must only read.

        Raises:
            KubeError: The port-forward was refused or broke twice, or `read` failed.
        """
        what = f"port-forward to {namespace}/{pod}:{port}"
        path = objects.POD.path(namespace, pod) + _FORWARD

        def attempt() -> T:
            with self._stream(path, [("ports", str(port))], self._silence) as stream:
                return read(Tunnel(stream))

        with self._stream_faults(what, path):
            return once_more(f"{self.context}: {what}", attempt, left=self._left)

    def http_get(self, namespace: str, pod: str, port: int, path: str, *, most: int | None = None) -> bytes:
        """Sends a GET to a pod's port through a port-forward; reads at most `most` bytes if given.

        Raises:
            KubeError: The port-forward was refused, or the response status is not 200.
        """
        return self.http_pages(namespace, pod, port, {path: most})[path]

    def http_pages(
        self, namespace: str, pod: str, port: int, pages: Mapping[str, int | None]
    ) -> dict[str, bytes]:
        """GETs several paths from a port of a pod, one after another through one port-forward.

        Where what listens there closes the connection between two of them, the rest is read through another.

        Args:
            pages: How many bytes of each path are read at most; None: all.

        Raises:
            KubeError: The forward was refused, or what listens there did not answer 200.
        """
        bodies: dict[str, bytes] = {}
        while left := {path: most for path, most in pages.items() if path not in bodies}:
            for path, (answer, body) in self.forward(
                namespace, pod, port, partial(_read_pages, left)
            ).items():
                if answer.status != http.HTTPStatus.OK:
                    raise errors.stream_failed(
                        self.context,
                        f"GET {path} on {namespace}/{pod}:{port}",
                        objects.POD.path(namespace, pod) + _FORWARD,
                        f"{answer.status} {answer.reason}",
                    )
                bodies[path] = body
        return bodies

    def execute(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        *,
        timeout_s: float,
        reads: bool = False,
    ) -> Execution:
        """Runs a command in a container and waits for its end.

        Args:
            namespace: Namespace of the pod.
            pod: Name of the pod.
            container: Name of the container.
            command: Program and arguments.
            timeout_s: Time limit of the command in seconds.
            reads: True if the command changes nothing: then it is repeated once if its stream breaks.

        Raises:
            KubeError: It did not start, or did not end within `timeout_s` seconds.
        """
        what = f"exec in {namespace}/{pod}"
        path = objects.POD.path(namespace, pod) + "/exec"
        parameters = [("container", container), ("stdout", "true"), ("stderr", "true")]
        query = [*parameters, *(("command", word) for word in command)]
        left = time_left(self._remaining(timeout_s, least=0.0))

        def attempt() -> Execution:
            with self._stream(path, query, left) as stream:
                try:
                    return run(stream)
                except TimeoutError:
                    raise TimeoutError(f"not finished after {timeout_s:g} s") from None

        with self._stream_faults(what, path):
            return once_more(f"{self.context}: {what}", attempt, left=left, reads=reads)

    def close(self) -> None:
        """Closes the connections."""
        if self._kept.sender is not None:
            self._kept.sender.close()

    def close_all_but_one(self) -> None:
        """Closes all idle connections except one."""
        if self._kept.sender is not None:
            self._kept.sender.close_all_but_one()

    @contextmanager
    def _stream(
        self, path: str, query: Sequence[tuple[str, str]], patience: Callable[[], float]
    ) -> Iterator[Channels]:
        endpoint, _ = self._open()
        connect_timeout_s = self._remaining(self.connect_timeout_s)
        with channels(
            endpoint, path, query, connect_timeout_s=connect_timeout_s, patience=patience
        ) as stream:
            yield stream

    @contextmanager
    def _stream_faults(self, what: str, path: str) -> Iterator[None]:
        try:
            yield
        except StreamError as error:
            raise errors.stream_failed(self.context, what, path, str(error), error.status) from None
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            raise errors.stream_failed(self.context, what, path, error) from None

    def _open(self) -> tuple[Endpoint, Sender]:
        """Returns the endpoint and the sender; creates them at the first call."""
        kept = self._kept
        with kept.lock:
            kept.requests += 1
            if kept.endpoint is None:
                kept.endpoint = read_endpoint(self.context, self.kubeconfig)
            if kept.sender is None:
                kept.sender = kept.endpoint.sender()
            return kept.endpoint, kept.sender

    def _retries(self) -> Patience:
        """Retries of reads and server-side applies; 429 and 503 give the delay (Retry-After)."""
        retries = Patience(
            total=4,
            connect=0,  # `once_more` repeats broken connections
            read=0,
            other=0,  # an untrusted certificate stays untrusted
            status=3,
            status_forcelist=(429, 503),
            allowed_methods=None,
            backoff_factor=0.2,
            respect_retry_after_header=True,
            raise_on_status=False,
        )
        retries.left = self._left
        return retries

    def _left(self) -> float:
        return self._remaining(float("inf"), least=0.0)

    def _silence(self) -> float:
        return self._remaining(self.read_timeout_s, least=0.0)

    def _remaining(self, timeout_s: float, least: float = 0.1) -> float:
        if self.deadline is None:
            return timeout_s
        return max(least, min(timeout_s, self.deadline - time.monotonic()))

    def _timeouts(self) -> tuple[float, float]:
        return self._remaining(self.connect_timeout_s), self._remaining(self.read_timeout_s)

    def _server(self) -> str:
        try:
            return without_credentials(str(self.kubeconfig["clusters"][0]["cluster"]["server"]))
        except (KeyError, IndexError, TypeError):
            return "an unnamed server"


_Page = tuple[http.client.HTTPResponse, bytes]


def _read_pages(pages: Mapping[str, int | None], tunnel: Tunnel) -> dict[str, _Page]:
    """The answers to a GET of each path: of the first, and of those for which the connection is kept open."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = cast("socket.socket", tunnel)
    found: dict[str, _Page] = {}
    for path, most in pages.items():
        is_last = len(found) == len(pages) - 1
        headers = {"Host": "localhost"} | ({"Connection": "close"} if is_last else {})
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read(most)
            if most is not None and len(body) < most and answer.length:
                raise http.client.IncompleteRead(body, answer.length)  # read() raises it only without `most`
        except (OSError, http.client.HTTPException) as error:
            if not found or isinstance(error, TimeoutError):
                raise
            break
        found[path] = answer, body
        if answer.will_close or not answer.isclosed():
            break  # there is no other request over this connection
    return found
