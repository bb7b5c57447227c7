"""Istio's objects, applied ahead of istioctl in a cluster without Istio: its pods start earlier."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain.istio.ahead import FIELD_MANAGER, parts_ahead
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Object, labels_of, ref_of
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.host.parallel import all_of
from istio_mc.ops.install.manifest import manifest_for

if TYPE_CHECKING:
    from istio_mc.domain.mesh import Cluster, Mesh
    from istio_mc.domain.observed import Observed
    from istio_mc.gateways.istio.istioctl import Istioctl
    from istio_mc.ops.session.session import Session

_log = logging.getLogger(__name__)

_SILENCE_S = 5.0
"""Seconds without a response after which a cluster is left to istioctl, which reports what it lacks."""


def lacks_istio(observed: Observed) -> bool:
    """Whether a cluster has no istiod and no injection webhook, so that istioctl refuses nothing for them."""
    hooks = (labels_of(hook) for hook in observed.of(objects.MUTATING_WEBHOOK))
    return not observed.istiods and all(labels.get("app") != "sidecar-injector" for labels in hooks)


def apply_ahead(session: Session, mesh: Mesh, cluster: Cluster, istioctl: Istioctl) -> None:
    """Applies most of Istio's objects, as istioctl will do again.

    Nothing is applied after the first failure: istioctl applies the same objects, and reports why it cannot.
    """
    kube = session.clusters.kubes[cluster.context].with_silence(_SILENCE_S)
    failed = threading.Event()

    def apply(item: Object) -> None:
        if failed.is_set():
            return
        try:
            kube.apply(item, manager=FIELD_MANAGER)
        except ProblemError as error:
            failed.set()
            _log.debug("%s: %s is left to istioctl: %s", cluster.context, ref_of(item), error)

    try:
        manifest = manifest_for(session, mesh, cluster, istioctl)
    except ProblemError as error:
        _log.debug("%s: everything is left to istioctl: %s", cluster.context, error)
        return
    for part in parts_ahead(manifest, istio_operator(mesh, cluster), istioctl.version):
        all_of({str(ref_of(item)): partial(apply, item) for item in part})
