"""Faults of clusters: their API server, istiod, networks, and what an install would repair."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab import faults
from tests.e2e.harness import SYSTEM, get, kubectl
from tests.faults.gateways import FIREWALL
from tests.faults.harness import Fault, fault, of, patch

if TYPE_CHECKING:
    from tests.e2e.harness import Site

_ISTIOD = "deployment/istiod"
_NETWORK = "topology.istio.io/network"


def _mesh_config(_site: Site) -> None:
    text = get("ncloud", "configmap", "istio")["data"]["mesh"]
    changed = re.sub(r"enablePrometheusMerge: true", "enablePrometheusMerge: false", text)
    assert changed != text
    patch("ncloud", "configmap", "istio", {"data": {"mesh": changed}})


SAME_NETWORK = fault(
    "network label of another cluster",
    of("names.network", "nhn"),
    make=lambda _: kubectl("nhn", "label", "namespace", SYSTEM, f"{_NETWORK}=network1", "--overwrite"),
)
NO_ISTIOD = fault(
    "istiod scaled to zero",
    of("control-plane.istiod", "kt"),
    make=lambda _: kubectl("kt", "scale", _ISTIOD, "-n", SYSTEM, "--replicas=0"),
)
DOWN = fault(
    "API server down",
    of("access.reachable", "nhn"),
    make=lambda _: faults.cut("nhn"),
    undo=lambda _: faults.heal("nhn"),
)
DRIFT = fault("settings changed by hand", of("drift.none", "ncloud"), make=_mesh_config)

ROUNDS: tuple[tuple[Fault, ...], ...] = ((NO_ISTIOD, DRIFT, FIREWALL),)
