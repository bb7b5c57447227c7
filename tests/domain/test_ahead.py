"""What of Istio is applied before istioctl runs: what istioctl applies too, with the same labels."""

from __future__ import annotations

from typing import Any

import pytest

from istio_mc.domain.istio.ahead import parts_ahead
from istio_mc.domain.istio.operator import istio_operator
from istio_mc.domain.mesh import ApiServer, Cluster, Mesh
from tests.support import istioctl

VARIANTS = [(version, revision) for version in istioctl.VERSIONS for revision in ("", "blue")]


def document(version: str, revision: str) -> dict[str, Any]:
    server = ApiServer("https://kt.example:6443")
    return istio_operator(Mesh("mesh1", version, revision), Cluster("kt", "kt-k2p", "network1", server))


def ahead(version: str, revision: str) -> tuple[tuple[dict[str, Any], ...], ...]:
    made = document(version, revision)
    return parts_ahead(istioctl.manifest(made, version), made, version)


@pytest.mark.parametrize(("version", "revision"), VARIANTS)
def test_each_object_has_the_labels_that_istioctl_gives_it(version: str, revision: str) -> None:
    made = document(version, revision)
    of_istioctl = [
        istioctl.labelled(item, made, istioctl.component_of(item), revision, version)
        for item in istioctl.manifest(made, version)
    ]
    found = [item for part in ahead(version, revision) for item in part]
    assert len(found) > 30
    assert [item for item in found if item not in of_istioctl] == []


@pytest.mark.parametrize(("version", "revision"), VARIANTS)
def test_what_istiod_s_pods_need_comes_before_its_deployment(version: str, revision: str) -> None:
    first, second, _ = ahead(version, revision)
    assert {"ServiceAccount", "ConfigMap", "ClusterRoleBinding", "RoleBinding"} <= {i["kind"] for i in first}
    name = f"istiod-{revision}" if revision else "istiod"
    assert {(item["kind"], item["metadata"]["name"]) for item in second} == {
        ("Service", name),
        ("Deployment", name),
    }


def test_webhooks_and_the_gateway_s_pods_are_left_to_istioctl() -> None:
    made = document("1.26.0", "")
    names = {(item["kind"], item["metadata"]["name"]) for part in ahead("1.26.0", "") for item in part}
    everything = {(item["kind"], item["metadata"]["name"]) for item in istioctl.manifest(made, "1.26.0")}
    assert everything - names == {
        ("MutatingWebhookConfiguration", "istio-sidecar-injector"),
        ("ValidatingWebhookConfiguration", "istio-validator-istio-system"),
        ("Deployment", "istio-ingressgateway"),
    }


def test_objects_of_no_known_chart_are_left_to_istioctl() -> None:
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "istio-system"}}
    assert parts_ahead([item], document("1.26.0", ""), "1.26.0") == ((), (), ())
