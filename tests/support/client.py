"""A client of one stand-in API server that hides nothing: the status, and the body as it came."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import certificates

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class Answer(NamedTuple):
    """What came back.

    Attributes:
        code: HTTP status.
        body: Its JSON; its text, where it is none.
        headers: Its headers.
    """

    code: int
    body: Any
    headers: http.client.HTTPMessage

    @property
    def reason(self) -> str:
        """The reason in a Status."""
        return str(self.body["reason"])


def call(
    cluster: Cluster,
    method: str,
    path: str,
    body: Object | None = None,
    kind: str = "application/json",
    *,
    token: str | None = None,
    timeout_s: float = 10.0,
) -> Answer:
    """One request, as the cluster's administrator or with a token."""
    context = ssl.create_default_context(cadata=cluster.ca_certificate.decode())
    connection = http.client.HTTPSConnection(
        certificates.HOST, cluster.api.port, context=context, timeout=timeout_s
    )
    headers = {"Authorization": f"Bearer {token or cluster.admin_token}", "Content-Type": kind}
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        raw = answer.read().decode()
    finally:
        connection.close()
    try:
        return Answer(answer.status, json.loads(raw), answer.headers)
    except ValueError:
        return Answer(answer.status, raw, answer.headers)


def apply(cluster: Cluster, path: str, document: Object, manager: str, *, force: bool = False) -> Answer:
    """Server-side apply."""
    query = f"?fieldManager={manager}" + ("&force=true" if force else "")
    return call(cluster, "PATCH", path + query, document, APPLY)
