"""Faults of clusters: their API server, istiod, names, versions, CNI, and what an install would mend."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab import faults, node
from tests.e2e.harness import SYSTEM, get, kubectl, rolled_out
from tests.faults.harness import Fault, fault, of, patch

if TYPE_CHECKING:
    from tests.e2e.harness import Site

_ISTIOD = "deployment/istiod"
_NETWORK = "topology.istio.io/network"
_PILOT = "docker.io/istio/pilot"


def _env(*settings: str) -> None:
    kubectl("nhn", "set", "env", _ISTIOD, "-n", SYSTEM, *settings)
    rolled_out("nhn", _ISTIOD)


def _label(value: str) -> None:
    kubectl("nhn", "label", "namespace", SYSTEM, f"{_NETWORK}{value}", "--overwrite")


def _old_version(_site: Site) -> None:
    """The same program under the tag of an older version: what is told apart is the tag."""
    pid = node.find_init("nhn")
    assert pid is not None
    inside = node.Inside(pid)
    inside.run(["ctr", "-n", "k8s.io", "images", "tag", "--force", f"{_PILOT}:1.26.0", f"{_PILOT}:1.24.0"])
    kubectl("nhn", "set", "image", _ISTIOD, "-n", SYSTEM, f"discovery={_PILOT}:1.24.0")
    rolled_out("nhn", _ISTIOD)


def _mesh_config(_site: Site) -> None:
    text = get("nhn", "configmap", "istio")["data"]["mesh"]
    changed = re.sub(r"enablePrometheusMerge: true", "enablePrometheusMerge: false", text)
    assert changed != text
    patch("nhn", "configmap", "istio", {"data": {"mesh": changed}})


def _cilium(_site: Site) -> None:
    body = {"data": {"bpf-lb-sock-hostns-only": "false"}}
    patch("ncloud", "configmap", "cilium-config", body, namespace="kube-system")


FAULTS: tuple[Fault, ...] = (
    fault("cluster IDs equal", of("names.cluster-id", "nhn"), make=lambda _: _env("CLUSTER_ID=kt-k2p")),
    fault("networks equal", of("names.identity"), make=lambda _: _label("=network1")),
    fault("network label missing on the namespace", of("names.network", "nhn"), make=lambda _: _label("-")),
    fault(
        "istiod scaled to zero",
        of("control-plane.istiod", "nhn"),
        make=lambda _: kubectl("nhn", "scale", _ISTIOD, "-n", SYSTEM, "--replicas=0"),
    ),
    fault(
        "API server down",
        of("access.reachable", "nhn"),
        make=lambda _: faults.cut("nhn"),
        undo=lambda _: faults.heal("nhn"),
    ),
    fault(
        "Cilium settings wrong",
        of("cni.cilium", "ncloud"),
        make=_cilium,
    ),
    fault("Istio versions too far apart", of("versions.apart"), make=_old_version),
    fault("settings changed by hand", of("drift.none", "nhn"), make=_mesh_config),
)
