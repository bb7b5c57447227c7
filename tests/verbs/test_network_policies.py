"""NetworkPolicies of istio-system: read, reported where they close what the mesh needs, removed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"


def policy(*ports: int) -> dict[str, Any]:
    """As a gateway's chart writes it where its ports are not the guide's."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "gateway", "namespace": SYSTEM},
        "spec": {
            "podSelector": {"matchLabels": {"istio": "ingressgateway"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": port, "protocol": "TCP"} for port in ports]}],
        },
    }


def test_one_that_closes_15443_is_an_error_of_its_cluster(installed: Mesh) -> None:
    installed["kt"].make(policy(15021, 8080, 8443))
    found = installed.run("verify", "--only", "control-plane", "-o", "json").exits(4)
    assert found.errors == [("ports-closed", "kt")]


def test_one_that_opens_the_ports_is_no_fault(installed: Mesh) -> None:
    installed["kt"].make(policy(15021, 15443))
    assert installed.run("verify", "--only", "control-plane", "-o", "json").exits(0).errors == []
