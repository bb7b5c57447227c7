"""The roots that istiod gave out to the namespaces of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain import objects
from istio_mc.domain.cacerts import ROOT_CERT
from istio_mc.domain.live_trust import GivenRoots

if TYPE_CHECKING:
    from istio_mc.gateways.kube import Kube


def given_roots(kube: Kube, config_map: str) -> GivenRoots:
    """Reads the ConfigMaps of that name in all namespaces with one request.

    Raises:
        ProblemError: They cannot be listed.
    """
    found = kube.list(objects.CONFIG_MAP, fields=f"metadata.name={config_map}")
    return GivenRoots(
        {item["metadata"]["namespace"]: (item.get("data") or {}).get(ROOT_CERT, "") for item in found},
        config_map,
    )
