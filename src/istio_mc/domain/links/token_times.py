"""When a reader's token was made, and when it expires. Pure."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from istio_mc.domain.links.rotation import token_secrets

if TYPE_CHECKING:
    from collections.abc import Collection

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.links.remote_secrets import RemoteSecret


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """The times of a token.

    Attributes:
        made: None where nothing says so.
        expires: None: it does not expire.
    """

    made: datetime | None = None
    expires: datetime | None = None


def claims(token: str) -> dict[str, Any]:
    """The claims of a JSON Web Token, not verified; empty for what is none (RFC 7519, section 3)."""
    parts = token.split(".")
    try:
        payload = parts[1]
        read = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def token_times(token: str, secrets: Collection[Object], account: str) -> TokenTimes:
    """The times of a token: as it says itself, else of the Secret with it.

    The token of a Secret says neither (Kubernetes, pkg/serviceaccount/claims.go and legacy.go).

    Args:
        secrets: The Secrets of istio-system of the cluster that accepts it.
    """
    found = claims(token)
    made = _time(found.get("iat"))
    if made is None:
        own = (one.created for one in token_secrets(secrets, account) if one.token == token)
        made = _iso(next(own, ""))
    return TokenTimes(made, _time(found.get("exp")))


def used_tokens(remotes: Collection[RemoteSecret]) -> tuple[str, ...]:
    """The tokens of remote secrets, each once; client certificates and the like are none."""
    users = (json.loads(one.access.user) for one in remotes if one.access)
    return tuple(dict.fromkeys(str(user["token"]) for user in users if user.get("token")))


def _time(seconds: object) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) else None


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
