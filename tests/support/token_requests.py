"""TokenRequests of a stand-in API server: tokens of service accounts that expire, bound to a Secret."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tests.support.refusals import Refused

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object

_LEAST_S = 600


class Bound(NamedTuple):
    """Whose a token is, and the Secret that it is accepted with.

    Attributes:
        secret: The Secret's UID.
    """

    namespace: str
    account: str
    secret: str


def grant(cluster: Cluster, namespace: str, account: str, request: Object) -> Object:
    """The TokenRequest with its token.

    Raises:
        Refused: It is not valid, or there is no such account or Secret.
    """
    spec = request.get("spec") or {}
    desired, reference = int(spec.get("expirationSeconds") or 3600), spec.get("boundObjectRef")
    if desired < _LEAST_S:
        raise Refused(422, "Invalid", "spec.expirationSeconds: a duration of less than 10 minutes")
    if not cluster.store.find("ServiceAccount", account, namespace):
        raise Refused(404, "NotFound", f'serviceaccounts "{account}" not found')
    assert reference, "the stand-in grants bound tokens only"
    secret = cluster.store.find(reference["kind"], reference["name"], namespace)
    if secret is None:
        raise Refused(404, "NotFound", f'secrets "{reference["name"]}" not found')
    if reference.get("uid") not in (None, secret["metadata"]["uid"]):
        raise Refused(409, "Conflict", f"the UID in the bound object reference ({reference['uid']}) differs")
    seconds = min(desired, cluster.faults.longest_token_s)
    now = datetime.now(UTC)
    expires = now + timedelta(seconds=seconds)
    token = _token({"iat": int(now.timestamp()), "exp": int(expires.timestamp()), "jti": uuid.uuid4().hex})
    cluster.bound = {**cluster.bound, token: Bound(namespace, account, secret["metadata"]["uid"])}
    cluster.tokens = {**cluster.tokens, token: (namespace, account)}
    status = {"token": token, "expirationTimestamp": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}
    return {**request, "spec": {**spec, "expirationSeconds": seconds}, "status": status}


def accepted(cluster: Cluster) -> dict[str, tuple[str, str]]:
    """The bound tokens whose Secret is there: itself, and not another of its name."""
    there = {one["metadata"]["uid"] for one in cluster.store.of("Secret")}
    return {
        token: (one.namespace, one.account) for token, one in cluster.bound.items() if one.secret in there
    }


def _token(claims: dict[str, object]) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"
