"""Whose custom resources and pods an uninstall has to heed: those of others, not what goes anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind
from istio_mc.gateways.kube.client import Kube
from istio_mc.ops.uninstall.plan import _expected, _meshed, _served

if TYPE_CHECKING:
    from tests.support.fake_api import FakeApi

SYSTEM = "istio-system"
OURS = {"app.kubernetes.io/managed-by": "istio-mc", "istio-mc/cluster-id": "kt-k2p"}


def item(kind: Kind, name: str, namespace: str | None = SYSTEM, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": more.pop("labels", {})} | (
        {"namespace": namespace} if namespace else {}
    )
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **more}


CLASS = Kind("gateway.networking.k8s.io/v1", "GatewayClass")
REMOTE = {"gatewayClassName": "istio-remote"}
SERVICE = Kind("networking.istio.io/v1", "VirtualService")


@pytest.mark.parametrize(
    ("one", "is_expected"),
    [
        (item(CLASS, "istio", None, spec={"controllerName": "istio.io/gateway-controller"}), True),
        (item(CLASS, "nginx", None, spec={"controllerName": "nginx.org/controller"}), False),
        (item(objects.KUBERNETES_GATEWAY, "istio-remote-kt", labels=OURS, spec=REMOTE), True),
        (item(objects.KUBERNETES_GATEWAY, "istio-remote-kt", spec=REMOTE), False),
        (item(objects.KUBERNETES_GATEWAY, "istio-remote-kt", "shop", labels=OURS, spec=REMOTE), False),
        (item(objects.ISTIO_GATEWAY, "cross-network-gateway"), True),
        (item(objects.ISTIO_GATEWAY, "cross-network-gateway", "shop"), False),
        (item(objects.ISTIO_GATEWAY, "another"), False),
        (item(SERVICE, "reviews", labels=OURS), False),
    ],
)
def test_what_the_mesh_made_itself_keeps_no_crd(one: dict[str, Any], *, is_expected: bool) -> None:
    assert _expected(one) is is_expected


def test_custom_resources_are_read_in_the_first_version_that_is_served() -> None:
    versions = [
        {"name": "v1alpha1", "served": False},
        {"name": "v1", "served": True},
        {"name": "v2", "served": True},
    ]
    spec = {"group": "example.com", "names": {"kind": "One"}, "versions": versions}
    assert _served({"spec": spec}) == Kind("example.com/v1", "One")


def test_pods_of_others_lose_their_control_plane_and_those_that_go_anyway_do_not_count(api: FakeApi) -> None:
    pods = [item(objects.POD, f"of-{name}", name) for name in (SYSTEM, "sample", "shop")]
    api.on("/api/v1/pods", {"items": pods})
    assert _meshed(Kube("kt", api.kubeconfig())) == ("shop/of-shop",)
    assert "labelSelector=security.istio.io%2FtlsMode%3Distio" in api.calls[0][1]
