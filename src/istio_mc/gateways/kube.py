"""One API server, spoken to in raw JSON: the only module that imports `kubernetes`.

Typed models cost about ten times the raw JSON (seen with the 37.x client and 1,000 pods), and nothing
here needs them. Every call has a connect and a read timeout, and names its context when it fails.
"""

from __future__ import annotations

import atexit
import http.client
import json
import logging
import threading
import time
import urllib.parse
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import urllib3
import websocket
from kubernetes import client, config
from kubernetes.client import rest
from kubernetes.client.exceptions import ApiException
from kubernetes.config import kube_config
from kubernetes.stream import ws_client

from istio_mc.domain import objects
from istio_mc.domain.clocks import ahead_s
from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.objects import Kind, Object, kind_of
from istio_mc.domain.problem import Problem
from istio_mc.domain.refusal import Reason
from istio_mc.gateways import http_proxy, kube_error
from istio_mc.gateways.kube_error import KubeError
from istio_mc.gateways.patience import Patience

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

_log = logging.getLogger(__name__)

FIELD_MANAGER = "istio-mc"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
_APPLY = "application/apply-patch+yaml"
_NOBODY = "nobody.invalid"
"""In NO_PROXY: a host that there is not, for where nothing is said the environment's is taken."""

# The client keeps what a kubeconfig embeds in files that all clients of the process share by content, and
# names such a file before it has written it (kubernetes 37, config/kube_config.py).
_loading = threading.Lock()
_PATIENCE_AT_EXIT_S = 2.0


def _remove_files() -> None:
    """Removes those files at the end, which may come while another thread is still writing one.

    From then on none is written any more: the lock is kept.
    """
    _loading.acquire(timeout=_PATIENCE_AT_EXIT_S)
    for path in list(kube_config._temp_files.values()):  # noqa: SLF001 - there is no other list of them
        with suppress(OSError):
            Path(path).unlink()


atexit.register(_remove_files)
# The client registers its own at its first file, which fails where another thread adds one meanwhile.
kube_config._cleanup_temp_files = lambda: None  # noqa: SLF001 - in its place stands ours

