"""Calls between stand-in clusters, sidecars, and what happens in the middle of a run."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest

from tests.support import calls
from tests.support.client import call
from tests.support.gateways import STATUS_PORT
from tests.support.refusals import too_many

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"


@pytest.fixture
def reviewed(installed: Mesh) -> Mesh:
    """A mesh with a service in each cluster."""
    for one in installed.clusters.values():
        one.deploy("reviews", "sample")
    installed.settle()
    return installed


def answering(mesh: Mesh) -> list[str]:
    return sorted(cluster.name for cluster, _ in calls.answering(mesh["kt"], "reviews", "sample"))


@pytest.mark.thorough
def test_a_service_of_all_clusters_answers_from_all(reviewed: Mesh) -> None:
    assert answering(reviewed) == ["kt", "ncloud", "nhn"]


@pytest.mark.thorough
def test_a_cluster_that_is_not_linked_does_not_answer(reviewed: Mesh) -> None:
    kt = reviewed["kt"]
    kt.delete(kt.get("Secret", "istio-remote-secret-nhn-nks", SYSTEM))
    kt.settle()
    assert answering(reviewed) == ["kt", "ncloud"]


def test_a_cluster_whose_gateway_opens_nothing_does_not_answer(reviewed: Mesh) -> None:
    nhn = reviewed["nhn"]
    nhn.delete(nhn.get("Gateway", "cross-network-gateway", SYSTEM))
    assert answering(reviewed) == ["kt", "ncloud"]


def test_pods_get_a_sidecar_where_their_namespace_enables_it(reviewed: Mesh) -> None:
    (pod,) = reviewed["kt"].store.of("Pod", "sample")
    assert [one["name"] for one in pod["spec"]["containers"]] == ["reviews", "istio-proxy"]
    assert pod["metadata"]["labels"]["security.istio.io/tlsMode"] == "istio"


def ready_status(address: str) -> int:
    connection = http.client.HTTPConnection(address, STATUS_PORT, timeout=5)
    try:
        connection.request("GET", "/healthz/ready")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_gateway_is_ready_as_long_as_its_pods_are(installed: Mesh) -> None:
    kt = installed["kt"]
    assert ready_status(kt.gateway.address) == 200
    kt.delete(kt.get("Deployment", "istio-ingressgateway", SYSTEM))
    kt.settle()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ready_status(kt.gateway.address)


def test_kinds_of_crds_are_listed_by_discovery(installed: Mesh) -> None:
    groups = {one["name"] for one in call(installed["kt"], "GET", "/apis").body["groups"]}
    assert {"networking.istio.io", "gateway.networking.k8s.io", "apps"} <= groups
    served = call(installed["kt"], "GET", "/apis/networking.istio.io/v1").body["resources"]
    assert "virtualservices" in {one["name"] for one in served}


def test_something_happens_once_after_a_write(mesh: Mesh) -> None:
    happened: list[str] = []
    mesh.when("POST .*/namespaces$", lambda: happened.append("now"))
    for name in ("one", "two"):
        metadata = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        call(mesh["kt"], "POST", "/api/v1/namespaces", metadata)
    assert happened == ["now"]


def test_a_refusal_comes_with_its_headers(mesh: Mesh) -> None:
    mesh["kt"].faults.refuse(too_many(7), "GET", times=1)
    answer = call(mesh["kt"], "GET", "/version")
    assert (answer.code, answer.headers["Retry-After"]) == (429, "7")


def test_a_mesh_of_the_scripts_is_linked(scripted: Mesh) -> None:
    for one in scripted.clusters.values():
        (istiod,) = one.istiods.running()
        assert {row["syncStatus"] for row in one.istiods.clusterz(istiod)} == {"synced"}
        assert not istiod.self_signed
