"""Istio itself as an install would set it: by the mesh's istioctl, for each cluster."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.hint import Advice, istio_mc
from istio_mc.domain.istio.stand_ins import stand_in_of
from istio_mc.domain.kube import objects
from istio_mc.domain.problem import Code, InputError, ProblemError
from istio_mc.gateways.host import files
from istio_mc.gateways.istio.istioctl import Istioctl, find_istioctl, manifest_of
from istio_mc.gateways.kube.snapshot import completed
from istio_mc.gateways.tools.cache import find_cache
from istio_mc.ops.install.planning import IstioObjects
from istio_mc.ops.session.istio_documents import write_operator

if TYPE_CHECKING:
    from istio_mc.domain.istio.choice import IstioChoice
    from istio_mc.domain.kube.objects import Object
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.domain.settings.model import Settings
    from istio_mc.ops.session.session import Session


_MANY = 3
"""Clusters from which on two runs of istioctl are fewer than one for each."""


def istioctl_of(
    version: str, settings: Settings, deadline: float, choice: IstioChoice | None = None
) -> Istioctl:
    """The istioctl of a version.

    Raises:
        InputError: There is one, of another version.
        ProblemError: There is none.
    """
    istioctl = find_istioctl(os.environ, settings.tools.bin_dir, version, deadline)
    if istioctl.version != version:
        install = istio_mc("tools", "install", "istioctl", "--istioctl", version)
        raise InputError.of(
            code=Code.ISTIOCTL_VERSION,
            message="istioctl is of another version than the mesh",
            seen=f"{istioctl.path}: {istioctl.version}",
            expected=f"{version} ({choice.reason})" if choice else version,
            hint=Advice(install, f"; or pin the one that is installed: --istio-version {istioctl.version}")
            if choice and choice.is_default
            else install,
        )
    return istioctl


def istioctl_at_hand(mesh: Mesh, settings: Settings, deadline: float) -> Istioctl | None:
    """The istioctl that an install would use; None where there is none of the mesh's version."""
    try:
        return istioctl_of(mesh.version, settings, deadline)
    except ProblemError:
        return None


def read_istio(
    session: Session, mesh: Mesh, cluster: Cluster, observed: Observed, istioctl: Istioctl
) -> IstioObjects | None:
    """Istio itself in a cluster; None where it has no istiod.

    Raises:
        ProblemError: istioctl refused the cluster's document, or the cluster does not answer.
    """
    if observed.find(objects.DEPLOYMENT, mesh.istiod) is None:
        return None
    desired = manifest_for(session, mesh, cluster, istioctl)
    kube = session.clusters.kubes[cluster.context]
    return IstioObjects(desired, completed(kube, observed, desired).objects)


def manifest_for(session: Session, mesh: Mesh, cluster: Cluster, istioctl: Istioctl) -> tuple[Object, ...]:
    """The objects that istioctl would set in a cluster.

    Raises:
        ProblemError: istioctl refused the cluster's document.
    """
    kept = find_cache(os.environ, files.home_folder()).folder / "istio"
    stand_in = stand_in_of(mesh, cluster) if len(session.clusters.names) >= _MANY else None
    write = partial(write_operator, session.run.folder, mesh)
    return tuple(manifest_of(istioctl, cluster, stand_in, write, kept, session.run.deadline))