# The client opens its websockets (exec, port-forward) without any timeout of its own.
websocket.setdefaulttimeout(READ_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Execution:
    """What a command run in a container left behind."""

    stdout: str
    stderr: str
    exit_code: int


class Tunnel(Protocol):
    """What a port-forward gives: as much of a socket as its users need."""

    def sendall(self, data: bytes, /) -> None:
        """Sends all of it."""

    def recv(self, size: int, /) -> bytes:
        """Up to so many bytes; none where the other side has closed."""


class _PortForward(ws_client.PortForward):
    """The client's, but that its thread says nothing when the server breaks off, and leaves nothing open.

    Who reads from the forward sees a connection that was closed, and tells that with the pod's name.
    """

    def _proxy(self) -> None:
        try:
            cast("Any", super())._proxy()  # noqa: SLF001 - its own, and the client carries no types
        except (OSError, ValueError, RuntimeError, websocket.WebSocketException) as error:
            _log.debug("port-forward: %s", error)
        finally:
            self.websocket.shutdown()
            for port in self.local_ports.values():
                port.python.close()


@dataclass(slots=True)
class Kube:
    """The API server of one context.

    Attributes:
        context: Name of the context, in every error.
        kubeconfig: A self-contained kubeconfig of that one context, credentials already obtained.
        deadline: `time.monotonic()` value past which no call is sent again and none goes on; None for none.
        requests: How many calls were made.
        connect_timeout_s: How long a connection may take, in seconds.
        read_timeout_s: How long the server may keep silent within an answer, in seconds.
        ahead_s: How many seconds its clock is ahead of this machine's, by its last answer; None: not told.
    """

    context: str
    kubeconfig: Mapping[str, Any] = field(repr=False)
    deadline: float | None = None
    requests: int = 0
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    read_timeout_s: float = READ_TIMEOUT_S
    ahead_s: float | None = None
    _api: client.ApiClient | None = field(default=None, repr=False)
    _through: http_proxy.HttpProxy | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None where there is none."""
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
        """All objects of a kind, in a namespace or in all; none where the kind itself is not served.

        Each object carries the kind and version that lists leave out.
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

    def apply(self, document: Object, *, dry_run: bool = False) -> Object:
        """Server-side apply: sets what the document says, and leaves alone what it does not say."""
        kind = kind_of(document)
        metadata = document["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        return self.request(
            "PATCH",
            kind.path(metadata.get("namespace"), metadata["name"]),
            query=query,
            body=json.dumps(document),
            content_type=_APPLY,
        )

    def create(self, document: Object) -> Object | None:
        """Creates an object; None where one of that name is there already (it is left as it is)."""
        kind = kind_of(document)
        path = kind.path(document["metadata"].get("namespace"))
        try:
            return self.request("POST", path, query={"fieldManager": FIELD_MANAGER}, body=document)
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
            body=dict(body),  # the client itself writes bodies of types that end in json
            content_type="application/merge-patch+json",
        )

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        """Deletes an object and, after it, what it owns. False where there was none."""
        try:
            self.request("DELETE", kind.path(namespace, name), body={"propagationPolicy": "Background"})
        except KubeError as error:
            if error.reason is Reason.NOT_FOUND:
                return False
            raise
        return True

    def version(self) -> str:
        """The server's version, such as `v1.32.3`."""
        answer = self.request("GET", "/version")
        if "gitVersion" not in answer:
            raise kube_error.malformed(
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
    ) -> Object:
        """One call, answered in JSON.

        Raises:
            KubeError: The server refused, answered nonsense, or did not answer in time.
        """
        headers = {"Accept": "application/json", "Content-Type": content_type}
        status, raw = self._answer(method, path, headers, query=query, body=body)
        try:
            found = json.loads(raw)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise kube_error.malformed(self.context, self._server(), method, path, status, raw)
        return found

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """One call answered in plain text, as a pod's log is.

        Raises:
            KubeError: The server refused, or did not answer in time.
        """
        _, raw = self._answer("GET", path, {"Accept": "*/*"}, query=query)
        return raw.decode(errors="replace")

    def _answer(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> tuple[int, bytes]:
        api = self._client()
        begun = time.monotonic()
        url = path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        try:
            _, full_url, sent, _, _ = api.param_serialize(
                method, url, header_params=headers, auth_settings=["BearerToken"]
            )
            answer = api.call_api(method, full_url, sent, body, _request_timeout=self._timeouts())
            raw: bytes = answer.read()
            self.ahead_s = ahead_s(answer.headers.get("Date"), datetime.now(UTC))
            took = (time.monotonic() - begun) * 1000
            _log.debug("%s: %s %s: %s in %.0f ms", self.context, method, path, answer.status, took)
        except urllib3.exceptions.HTTPError as error:
            untrusted = isinstance(getattr(error, "reason", error), urllib3.exceptions.SSLError)
            raise kube_error.unreachable(
                self.context, self._server(), error, untrusted=untrusted, through=self._through
            ) from None
        except ApiException as error:
            raise kube_error.unreachable(self.context, self._server(), error, through=self._through) from None
        if not http.HTTPStatus.OK <= answer.status < http.HTTPStatus.MULTIPLE_CHOICES:
            raise kube_error.refused(self.context, method, path, answer.status, raw)
        return answer.status, raw

    @contextmanager
    def forward(self, namespace: str, pod: str, port: int) -> Iterator[Tunnel]:
        """A connection to a port of a pod, through the API server's port-forward, for the length of a block.

        Whatever breaks on it within the block is told as the forward's failure, in the API server's own
        words where it gave a reason ("connection refused" by the pod, say).

        Raises:
            KubeError: The forward was refused or broke, or the block failed on it.
        """
        what = f"port-forward to {namespace}/{pod}:{port}"
        configuration, url, headers = self._streaming(
            objects.POD.path(namespace, pod) + "/portforward", {"ports": str(port)}
        )
        said = ""
        try:
            carrier = ws_client.create_websocket(configuration, ws_client.get_websocket_url(url), headers)
            opened = cast("Any", _PortForward)(carrier, [port])
            try:
                tunnel = opened.socket(port)
                tunnel.settimeout(self._remaining(self.read_timeout_s))
                yield cast("Tunnel", tunnel)
            finally:
                said = str(opened.error(port) or "").strip()
                opened.close()
        except (ApiException, OSError, http.client.HTTPException, websocket.WebSocketException) as error:
            raise kube_error.stream_failed(self.context, what, said or error) from None

    def http_get(self, namespace: str, pod: str, port: int, path: str, *, most: int | None = None) -> bytes:
        """GETs from a port of a pod through the API server's port-forward, `most` bytes of it where given.

        Raises:
            KubeError: The forward was refused, or what listens there did not answer 200.
        """
        with self.forward(namespace, pod, port) as tunnel:
            connection = http.client.HTTPConnection("localhost", port)
            connection.sock = cast("socket.socket", tunnel)
            connection.request("GET", path, headers={"Host": "localhost", "Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(most)
        if answer.status != http.HTTPStatus.OK:
            raise kube_error.stream_failed(
                self.context, f"GET {path} on {namespace}/{pod}:{port}", f"{answer.status} {answer.reason}"
            )
        return body

    def execute(
        self, namespace: str, pod: str, container: str, command: Sequence[str], *, timeout_s: float
    ) -> Execution:
        """Runs a command in a container and waits for its end.

        Raises:
            KubeError: It could not be started, or had not ended within `timeout_s` seconds.
        """
        what = f"exec in {namespace}/{pod}"
        asked = [("container", container), ("stdout", "true"), ("stderr", "true")]
        configuration, url, headers = self._streaming(
            objects.POD.path(namespace, pod) + "/exec", [*asked, *(("command", word) for word in command)]
        )
        try:
            shell = ws_client.websocket_call(
                configuration, "GET", url, headers=headers, _preload_content=False
            )
            try:
                shell.run_forever(timeout=self._remaining(timeout_s))
                if shell.is_open():
                    raise kube_error.stream_failed(self.context, what, f"no end after {timeout_s:.0f} s")
                return Execution(shell.read_stdout(), shell.read_stderr(), int(shell.returncode or 0))
            finally:
                shell.close()
        except (ApiException, OSError, websocket.WebSocketException) as error:
            raise kube_error.stream_failed(self.context, what, error) from None

    def close(self) -> None:
        """Ends the connections."""
        if self._api is not None:
            self._api.close()

    def _client(self) -> client.ApiClient:
        with self._lock:
            self.requests += 1
            if self._api is None:
                configuration = client.Configuration()
                # Reads and server-side applies may be sent again; 429 and 503 say when (Retry-After).
                configuration.retries = Patience(
                    total=4,
                    connect=1,
                    read=0,
                    other=0,  # a certificate that is not trusted will not be at the next try
                    status=3,
                    status_forcelist=(429, 503),
                    allowed_methods=None,
                    backoff_factor=0.2,
                    respect_retry_after_header=True,
                    raise_on_status=False,
                )
                configuration.retries.left = lambda: self._remaining(float("inf"), least=0.0)
                configuration.connection_pool_maxsize = 16
                self._api = self._new_client(configuration)
            return self._api

    def _streaming(
        self, path: str, query: Mapping[str, str] | Sequence[tuple[str, str]]
    ) -> tuple[client.Configuration, str, dict[str, str]]:
        """What a websocket is opened with, apart from the ApiClient that other threads use.

        The client's stream() would swap that one's transport (kubernetes-client/python issue 928), and its
        typed CoreV1Api costs half a second to import.
        """
        api = self._client()
        _, url, headers, _, _ = api.param_serialize(
            "GET", f"{path}?{urllib.parse.urlencode(query)}", header_params={}, auth_settings=["BearerToken"]
        )
        return api.configuration, url, headers

    def _new_client(self, configuration: client.Configuration) -> client.ApiClient:
        try:
            with _loading:
                config.load_kube_config_from_dict(
                    dict(self.kubeconfig), persist_config=False, client_configuration=configuration
                )
                # It sets all this anew before every call, for credentials that the client itself obtains;
                # those of a run are obtained before it, and stay.
                configuration.refresh_api_key_hook = None
                self._settle_proxy(configuration)
                return client.ApiClient(configuration)
        except (config.ConfigException, OSError, ValueError) as error:
            problem = Problem(
                code="kubeconfig-unusable",
                cluster=self.context,
                message=f"the kubeconfig entry of {self.context} cannot be used: {error}",
                hint=Advice(istio_mc("contexts", "--offline")),
            )
            raise KubeError(problem, 0) from None

    def _settle_proxy(self, configuration: client.Configuration) -> None:
        """Has calls and WebSockets alike take the proxy that kubectl would take."""
        self._through = http_proxy.choose(
            self.context,
            configuration.host,
            self.kubeconfig["clusters"][0]["cluster"].get("proxy-url"),
            configuration.proxy,
            lambda: rest.should_bypass_proxies(configuration.host, configuration.no_proxy or ""),
        )
        if self._through is None:
            configuration.no_proxy = "*"  # the client's WebSockets look into the environment themselves
            return
        configuration.no_proxy = _NOBODY
        configuration.proxy = self._through.url
        configuration.proxy_headers = self._through.headers or None

    def _remaining(self, timeout_s: float, least: float = 0.1) -> float:
        if self.deadline is None:
            return timeout_s
        return max(least, min(timeout_s, self.deadline - time.monotonic()))

    def _timeouts(self) -> tuple[float, float]:
        return self._remaining(self.connect_timeout_s), self._remaining(self.read_timeout_s)

    def _server(self) -> str:
        try:
            return str(self.kubeconfig["clusters"][0]["cluster"]["server"])
        except (KeyError, IndexError, TypeError):
            return "an unnamed server"
