"""Replacing the tokens of readers: which tokens a cluster has, and how far a rotation has come. Pure.

A rotation is known by annotations of the token Secrets that it made: when it began, and of which clusters it
is. So a run that was killed is continued from any machine, and no cluster of it is rotated twice.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.istio.documents import READER_TOKEN_SUFFIX, reader_token_secret
from istio_mc.domain.kube.objects import annotations_of
from istio_mc.domain.links.remote_secrets import of_cluster
from istio_mc.domain.links.state import ROTATION, is_reader_token, link_step, token_age_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from istio_mc.domain.istio.releases import Defect, ReleaseTable
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.links.remote_secrets import RemoteSecret

SCOPE = "istio-mc/rotation-of"
"""Annotation: the cluster IDs of the rotation that made a token Secret, separated by commas."""

LAST_USED = "kubernetes.io/legacy-token-last-used"
"""Label that an API server sets on a token Secret whose token was accepted (Kubernetes 1.26 on,
pkg/serviceaccount/legacy.go, secretValidator)."""


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """A Secret with a token of the reader.

    Attributes:
        token: The token; empty where Kubernetes has not filled it in yet.
        rotation: When the rotation that made it began, as its annotation has it; empty: none made it.
        scope: The cluster IDs of that rotation.
        is_named_right: Whether it is named as istioctl and istio-mc name them.
    """

    name: str
    created: str
    token: str = field(default="", repr=False)
    rotation: str = ""
    scope: tuple[str, ...] = ()
    is_named_right: bool = True


def token_secrets(secrets: Iterable[Object], account: str) -> tuple[TokenSecret, ...]:
    """The token Secrets of the reader among those of istio-system, the newest first."""
    fitting = sorted(
        (one for one in secrets if is_reader_token(one, account)), key=token_age_key, reverse=True
    )
    return tuple(
        TokenSecret(
            one["metadata"]["name"],
            str(one["metadata"].get("creationTimestamp", "")),
            base64.b64decode((one.get("data") or {}).get("token", "")).decode(),
            annotations_of(one).get(ROTATION, ""),
            tuple(filter(None, annotations_of(one).get(SCOPE, "").split(","))),
            one["metadata"]["name"].startswith(account + READER_TOKEN_SUFFIX),
        )
        for one in fitting
    )


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation of the tokens of some clusters.

    Attributes:
        begun: When it began, as its annotation has it.
        scope: The IDs of its clusters.
    """

    begun: str
    scope: tuple[str, ...]

    def made(self, secret: TokenSecret) -> bool:
        """Whether this rotation, or a later one, made a token Secret."""
        return secret.rotation >= self.begun

    def is_done(self, secrets: Sequence[TokenSecret]) -> bool:
        """Whether a cluster with these token Secrets is finished: the new one alone is left."""
        return bool(secrets) and all(self.made(one) for one in secrets if one.is_named_right)

    def marks(self) -> Mapping[str, str]:
        """The annotations of the token Secrets that it makes."""
        return {ROTATION: self.begun, SCOPE: ",".join(self.scope)}


def rotation_under_way(
    tokens: Mapping[str, Sequence[TokenSecret]], chosen: Collection[str]
) -> Rotation | None:
    """The newest rotation that is not finished in all of its clusters; None: there is none to continue.

    Args:
        tokens: The token Secrets of every member, by cluster ID.
        chosen: The cluster IDs whose tokens are to be replaced: a rotation of fewer is not continued.
    """
    begun = {Rotation(one.rotation, one.scope) for those in tokens.values() for one in those if one.rotation}
    for rotation in sorted(begun, key=lambda one: one.begun, reverse=True):
        still = [name for name in rotation.scope if name in tokens and not rotation.is_done(tokens[name])]
        if still and set(chosen) <= {*rotation.scope}:
            return rotation if set(still) & set(chosen) else None
    return None


def new_token_secret(account: str, present: Collection[TokenSecret], rotation: Rotation) -> Object:
    """The token Secret that a rotation makes beside those that are there, under the first free name."""
    taken = {one.name for one in present}
    suffixes = ("", *map(str, range(2, len(taken) + 3)))
    names = ((suffix, reader_token_secret(suffix, account)) for suffix in suffixes)
    document = next(secret for _, secret in names if secret["metadata"]["name"] not in taken)
    document["metadata"]["annotations"] |= rotation.marks()
    return document


def kept_by_others(
    required: Object, cluster_id: str, present: Collection[RemoteSecret], tokens: Collection[str]
) -> str:
    """The remote secret with one of these tokens that linking would not replace; empty: there is none.

    Args:
        required: The remote secret that linking would write.
        tokens: The tokens that are to be deleted.
    """
    if link_step([required], present):
        return ""
    accepted = [one for one in of_cluster(tuple(present), cluster_id) if one.access]
    for one in accepted[:1]:
        user = json.loads(one.access.user) if one.access else {}
        if user.get("token") in tokens:
            return one.secret
    return ""


def defects_on_replacement(table: ReleaseTable, versions: Collection[str]) -> tuple[Defect, ...]:
    """The known defects of istiods that show when a remote secret is replaced."""
    return tuple(
        dict.fromkeys(
            defect for version in versions for defect in table.defects_of(version) if defect.on_replacement
        )
    )
