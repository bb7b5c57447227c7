"""What a failed test leaves is repaired, also where identities contradict each other and install refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e import shared
from tests.e2e.harness import SYSTEM, kubectl, rolled_out

if TYPE_CHECKING:
    from tests.e2e.harness import Site


def test_clusters_that_claim_one_id_and_one_network_are_a_mesh_again(mesh: Site) -> None:
    kubectl("nhn", "set", "env", "deployment/istiod", "-n", SYSTEM, "CLUSTER_ID=kt-k2p")
    labels = ("istio-mc/cluster-id=kt-k2p", "topology.istio.io/network=network1")
    kubectl("nhn", "label", "namespace", SYSTEM, *labels, "--overwrite")
    rolled_out("nhn", "deployment/istiod")
    mesh.run("install").exits(2)

    shared.repair(mesh)

    mesh.run("verify").exits(0)
    assert not mesh.run("install", "-o", "json").exits(0).data["changed"]
