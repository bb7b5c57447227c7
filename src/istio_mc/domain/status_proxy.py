"""A proxy as an istiod knows it: what it was sent, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_XDS = (
    ("cds", "cluster"),
    ("lds", "listener"),
    ("eds", "endpoint"),
    ("rds", "route"),
    ("ecds", "extensionconfig"),
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy as an istiod knows it.

    Attributes:
        name: `<pod>.<namespace>`.
        cluster_id: The cluster it says it is of.
        version: Its Istio version.
        istiod: The istiod pod it is connected to.
        xds: For cds, lds, eds, rds and ecds: `SYNCED`, `NOT SENT`, `STALE`.
        errors: What it refused, in Envoy's words.
    """

    name: str
    cluster_id: str
    version: str
    istiod: str
    xds: Mapping[str, str]
    errors: tuple[str, ...] = ()

    @property
    def synced(self) -> bool:
        """Whether it holds all that was sent to it."""
        return not self.errors and "STALE" not in self.xds.values()


def proxy_of(row: Mapping[str, Any], istiod: str) -> Proxy:
    """One row of `/debug/syncz`.

    A type is as `istioctl proxy-status` has it (istioctl/pkg/writer/pilot/status.go, 1.26.0): synced where
    the last nonce sent is the last acknowledged.

    Raises:
        KeyError: It names no proxy.
    """
    return Proxy(
        name=row["proxy"],
        cluster_id=row.get("cluster_id") or "",
        version=row.get("istio_version") or "",
        istiod=istiod,
        xds={
            short: _xds(row.get(f"{long}_sent") or "", row.get(f"{long}_acked") or "") for short, long in _XDS
        },
        errors=tuple(
            f"{kind.rpartition('.')[2]}: {resource['lastError']}"
            for kind, resource in sorted((row.get("resources") or {}).items())
            if resource.get("lastError")
        ),
    )


def _xds(sent: str, acked: str) -> str:
    if not sent:
        return "NOT SENT"
    return "SYNCED" if sent == acked else "STALE"
