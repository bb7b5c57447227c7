"""The links of a mesh: members, reader accounts, the remote secrets required and present. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from istio_mc.domain import plan
from istio_mc.domain.gateway.address import managed_gateway
from istio_mc.domain.hint import Advice
from istio_mc.domain.hosts import is_for_us_only
from istio_mc.domain.istio import documents
from istio_mc.domain.istio.documents import READER_TOKEN_SUFFIX, SERVICE_ACCOUNT_ANNOTATION
from istio_mc.domain.istio.releases import minor_of
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of, ref_of
from istio_mc.domain.links.remote_secrets import (
    RemoteSecret,
    by_cluster,
    linked_ids,
    of_cluster,
    remote_secrets_in,
    remote_secrets_of,
)
from istio_mc.domain.mesh import NETWORK_LABEL, READER_SERVICE_ACCOUNT, SYSTEM_NAMESPACE, ApiServer
from istio_mc.domain.plan import Step
from istio_mc.domain.problem import Code, InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.links.remote_secrets import Removed
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.settings.model import Settings


@dataclass(frozen=True, slots=True)
class ReaderToken:
    """What another istiod needs to read a cluster."""

    token: str = field(repr=False)
    ca_data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkState:
    """What links there are in a cluster, and what others need to link with it.

    Attributes:
        namespace: Its istio-system, which names the clusters that it has forgotten.
    """

    token: ReaderToken | None = field(repr=False)
    remotes: tuple[RemoteSecret, ...]
    namespace: Object | None = field(default=None, repr=False)

    @classmethod
    def of(cls, observed: Observed, account: str = READER_SERVICE_ACCOUNT) -> LinkState:
        """Of a cluster as it was read, whose reader is this ServiceAccount."""
        return cls(
            token_in(observed.of(objects.SECRET), account),
            remote_secrets_of(observed),
            observed.find(objects.NAMESPACE, SYSTEM_NAMESPACE),
        )

    def without(self, removed: Collection[Removed]) -> LinkState:
        """The same once this is removed."""
        gone = {(each.secret, cluster_id) for each in removed for cluster_id in each.cluster_ids}
        left = tuple(one for one in self.remotes if (one.secret, one.cluster_id) not in gone)
        return replace(self, remotes=left)


ROTATION = "istio-mc/rotation"
"""Annotation: when the rotation began that made a token Secret (ISO 8601)."""


def token_age_key(secret: Object) -> tuple[str, str]:
    """By which token Secrets are sorted, the oldest first; creation times have whole seconds only."""
    created = str(secret["metadata"].get("creationTimestamp", ""))
    return created, objects.annotations_of(secret).get(ROTATION, "")


UNKNOWN_TOKEN = ReaderToken("", b"")
"""That of a cluster which has none yet: a remote secret with it differs from every other."""


def is_reader_token(secret: Object, account: str = READER_SERVICE_ACCOUNT) -> bool:
    """Whether a Secret holds, or is to hold, a token of the reader account."""
    annotations = secret["metadata"].get("annotations") or {}
    return (
        secret.get("type") in (documents.FILLED_TOKEN_TYPE, documents.BOUND_TOKEN_TYPE)
        and annotations.get(documents.SERVICE_ACCOUNT_ANNOTATION) == account
    )


def token_in(secrets: Collection[Object], account: str = READER_SERVICE_ACCOUNT) -> ReaderToken | None:
    """The reader's token among a namespace's Secrets: the newest, as an older one is on its way out."""
    fitting = [
        secret
        for secret in secrets
        if is_reader_token(secret, account) and {"token", "ca.crt"} <= (secret.get("data") or {}).keys()
    ]
    if not fitting:
        return None
    data = max(fitting, key=token_age_key)["data"]
    return ReaderToken(base64.b64decode(data["token"]).decode(), base64.b64decode(data["ca.crt"]))


def remote_secrets(clusters: Mapping[str, Cluster], tokens: Mapping[str, ReaderToken]) -> dict[str, Object]:
    """The remote secret by which others reach each cluster whose token is known, the same in all of them."""
    return {
        context: documents.remote_secret(
            cluster.cluster_id,
            documents.remote_kubeconfig(cluster.cluster_id, cluster.api_server, token.token, token.ca_data),
        )
        for context, cluster in clusters.items()
        if (token := tokens.get(context))
    }


def required_by(cluster: Cluster, secrets: Mapping[str, Object]) -> list[Object]:
    """The remote secrets that a cluster requires: one of every other, where its istiod reads them."""
    if cluster.kubeconfig_folder:
        return []
    return [secret for context, secret in secrets.items() if context != cluster.context]


def read_with_secrets(clusters: Mapping[str, Cluster]) -> list[str]:
    """The clusters, by context, that another one requires a remote secret of."""
    holders = [name for name, cluster in clusters.items() if not cluster.kubeconfig_folder]
    return [name for name in clusters if any(holder != name for holder in holders)]


def read_with_files(clusters: Mapping[str, Cluster]) -> list[str]:
    """The clusters, by context, that the istiod of another one reads with a kubeconfig in a file."""
    holders = [name for name, cluster in clusters.items() if cluster.kubeconfig_folder]
    return [name for name in clusters if any(holder != name for holder in holders)]


def link_step(required: Collection[Object], present: Collection[RemoteSecret]) -> Step | None:
    """The step that gives a cluster the remote secrets it requires; no secret is in its reasons.

    What istiod accepts and `link` would never write (a client certificate, OIDC, another name of the Secret)
    was chosen by somebody, and stays.
    """
    reasons = []
    changed = []
    held = by_cluster(present)
    for secret in required:
        (desired,) = remote_secrets_in([secret])
        if reason := _reason_to_write(desired, held.get(desired.cluster_id, [])):
            reasons.append(f"{ref_of(secret)} {reason}")
            changed.append(secret)
    return Step(plan.LINK, tuple(reasons), tuple(changed)) if changed else None


def _reason_to_write(desired: RemoteSecret, present: list[RemoteSecret]) -> str | None:
    accepted = [one for one in present if not one.fault]
    if not accepted:
        named = next((one for one in present if one.is_named_right), None)
        return f"is refused by istiod: {named.fault}" if named else "is missing"
    first = accepted[0]
    if first.is_named_right and first.is_of_our_form and first.access != desired.access:
        return "has another kubeconfig"
    return None


@dataclass(frozen=True, slots=True)
class Others:
    """What is known of clusters outside a run."""

    networks: frozenset[str] = frozenset()
    cluster_ids: frozenset[str] = frozenset()


def unplaced(
    clusters: Mapping[str, Cluster], settings: Settings, observed: Mapping[str, Observed], others: Others
) -> tuple[str, ...]:
    """The cluster IDs of members that keep silent and whose network nothing tells."""
    ids = {name: cluster.cluster_id for name, cluster in clusters.items()}
    silent = silent_members(ids, settings, observed, others)
    return tuple(sorted(cluster_id for cluster_id, network in silent.items() if network is None))


def silent_members(
    ids: Mapping[str, str], settings: Settings, observed: Mapping[str, Observed], others: Others
) -> dict[str, str | None]:
    """Clusters that one that answers holds a remote secret of, and that do not answer: ID to network.

    The network is what mesh.yaml says, or a Gateway that stands for the cluster; None where neither does.
    """
    answering = {ids[name] for name in observed} | others.cluster_ids
    configured = {ids[name]: network for name in ids if (network := settings.cluster(name).network)}
    networks: dict[str, str | None] = {}
    for live in observed.values():
        for cluster_id in sorted(linked_ids(live.of(objects.SECRET))):
            if cluster_id not in answering:
                label = labels_of(managed_gateway(cluster_id, live)).get(NETWORK_LABEL)
                networks[cluster_id] = configured.get(cluster_id) or networks.get(cluster_id) or label
    return networks


def as_linked(cluster_id: str, observed: Collection[Observed]) -> ApiServer | None:
    """Where the remote secrets that live reach a cluster; None where there are none, or they do not agree."""
    servers = {
        ApiServer(one.access.server, one.access.ca_data, one.access.tls_server_name)
        for each in observed
        for one in of_cluster(remote_secrets_of(each), cluster_id)[:1]
        if one.access and not one.access.is_loopback
    }
    return servers.pop() if len(servers) == 1 else None


def with_linked_address(cluster: Cluster, observed: Mapping[str, Observed]) -> Cluster:
    """A cluster with the address by which the remote secrets that live reach it, where they agree on one."""
    live = as_linked(cluster.cluster_id, observed.values())
    return replace(cluster, api_server=live) if live else cluster


def refuse_for_us_only(clusters: Mapping[str, Cluster]) -> None:
    """A remote secret with an address that means this machine would lead every other cluster to itself.

    Raises:
        InputError: With every such cluster, where there is another to be linked with it.
    """
    faults = [
        Problem(
            code=Code.API_SERVER_FOR_US_ONLY,
            cluster=name,
            message=f"the other clusters cannot reach {name} at the address that the kubeconfig has of it",
            seen=cluster.api_server.server,
            expected="an address of the API server that leads there from every cluster",
            hint=Advice(f"--api-server {name}=https://ADDRESS:6443, or apiServer of {name} in mesh.yaml"),
        )
        for name, cluster in clusters.items()
        if is_for_us_only(cluster.api_server.server)
    ]
    if faults and len(clusters) > 1:
        raise InputError(*faults)


_RBAC_SINCE, _ACCOUNT_SINCE = (1, 30), (1, 31)
"""Istio's minors whose charts know the values (charts/base/templates/reader-serviceaccount.yaml)."""


