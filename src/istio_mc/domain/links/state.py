"""The links of a mesh: the remote secrets that each cluster requires, and those it has. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from istio_mc.domain import plan
from istio_mc.domain.istio import documents
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.links.remote_secrets import RemoteSecret, held_by, of_cluster, remote_secrets_in
from istio_mc.domain.mesh import READER_SERVICE_ACCOUNT
from istio_mc.domain.plan import Step

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.links.remote_secrets import Removed
    from istio_mc.domain.mesh import Cluster
    from istio_mc.domain.observed import Observed


@dataclass(frozen=True, slots=True)
class ReaderToken:
    """What another istiod needs to read a cluster."""

    token: str = field(repr=False)
    ca_data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkState:
    """What links there are in a cluster, and what others need to link with it.

    Attributes:
        token: Its reader token; None: it has none yet.
    """

    token: ReaderToken | None = field(repr=False)
    remotes: tuple[RemoteSecret, ...]

    @classmethod
    def of(cls, observed: Observed, account: str = READER_SERVICE_ACCOUNT) -> LinkState:
        """Of a cluster as it was read, whose reader is this ServiceAccount."""
        return cls(token_in(observed.of(objects.SECRET), account), held_by(observed))

    def without(self, removed: Collection[Removed]) -> LinkState:
        """The same once this is removed."""
        gone = {(each.secret, cluster_id) for each in removed for cluster_id in each.cluster_ids}
        left = tuple(one for one in self.remotes if (one.secret, one.cluster_id) not in gone)
        return replace(self, remotes=left)


UNKNOWN_TOKEN = ReaderToken("", b"")
"""That of a cluster which has none yet: a remote secret with it differs from every other."""


def is_reader_token(secret: Object, account: str = READER_SERVICE_ACCOUNT) -> bool:
    """Whether a Secret holds, or is to hold, a token of the reader account."""
    annotations = secret["metadata"].get("annotations") or {}
    return (
        secret.get("type") == "kubernetes.io/service-account-token"
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
    data = max(fitting, key=lambda secret: secret["metadata"].get("creationTimestamp", ""))["data"]
    return ReaderToken(base64.b64decode(data["token"]).decode(), base64.b64decode(data["ca.crt"]))


def remote_secrets(clusters: Mapping[str, Cluster], tokens: Mapping[str, ReaderToken]) -> dict[str, Object]:
    """The remote secret by which others reach each cluster whose token is known, the same in all of them."""
    return {
        context: documents.remote_secret(
            cluster.cluster_id,
            documents.remote_kubeconfig(cluster.cluster_id, cluster.api_server, found.token, found.ca_data),
        )
        for context, cluster in clusters.items()
        if (found := tokens.get(context))
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

    Args:
        required: The remote secrets that it requires, as `remote_secrets` makes them.
        present: The remote secrets in it.
    """
    reasons = []
    changed = []
    for secret in required:
        (wanted,) = remote_secrets_in([secret])
        if reason := _reason_to_write(wanted, of_cluster(present, wanted.cluster_id)):
            reasons.append(f"{ref_of(secret)} {reason}")
            changed.append(secret)
    return Step(plan.LINK, tuple(reasons), tuple(changed)) if changed else None


def _reason_to_write(wanted: RemoteSecret, present: list[RemoteSecret]) -> str | None:
    accepted = [one for one in present if not one.fault]
    if not accepted:
        named = next((one for one in present if one.is_named_right), None)
        return f"is refused by istiod: {named.fault}" if named else "is missing"
    first = accepted[0]
    if first.is_named_right and first.is_of_our_form and first.access != wanted.access:
        return "has another kubeconfig"
    return None
