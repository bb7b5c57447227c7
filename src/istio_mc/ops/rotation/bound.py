"""Tokens of readers that expire: requested of the API server, and bound to a Secret (TokenRequest).

Deleting the Secret ends its token, as it does with a token that Kubernetes' controller made. The Secret
contains the token, so that a later run, on any machine, links with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, kubectl
from istio_mc.domain.istio import documents
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import annotations_of
from istio_mc.domain.links.state import ReaderToken
from istio_mc.domain.mesh import SYSTEM_NAMESPACE
from istio_mc.domain.pki.certificates import parse_validity
from istio_mc.domain.problem import Code, ProblemError

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster
    from istio_mc.gateways.kube.client import Kube

_ROOT_CA = "kube-root-ca.crt"
"""ConfigMap that Kubernetes keeps in each namespace: the CA of its API server."""


def request_token(kube: Kube, cluster: Cluster, desired: Object) -> ReaderToken:
    """Creates a Secret, has a token granted that is bound to it, and keeps the token in it.

    Args:
        desired: The Secret; its annotation has the lifetime. Where it exists, an interrupted run created it,
            which may have been granted a token that no one has: that one ends with it.

    Raises:
        ProblemError: The API server granted no token, or a Secret of that name belongs to another tool.
    """
    name = desired["metadata"]["name"]
    secret = kube.create(desired)
    present = None if secret else kube.get(objects.SECRET, name, SYSTEM_NAMESPACE)
    if present and present.get("type") == documents.BOUND_TOKEN_TYPE:
        kube.delete(objects.SECRET, name, SYSTEM_NAMESPACE)
        secret = kube.create(desired)
    if secret is None:
        raise _no_token(cluster, f"Secret {name} is not of type {documents.BOUND_TOKEN_TYPE}")
    lifetime = parse_validity(annotations_of(secret)[documents.LIFETIME])
    roots = kube.get(objects.CONFIG_MAP, _ROOT_CA, SYSTEM_NAMESPACE) or {}
    ca_data = str((roots.get("data") or {}).get("ca.crt", "")).encode()
    if not ca_data:
        raise _no_token(cluster, f"no ca.crt in ConfigMap {SYSTEM_NAMESPACE}/{_ROOT_CA}")
    path = f"{objects.SERVICE_ACCOUNT.path(SYSTEM_NAMESPACE, cluster.reader)}/token"
    body = documents.bound_token_request(secret, int(lifetime.total_seconds()))
    status = kube.request("POST", path, body=body).get("status") or {}
    token, expires = status.get("token"), status.get("expirationTimestamp")
    if not (token and expires):
        raise _no_token(cluster, "a response without a token")
    kube.patch(
        objects.SECRET, name, SYSTEM_NAMESPACE, documents.bound_token_data(str(token), ca_data, str(expires))
    )
    return ReaderToken(str(token), ca_data)


def _no_token(cluster: Cluster, seen: str) -> ProblemError:
    account = cluster.reader
    return ProblemError.of(
        code=Code.NO_READER_TOKEN,
        cluster=cluster.context,
        message=f"{cluster.context} assigned no token to {account}",
        seen=seen,
        expected=f"a token that the API server grants to ServiceAccount {account}, bound to a Secret",
        hint=Advice(kubectl(cluster.context, "-n", SYSTEM_NAMESPACE, "get", "serviceaccount", account)),
    )
