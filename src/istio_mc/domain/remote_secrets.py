"""The remote secrets that live in a cluster, as its istiod takes them. Pure."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from istio_mc.domain import yamltext
from istio_mc.domain.addresses import is_for_us_only
from istio_mc.domain.documents import MULTI_CLUSTER_LABEL
from istio_mc.domain.names import remote_secret_name
from istio_mc.domain.objects import labels_of
from istio_mc.domain.request_headers import is_sendable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.objects import Object

_REFUSED_USER_KEYS = ("exec", "auth-provider", "tokenFile", "client-certificate", "client-key")


@dataclass(frozen=True, slots=True)
class Access:
    """How a holder reaches the cluster of a remote secret; two that are equal need to be tried but once.

    Attributes:
        server: URL of the API server.
        token: The reader token.
        ca_data: PEM of the CA that the server's certificate is checked with; None: the system's.
        tls_server_name: Name looked for in the certificate where it is not the URL's host.
    """

    server: str
    token: str = field(repr=False)
    ca_data: bytes | None = field(repr=False)
    tls_server_name: str | None = None

    @property
    def host(self) -> str:
        """Host of the URL; empty where it has none."""
        return urlsplit(self.server).hostname or ""

    @property
    def is_loopback(self) -> bool:
        """Whether the address means the machine that reads it, and so never another cluster."""
        return is_for_us_only(self.server)

    @property
    def is_private(self) -> bool:
        """Whether the address is of a range that means another network in each place (RFC 1918 and such)."""
        try:
            return ipaddress.ip_address(self.host).is_private
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class RemoteSecret:
    """One key of one Secret with label `istio/multiCluster`: what istiod takes for a cluster.

    Attributes:
        secret: Name of the Secret.
        cluster_id: The key, which is the cluster ID.
        created: When the Secret was created, as Kubernetes writes it.
        access: How the cluster is reached; None where the kubeconfig does not say.
        fault: Why istiod cannot use it; empty where it can.
    """

    secret: str
    cluster_id: str
    created: str
    access: Access | None
    fault: str = ""

    @property
    def is_named_right(self) -> bool:
        """Whether the Secret is named as istioctl names it."""
        return self.secret == remote_secret_name(self.cluster_id)


def remote_secrets_in(secrets: Collection[Object]) -> tuple[RemoteSecret, ...]:
    """What istiod takes for clusters among the Secrets of its namespace, by name of Secret and key.

    istiod reads the label, and each data key as a cluster ID; it heeds neither the Secret's name nor its
    annotation (pkg/kube/multicluster/secretcontroller.go, Istio 1.26.0).
    """
    found = [
        _remote(secret, key, value)
        for secret in secrets
        if labels_of(secret).get(MULTI_CLUSTER_LABEL) == "true"
        for key, value in (secret.get("data") or {}).items()
    ]
    return tuple(sorted(found, key=lambda one: (one.cluster_id, not one.is_named_right, one.secret)))


def of_cluster(found: Collection[RemoteSecret], cluster_id: str) -> list[RemoteSecret]:
    """Those of one cluster ID; the one that is named right comes first."""
    return [one for one in found if one.cluster_id == cluster_id]


def _remote(secret: Object, key: str, value: str) -> RemoteSecret:
    metadata = secret["metadata"]
    access, fault = _read(value)
    return RemoteSecret(metadata["name"], key, metadata.get("creationTimestamp", ""), access, fault)


@lru_cache(maxsize=1024)  # every other cluster holds the same of one
def _read(value: str) -> tuple[Access | None, str]:
    try:
        return _access(value), ""
    except _UnusableError as error:
        return None, str(error)


def to_prune(found: Collection[RemoteSecret], members: Collection[str], kept: Collection[str]) -> list[str]:
    """Names of the Secrets that do not belong in a cluster, or stand in the way of one that does.

    Those of clusters that are no members; those of members under another name than istioctl gives; and,
    where two claim one member, both: an istiod that took the one ignores the other until it is written
    anew (pkg/kube/multicluster/secretcontroller.go, Istio 1.26.0).

    Args:
        found: What a cluster holds.
        members: Cluster IDs of the clusters it shall be linked with.
        kept: Cluster IDs of which nothing is known, whose Secrets stay.
    """
    claims: dict[str, int] = {}
    for one in found:
        claims[one.cluster_id] = claims.get(one.cluster_id, 0) + 1
    doomed: dict[str, bool] = {}
    for one in found:
        if one.cluster_id in members:
            wrong = not one.is_named_right or claims[one.cluster_id] > 1
        else:
            wrong = one.cluster_id not in kept
        # A Secret with several keys goes only if none of them is to stay.
        doomed[one.secret] = doomed.get(one.secret, True) and wrong
    return [name for name, goes in doomed.items() if goes]


class _UnusableError(Exception):
    """A kubeconfig that istiod does not take, and why."""


def _access(value: str) -> Access:
    try:
        document = yamltext.load(base64.b64decode(value, validate=True))
    except (ValueError, yaml.YAMLError):
        document = None
    if not isinstance(document, dict):
        raise _UnusableError("the value is not a kubeconfig in YAML")
    context = _named(document, "contexts", document.get("current-context"), "context")
    cluster = _named(document, "clusters", context.get("cluster"), "cluster")
    user = _named(document, "users", context.get("user"), "user")
    if not cluster.get("server"):
        raise _UnusableError("its current-context leads to no server")
    if refused := [name for name in _REFUSED_USER_KEYS if user.get(name)]:
        raise _UnusableError(f"istiod refuses {', '.join(refused)}; it takes a token as data")
    token = user.get("token")
    if not isinstance(token, str) or not token:
        raise _UnusableError("its user has no token")
    if not is_sendable(token):
        raise _UnusableError("its token contains a control character, such as a line break")
    try:
        authority = cluster.get("certificate-authority-data")
        ca_data = base64.b64decode(authority, validate=True) if authority else None
    except (ValueError, TypeError):
        raise _UnusableError("its certificate-authority-data is not base64") from None
    name = cluster.get("tls-server-name")
    return Access(str(cluster["server"]), token, ca_data, str(name) if name else None)


def _named(document: Mapping[str, Any], section: str, name: object, body: str) -> Mapping[str, Any]:
    for entry in document.get(section) or []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(body), dict):
            found: Mapping[str, Any] = entry[body]
            return found
    return {}
