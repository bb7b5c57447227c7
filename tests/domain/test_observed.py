"""What a cluster's objects say of its part in a mesh."""

from __future__ import annotations

from typing import Any

from istio_mc.domain.kube import objects
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import Observed


def observed(*items: dict[str, Any]) -> Observed:
    return Observed("v1.32.3", {ref_of(item): item for item in items})


def namespace(**labels: str) -> dict[str, Any]:
    names = {"mesh": "istio-mc/mesh-id", "id": "istio-mc/cluster-id", "network": "topology.istio.io/network"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "istio-system", "labels": {names[key]: value for key, value in labels.items()}},
    }


def istiod(name: str = "istiod", *env: dict[str, Any]) -> dict[str, Any]:
    containers = [{"name": "discovery", "env": list(env)}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "istio-system", "labels": {"app": "istiod"}},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


def test_a_cluster_without_istio_has_none() -> None:
    found = observed()
    assert (found.mesh_id, found.network, found.cluster_id, found.istiods) == (None, None, None, [])


def test_a_member_is_known_by_its_labels() -> None:
    found = observed(namespace(mesh="mesh1", id="kt-k2p", network="network1"))
    assert (found.mesh_id, found.cluster_id, found.network) == ("mesh1", "kt-k2p", "network1")


def test_the_cluster_id_is_read_from_an_istiod_installed_by_others() -> None:
    found = observed(namespace(), istiod("istiod", {"name": "X"}, {"name": "CLUSTER_ID", "value": "old"}))
    assert found.cluster_id == "old"


def test_our_label_counts_before_what_istiod_runs_under() -> None:
    found = observed(namespace(id="ours"), istiod("istiod", {"name": "CLUSTER_ID", "value": "old"}))
    assert found.cluster_id == "ours"


def test_an_istiod_without_a_cluster_id_has_none() -> None:
    assert observed(istiod("istiod", {"name": "CLUSTER_ID", "valueFrom": {}})).cluster_id is None


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
