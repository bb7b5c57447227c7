"""The remote secrets that live in a cluster, as its istiod takes them. Pure."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from istio_mc.domain import goyaml
from istio_mc.domain.hosts import is_for_us_only
from istio_mc.domain.istio.documents import MULTI_CLUSTER_LABEL
from istio_mc.domain.kube.kubeconfig import has_own_credentials
from istio_mc.domain.kube.kubeconfig_schema import (
    decode,
    effective_user,
    is_tls,
    refused_cluster,
    refused_user,
    server_url,
    text_of,
    unusable_cluster,
    unusable_user,
)
from istio_mc.domain.kube.objects import SECRET, environment, labels_of
from istio_mc.domain.kube.request_headers import is_sendable
from istio_mc.domain.naming import is_label, remote_secret_name
from istio_mc.domain.pki.go_x509 import read_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from istio_mc.domain.kube.kubeconfig_schema import Decoded
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.observed import Observed


INSECURE_OPTIONS = "PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS"
"""Variable of istiod that names what it accepts although it reads files or runs programs."""

_REQUIRED, _OPTIONAL = {"server", "certificate-authority-data"}, {"tls-server-name"}
"""What `link` writes of a cluster."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a holder reaches the cluster of a remote secret; two that are equal need to be tried but once.

    Attributes:
        ca_data: PEM of the CA that the server's certificate is checked with; None: the system's.
        untested: Why it cannot be tried from another machine than istiod's; empty where it can.
    """

    server: str
    user: str = field(repr=False)
    ca_data: bytes | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    is_insecure: bool = False
    proxy: str | None = field(default=None, repr=False)
    untested: str = ""

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
        access: How the cluster is reached; None where istiod rejects the kubeconfig.
        fault: Why istiod rejects it; empty where it accepts it.
        is_of_our_form: Whether its kubeconfig has what those of `link` have: server, CA, token, and no more.
        names_programs: Whether its kubeconfig names a program (exec) for its reader to run.
    """

    secret: str
    cluster_id: str
    access: Access | None
    fault: str = ""
    is_of_our_form: bool = False
    names_programs: bool = False

    @property
    def is_named_right(self) -> bool:
        """Whether the Secret is named as istioctl names it."""
        return self.secret == remote_secret_name(self.cluster_id)


class RemoteSecrets(tuple[RemoteSecret, ...]):  # noqa: SLOT001 - what is indexed once is kept beside the items
    """The remote secrets of a cluster: each other cluster looks for its own among them."""

    @cached_property
    def by_cluster(self) -> dict[str, list[RemoteSecret]]:
        """Those of each cluster ID; the one that is named right comes first."""
        return by_cluster(self)


def remote_secrets_in(secrets: Collection[Object], allowed: Collection[str] = ()) -> tuple[RemoteSecret, ...]:
    """What istiod takes for clusters among the Secrets of its namespace, by name of Secret and key.

    istiod reads the label, and each data key as a cluster ID; it heeds neither the Secret's name nor its
    annotation (pkg/kube/multicluster/secretcontroller.go, Istio 1.26.0).

    Args:
        allowed: What istiod's `INSECURE_OPTIONS` names.
    """
    result = [
        _remote(secret, key, value, frozenset(allowed))
        for secret in secrets
        if labels_of(secret).get(MULTI_CLUSTER_LABEL) == "true"
        for key, value in (secret.get("data") or {}).items()
    ]
    return RemoteSecrets(sorted(result, key=lambda one: (one.cluster_id, not one.is_named_right, one.secret)))


def remote_secrets_of(observed: Observed) -> tuple[RemoteSecret, ...]:
    """The remote secrets of a cluster, judged by the settings of its own istiods."""
    options = [environment(istiod).get(INSECURE_OPTIONS, "").split(",") for istiod in observed.istiods]
    allowed = frozenset[str].intersection(*map(frozenset, options)) if options else frozenset()
    return remote_secrets_in(observed.of(SECRET), allowed)


def linked_ids(secrets: Collection[Object]) -> set[str]:
    """The cluster IDs of the remote secrets among the Secrets of istiod's namespace, whatever is in them."""
    labelled = (one for one in secrets if labels_of(one).get(MULTI_CLUSTER_LABEL) == "true")
    return {key for secret in labelled for key in secret.get("data") or {}}


def by_cluster(secrets: Iterable[RemoteSecret]) -> dict[str, list[RemoteSecret]]:
    """Remote secrets by their cluster ID; the one that is named right comes first."""
    grouped: dict[str, list[RemoteSecret]] = {}
    for one in secrets:
        grouped.setdefault(one.cluster_id, []).append(one)
    return grouped


def of_cluster(secrets: Collection[RemoteSecret], cluster_id: str) -> list[RemoteSecret]:
    """Those of one cluster ID; the one that is named right comes first."""
    if isinstance(secrets, RemoteSecrets):
        return [*secrets.by_cluster.get(cluster_id, ())]
    return [one for one in secrets if one.cluster_id == cluster_id]


