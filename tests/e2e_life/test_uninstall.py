"""uninstall takes away what install put there; what others put there survives, and is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab import faults
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
HELD = """
apiVersion: v1
kind: ConfigMap
metadata: {name: held, namespace: sample, finalizers: [example.com/held]}
"""


def apply(context: str, manifest: str) -> None:
    kubectl(context, "apply", "-f", "-", stdin=manifest)


def left(result: dict[str, Any], name: str) -> dict[str, str]:
    (cluster,) = [cluster for cluster in result["clusters"] if cluster["name"] == name]
    return {item["what"]: item["why"] for item in cluster["left"]}


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
            "tag": "1.26.0",
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


def test_without_a_terminal_and_without_yes_nothing_goes(beside_others: Site) -> None:
    result = beside_others.run("uninstall", "-o", "json").exits(2)
    assert result.json["errors"][0]["code"] == "not-confirmed"
    assert get("kt", "deployment", "istiod")


def test_a_dry_run_names_what_would_go_and_touches_nothing(beside_others: Site) -> None:
    data = beside_others.run("uninstall", "--dry-run", "-o", "json").exits(0).data
    assert "Deployment istio-system/istiod" in data["clusters"][0]["removed"]
    assert get("kt", "deployment", "istiod")


@pytest.fixture
def not_ours() -> Iterator[None]:
    """kt's Istio, as if somebody else had installed it."""
    label = ("label", "namespace", SYSTEM)
    value = get("kt", "namespace", SYSTEM, namespace=None)["metadata"]["labels"]["istio-mc/mesh-id"]
    kubectl("kt", *label, "istio-mc/mesh-id-")
    yield
    kubectl("kt", *label, f"istio-mc/mesh-id={value}")


@pytest.mark.usefixtures("not_ours")
def test_an_istio_that_others_installed_is_left_alone(beside_others: Site) -> None:
    result = beside_others.run("uninstall", "--contexts", "kt", "--yes", "-o", "json").exits(2)
    assert [(one["code"], one["cluster"]) for one in result.json["errors"]] == [("not-a-member", "kt")]
    assert get("kt", "deployment", "istiod")
    assert get("ncloud", "secret", "istio-remote-secret-kt-k2p")


@pytest.fixture
def one_network() -> Iterator[None]:
    """kt's network label as it must not be: that of ncloud."""
    label = ("label", "namespace", SYSTEM, "--overwrite")
    kubectl("kt", *label, "topology.istio.io/network=network2")
    yield
    kubectl("kt", *label, "topology.istio.io/network=network1")


@pytest.mark.usefixtures("one_network")
def test_a_cluster_that_shares_its_network_may_leave_as_the_error_says(beside_others: Site) -> None:
    (problem,) = beside_others.run("link", "-o", "json").exits(2).json["errors"]
    assert problem["code"] == "identity-shared"
    leaving = beside_others.run("uninstall", "--contexts", "kt", "--dry-run", "-o", "json").exits(0).data
    assert [one["status"] for one in leaving["clusters"]] == ["planned", "member", "member"]
    everything = beside_others.run("uninstall", "--dry-run", "-o", "json").exits(0).data
    assert {one["status"] for one in everything["clusters"]} == {"planned"}


def test_the_ca_of_another_mesh_is_not_removed(beside_others: Site) -> None:
    folder = beside_others.folder / "of-another"
    beside_others.run("ca", "init", "--certs-dir", str(folder), "--key-type", "ec").exits(0)
    words = ("uninstall", "--yes", "--purge-ca", "--certs-dir", str(folder), "-o", "json")
    (problem,) = beside_others.run(*words).exits(2).json["errors"]
    assert problem["code"] == "ca-of-another-mesh"
    assert (folder / "root-ca.key").exists()
    assert get("kt", "deployment", "istiod")


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


def test_a_namespace_in_which_others_keep_something_stays(cleared: dict[str, Any]) -> None:
    assert "of-others" in left(cleared, "ncloud")["Namespace istio-system"]
    assert get("ncloud", "configmap", "of-others")["data"] == {"kept": "yes"}
    assert get("ncloud", "deployment", "istiod") is None
    labels = get("ncloud", "namespace", SYSTEM, namespace=None)["metadata"]["labels"]
    assert "istio-mc/mesh-id" not in labels


def test_another_revision_of_istio_goes_on(cleared: dict[str, Any]) -> None:
    told = left(cleared, "nhn")
    assert told["Deployment istio-system/istiod-canary"] == "another revision of Istio"
    assert get("nhn", "deployment", "istiod-canary")["status"]["availableReplicas"] == 1
    assert get("nhn", "secret", "cacerts")
    assert get("nhn", "serviceaccount", "istio-reader-service-account")
    assert get("nhn", "deployment", "istiod") is None
    assert get("nhn", "crd", "gateways.networking.istio.io", namespace=None)


def test_the_root_key_stays(cleared: dict[str, Any], beside_others: Site) -> None:
    assert (cleared["purgedCA"], cleared["keptCA"]) == (None, str(beside_others.certs))
    assert (beside_others.certs / "root-ca.key").exists()


def test_a_cluster_that_does_not_answer_does_not_stop_the_rest(site: Site) -> None:
    clean()
    site.run("install").exits(0)
    site.run("sample", "deploy").exits(0)
    faults.cut("nhn")
    result = site.run("uninstall", "--yes", "-o", "json", "--timeout", "90s", timeout_s=120).exits(3)
    faults.heal("nhn")
    assert {(e["code"], e["cluster"]) for e in result.json["errors"]} == {("cluster-unreachable", "nhn")}
    assert get("kt", "namespace", SYSTEM, namespace=None) is None
    assert get("nhn", "deployment", "istiod")


@pytest.fixture
def held() -> Iterator[None]:
    """Something in the sample's namespace that does not go by itself."""
    apply("nhn", HELD)
    yield
    release = '{"metadata":{"finalizers":null}}'
    kubectl("nhn", "-n", "sample", "patch", "configmap", "held", "--type=merge", "-p", release)


@pytest.mark.usefixtures("held")
def test_a_namespace_stuck_on_a_finalizer_is_named_with_the_way_out(site: Site) -> None:
    result = site.run(
        "uninstall", "--contexts", "nhn", "--yes", "-o", "json", "--timeout", "30s", timeout_s=60
    )
    (problem,) = result.exits(3).json["errors"]
    assert (problem["code"], problem["cluster"]) == ("namespace-stuck", "nhn")
    assert "example.com/held" in problem["seen"]


def removed(result: dict[str, Any]) -> dict[str, set[str]]:
    return {cluster["name"]: set(cluster["removed"]) for cluster in result["clusters"]}


def test_the_ca_goes_only_when_it_is_asked_for_by_name_and_all_goes_that_a_dry_run_named(site: Site) -> None:
    site.run("install").exits(0)
    told = site.run("uninstall", "--dry-run", "--purge-ca", "-o", "json").exits(0).data
    assert told["keptCA"] == str(site.certs)
    data = site.run("uninstall", "--yes", "--purge-ca", "-o", "json").exits(0).data
    assert removed(data) == removed(told)
    assert data["purgedCA"] == str(site.certs)
    assert not site.certs.exists()
