"""What a cluster's objects say of its part in a mesh."""

from __future__ import annotations

from typing import Any

from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import Observed


def observed(*items: dict[str, Any]) -> Observed:
    return Observed("v1.32.3", {ref_of(item): item for item in items})


def namespace(mesh: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "istio-system", "labels": {"istio-mc/mesh-id": mesh}},
    }


def istiod(name: str = "istiod") -> dict[str, Any]:
    containers = [{"name": "discovery", "env": []}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "istio-system", "labels": {"app": "istiod"}},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def test_a_cluster_without_istio_has_none() -> None:
    found = observed()
    assert (found.mesh_id, found.istiods) == (None, [])


def test_a_member_is_known_by_its_label() -> None:
    assert observed(namespace(mesh="mesh1")).mesh_id == "mesh1"


def test_control_planes_of_every_revision_are_found() -> None:
    found = observed(istiod("istiod"), istiod("istiod-1-26-0"))
    assert [item["metadata"]["name"] for item in found.istiods] == ["istiod", "istiod-1-26-0"]


def test_objects_are_found_by_kind_and_name() -> None:
    deployment = istiod()
    found = observed(deployment)
    assert found.find(objects.DEPLOYMENT, "istiod") is deployment
    assert found.find(objects.SERVICE, "istiod") is None
    assert found.of(objects.DEPLOYMENT) == [deployment]


def test_secrets_are_not_in_its_repr() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "cacerts", "namespace": "istio-system"},
        "data": {"ca-key.pem": "c2VjcmV0"},
    }
    assert "c2VjcmV0" not in repr(observed(secret))
