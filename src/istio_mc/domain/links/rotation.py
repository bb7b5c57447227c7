"""Replacing the tokens of readers: which tokens a cluster has, and how far a rotation has come. Pure.

A rotation is known by annotations of the token Secrets that it made: when it began, and of which clusters it
is. So a run that was killed is continued from any machine, and no cluster of it is rotated twice.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from istio_mc.domain.istio.documents import EXPIRES, LIFETIME, READER_TOKEN_SUFFIX, reader_token_secret
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

EXPIRY = "istio-mc/rotation-expires"
"""Annotation: the lifetime that the rotation gives all of its tokens (`90d`, `never`)."""

WITHOUT = "istio-mc/rotation-without"
"""Annotation: the cluster IDs that get none of the new tokens, as they have left the mesh."""

NEVER = "never"
"""The lifetime of a token that does not expire, as an option names it."""

MOST_DAYS = 36_500
"""The longest lifetime that can be requested: an API server accepts up to 2^32 seconds (validation of
TokenRequest, pkg/apis/authentication/validation)."""


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """A Secret with a token of the reader.

    Attributes:
        token: The token; empty where Kubernetes has not filled it in yet.
        rotation: When the rotation that made it began, as its annotation has it; empty: none made it.
        is_named_right: Whether it is named as istioctl and istio-mc name them.
        lifetime: The lifetime that was requested of a token that is bound to it, such as `90d`; empty: its
            token does not expire.
        expires: When its token expires, as the API server granted it; empty: it does not, or there is none.
    """

    name: str
    created: str
    token: str = field(default="", repr=False)
    rotation: Rotation | None = None
    is_named_right: bool = True
    lifetime: str = ""
    expires: str = ""


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
            Rotation.of(one),
            one["metadata"]["name"].startswith(account + READER_TOKEN_SUFFIX),
            annotations_of(one).get(LIFETIME, ""),
            annotations_of(one).get(EXPIRES, ""),
        )
        for one in fitting
    )


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation of the tokens of some clusters.

    Attributes:
        begun: When it began, as its annotation has it.
        scope: The IDs of its clusters.
        expiry: The lifetime of all of its tokens (`90d`, `never`); empty: each cluster keeps its own.
        without: The IDs of clusters that get none of its tokens, as they have left the mesh.
    """

    begun: str
    scope: tuple[str, ...]
    expiry: str = ""
    without: tuple[str, ...] = ()

    @classmethod
    def of(cls, secret: Object) -> Rotation | None:
        """The rotation that made a token Secret; None: none did."""
        marks = annotations_of(secret)
        if ROTATION not in marks:
            return None
        return cls(
            marks[ROTATION], _names(marks.get(SCOPE)), marks.get(EXPIRY, ""), _names(marks.get(WITHOUT))
        )

    def made(self, secret: TokenSecret) -> bool:
        """Whether this rotation, or a later one, made a token Secret."""
        return secret.rotation is not None and secret.rotation.begun >= self.begun

    def is_done(self, secrets: Sequence[TokenSecret]) -> bool:
        """Whether a cluster with these token Secrets is finished: the new one alone is left."""
        return bool(secrets) and all(self.made(one) for one in secrets if one.is_named_right)

    def marks(self) -> Mapping[str, str]:
        """The annotations of the token Secrets that it makes."""
        named = {EXPIRY: self.expiry, WITHOUT: ",".join(self.without)}
        return {
            ROTATION: self.begun,
            SCOPE: ",".join(self.scope),
            **{key: value for key, value in named.items() if value},
        }

    def continues(self, desired: Rotation) -> bool:
        """Whether finishing this one does what another one would do, which was not begun yet."""
        return (
            {*desired.scope} <= {*self.scope}
            and {*desired.without} <= {*self.without}
            and desired.expiry in ("", self.expiry)
        )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (text or "").split(",")))


def rotation_under_way(tokens: Mapping[str, Sequence[TokenSecret]], desired: Rotation) -> Rotation | None:
    """The newest rotation that is not finished in all of its clusters; None: there is none to continue.

    Args:
        tokens: The token Secrets of every member, by cluster ID.
        desired: The rotation that would be begun: one of fewer clusters is not continued, nor one whose
            tokens have another lifetime, or that gave them to a cluster that must not have them.
    """
    begun = {one.rotation for those in tokens.values() for one in those if one.rotation}
    for rotation in sorted(begun, key=lambda one: one.begun, reverse=True):
        still = [name for name in rotation.scope if name in tokens and not rotation.is_done(tokens[name])]
        if still and {*desired.scope} <= {*rotation.scope}:
            return rotation if set(still) & {*desired.scope} and rotation.continues(desired) else None
    return None


def lifetime_of(present: Sequence[TokenSecret]) -> str:
    """The lifetime of the token that others read a cluster with, of its token Secrets; empty: no expiry."""
    return next((one.lifetime for one in present if one.is_named_right), "")


def new_token_secret(
    account: str, present: Collection[TokenSecret], rotation: Rotation, lifetime: str = ""
) -> Object:
    """The token Secret that a rotation makes beside those that are there, under the first free name.

    Args:
        lifetime: Of its token; empty: it does not expire.
    """
    taken = {one.name for one in present}
    suffixes = ("", *map(str, range(2, len(taken) + 3)))
    names = ((suffix, reader_token_secret(suffix, account, lifetime)) for suffix in suffixes)
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
