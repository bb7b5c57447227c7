"""uninstall --contexts: how the clusters that stay are linked afterwards."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
import yaml

from istio_mc.ops.rotation import tokens as rotation
from tests.support import refusals
from tests.support.marks import in_thorough

if TYPE_CHECKING:
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
LEAVE = ("uninstall", "--contexts", "nhn", "--yes", "-o", "json")
OF_KT, OF_NHN = "istio-remote-secret-kt-k2p", "istio-remote-secret-nhn-nks"
ELSEWHERE = "https://kt.example:6443"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(rotation, "SETTLE_S", 0.3)
    monkeypatch.setattr(rotation, "_POLL_S", 0.05)
    monkeypatch.setattr(rotation, "PROPAGATION_S", 0.0)


def server_of_kt(mesh: Mesh, context: str) -> str:
    """Where a cluster's remote secret for kt reaches it."""
    kubeconfig = yaml.safe_load(
        base64.b64decode(mesh[context].get("Secret", OF_KT, SYSTEM)["data"]["kt-k2p"])
    )
    return str(kubeconfig["clusters"][0]["cluster"]["server"])


def test_a_cluster_is_reached_where_it_was_though_the_kubeconfig_has_another_address(
    installed: Mesh,
) -> None:
    installed.aliases["kt"] = ELSEWHERE
    installed.run("link", "--api-server", f"kt={ELSEWHERE}").exits(0)
    installed.run(*LEAVE).exits(0)
    assert server_of_kt(installed, "ncloud") == ELSEWHERE


def test_a_cluster_that_stays_under_an_address_of_this_machine_is_refused(installed: Mesh) -> None:
    for name in ("ncloud", "nhn"):
        installed[name].delete(installed[name].get("Secret", OF_KT, SYSTEM))
    flags = ("--kubeconfig", local(installed, "kt"))
    before = installed.snapshots()
    refused = installed.run(*LEAVE, *flags)
    assert refused.errors == [("api-server-for-us-only", "kt")]
    assert installed.snapshots() == before


def local(mesh: Mesh, context: str) -> str:
    """A kubeconfig that has a cluster's API server at 127.0.0.1."""
    document = yaml.safe_load(mesh.kubeconfig.read_text())
    for one in document["clusters"]:
        if one["name"] == mesh[context].cluster:
            one["cluster"]["server"] = f"https://127.0.0.1:{mesh[context].api.port}"
            one["cluster"]["tls-server-name"] = "127.1"
    path = mesh.folder / "local"
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o600)
    return str(path)


def test_a_leaving_cluster_can_have_such_an_address(installed: Mesh) -> None:
    installed.run(*LEAVE, "--kubeconfig", local(installed, "nhn")).exits(0)
    assert not installed["nhn"].has("Namespace", SYSTEM)


def test_mesh_yaml_that_still_names_it_is_a_warning(installed: Mesh) -> None:
    installed.settings(clusters=[{"context": name} for name in installed.names])
    assert installed.run(*LEAVE).exits(0).warnings == [("settings-name-it", None)]


@pytest.mark.parametrize("listed", [("kt", "ncloud"), *in_thorough(())])
def test_a_mesh_yaml_that_does_not_name_it_is_none(installed: Mesh, listed: tuple[str, ...]) -> None:
    installed.settings(clusters=[{"context": name} for name in listed])
    result = installed.run(*LEAVE).exits(0)
    assert result.warnings == []
    assert not installed["nhn"].has("Namespace", SYSTEM)
    assert installed["kt"].has("Deployment", "istiod", SYSTEM)


def test_a_remote_secret_that_is_not_of_the_cluster_that_leaves_stays(installed: Mesh) -> None:
    kt = installed["kt"]
    metadata = {"name": "of-others", "namespace": SYSTEM, "labels": {"istio/multiCluster": "true"}}
    kt.make({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"other": "e30="}})
    installed.run(*LEAVE).exits(0)
    assert kt.has("Secret", "of-others", SYSTEM)
    assert not kt.has("Secret", OF_NHN, SYSTEM)


@pytest.mark.parametrize("going", ["nhn", *in_thorough("kt")])
def test_only_the_gateway_resource_of_the_leaving_cluster_is_deleted(installed: Mesh, going: str) -> None:
    ncloud = installed["ncloud"]
    for one in ("kt-k2p", "nhn-nks"):
        ncloud.make(
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "metadata": {
                    "name": f"istio-remote-{one}",
                    "namespace": SYSTEM,
                    "labels": {
                        "app.kubernetes.io/managed-by": "istio-mc",
                        "istio-mc/cluster-id": one,
                    },
                },
                "spec": {"gatewayClassName": "istio-remote", "listeners": []},
            }
        )
    result = installed.run("uninstall", "--contexts", going, "--yes", "-o", "json").exits(0)
    gone = {"kt": "istio-remote-kt-k2p", "nhn": "istio-remote-nhn-nks"}
    assert f"Gateway {SYSTEM}/{gone[going]}" in result.cluster("ncloud")["removed"]
    left = {"kt": "istio-remote-nhn-nks", "nhn": "istio-remote-kt-k2p"}
    assert [name for name in ncloud.names("Gateway", SYSTEM) if name.startswith("istio-remote")] == [
        left[going]
    ]


class TestAClusterThatDidNotRespondOnce:
    """It is an error of this run, though it may respond later: what is done fits what was seen."""

    def unwell_once(self, mesh: Mesh) -> None:
        mesh["nhn"].faults.refuse(refusals.internal("etcd"), "GET", path=f"/namespaces/{SYSTEM}$", times=1)

    def test_where_the_whole_mesh_goes(self, installed: Mesh) -> None:
        self.unwell_once(installed)
        result = installed.run("uninstall", "--yes", "-o", "json").exits(3)
        assert [cluster for _, cluster in result.errors] == ["nhn"]
        assert installed["nhn"].has("Deployment", "istiod", SYSTEM)

    def test_where_it_is_to_leave(self, installed: Mesh) -> None:
        self.unwell_once(installed)
        result = installed.run(*LEAVE).exits(3)
        assert [cluster for _, cluster in result.errors] == ["nhn"]
        assert ("context-skipped", "nhn") not in result.warnings
        assert installed["nhn"].has("Deployment", "istiod", SYSTEM)

    def test_where_it_is_to_leave_and_no_other_is_linked_with_it(self, installed: Mesh) -> None:
        for name in ("kt", "ncloud"):
            installed[name].delete(installed[name].get("Secret", OF_NHN, SYSTEM))
        self.unwell_once(installed)
        result = installed.run(*LEAVE).exits(3)
        assert [cluster for _, cluster in result.errors] == ["nhn"]
        assert ("context-skipped", "nhn") not in result.warnings
