"""The stand-in's controllers: Deployments roll out, Services get addresses, pods come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client import MERGE, apply, call

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh

WEB = "/apis/apps/v1/namespaces/default/deployments/web"
STAMP = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
RESTART = {"spec": {"template": {"metadata": {"annotations": STAMP}}}}


def deployment(replicas: int = 1, image: str = "web:1") -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def service(kind: str) -> dict[str, Any]:
    spec = {"type": kind, "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": spec,
    }


@pytest.fixture
def kt(mesh: Mesh) -> Cluster:
    return mesh["kt"]


def status(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = call(cluster, "GET", WEB).body["status"]
    return found


def test_a_deployment_is_rolled_out_after_a_moment(kt: Cluster) -> None:
    first = apply(kt, WEB, deployment(2), "me").body
    assert "availableReplicas" not in first.get("status", {})
    kt.settle()
    assert {key: status(kt)[key] for key in ("replicas", "updatedReplicas", "availableReplicas")} == {
        "replicas": 2,
        "updatedReplicas": 2,
        "availableReplicas": 2,
    }


def test_a_changed_template_gets_new_pods_and_a_new_generation(kt: Cluster) -> None:
    apply(kt, WEB, deployment(), "me")
    kt.settle()
    (before,) = kt.names("Pod", "default")
    apply(kt, WEB, deployment(image="web:2"), "me")
    kt.settle()
    (after,) = kt.store.of("Pod", "default")
    assert after["metadata"]["name"] != before
    assert after["status"]["containerStatuses"][0]["image"] == "web:2"
    assert status(kt)["observedGeneration"] == 2


def test_a_restart_gets_new_pods(kt: Cluster) -> None:
    apply(kt, WEB, deployment(), "me")
    kt.settle()
    before = kt.names("Pod", "default")
    call(kt, "PATCH", WEB, RESTART, MERGE)
    kt.settle()
    assert not set(before) & set(kt.names("Pod", "default"))
    assert status(kt)["availableReplicas"] == 1


def test_pods_that_do_not_become_ready_leave_the_old_ones_alone(kt: Cluster) -> None:
    apply(kt, WEB, deployment(), "me")
    kt.settle()
    (before,) = kt.names("Pod", "default")
    kt.stuck["web"] = "ImagePullBackOff"
    apply(kt, WEB, deployment(image="web:2"), "me")
    kt.settle()
    assert before in kt.names("Pod", "default")
    assert (status(kt)["replicas"], status(kt)["updatedReplicas"]) == (2, 1)


def test_what_is_scaled_down_loses_its_pods(kt: Cluster) -> None:
    apply(kt, WEB, deployment(3), "me")
    kt.settle()
    apply(kt, WEB, deployment(1), "me")
    kt.settle()
    assert len(kt.names("Pod", "default")) == 1


def test_the_pods_of_a_deployment_go_with_it(kt: Cluster) -> None:
    apply(kt, WEB, deployment(), "me")
    kt.settle()
    call(kt, "DELETE", WEB)
    kt.settle()
    assert (kt.names("Pod", "default"), kt.names("ReplicaSet", "default")) == ([], [])


def test_a_load_balancer_gives_a_service_its_address(kt: Cluster) -> None:
    kt.balancer = "lb.example.com"
    kt.make(service("LoadBalancer"))
    kt.settle()
    found = kt.get("Service", "web", "default")
    assert found["status"]["loadBalancer"]["ingress"] == [{"hostname": "lb.example.com"}]
    assert found["spec"]["ports"][0]["nodePort"] >= 30000


def test_without_a_load_balancer_a_service_stays_pending(kt: Cluster) -> None:
    kt.balancer = ""
    kt.make(service("LoadBalancer"))
    kt.settle()
    assert kt.get("Service", "web", "default")["status"] == {"loadBalancer": {}}


def test_a_service_lists_the_pods_behind_it(kt: Cluster) -> None:
    kt.make(service("ClusterIP"))
    apply(kt, WEB, deployment(2), "me")
    kt.settle()
    (found,) = kt.store.of("EndpointSlice", "default")
    pods = {pod["status"]["podIP"] for pod in kt.store.of("Pod", "default")}
    assert {address for one in found["endpoints"] for address in one["addresses"]} == pods
    kt.delete(kt.get("Service", "web", "default"))
    kt.settle()
    assert kt.names("EndpointSlice", "default") == []
