"""Versions as servers and programs report them, and which kubectl may be used with which server. Pure."""

from __future__ import annotations

import re
from enum import StrEnum

_MINOR = re.compile(r"v?(\d+)\.(\d+)(?:[.+-].*)?")

_PATCH = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")

Minor = tuple[int, int]
"""Major and minor version, such as (1, 26)."""


class Support(StrEnum):
    """Whether an Istio release supports a Kubernetes server."""

    SUPPORTED = "supported"
    TOO_OLD = "kubernetes-too-old"
    TOO_NEW = "kubernetes-too-new"
    UNKNOWN = "unknown"
    """The table has no such release or does not say, or the server's version cannot be read."""


def minor_of(version: str) -> Minor | None:
    """Major and minor of a version as servers and programs tell it: `v1.32.3`, `1.28.10+k3s1`, `1.26`.

    None where the text is no version.
    """
    match = _MINOR.fullmatch(version.strip())
    return (int(match[1]), int(match[2])) if match else None


def shown(minor: Minor) -> str:
    """A minor version as people write it."""
    return f"{minor[0]}.{minor[1]}"


def is_newer(version: str, than: str) -> bool:
    """Whether one version is of a later minor, or patch, than another; False where either is no version."""
    one, other = _PATCH.match(version), _PATCH.match(than)
    return bool(one and other and tuple(map(int, one.groups())) > tuple(map(int, other.groups())))


def kubectl_skew(kubectl: str, server: str) -> int | None:
    """Minors by which kubectl is ahead of a server (negative: behind); None where either is no version.

    Within one either way is supported (kubernetes.io, "Version Skew Policy", section kubectl).
    """
    ours, theirs = minor_of(kubectl), minor_of(server)
    if ours is None or theirs is None or ours[0] != theirs[0]:
        return None
    return ours[1] - theirs[1]
