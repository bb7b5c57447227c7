"""What is known of the mesh before anything is tried in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.links.remote_secrets import RemoteSecret
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.ops.session.session import Session


@dataclass(frozen=True, slots=True)
class MeshSnapshot:
    """What is known of the mesh once every cluster's objects are read."""

    session: Session
    mesh: Mesh
    clusters: Mapping[str, Cluster]
    observed: Mapping[str, Observed] = field(repr=False)
    now: datetime | None
    remotes: Mapping[str, tuple[RemoteSecret, ...]] = field(repr=False)
    injected: Callable[[str], list[Object]] = field(repr=False)
    daemon_sets: Callable[[str], list[Object]] = field(repr=False)
