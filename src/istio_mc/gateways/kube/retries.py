"""Retries: once after a broken connection, and as the server requires it (Retry-After).

A broken connection is no sign of a fault in the mesh: API servers, kubelets and load balancers drop
connections when they are busy. A refusal is a response and is not repeated, nor is a call that has used up
its time.
"""

from __future__ import annotations

import http.client
import logging
import ssl
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PAUSE_S = 0.1
_BREAKS = (
    ConnectionResetError,  # http.client.RemoteDisconnected is a subclass
    ConnectionAbortedError,
    BrokenPipeError,
    http.client.IncompleteRead,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


def once_more(what: str, call: Callable[[], T], *, left: Callable[[], float], reads: bool = True) -> T:
    """Makes a call, and repeats it once if the connection broke or was not established.

    Args:
        call: Raises the exception of the connection.
        reads: Whether it changes nothing. If not, it is repeated only if nothing was sent.
    """
    try:
        return call()
    except Exception as error:
        if not _is_worth_another(error, reads=reads) or left() <= _PAUSE_S:
            raise
        _log.debug("%s: %s; tried once more", what, _describe(error))
    time.sleep(_PAUSE_S)
    return call()


def _is_worth_another(error: Exception, *, reads: bool) -> bool:
    chain = list(_chain(error))
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return False
    if any(isinstance(one, urllib3.exceptions.ConnectTimeoutError) for one in chain):
        return True  # no connection: nothing was sent
    return reads and is_broken(error)


def is_broken(error: Exception) -> bool:
    """Whether a connection broke, which is no sign of a fault of the server."""
    return any(isinstance(one, _BREAKS) for one in _chain(error))


def _chain(error: Exception) -> Iterator[Exception]:
    """An error and its causes, as urllib3 nests them."""
    yield error
    inner = (error.__cause__, getattr(error, "reason", None), getattr(error, "original_error", None))
    for one in (*inner, *error.args):
        if isinstance(one, Exception):
            yield from _chain(one)


def _describe(error: Exception) -> str:
    last = list(_chain(error))[-1]
    return str(last) or type(last).__name__


class Patience(urllib3.Retry):
    """Repeats a call, but never waits past the deadline, even if Retry-After is later."""

    left: Callable[[], float] = staticmethod(lambda: float("inf"))

    def new(self, **changes: Any) -> Patience:
        """Returns a copy with the same deadline."""
        made = super().new(**changes)
        made.left = self.left
        return made

    def is_exhausted(self) -> bool:
        """Whether no retry is left."""
        return self.left() <= 0 or super().is_exhausted()

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: urllib3.connectionpool.ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Patience:
        """Returns the retries that are left after one more failure.

        Raises:
            urllib3.exceptions.MaxRetryError: No retry is left, or the server requires more time than is left.
        """
        if response is not None and (self.get_retry_after(response) or 0.0) >= self.left():
            raise urllib3.exceptions.MaxRetryError(cast("Any", _pool), url or "")
        return super().increment(method, url, response, error, _pool, _stacktrace)
