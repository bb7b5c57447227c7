"""Which Istio runs on which Kubernetes, until when, and which kubectl may speak to which server.

Pure functions that return data; whether a finding is a warning or an error is its caller's to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

_MINOR = re.compile(r"v?(\d+)\.(\d+)(?:[.+-].*)?")

_PATCH = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")

Minor = tuple[int, int]
"""Major and minor version, such as (1, 26)."""


@dataclass(frozen=True, slots=True)
class IstioRelease:
    """One minor release of Istio.

    Attributes:
        minor: Its own version.
        oldest: Oldest Kubernetes minor it supports.
        newest: Newest Kubernetes minor it supports.
        end_of_life: Last day of the month in which upstream ends its support; it announces months ahead, and
            the day is not known until then.
        approximate: Whether upstream has so far given the month as an estimate.
    """

    minor: Minor
    oldest: Minor
    newest: Minor
    end_of_life: date
    approximate: bool = False

    def ended(self, today: date) -> bool:
        """Whether upstream no longer mends it."""
        return today > self.end_of_life


# istio.io, "Supported Releases", table "Support status of Istio releases". For 1.26 the K-PaaS guide stops at
# Kubernetes 1.32; upstream's own table goes to 1.33.
ISTIO_RELEASES: tuple[IstioRelease, ...] = (
    IstioRelease((1, 24), (1, 28), (1, 31), date(2025, 6, 30)),
    IstioRelease((1, 25), (1, 29), (1, 32), date(2025, 9, 30)),
    IstioRelease((1, 26), (1, 29), (1, 33), date(2025, 12, 31)),
    IstioRelease((1, 27), (1, 29), (1, 33), date(2026, 4, 30)),
    IstioRelease((1, 28), (1, 30), (1, 34), date(2026, 7, 31)),
    IstioRelease((1, 29), (1, 31), (1, 35), date(2026, 8, 31), approximate=True),
    IstioRelease((1, 30), (1, 32), (1, 36), date(2026, 11, 30), approximate=True),
)
"""Oldest first."""


class Support(StrEnum):
    """Whether an Istio release supports a Kubernetes server."""

    SUPPORTED = "supported"
    TOO_OLD = "kubernetes-too-old"
    TOO_NEW = "kubernetes-too-new"
    UNKNOWN = "unknown"
    """The table has no such Istio release, or the server's version cannot be read."""


def minor_of(version: str) -> Minor | None:
    """Major and minor of a version as servers and programs tell it: `v1.32.3`, `1.28.10+k3s1`, `1.26`.

    None where the text is no version.
    """
    match = _MINOR.fullmatch(version.strip())
    return (int(match[1]), int(match[2])) if match else None


def shown(minor: Minor) -> str:
    """A minor version as people write it."""
    return f"{minor[0]}.{minor[1]}"


def istio_release(version: str) -> IstioRelease | None:
    """The release an Istio version belongs to; None where the table has none."""
    minor = minor_of(version)
    return next((release for release in ISTIO_RELEASES if release.minor == minor), None)


def kubernetes_support(istio: str, server: str) -> Support:
    """Whether an Istio version supports an API server's version."""
    release, minor = istio_release(istio), minor_of(server)
    if release is None or minor is None:
        return Support.UNKNOWN
    if minor < release.oldest:
        return Support.TOO_OLD
    return Support.TOO_NEW if minor > release.newest else Support.SUPPORTED


def is_newer(version: str, than: str) -> bool:
    """Whether one version is of a later minor, or patch, than another; False where either is no version."""
    one, other = _PATCH.match(version), _PATCH.match(than)
    return bool(one and other and tuple(map(int, one.groups())) > tuple(map(int, other.groups())))


def supporting(server: str, today: date) -> tuple[IstioRelease, ...]:
    """The releases that support an API server's version and are not past their end of life."""
    minor = minor_of(server)
    if minor is None:
        return ()
    return tuple(r for r in ISTIO_RELEASES if r.oldest <= minor <= r.newest and not r.ended(today))


def kubectl_skew(kubectl: str, server: str) -> int | None:
    """Minors by which kubectl is ahead of a server (negative: behind); None where either is no version.

    Within one either way is supported (kubernetes.io, "Version Skew Policy", section kubectl).
    """
    ours, theirs = minor_of(kubectl), minor_of(server)
    if ours is None or theirs is None or ours[0] != theirs[0]:
        return None
    return ours[1] - theirs[1]


def kubectl_fits(kubectl: str, server: str) -> bool | None:
    """Whether kubectl may speak to a server; None where either is no version."""
    skew = kubectl_skew(kubectl, server)
    return None if skew is None else abs(skew) <= 1
