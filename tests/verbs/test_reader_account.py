"""A reader account that Istio's charts do not make (values of 1.30 and 1.31): install to uninstall."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from tests.support.fixtures import made_once
from tests.support.istioctl_serving import bin_dir
from tests.support.recording import NO_READER, READER

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
ALL = ("--contexts", "kt,ncloud,nhn")
VERSION = "1.31.0"
RBAC = "rbac.authorization.k8s.io"
USUAL = "istio-reader-service-account"
TOKEN = "-istio-remote-secret-token"  # noqa: S105 - the end of a Secret's name


class Case(NamedTuple):
    """Values, and the account that others make because of them."""

    values: Object
    account: str
    has_rights: bool
    """Whether the charts give it its rights."""

    def run(self, mesh: Mesh, *words: str) -> Result:
        mesh.settings(istio={"version": VERSION}, values=self.values)
        return mesh.run(*words, ISTIO_MC_BIN_DIR=str(bin_dir(VERSION)))

    def make(self, cluster: Cluster) -> None:
        """What others do before an install."""
        metadata = {"name": self.account, "namespace": SYSTEM}
        for document in (
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            *([] if self.has_rights else self.rights()),
        ):
            cluster.make(document)

    def rights(self) -> list[Object]:
        rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
        role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "ours"}
        subject = {"kind": "ServiceAccount", "name": self.account, "namespace": SYSTEM}
        made = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": "ours"}}
        return [
            {**made, "kind": "ClusterRole", "rules": rules},
            {**made, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]},
        ]


CASES = pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(READER, "reader", has_rights=True), id="named"),
        pytest.param(Case(NO_READER, USUAL, has_rights=False), id="no RBAC", marks=pytest.mark.thorough),
    ],
)


def install(mesh: Mesh, case: Case) -> None:
    made_once(mesh, ("reader account", case.account), lambda: install_first(mesh, case))


def install_first(mesh: Mesh, case: Case) -> None:
    for cluster in mesh.clusters.values():
        case.make(cluster)
    case.run(mesh, "install", *ALL).exits(0)


def faults(mesh: Mesh, *words: str) -> list[str]:
    """The checks of links that verify says are no passes."""
    result = mesh.run("verify", "--only", "link", "-o", "json", *words).exits(0)
    return [one["id"] for one in result.data["checks"] if one["verdict"] != "ok"]


def reader_of(secret: Object, peer: Cluster) -> tuple[str, str]:
    """The account of a cluster that a remote secret reads it with."""
    (value,) = secret["data"].values()
    token = yaml.safe_load(base64.b64decode(value))["users"][0]["user"]["token"]
    return peer.tokens[token]


@CASES
def test_an_install_without_the_reader_account_changes_nothing_and_suggests_its_creation(
    mesh: Mesh, case: Case
) -> None:
    before = mesh.snapshots()
    result = case.run(mesh, "install", *ALL, "-o", "json").exits(1)
    assert result.errors == [("reader-account-missing", name) for name in mesh.names]
    assert mesh.snapshots() == before
    hint = result.json["errors"][0]["hint"]
    assert hint.startswith(
        "kubectl --context kt create namespace istio-system and "
        f"kubectl --context kt -n istio-system create serviceaccount {case.account} "
    )


@CASES
def test_links_read_with_it_and_a_second_install_changes_nothing(mesh: Mesh, case: Case) -> None:
    install(mesh, case)
    kt, nhn = mesh["kt"], mesh["nhn"]
    secret = nhn.get("Secret", "istio-remote-secret-kt-k2p", SYSTEM)
    assert reader_of(secret, kt) == (SYSTEM, case.account)
    assert nhn.has("Secret", case.account + TOKEN, SYSTEM)
    assert nhn.has("ClusterRoleBinding", "istio-reader-clusterrole-istio-system") is case.has_rights
    assert faults(mesh) == []
    before = mesh.writes
    case.run(mesh, "install", *ALL).exits(0)
    case.run(mesh, "link").exits(0)
    assert mesh.writes == before


@CASES
def test_without_the_values_at_hand_the_mesh_is_read_and_linked_with_it(mesh: Mesh, case: Case) -> None:
    install(mesh, case)
    kt, nhn = mesh["kt"], mesh["nhn"]
    (mesh.folder / "mesh.yaml").unlink()
    nhn.delete(nhn.get("Secret", "istio-remote-secret-kt-k2p", SYSTEM))
    mesh.run("link").exits(0)
    assert reader_of(nhn.get("Secret", "istio-remote-secret-kt-k2p", SYSTEM), kt) == (SYSTEM, case.account)
    assert faults(mesh) == []


@CASES
def test_a_cluster_that_leaves_gets_no_token_that_still_works(mesh: Mesh, case: Case) -> None:
    install(mesh, case)
    nhn = mesh["nhn"]
    old = set(nhn.tokens)
    case.run(mesh, "uninstall", "--contexts", "kt", "--yes").exits(0)
    assert set(nhn.tokens.values()) == {(SYSTEM, case.account)}
    assert not old & set(nhn.tokens)
    assert faults(mesh) == []


@CASES
@pytest.mark.parametrize("values_at_hand", [pytest.param(True, marks=pytest.mark.thorough), False])
def test_an_uninstall_leaves_what_others_made_and_nothing_else(
    mesh: Mesh, case: Case, *, values_at_hand: bool
) -> None:
    for cluster in mesh.clusters.values():
        case.make(cluster)
    before = {name: set(found) for name, found in mesh.snapshots().items()}
    case.run(mesh, "install", *ALL).exits(0)
    uninstalling = case if values_at_hand else Case({}, "", has_rights=True)
    uninstalling.run(mesh, "uninstall", "--yes").exits(0)
    assert {name: set(found) for name, found in mesh.snapshots().items()} == before


@pytest.mark.thorough
def test_a_mesh_that_changes_to_the_account_is_linked_with_it(mesh: Mesh) -> None:
    Case({}, "", has_rights=True).run(mesh, "install", *ALL).exits(0)
    case = Case(READER, "reader", has_rights=True)
    for cluster in mesh.clusters.values():
        cluster.make(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "reader", "namespace": SYSTEM},
            }
        )
    case.run(mesh, "install", *ALL).exits(0)
    secret = mesh["nhn"].get("Secret", "istio-remote-secret-kt-k2p", SYSTEM)
    assert reader_of(secret, mesh["kt"]) == (SYSTEM, "reader")


def test_an_account_that_is_gone_is_reported_at_once(mesh: Mesh) -> None:
    case = Case(READER, "reader", has_rights=True)
    install(mesh, case)
    nhn = mesh["nhn"]
    nhn.delete(nhn.get("ServiceAccount", "reader", SYSTEM))
    nhn.settle()
    result = case.run(mesh, "link", "-o", "json").exits(3)
    (error,) = result.json["errors"]
    assert (error["code"], error["cluster"]) == ("no-reader-token", "nhn")
    assert error["seen"] == f"Secret reader{TOKEN} is gone"
