"""Streams through an API server, for exec and port-forward: WebSockets with numbered channels.

The protocol v4.channel.k8s.io: the first byte of each message is the number of its channel (Kubernetes
1.32.3, apimachinery/pkg/util/httpstream/wsstream, kubelet/pkg/cri/streaming).
"""

from __future__ import annotations

import io
import json
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import websocket
from urllib3.util import parse_url

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from istio_mc.domain.kube.request_headers import Header
    from istio_mc.gateways.kube.endpoint import Endpoint

_PROTOCOL = "v4.channel.k8s.io"
_CHUNK = 1 << 16
_DATA, _FORWARD_ERROR = 0, 1  # of a port-forward
_STDOUT, _STDERR, _STATUS = 1, 2, 3  # of an exec
_PORT_BYTES = 2
_BREAKS = ("connection reset by peer", "broken pipe", "use of closed network connection")
_AFTER_THE_STATUS_S = 5.0
"""Seconds that the container runtime has to send remaining output after it reported the exit code."""


class StreamError(ConnectionError):
    """A stream was refused, or its other end reports a fault in its own words.

    Attributes:
        status: HTTP status of a refusal; 0 if the stream was opened.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class BrokenStreamError(StreamError, ConnectionAbortedError):
    """A connection of a stream broke, here or behind the API server."""


@dataclass(frozen=True, slots=True)
class Execution:
    """Output and exit code of a command in a container."""

    stdout: str
    stderr: str
    exit_code: int


class _TimedSocket:
    """The part of a socket that websocket-client needs; every read and write has a deadline.

    Attributes:
        until: `time.monotonic()` value at which reads and writes end.
    """

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._received = b""
        self.until = 0.0

    def recv(self, size: int) -> bytes:
        """Returns up to `size` bytes; empty if the other side has closed."""
        if not self._received:
            self._limit()
            self._received = self._inner.recv(_CHUNK)
        data, self._received = self._received[:size], self._received[size:]
        return data

    def send(self, data: bytes) -> int:
        """Returns the number of bytes sent."""
        self._limit()
        return self._inner.send(data)

    def gettimeout(self) -> float | None:
        """Seconds that are left."""
        return self._inner.gettimeout()

    def close(self) -> None:
        """Closes the connection."""
        self._inner.close()

    def _limit(self) -> None:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._inner.settimeout(left)


class Channels:
    """The channels of one WebSocket.

    Attributes:
        patience: Time limit for the next message, in seconds.
    """

    def __init__(self, connection: _TimedSocket, patience: Callable[[], float]) -> None:
        self._carrier = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
        self._connection = connection
        self.patience = patience

    def open(self, url: str, headers: Sequence[Header]) -> None:
        """Upgrades the connection to a WebSocket.

        Raises:
            OSError: It was refused, or took too long; StreamError is a subclass.
        """
        with self._in_time(), _refusals():
            self._carrier.connect(
                url,
                socket=self._connection,
                header=[f"{name}: {value}" for name, value in headers],
                subprotocols=[_PROTOCOL],
                suppress_origin=True,
                redirect_limit=0,
            )
            status = int(self._carrier.getstatus() or 0)
            if status != HTTPStatus.SWITCHING_PROTOCOLS:  # websocket-client 1.8 opens on a redirect
                raise StreamError(_refusal(status, b""), status)

    def send(self, channel: int, data: bytes) -> None:
        """Sends a message.

        Raises:
            OSError: It could not be sent in time.
        """
        with self._in_time():
            self._carrier.send_binary(bytes([channel]) + data)

    def receive(self) -> tuple[int, bytes] | None:
        """Returns channel and content of the next message; None if the other side has ended the stream.

        Raises:
            OSError: No message arrived in time, or the connection broke.
        """
        while True:
            with self._in_time():
                opcode, data = self._carrier.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return None
            if data:
                return data[0], data[1:]

    def close(self) -> None:
        """Closes the stream without waiting for the other side."""
        self._connection.until = time.monotonic() + 1.0
        with suppress(OSError, websocket.WebSocketException):
            self._carrier.send_close()
        self._connection.close()

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Sets the deadline of a `with` block, and raises its failures with readable messages."""
        left = self.patience()
        self._connection.until = time.monotonic() + left
        try:
            yield
        except (TimeoutError, websocket.WebSocketTimeoutException):
            waited = f"no data for {left:.3g} s" if left > 0 else "the deadline has passed"
            raise TimeoutError(waited) from None
        except websocket.WebSocketConnectionClosedException:
            raise BrokenStreamError("the connection to the API server broke") from None
        except websocket.WebSocketException as error:
            raise StreamError(f"not the WebSocket protocol: {error}") from None


