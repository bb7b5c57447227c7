"""Where an API server keeps an object."""

from __future__ import annotations

import pytest

from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import Kind, Ref, labels_of, ref_of


@pytest.mark.parametrize(
    ("kind", "plural"),
    [
        ("Namespace", "namespaces"),
        ("Ingress", "ingresses"),
        ("IngressClass", "ingressclasses"),
        ("GatewayClass", "gatewayclasses"),
        ("NetworkPolicy", "networkpolicies"),
        ("Gateway", "gateways"),
        ("DestinationRule", "destinationrules"),
        ("HTTPRoute", "httproutes"),
        ("HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        ("CustomResourceDefinition", "customresourcedefinitions"),
        ("ServiceEntry", "serviceentries"),
        ("Proxy", "proxies"),
        ("Mailbox", "mailboxes"),
        ("Patch", "patches"),
    ],
)
def test_plurals(kind: str, plural: str) -> None:
    assert Kind("v1", kind).plural == plural


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "path"),
    [
        (objects.POD, None, None, "/api/v1/pods"),
        (objects.POD, "istio-system", None, "/api/v1/namespaces/istio-system/pods"),
        (objects.POD, "istio-system", "p", "/api/v1/namespaces/istio-system/pods/p"),
        (objects.NAMESPACE, None, "istio-system", "/api/v1/namespaces/istio-system"),
        (objects.DEPLOYMENT, "a", "b", "/apis/apps/v1/namespaces/a/deployments/b"),
        (objects.ISTIO_GATEWAY, "a", "b", "/apis/networking.istio.io/v1/namespaces/a/gateways/b"),
        (objects.CRD, None, "x", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x"),
        (objects.CRD, "ignored", "x", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x"),
    ],
)
def test_paths(kind: Kind, namespace: str | None, name: str | None, path: str) -> None:
    assert kind.path(namespace, name) == path


def test_a_reference_does_not_depend_on_the_version() -> None:
    metadata = {"name": "x", "namespace": "y"}
    old = {"apiVersion": "networking.istio.io/v1beta1", "kind": "Gateway", "metadata": metadata}
    assert ref_of(old) == ref_of(old | {"apiVersion": "networking.istio.io/v1"})


def test_gateways_of_two_groups_are_two() -> None:
    metadata = {"name": "x", "namespace": "y"}
    istio = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": metadata}
    assert ref_of(istio) != ref_of(istio | {"apiVersion": "gateway.networking.k8s.io/v1"})


def test_a_namespace_on_a_cluster_wide_object_does_not_count() -> None:
    found = ref_of({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "namespace": "y"}})
    assert found == Ref("", "Namespace", None, "x")


def test_references_are_reported_with_their_namespace() -> None:
    assert str(Ref("", "Secret", "istio-system", "cacerts")) == "Secret istio-system/cacerts"
    assert str(Ref("", "Namespace", None, "sample")) == "Namespace sample"


@pytest.mark.parametrize("found", [None, {}, {"metadata": {}}, {"metadata": {"labels": None}}], ids=repr)
def test_what_has_no_labels_has_none(found: dict[str, object] | None) -> None:
    assert labels_of(found) == {}