def _remote(secret: Object, key: str, value: str, allowed: frozenset[str]) -> RemoteSecret:
    metadata = secret["metadata"]
    access, fault, is_ours = _read(value, allowed)
    return RemoteSecret(metadata["name"], key, access, fault, is_ours, _names_programs(value))


@lru_cache(maxsize=1024)
def _names_programs(value: str) -> bool:
    try:
        users = _decoded(value).entries.get("users", {})
    except _UnusableError:  # of which no client makes anything
        return False
    return any("exec" in user for user in users.values())


@lru_cache(maxsize=1024)  # every other cluster holds the same of one
def _read(value: str, allowed: frozenset[str]) -> tuple[Access | None, str, bool]:
    try:
        access, is_ours = _access(value, allowed)
    except _UnusableError as error:
        return None, str(error), False
    return access, "", is_ours


@dataclass(frozen=True, slots=True)
class Removed:
    """What is removed of a Secret.

    Attributes:
        is_whole: Whether the Secret goes with them, as it has no others.
    """

    secret: str
    cluster_ids: tuple[str, ...]
    whole_secret: bool

    def __str__(self) -> str:
        return self.secret if self.whole_secret else f"{self.secret} (key {', '.join(self.cluster_ids)})"


def removed(
    secrets: Collection[RemoteSecret], is_removed: Callable[[RemoteSecret], bool]
) -> tuple[Removed, ...]:
    """What has to be removed of Secrets so that some of the remote secrets in them go, and no others."""
    by_secret: dict[str, list[RemoteSecret]] = {}
    for one in secrets:
        by_secret.setdefault(one.secret, []).append(one)
    return tuple(
        Removed(secret, ids, len(ids) == len(inside))
        for secret, inside in by_secret.items()
        if (ids := tuple(one.cluster_id for one in inside if is_removed(one)))
    )


def to_prune(
    secrets: Collection[RemoteSecret], members: Collection[str], kept: Collection[str]
) -> tuple[Removed, ...]:
    """What does not belong in a cluster, or stands in the way of what does.

    Those of clusters that are no members, or of the cluster itself, which its istiod ignores; those of
    members under another name than istioctl gives; and, where two claim one member, both: an istiod that took
    the one ignores the other until it is written again (pkg/kube/multicluster/secretcontroller.go, Istio
    1.26.0).

    Args:
        members: The other members of the mesh.
        kept: Cluster IDs of which nothing is known, whose Secrets stay.
    """
    claims = Counter(one.cluster_id for one in secrets)

    def is_wrong(one: RemoteSecret) -> bool:
        if one.cluster_id in members:
            return not one.is_named_right or claims[one.cluster_id] > 1
        return one.cluster_id not in kept

    return removed(secrets, is_wrong)


class _UnusableError(Exception):
    """A kubeconfig that istiod rejects, and why."""


def _access(value: str, allowed: frozenset[str]) -> tuple[Access, bool]:
    """What istiod makes of a kubeconfig, in its own order (pkg/kube/util.go, NewUntrustedRestConfig)."""
    config = _decoded(value)
    for fault in (*_invalid(config), *_insecure(config, allowed)):
        raise _UnusableError(fault)
    if not config.current_context:
        raise _UnusableError("it has no current-context")
    clusters, users, contexts = (config.entries[kind] for kind in ("clusters", "users", "contexts"))
    context = contexts[config.current_context]
    cluster, all_of_user = clusters[str(context["cluster"])], users[str(context["user"])]
    server = server_url(text_of(cluster, "server")) or ""
    for fault in unusable_cluster(cluster):
        raise _UnusableError(f"its cluster {context['cluster']} {fault}")
    for fault in unusable_user(all_of_user, server):
        raise _UnusableError(f"its user {context['user']} {fault}")
    user = effective_user(all_of_user, server)
    if not is_sendable(text_of(user, "token") or ""):
        raise _UnusableError("its token contains a control character, such as a line break")
    ca_data = text_of(cluster, "certificate-authority-data") if is_tls(server) else None
    if ca_data and not read_pool(base64.b64decode(ca_data)):
        raise _UnusableError("its certificate-authority-data contains no certificate that Go reads")
    access = Access(
        server,
        json.dumps(user, sort_keys=True),
        base64.b64decode(ca_data) if ca_data else None,
        text_of(cluster, "tls-server-name"),
        is_insecure=bool(cluster.get("insecure-skip-tls-verify")),
        proxy=text_of(cluster, "proxy-url"),
        untested=_untested(cluster, user) if is_tls(server) else "",
    )
    return access, all_of_user.keys() == {"token"} and _REQUIRED <= cluster.keys() <= _REQUIRED | _OPTIONAL


def _decoded(value: str) -> Decoded:
    try:
        data = base64.b64decode(value, validate=True)
        document = goyaml.load(data).value
    except goyaml.GoYamlError as error:
        where = f" in line {error.line}" if error.line else ""
        raise _UnusableError(f"it is not a kubeconfig in YAML: {error.reason}{where}") from None
    except ValueError:
        raise _UnusableError("it is not base64") from None
    config = decode("", document)
    for fault in config.faults:
        raise _UnusableError(f"it is not a kubeconfig: {fault}")
    return config