@contextmanager
def channels(
    endpoint: Endpoint,
    path: str,
    query: Sequence[tuple[str, str]],
    *,
    connect_timeout_s: float,
    patience: Callable[[], float],
) -> Iterator[Channels]:
    """Opens a stream to a path of an API server for a `with` block.

    Args:
        path: Path of a subresource, such as a pod's `exec`.

    Raises:
        OSError: It was not opened, or broke; StreamError is a subclass.
        urllib3.exceptions.HTTPError: Nothing responds there in time.
    """
    url = parse_url(f"{endpoint.url}{path}?{urlencode(query)}")
    connection = _TimedSocket(endpoint.connect(connect_timeout_s))
    opened = Channels(connection, patience)
    try:
        scheme = "ws" if endpoint.tls is None else "wss"
        opened.open(f"{scheme}://{url.netloc}{url.request_uri}", endpoint.headers)
        yield opened
    finally:
        opened.close()


@contextmanager
def _refusals() -> Iterator[None]:
    """Raises a refused WebSocket with the API server's own message."""
    try:
        yield
    except websocket.WebSocketBadStatusException as error:
        status = error.status_code
        words = _refusal(status, error.resp_body or b"")
        kind = _kind(words) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else StreamError
        raise kind(words, status) from None


def _refusal(status: int, body: bytes) -> str:
    message = _message(body)
    return f"{status}: {message}" if message else f"{status}, not a WebSocket"


def _kind(words: str) -> type[StreamError]:
    """The error type of the cluster's text: only Go's words show a broken connection behind it."""
    broke = words.endswith("EOF") or any(one in words for one in _BREAKS)
    return BrokenStreamError if broke else StreamError


def _message(raw: bytes) -> str:
    """The message of a Status; the beginning of any other text."""
    try:
        return str(json.loads(raw)["message"])
    except (ValueError, LookupError, TypeError):
        return raw[:200].decode("utf-8", "replace").strip()


class Tunnel:
    """A connection to a port of a pod, with the socket methods that its users need."""

    def __init__(self, through: Channels) -> None:
        self._channels = through
        self._announced: set[int] = set()
        self._received = b""
        self._ended = False

    def sendall(self, data: bytes, /) -> None:
        """Sends all bytes.

        Raises:
            OSError: The stream broke.
        """
        self._channels.send(_DATA, data)

    def recv(self, size: int, /) -> bytes:
        """Returns up to `size` bytes; empty if the pod has closed.

        Raises:
            OSError: Nothing arrived in time, or the stream broke; StreamError: the cluster reports a fault.
        """
        while not self._received and not self._ended:
            self._store(self._channels.receive())
        data, self._received = self._received[:size], self._received[size:]
        return data

    def makefile(self, _mode: str = "rb", /) -> io.BufferedReader:
        """Returns the received bytes as a file."""
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Does nothing: the stream ends with its `with` block."""

    def _store(self, message: tuple[int, bytes] | None) -> None:
        if message is None:
            self._ended = True
            return
        channel, data = message
        if channel not in self._announced:  # the first message of each channel is the port's number
            self._announced.add(channel)
            data = data[_PORT_BYTES:]
        if channel == _FORWARD_ERROR and data:
            words = data.decode("utf-8", "replace").strip()
            raise _kind(words)(words)
        if channel == _DATA:
            self._received = data


class _Reader(io.RawIOBase):
    """The received bytes of a tunnel, for `io`."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override] # what io gives it
        data = self._tunnel.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def time_left(within_s: float) -> Callable[[], float]:
    """Returns a function that gives the seconds left of a time limit for all messages together."""
    until = time.monotonic() + within_s
    return lambda: until - time.monotonic()


def run(stream: Channels) -> Execution:
    """Returns the output of a command, once the API server reports its exit code.

    Raises:
        OSError: The stream ended or broke before that; StreamError: the cluster reports a fault instead.
    """
    received: dict[int, list[bytes]] = {_STDOUT: [], _STDERR: [], _STATUS: []}
    try:
        while (message := stream.receive()) is not None:
            channel, data = message
            received.setdefault(channel, []).append(data)
            if channel == _STATUS:
                stream.patience = time_left(min(_AFTER_THE_STATUS_S, stream.patience()))
    except OSError:
        if not received[_STATUS]:
            raise
    texts = {channel: b"".join(parts) for channel, parts in received.items()}
    if not texts[_STATUS]:
        raise BrokenStreamError("the API server closed the stream without an exit code")
    code = _exit_code(texts[_STATUS])
    return Execution(
        texts[_STDOUT].decode("utf-8", "replace"), texts[_STDERR].decode("utf-8", "replace"), code
    )


def _exit_code(raw: bytes) -> int:
    """The exit code in the Status that ends an exec."""
    try:
        status = json.loads(raw)
        if status["status"] == "Success":
            return 0
        causes = (status.get("details") or {}).get("causes") or ()
        return next(int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode")
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        raise StreamError(_message(raw)) from None
