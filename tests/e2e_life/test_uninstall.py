"""uninstall takes away what install put there; what others put there survives, and is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.harness import SYSTEM, Site, clean, command, get, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: of-others, namespace: default}
spec: {hosts: [example.com], http: [{route: [{destination: {host: example.com}}]}]}
"""
ISTIO_GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: of-others, namespace: default}
spec:
  selector: {app: other}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["example.com"]}]
"""
KUBERNETES_GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: of-others, namespace: default}
spec: {gatewayClassName: other, listeners: [{name: http, port: 80, protocol: HTTP}]}
"""
CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: of-others, namespace: istio-system}
data: {kept: "yes"}
"""


def apply(context: str, manifest: str) -> None:
    kubectl(context, "apply", "-f", "-", stdin=manifest)


def left(result: dict[str, Any], name: str) -> dict[str, str]:
    (cluster,) = [cluster for cluster in result["clusters"] if cluster["name"] == name]
    return {item["object"]: item["reason"] for item in cluster["remaining"]}


def another_revision(context: str, site: Site) -> None:
    """A second control plane beside the mesh's, as its owner would install it."""
    values = site.settings["values"]
    document = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "canary", "namespace": SYSTEM},
        "spec": {
            "profile": "minimal",
            "revision": "canary",
            "hub": "docker.io/istio",
            "tag": site.settings["istio"]["tag"],
            "values": {key: value for key, value in values.items() if key != "meshConfig"},
            "meshConfig": values["meshConfig"],
        },
    }
    path = site.folder / "canary.yaml"
    path.write_text(yaml.safe_dump(document))
    command("istioctl", "--context", context, "install", "-f", str(path), "-y", timeout_s=120)


@pytest.fixture(scope="module")
def beside_others(mesh: Site) -> Iterator[Site]:
    """A mesh, with something of others in each cluster."""
    apply("kt", VIRTUAL_SERVICE)
    apply("kt", ISTIO_GATEWAY)
    apply("ncloud", KUBERNETES_GATEWAY)
    apply("ncloud", CONFIG_MAP)
    another_revision("nhn", mesh)
    yield mesh
    clean()


@pytest.fixture(scope="module")
def cleared(beside_others: Site) -> dict[str, Any]:
    """What uninstall said when it went past what is of others."""
    return beside_others.run("uninstall", "--yes", "-o", "json", timeout_s=200).exits(0).data


def test_crds_that_others_use_stay_with_what_they_hold(cleared: dict[str, Any]) -> None:
    assert left(cleared, "kt") == {
        "CustomResourceDefinition virtualservices.networking.istio.io": "in use: default/of-others",
        "CustomResourceDefinition gateways.networking.istio.io": "in use: default/of-others",
    }
    assert get("kt", "virtualservices.networking.istio.io", "of-others", namespace="default")
    assert get("kt", "gateways.networking.istio.io", "of-others", namespace="default")
    assert get("kt", "crd", "envoyfilters.networking.istio.io", namespace=None) is None


def test_a_foreign_gateway_of_the_gateway_api_stays(cleared: dict[str, Any]) -> None:
    assert (
        left(cleared, "ncloud")["CustomResourceDefinition gateways.gateway.networking.k8s.io"]
        == "in use: default/of-others"
    )
    assert get("ncloud", "gateways.gateway.networking.k8s.io", "of-others", namespace="default")


def test_a_namespace_with_objects_of_others_stays(cleared: dict[str, Any]) -> None:
    assert "of-others" in left(cleared, "ncloud")["Namespace istio-system"]
    assert get("ncloud", "configmap", "of-others")["data"] == {"kept": "yes"}
    assert get("ncloud", "deployment", "istiod") is None
    labels = get("ncloud", "namespace", SYSTEM, namespace=None)["metadata"]["labels"]
    assert "istio-mc/mesh-id" not in labels


def test_another_revision_of_istio_goes_on(cleared: dict[str, Any]) -> None:
    remaining = left(cleared, "nhn")
    assert remaining["Deployment istio-system/istiod-canary"] == "another revision of Istio"
    assert get("nhn", "deployment", "istiod-canary")["status"]["availableReplicas"] == 1
    assert get("nhn", "secret", "cacerts")
    assert get("nhn", "serviceaccount", "istio-reader-service-account")
    assert get("nhn", "deployment", "istiod") is None
    assert get("nhn", "crd", "gateways.networking.istio.io", namespace=None)
