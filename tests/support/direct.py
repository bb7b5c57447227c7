"""Passes requests of runs in this process to a stand-in API server without a connection.

TLS and HTTP between threads of one process cost half the CPU time of a run. The first request of each
connection pool is real: it proves address, certificate, credentials and proxy. Port-forwards, requests to
a slow or silent API server, and runs in other processes are always real.
"""

from __future__ import annotations

import errno
import io
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from urllib3 import HTTPResponse
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from tests.support import api, faults
from tests.support.certificates import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.cluster import Cluster


@contextmanager
def connections(clusters: Mapping[int, Cluster]) -> Iterator[None]:
    """Passes requests to the clusters directly, by the ports of their API servers."""
    real = HTTPConnectionPool._make_request

    def make_request(pool: Any, conn: Any, method: str, url: str, **given: Any) -> Any:  # noqa: ANN401 - urllib3's
        cluster = clusters.get(pool.port) if pool.host == HOST and pool.proxy is None else None
        if cluster is None or not pool.num_requests:
            return real(pool, conn, method, url, **given)
        try:
            answer = _answer(cluster, method, url, given["headers"], given["body"])
        except api.NotAtOnce:
            return real(pool, conn, method, url, **given)
        except api.Reset:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer") from None
        pool.num_requests += 1
        pool._put_conn(conn)
        answer.retries = given["retries"]
        return answer

    with patch.object(HTTPSConnectionPool, "_make_request", make_request):
        yield


def _answer(
    cluster: Cluster, method: str, url: str, sent: Mapping[str, str], body: str | bytes | None
) -> HTTPResponse:
    path, _, query = url.partition("?")
    headers = api.Headers({name.lower(): value for name, value in sent.items()})
    content = body.encode() if isinstance(body, str) else body or b""
    req = api.request(cluster, method, path, query, headers, content)
    code, found, more = cluster.api.handle(req, query, waits=False)
    if cluster.faults.unreachable == faults.REFUSED:  # the connection was cut before the response
        raise api.Reset
    raw = found if isinstance(found, bytes) else json.dumps(found).encode()
    return HTTPResponse(
        io.BytesIO(raw),
        {"Content-Length": str(len(raw)), **more},
        code,
        preload_content=False,
        request_method=method,
        request_url=url,
    )
