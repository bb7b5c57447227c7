"""The stand-in's istiod: which CA it signs with, what it writes, whom it sees."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from istio_mc.domain.kube import objects
from istio_mc.domain.pki.pem import dump_certificates
from istio_mc.gateways.istio.data_path import serving
from istio_mc.gateways.istio.istiod import clusterz, syncz
from istio_mc.gateways.kube.client import Kube
from tests.support.client import call
from tests.support.istiod import ROOTS, SYSTEM
from tests.support.world import authority, ca_certs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh

REMOTE = "istio-remote-secret-ncloud-nks"


@pytest.fixture
def kt(installed: Mesh) -> Cluster:
    return installed["kt"]


def seen(cluster: Cluster) -> dict[str, str]:
    (istiod,) = cluster.istiods.running()
    return {row["id"]: row["syncStatus"] for row in cluster.istiods.clusterz(istiod)}


def kubeconfig_of(cluster: Cluster, edit: Callable[[dict[str, Any]], None]) -> None:
    """Changes the kubeconfig in the remote secret of ncloud."""
    secret = cluster.get("Secret", REMOTE, SYSTEM)
    document = yaml.safe_load(base64.b64decode(secret["data"]["ncloud-nks"]))
    edit(document)
    text = base64.b64encode(yaml.safe_dump(document).encode()).decode()
    cluster.edit(secret, lambda item: item.update(data={"ncloud-nks": text}))
    cluster.settle()


def test_a_rejected_token_times_out_and_the_right_one_syncs_again(kt: Cluster) -> None:
    good = kt.get("Secret", REMOTE, SYSTEM)["data"]
    kubeconfig_of(kt, lambda document: document["users"][0]["user"].update({"token": "of-nobody"}))
    assert seen(kt)["ncloud-nks"] == "timeout"
    kt.edit(kt.get("Secret", REMOTE, SYSTEM), lambda item: item.update(data=good))
    kt.settle()
    assert seen(kt)["ncloud-nks"] == "synced"


def test_a_rejected_kubeconfig_closes_the_cluster_until_the_secret_is_recreated(
    kt: Cluster,
) -> None:
    good = kt.get("Secret", REMOTE, SYSTEM)
    kubeconfig_of(kt, lambda document: document["users"][0]["user"].update(exec={"command": "aws"}))
    assert seen(kt)["ncloud-nks"] == "closed"
    kt.edit(kt.get("Secret", REMOTE, SYSTEM), lambda item: item.update(data=good["data"]))
    kt.settle()
    assert seen(kt)["ncloud-nks"] == "closed"
    kt.delete(good)
    kt.settle()
    assert "ncloud-nks" not in seen(kt)
    metadata = {key: good["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    kt.make({**{key: good[key] for key in ("apiVersion", "kind", "type", "data")}, "metadata": metadata})
    kt.settle()
    assert seen(kt)["ncloud-nks"] == "synced"


@pytest.mark.parametrize("server", ["https://127.1:1", "https://nowhere.example:6443"])
def test_an_unused_address_times_out(kt: Cluster, server: str) -> None:
    kubeconfig_of(kt, lambda document: document["clusters"][0]["cluster"].update(server=server))
    assert seen(kt)["ncloud-nks"] == "timeout"


def test_a_synced_cluster_stays_synced_after_its_token_has_expired(installed: Mesh) -> None:
    ncloud = installed["ncloud"]
    for secret in ncloud.store.of("Secret", SYSTEM):
        if secret["type"] == "kubernetes.io/service-account-token":
            ncloud.delete(secret)
    installed.settle()
    assert seen(installed["kt"])["ncloud-nks"] == "synced"


def test_it_gives_its_root_to_every_namespace_but_kubernetes_own(kt: Cluster) -> None:
    kt.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})
    kt.settle()
    given = {
        item["metadata"]["namespace"]
        for item in kt.store.of("ConfigMap")
        if item["metadata"]["name"] == ROOTS
    }
    assert given == {"default", "istio-system", "kube-system", "new"}
    root = dump_certificates([kt.istiods.running()[0].issuer.root]).decode()
    assert kt.get("ConfigMap", ROOTS, "new")["data"] == {"root-cert.pem": root}


def test_it_fills_the_webhooks_with_its_root(kt: Cluster) -> None:
    hooks = [
        hook
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
        for item in kt.store.of(kind)
        for hook in item["webhooks"]
    ]
    root = base64.b64encode(dump_certificates([kt.istiods.running()[0].issuer.root])).decode()
    assert {hook["clientConfig"]["caBundle"] for hook in hooks} == {root}


def cacerts(cluster: Cluster, root_name: str) -> None:
    data = ca_certs("kt", root_name).secret_data()
    cluster.edit(cluster.get("Secret", "cacerts", SYSTEM), lambda item: item.update(data=data))


def test_without_cacerts_istiod_signs_with_its_own_ca_until_a_restart(kt: Cluster) -> None:
    kt.delete(kt.get("Secret", "cacerts", SYSTEM))
    (pod,) = [pod for pod in kt.store.of("Pod", SYSTEM) if pod["metadata"]["labels"]["app"] == "istiod"]
    kt.delete(pod)
    kt.settle()
    (istiod,) = kt.istiods.running()
    assert istiod.self_signed
    data = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": SYSTEM}}
    kt.make({**data, "data": ca_certs("kt").secret_data()})
    kt.settle()
    assert istiod.self_signed
    kt.delete(istiod.pod)
    kt.settle()
    assert kt.istiods.running()[0].issuer.certificate == authority("kt").certificate


def test_istiod_keeps_its_ca_if_cacerts_is_unusable(kt: Cluster) -> None:
    before = kt.istiods.running()[0].issuer
    kt.edit(kt.get("Secret", "cacerts", SYSTEM), lambda item: item["data"].pop("ca-key.pem"))
    kt.settle()
    assert kt.istiods.running()[0].issuer is before


def test_a_new_root_is_taken_up_while_it_may_have_several(kt: Cluster) -> None:
    cacerts(kt, "another")
    kt.settle()
    assert kt.istiods.running()[0].issuer.certificate == authority("kt", "another").certificate


def test_istio_resources_are_refused_without_their_validating_webhook(kt: Cluster) -> None:
    (pod,) = [pod for pod in kt.store.of("Pod", SYSTEM) if pod["metadata"]["labels"]["app"] == "istiod"]
    kt.stuck["istiod"] = "CrashLoopBackOff"
    kt.delete(pod)
    kt.settle()
    gateway = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "one"}}
    answer = call(kt, "POST", "/apis/networking.istio.io/v1/namespaces/default/gateways", gateway)
    assert answer.code == 500
    assert 'no endpoints available for service "istiod"' in answer.body["message"]


@pytest.fixture
def kube(installed: Mesh) -> Iterator[Kube]:
    """kt as istio-mc itself reaches it."""
    document = yaml.safe_load(installed.kubeconfig.read_text())
    found = {key: document[key][:1] for key in ("clusters", "users", "contexts")}
    made = Kube("kt", {**document, **found})
    yield made
    made.close()


def istiod_pod(kube: Kube) -> dict[str, Any]:
    (pod,) = kube.list(objects.POD, SYSTEM, labels="app=istiod")
    return pod


def test_its_endpoints_answer_through_a_port_forward(kube: Kube) -> None:
    pod = istiod_pod(kube)
    assert {row.cluster_id: row.status for row in clusterz(kube, pod)} == {
        "kt-k2p": "synced",
        "ncloud-nks": "synced",
        "nhn-nks": "synced",
    }
    assert [proxy.cluster_id for proxy in syncz(kube, pod)] == ["kt-k2p"]


def test_it_shows_a_certificate_of_the_ca_it_signs_with(kube: Kube, installed: Mesh) -> None:
    issuer = installed["kt"].istiods.running()[0].issuer
    shown = serving(kube, istiod_pod(kube)).certificate
    shown.verify_directly_issued_by(issuer.certificate)
