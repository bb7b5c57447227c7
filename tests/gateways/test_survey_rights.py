"""What is looked at before an install: the rights that a user lacks, as the API server asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.gateways.kube.client import Kube
from istio_mc.gateways.kube.snapshot import survey

if TYPE_CHECKING:
    from tests.support.fake_api import FakeApi

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def test_a_port_forward_needs_both_rights_that_kubernetes_requires(api: FakeApi) -> None:
    """A WebSocket begins with a GET; Kubernetes 1.35 and newer ask for the right to create too."""
    api.on(REVIEWS, {"status": {"allowed": False}})
    kube = Kube("kt", api.kubeconfig())
    denied = survey(kube).denied
    kube.close()
    assert {right for right in denied if "portforward" in right} == {
        "get pods/portforward in istio-system",
        "create pods/portforward in istio-system",
    }