def reader_account(values: Mapping[str, Any], version: str, observed: Observed | None = None) -> str:
    """The account's name: `global.readerServiceAccount.name`, which Istio's charts know since 1.31.

    Args:
        observed: The cluster, whose own account counts where the values name none; None: the values alone.
    """
    named = _named(values, version).get("name")
    return str(named or (observed and live_reader_account(observed)) or READER_SERVICE_ACCOUNT)


def live_reader_account(observed: Observed) -> str | None:
    """The account by whose token a linked cluster is read already; None: nothing in it names one.

    Where its values are not at hand, that is what a verb goes by: the account that the charts make, else the
    only one that has a token as istioctl and istio-mc name it.
    """
    if observed.find(objects.SERVICE_ACCOUNT, READER_SERVICE_ACCOUNT):
        return READER_SERVICE_ACCOUNT
    accounts = {
        account
        for secret in observed.of(objects.SECRET)
        if (account := objects.annotations_of(secret).get(SERVICE_ACCOUNT_ANNOTATION))
        and secret["metadata"]["name"].startswith(account + READER_TOKEN_SUFFIX)
    }
    return accounts.pop() if len(accounts) == 1 else None


def reader_namespace(values: Mapping[str, Any], version: str) -> str | None:
    """The namespace that the values give to the account they name; None: they name none."""
    named = _named(values, version)
    return str(named["namespace"]) if named.get("name") and named.get("namespace") else None


def is_made_by_charts(values: Mapping[str, Any], version: str) -> bool:
    """Whether an install makes the account."""
    return has_rights_of_charts(values, version) and not _named(values, version).get("name")


def has_rights_of_charts(values: Mapping[str, Any], version: str) -> bool:
    """Whether an install binds the account to the rights it needs."""
    return _global(values).get("enableReaderRBAC") is not False or not _knows(version, _RBAC_SINCE)


def _named(values: Mapping[str, Any], version: str) -> Mapping[str, Any]:
    account = _global(values).get("readerServiceAccount")
    return account if isinstance(account, Mapping) and _knows(version, _ACCOUNT_SINCE) else {}


def _global(values: Mapping[str, Any]) -> Mapping[str, Any]:
    section = values.get("global")
    return section if isinstance(section, Mapping) else {}


def _knows(version: str, since: tuple[int, int]) -> bool:
    minor = minor_of(version)
    return minor is None or minor >= since
