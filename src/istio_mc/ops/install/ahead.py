"""Istio's objects, applied ahead of istioctl in a cluster that has no Istio yet: its pods start earlier."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.istio.ahead import FIELD_MANAGER, parts_ahead
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import labels_of, ref_of
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host.parallel import all_of
from istio_mc.ops.install.manifest import manifest_for

if TYPE_CHECKING:
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.gateways.istio.istioctl import Istioctl
    from istio_mc.ops.session.session import Session

_log = logging.getLogger(__name__)


def lacks_istio(observed: Observed) -> bool:
    """Whether a cluster has no istiod and no injection webhook, so that istioctl refuses nothing for them."""
    hooks = observed.of(objects.MUTATING_WEBHOOK)
    return not observed.istiods and not any(
        labels_of(hook).get("app") == "sidecar-injector" for hook in hooks
    )


def apply_ahead(session: Session, mesh: Mesh, cluster: Cluster, istioctl: Istioctl) -> None:
    """Applies most of Istio's objects, as istioctl will do again.

    What fails is left to istioctl, which applies the same objects and reports why it cannot.
    """
    kube = session.clusters.kubes[cluster.context]
    try:
        manifest = manifest_for(session, mesh, cluster, istioctl)
        for part in parts_ahead(manifest, istio_operator(mesh, cluster), istioctl.version):
            all_of({str(ref_of(item)): partial(kube.apply, item, manager=FIELD_MANAGER) for item in part})
    except ProblemError as error:
        _log.debug("%s: not applied ahead of istioctl: %s", cluster.context, error)