def _invalid(config: Decoded) -> Iterator[str]:
    """What validation refuses, of whatever entry (client-go v0.32.3, tools/clientcmd/validation.go)."""
    clusters, users, contexts = (config.entries.get(kind, {}) for kind in ("clusters", "users", "contexts"))
    if not (clusters or users or contexts or config.current_context):
        yield "it is empty"
        return
    if config.current_context and config.current_context not in contexts:
        yield f"its current-context {config.current_context} is not defined"
    for name, context in contexts.items():
        yield from _invalid_context(name, context, {"user": users, "cluster": clusters})
    for name, user in users.items():
        yield from (f"its user {name} {fault}" for fault in refused_user(user))
    for name, cluster in clusters.items():
        yield from (f"its cluster {name} {fault}" for fault in refused_cluster(cluster))


def _invalid_context(
    name: str, context: Mapping[str, object], defined: Mapping[str, Mapping[str, object]]
) -> Iterator[str]:
    if not name:
        yield "it has a context without a name"
    for key, names in defined.items():
        desired = text_of(context, key)
        if desired is None:
            yield f"its context {name} names no {key}"
        elif desired not in names:
            yield f"its context {name} names the {key} {desired}, which is not defined"
    namespace = text_of(context, "namespace")
    if namespace and not is_label(namespace):
        yield f"its context {name} names the namespace {namespace}, which cannot be one"


def _insecure(config: Decoded, allowed: frozenset[str]) -> Iterator[str]:
    """What would have istiod read a file or run a program (pkg/kube/util.go, sanitizeKubeConfig)."""
    for name, user in config.entries.get("users", {}).items():
        provider = user.get("auth-provider")
        kind = str(provider.get("name", "")) if isinstance(provider, Mapping) else ""
        if provider is not None and kind != "oidc" and kind not in allowed:
            yield f"istiod rejects auth-provider {kind} (user {name})"
        for key, option in _FILES_AND_PROGRAMS.items():
            if key in user and option not in allowed:
                yield f"istiod rejects {key} (user {name}): it accepts credentials as data only"


_FILES_AND_PROGRAMS = {
    "client-key": "clientKey",
    "client-certificate": "clientCertificate",
    "tokenFile": "tokenFile",
    "exec": "exec",
}


def _untested(cluster: Mapping[str, object], user: Mapping[str, object]) -> str:
    if "certificate-authority" in cluster:
        return "its CA is a file in the pod of istiod"
    if has_own_credentials(user) and not _FILES_AND_PROGRAMS.keys() & user.keys():
        return ""
    if "auth-provider" in user:
        return "its credentials come from OIDC"
    return "its credentials come from the pod of istiod" if _FILES_AND_PROGRAMS.keys() & user.keys() else ""


class Reading(StrEnum):
    """What came of it."""

    OK = "ok"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    STRANGE = "strange"
    UNTESTED = "untried"


class CertificateFault(StrEnum):
    """Why a server's certificate was refused."""

    NAME = "name"
    DATES = "dates"
    ISSUER = "issuer"


@dataclass(frozen=True, slots=True)
class AccessResult:
    """One access that was tried.

    Attributes:
        detail: As the network or the API server gave it; for DENIED the reads that are not allowed.
        certificate: For UNTRUSTED, what is wrong with the certificate; None: TLS failed before it came.
    """

    reading: Reading
    detail: str = ""
    certificate: CertificateFault | None = None


READS: tuple[tuple[str, str], ...] = (
    ("", "services"),
    ("", "pods"),
    ("", "nodes"),
    ("", "namespaces"),
    ("discovery.k8s.io", "endpointslices"),
)
"""API group and resource of what an istiod watches in a remote cluster.

Source: pilot/pkg/serviceregistry/kube/controller/controller.go and network.go, Istio 1.26.0.
"""


NOT_DATA = frozenset({"exec", "auth-provider", "tokenFile", "client-key", "client-certificate"})
"""Keys of a kubeconfig's user whose value is no credential, but where a reader gets one from."""


def reader_kubeconfig(name: str, access: Access) -> Mapping[str, object]:
    """A kubeconfig of one context, by which this program reaches a cluster as an istiod does.

    Only what is data in it: a program or file that a remote secret names is not for this machine.
    """
    user = {key: value for key, value in json.loads(access.user).items() if key not in NOT_DATA}
    cluster: dict[str, object] = {"server": access.server}
    if access.ca_data:
        cluster["certificate-authority-data"] = base64.b64encode(access.ca_data).decode()
    if access.is_insecure:
        cluster["insecure-skip-tls-verify"] = True
    if access.tls_server_name:
        cluster["tls-server-name"] = access.tls_server_name
    if access.proxy:
        cluster["proxy-url"] = access.proxy
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
