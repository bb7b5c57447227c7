"""How often a call to an API server is sent again, and how long that may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Patience(urllib3.Retry):
    """Sends a call again, but waits for nobody past the deadline, whatever Retry-After asks for.

    Attributes:
        left: Seconds until the deadline, asked each time anew.
    """

    left: Callable[[], float] = staticmethod(lambda: float("inf"))

    def new(self, **changes: Any) -> Patience:  # noqa: ANN401 - as urllib3 has it
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
