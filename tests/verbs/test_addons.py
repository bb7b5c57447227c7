"""addons: what is missing is installed, what others installed is left alone, what is ours is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.addons import AddonName
from istio_mc.gateways.kube.addons import read_addon
from tests.support import refusals
from tests.support.store import By

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

KT = ("--contexts", "kt")
CONTROLLER = By("controller", subresource="status")
BOTH = ("metrics-server", "metallb")
POOL = {
    "apiVersion": "metallb.io/v1beta1",
    "kind": "IPAddressPool",
    "metadata": {"name": "office", "namespace": "metallb-system"},
    "spec": {"addresses": ["192.0.2.0/24"]},
}


@pytest.fixture(autouse=True)
def _no_metrics_yet(mesh: Mesh) -> None:
    """Removes the Metrics API that the provider of a stand-in cluster has."""
    for name in mesh.names:
        mesh[name].delete(mesh[name].get("APIService", "v1beta1.metrics.k8s.io"))


def addons(mesh: Mesh, *words: str, code: int = 0) -> Result:
    return mesh.run("addons", *words, "-o", "json").exits(code)


def of(result: Result, cluster: str = "kt") -> dict[str, dict[str, Any]]:
    """The add-ons of a cluster, by name."""
    (found,) = (one for one in result.data["clusters"] if one["name"] == cluster)
    return {one["name"]: one for one in found["addons"]}


def helm(cluster: Cluster) -> None:
    """Metrics Server as its chart installs it, as far as it matters here."""
    for document in read_addon(AddonName.METRICS_SERVER).documents:
        metadata = {
            **document["metadata"],
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "metrics"},
        }
        cluster.make({**document, "metadata": metadata})


def test_both_are_installed_and_work_and_a_second_run_changes_nothing(mesh: Mesh) -> None:
    found = of(addons(mesh, "install", *KT))
    assert {name: one["status"] for name, one in found.items()} == dict.fromkeys(BOTH, "installed")
    before = mesh.snapshots()
    again = of(addons(mesh, "install", *KT))
    assert {name: one["status"] for name, one in again.items()} == dict.fromkeys(BOTH, "unchanged")
    assert mesh.snapshots() == before
    state = of(addons(mesh, "status", *KT))
    assert {name: (one["owner"], one["ready"], one["version"]) for name, one in state.items()} == {
        "metrics-server": ("istio-mc", True, "0.8.0"),
        "metallb": ("istio-mc", True, "0.15.2"),
    }


def test_a_dry_run_lists_the_objects_and_touches_nothing(mesh: Mesh) -> None:
    before = mesh.snapshots()
    found = of(addons(mesh, "install", "metrics-server", *KT, "--dry-run"))["metrics-server"]
    assert found["status"] == "to install"
    assert "Deployment kube-system/metrics-server" in found["apply"]
    assert mesh.snapshots() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/namespaces/kube-system/deployments/metrics-server"),
        ("POST", "/namespaces/kube-system/pods"),
    ],
    ids=["Deployment", "pod"],
)
def test_a_dry_run_reports_what_admission_would_deny(mesh: Mesh, method: str, path: str) -> None:
    denial = refusals.denied_by_webhook("validate.kyverno.svc-fail", "label team is required")
    mesh["nhn"].faults.refuse(denial, method, path=path)
    before = mesh.snapshots()
    words = ("install", "metrics-server", "--contexts", "kt,nhn", "--dry-run")
    result = addons(mesh, *words, code=3)
    assert result.errors == [("admission-denied", "nhn")]
    assert of(result, "kt")["metrics-server"]["status"] == "to install"
    assert mesh.snapshots() == before


def test_a_dry_run_requests_nothing_in_a_namespace_that_is_missing(mesh: Mesh) -> None:
    denial = refusals.denied_by_webhook("validate.kyverno.svc-fail", "label team is required")
    mesh["kt"].faults.refuse(denial, "PATCH", path="/namespaces/metallb-system/")
    mesh["kt"].faults.refuse(denial, "POST", path="/namespaces/metallb-system/")
    assert addons(mesh, "install", "metallb", *KT, "--dry-run").errors == []


def test_every_cluster_of_the_run_gets_them(mesh: Mesh) -> None:
    result = addons(mesh, "install", "metrics-server", "--contexts", ",".join(mesh.names))
    assert {name: of(result, name)["metrics-server"]["status"] for name in mesh.names} == dict.fromkeys(
        mesh.names, "installed"
    )


def test_a_run_that_was_killed_is_finished_by_the_next(mesh: Mesh) -> None:
    mesh.run("addons", "install", *KT, dies_after=9)
    addons(mesh, "install", *KT)
    assert {one["ready"] for one in of(addons(mesh, "status", *KT)).values()} == {True}


def test_install_and_remove_leave_add_ons_of_others_unchanged(mesh: Mesh) -> None:
    helm(mesh["kt"])
    before = mesh.snapshots()
    found = of(addons(mesh, "install", "metrics-server", *KT))["metrics-server"]
    assert (found["owner"], found["status"]) == ("others", "unchanged")
    assert str(found["installedBy"]).startswith("Helm release metrics: ")
    addons(mesh, "remove", "metrics-server", *KT, "--yes")
    assert mesh.snapshots() == before


def test_a_changed_object_is_set_again_with_the_reason(mesh: Mesh) -> None:
    addons(mesh, "install", "metrics-server", *KT)
    deployment = mesh["kt"].get("Deployment", "metrics-server", "kube-system")
    mesh["kt"].edit(deployment, lambda item: item["spec"]["template"]["spec"].update(priorityClassName="low"))
    found = of(addons(mesh, "install", "metrics-server", *KT))["metrics-server"]
    assert (found["status"], found["apply"]) == ("installed", ["Deployment kube-system/metrics-server"])
    live = mesh["kt"].get("Deployment", "metrics-server", "kube-system")
    assert live["spec"]["template"]["spec"]["priorityClassName"] == "system-cluster-critical"


def test_a_removal_leaves_nothing(mesh: Mesh) -> None:
    before = mesh.snapshots()
    addons(mesh, "install", *KT)
    addons(mesh, "remove", *KT, "--yes")
    mesh["kt"].settle()
    assert set(mesh.snapshots()["kt"]) == set(before["kt"])


def test_a_removal_requires_confirmation(mesh: Mesh) -> None:
    addons(mesh, "install", "metallb", *KT)
    assert addons(mesh, "remove", "metallb", *KT, code=2).errors == [("not-confirmed", None)]


def test_a_pool_that_others_made_keeps_the_definitions_of_metallb(mesh: Mesh) -> None:
    addons(mesh, "install", "metallb", *KT)
    mesh["kt"].make(POOL)
    found = of(addons(mesh, "remove", "metallb", *KT, "--yes", "--dry-run"))["metallb"]
    remaining = {one["object"]: one["reason"] for one in found["remaining"]}
    assert remaining["CustomResourceDefinition ipaddresspools.metallb.io"] == (
        "IPAddressPool metallb-system/office would be deleted with it"
    )
    addons(mesh, "remove", "metallb", *KT, "--yes")
    assert mesh["kt"].has("IPAddressPool", "office", "metallb-system")


def with_address(cluster: Cluster, name: str, address: str, **changes: Any) -> None:
    """A Service of type LoadBalancer as MetalLB leaves it."""
    cluster.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    pool = {"metallb.io/ip-allocated-from-pool": "office"}
    metadata = {"name": name, "namespace": "shop", "annotations": changes.get("annotations", pool)}
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}], **changes.get("spec", {})}
    made = cluster.make({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    cluster.set_status(made, {"loadBalancer": {"ingress": [{"ip": address}]}}, CONTROLLER)


def test_metallb_is_not_removed_while_services_have_their_address_from_it(mesh: Mesh) -> None:
    addons(mesh, "install", "metallb", *KT)
    mesh["kt"].make(POOL)
    with_address(mesh["kt"], "web", "192.0.2.5")
    before = mesh.snapshots()
    result = addons(mesh, "remove", "metallb", *KT, "--yes", code=1)
    (error,) = result.json["errors"]
    assert (error["code"], error["cluster"]) == ("addon-in-use", "kt")
    assert error["seen"] == "Service shop/web 192.0.2.5"
    assert error["hint"] == (
        "kubectl --context kt -n shop patch service web --type merge "
        """-p '{"spec": {"type": "NodePort"}}'"""
    )
    assert of(result)["metallb"]["status"] == "failed"
    assert mesh.snapshots() == before
    assert addons(mesh, "remove", "metallb", *KT, "--dry-run", code=1).errors == [("addon-in-use", "kt")]


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {"type": "NodePort"}},
        # From another load balancer controller.
        {"annotations": {}},
    ],
    ids=["not a LoadBalancer any more", "of another controller"],
)
def test_services_without_an_address_of_metallb_do_not_keep_it(mesh: Mesh, changes: dict[str, Any]) -> None:
    addons(mesh, "install", "metallb", *KT)
    mesh["kt"].make(POOL)
    with_address(mesh["kt"], "web", "192.0.2.5", **changes)
    addons(mesh, "remove", "metallb", *KT, "--yes")
    assert not mesh["kt"].has("Deployment", "controller", "metallb-system")


def test_a_namespace_with_objects_of_others_remains(mesh: Mesh) -> None:
    addons(mesh, "install", "metallb", *KT)
    metadata = {"name": "notes", "namespace": "metallb-system"}
    mesh["kt"].make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    found = of(addons(mesh, "remove", "metallb", *KT, "--yes"))["metallb"]
    assert found["remaining"] == [
        {
            "object": "Namespace metallb-system",
            "reason": "ConfigMap metallb-system/notes would be deleted with it",
        }
    ]
    mesh["kt"].settle()
    assert mesh["kt"].has("ConfigMap", "notes", "metallb-system")
    assert not mesh["kt"].has("Deployment", "controller", "metallb-system")


@pytest.mark.parametrize(
    ("name", "key"), [("istio-ca-root-cert", "root-cert.pem"), ("istio-ca-crl", "ca-crl.pem")]
)
def test_config_maps_that_istiod_writes_do_not_keep_a_namespace(mesh: Mesh, name: str, key: str) -> None:
    addons(mesh, "install", "metallb", *KT)
    labels = {"istio.io/config": "true"}
    metadata = {"name": name, "namespace": "metallb-system", "labels": labels}
    mesh["kt"].make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {key: ""}})
    addons(mesh, "remove", "metallb", *KT, "--yes")
    mesh["kt"].settle()
    assert not mesh["kt"].has("Namespace", "metallb-system")


def test_a_namespace_that_others_made_is_kept(mesh: Mesh) -> None:
    mesh["kt"].make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "metallb-system"}})
    addons(mesh, "install", "metallb", *KT)
    addons(mesh, "remove", "metallb", *KT, "--yes")
    mesh["kt"].settle()
    assert mesh["kt"].has("Namespace", "metallb-system")


def test_options_reach_the_containers(mesh: Mesh) -> None:
    words = ("--insecure-kubelet-tls", "--registry", "mirror.example:5000")
    addons(mesh, "install", "metrics-server", *KT, *words)
    (container,) = mesh["kt"].get("Deployment", "metrics-server", "kube-system")["spec"]["template"]["spec"][
        "containers"
    ]
    assert "--kubelet-insecure-tls" in container["args"]
    assert container["image"] == "mirror.example:5000/metrics-server/metrics-server:v0.8.0"


def test_pods_that_cannot_start_end_the_wait_with_their_reason(mesh: Mesh) -> None:
    mesh["kt"].stuck["metrics-server"] = "ImagePullBackOff"
    found = addons(mesh, "install", "metrics-server", *KT, "--timeout", "4s", code=1)
    assert found.errors == [("image-not-pulled", "kt")]


def test_an_unknown_add_on_is_refused_before_any_cluster_is_read(mesh: Mesh) -> None:
    found = addons(mesh, "install", "cert-manager", *KT, code=2)
    assert found.errors == [("usage", None)]
    assert not mesh["kt"].faults.requests


def storage_class(name: str, *, is_default: bool) -> dict[str, Any]:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if is_default else {}
    metadata = {"name": name, "annotations": annotations}
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"}
    return {**kind, "metadata": metadata, "provisioner": "example.com/disk"}


@pytest.fixture
def classes(mesh: Mesh) -> Cluster:
    """kt with two StorageClasses, of which one is the default."""
    for one in mesh["kt"].store.of("StorageClass"):
        mesh["kt"].delete(one)
    mesh["kt"].make(storage_class("slow", is_default=True))
    mesh["kt"].make(storage_class("fast", is_default=False))
    return mesh["kt"]


def defaults(cluster: Cluster) -> list[str]:
    key = "storageclass.kubernetes.io/is-default-class"
    found = cluster.store.of("StorageClass")
    return [
        one["metadata"]["name"] for one in found if one["metadata"].get("annotations", {}).get(key) == "true"
    ]


def test_another_default_is_unmarked_only_after_a_question(mesh: Mesh, classes: Cluster) -> None:
    assert addons(mesh, "default-storage", "kt=fast", code=2).errors == [("not-confirmed", None)]
    assert defaults(classes) == ["slow"]
    addons(mesh, "default-storage", "kt=fast", "--yes")
    assert defaults(classes) == ["fast"]


def test_a_class_that_is_the_default_already_is_no_change(mesh: Mesh, classes: Cluster) -> None:
    found = addons(mesh, "default-storage", "kt=slow")
    assert (found.cluster("kt")["status"], defaults(classes)) == ("unchanged", ["slow"])


def test_a_class_that_a_cluster_lacks_is_refused_with_those_it_has(mesh: Mesh, classes: Cluster) -> None:
    found = addons(mesh, "default-storage", "kt=gold", "--yes", code=2)
    assert found.errors == [("storage-class-unknown", "kt")]
    assert found.json["errors"][0]["seen"] == "fast, slow"
    assert defaults(classes) == ["slow"]
