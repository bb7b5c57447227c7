"""What is tried again: a connection that broke, once; a call that the API server wants later, as it says.

A broken connection says nothing about the mesh: API servers, kubelets and load balancers drop some where
they are busy. A refusal is an answer, and is not tried again; neither is what used up its time.
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
    ConnectionResetError,  # http.client.RemoteDisconnected is one
    ConnectionAbortedError,
    BrokenPipeError,
    http.client.IncompleteRead,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)


def once_more(what: str, call: Callable[[], T], *, left: Callable[[], float], reads: bool = True) -> T:
    """Calls, and calls once more where the connection broke, or was not made in the first place.

    Args:
        call: Raises what the connection raised.
        reads: Whether it changes nothing. Else it is called once more only where nothing was sent.
    """
    try:
        return call()
    except Exception as error:
        if not _is_worth_another(error, reads=reads) or left() <= _PAUSE_S:
            raise
        _log.debug("%s: %s; tried once more", what, _words(error))
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
    """Whether a connection broke, which says nothing about who was called."""
    return any(isinstance(one, _BREAKS) for one in _chain(error))


def _chain(error: Exception) -> Iterator[Exception]:
    """An error and what it was raised for, as urllib3 nests them."""
    yield error
    inner = (error.__cause__, getattr(error, "reason", None), getattr(error, "original_error", None))
    for one in (*inner, *error.args):
        if isinstance(one, Exception):
            yield from _chain(one)


def _words(error: Exception) -> str:
    last = list(_chain(error))[-1]
    return str(last) or type(last).__name__


class Patience(urllib3.Retry):
    """Sends a call again, but never waits past the deadline, whatever Retry-After asks for."""

    left: Callable[[], float] = staticmethod(lambda: float("inf"))

    def new(self, **changes: Any) -> Patience:
        """A copy that knows the same deadline."""
        made = super().new(**changes)
        made.left = self.left
        return made

    def is_exhausted(self) -> bool:
        """Whether the call is not sent again."""
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
        """What is left after one more failure.

        Raises:
            urllib3.exceptions.MaxRetryError: Nothing is left, or the server asks for more time than is left.
        """
        if response is not None and (self.get_retry_after(response) or 0.0) >= self.left():
            raise urllib3.exceptions.MaxRetryError(cast("Any", _pool), url or "")
        return super().increment(method, url, response, error, _pool, _stacktrace)
