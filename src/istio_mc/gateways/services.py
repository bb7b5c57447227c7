"""The Services of a cluster, and which of them a gateway can pass a connection through to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from istio_mc.domain import objects
from istio_mc.domain.merged import endpoints_of
from istio_mc.domain.meshed import MTLS, TLS_MODE_LABEL, Services, meshed
from istio_mc.gateways.fanout import all_of

if TYPE_CHECKING:
    from istio_mc.gateways.kube import Kube


def read_services(kube: Kube) -> Services:
    """Reads them in three calls: the Services, their endpoints, and the pods that speak mTLS.

    Raises:
        ProblemError: The API server refused, or did not answer.
    """
    found = all_of(
        {
            "services": partial(kube.list, objects.SERVICE),
            "slices": partial(kube.list, objects.ENDPOINT_SLICE),
            "pods": partial(kube.list, objects.POD, labels=f"{TLS_MODE_LABEL}={MTLS}"),
        }
    )
    offered = meshed(found["services"], found["pods"])
    return Services(tuple(found["services"]), offered, endpoints_of(found["slices"]))
