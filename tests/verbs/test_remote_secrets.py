"""link: every istiod gets a remote secret of every other cluster, and no other."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import yaml

from tests.support import refusals
from tests.support.snapshots import changed

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
ALL = ("kt-k2p", "ncloud-nks", "nhn-nks")
OF_NHN = "istio-remote-secret-nhn-nks"
READER = "istio-reader-service-account-istio-remote-secret-token"
REMOTE = {"istio/multiCluster": "true"}


def synced(one: Cluster) -> dict[str, str]:
    (istiod,) = one.istiods.running()
    return {row["id"]: row["syncStatus"] for row in one.istiods.clusterz(istiod)}


def remote_secret(name: str, key: str, content: bytes = b"{}") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM, "labels": REMOTE},
        "data": {key: base64.b64encode(content).decode()},
    }


def test_a_whole_mesh_is_left_unchanged(installed: Mesh) -> None:
    before = installed.writes
    installed.run("link").exits(0)
    assert installed.writes == before
    assert [one.faults.writes for one in installed.clusters.values()] == [[], [], []]


def test_known_defects_of_istiods_are_reported_once_for_all_clusters(installed: Mesh) -> None:
    (problem,) = installed.run("link", "-o", "json").exits(0).json["messages"]
    assert (problem["code"], problem["cluster"]) == ("istio-defects", None)
    assert "1.26.0 (kt, ncloud, nhn)" in problem["seen"]


def test_a_missing_remote_secret_is_written_and_nothing_else(installed: Mesh) -> None:
    kt = installed["kt"]
    kt.delete(kt.get("Secret", OF_NHN, SYSTEM))
    before = installed.snapshots()
    data = installed.run("link", "-o", "json").exits(0)
    after = installed.snapshots()
    assert [name.split()[-1] for name in changed(before["kt"], after["kt"])] == [f"{SYSTEM}/{OF_NHN}"]
    assert changed(before["ncloud"], after["ncloud"]) == changed(before["nhn"], after["nhn"]) == []
    assert data.code == 0


def test_a_dry_run_writes_nothing(installed: Mesh) -> None:
    kt = installed["kt"]
    kt.delete(kt.get("Secret", OF_NHN, SYSTEM))
    before = installed.writes
    installed.run("link", "--dry-run").exits(0)
    assert installed.writes == before


def test_a_token_that_is_accepted_no_more_is_replaced_everywhere(installed: Mesh) -> None:
    nhn = installed["nhn"]
    nhn.delete(nhn.get("Secret", READER, SYSTEM))
    installed.run("link").exits(0)
    for name in ("kt", "ncloud"):
        assert synced(installed[name]) == dict.fromkeys(ALL, "synced")


class TestPrune:
    def test_a_remote_secret_of_no_member_stays_without_it(self, installed: Mesh) -> None:
        installed["kt"].make(remote_secret("istio-remote-secret-gone", "gone"))
        installed.run("link").exits(0)
        assert installed["kt"].has("Secret", "istio-remote-secret-gone", SYSTEM)

    def test_a_remote_secret_of_no_member_goes_with_it(self, installed: Mesh) -> None:
        installed["kt"].make(remote_secret("istio-remote-secret-gone", "gone"))
        installed.run("link", "--prune", "--yes").exits(0)
        assert not installed["kt"].has("Secret", "istio-remote-secret-gone", SYSTEM)
        assert installed["kt"].has("Secret", OF_NHN, SYSTEM)

    def test_it_is_confirmed_first(self, installed: Mesh) -> None:
        installed["kt"].make(remote_secret("istio-remote-secret-gone", "gone"))
        refused = installed.run("link", "--prune", "-o", "json").exits(2)
        assert refused.errors == [("not-confirmed", None)]
        assert installed["kt"].has("Secret", "istio-remote-secret-gone", SYSTEM)

    def test_a_dry_run_names_it_and_leaves_it(self, installed: Mesh) -> None:
        installed["kt"].make(remote_secret("istio-remote-secret-gone", "gone"))
        dry_run = installed.run("link", "--prune", "--dry-run", "-o", "json").exits(0)
        assert "istio-remote-secret-gone" in str(dry_run.cluster("kt"))
        assert installed["kt"].has("Secret", "istio-remote-secret-gone", SYSTEM)

    def test_of_two_for_one_cluster_the_right_one_stays(self, installed: Mesh) -> None:
        kt = installed["kt"]
        content = base64.b64decode(kt.get("Secret", OF_NHN, SYSTEM)["data"]["nhn-nks"])
        kt.make(remote_secret("of-somebody", "nhn-nks", content))
        installed.run("link", "--prune", "--yes").exits(0)
        assert not kt.has("Secret", "of-somebody", SYSTEM)
        assert kt.has("Secret", OF_NHN, SYSTEM)

    def test_a_secret_without_the_label_is_none_of_its_business(self, installed: Mesh) -> None:
        secret = remote_secret("of-others", "gone")
        secret["metadata"]["labels"] = {}
        installed["kt"].make(secret)
        installed.run("link", "--prune", "--yes").exits(0)
        assert installed["kt"].has("Secret", "of-others", SYSTEM)

    def test_a_named_member_that_does_not_answer_is_still_a_member(self, installed: Mesh) -> None:
        installed.cut("nhn")
        result = installed.run("link", "--prune", "--yes", "--contexts", "kt,ncloud,nhn", "-o", "json")
        assert [cluster for _, cluster in result.exits(3).errors] == ["nhn"]
        assert installed["kt"].has("Secret", OF_NHN, SYSTEM)

    def test_a_member_of_mesh_yaml_that_does_not_answer_is_still_a_member(self, installed: Mesh) -> None:
        installed["kt"].make(remote_secret("istio-remote-secret-gone", "gone"))
        installed.cut("nhn")
        result = installed.run("link", "--prune", "--yes", "-o", "json")
        assert [cluster for _, cluster in result.exits(3).errors] == ["nhn"]
        assert result.cluster("kt")["pruned"] == ["istio-remote-secret-gone"]
        assert installed["kt"].has("Secret", OF_NHN, SYSTEM)

    def test_a_member_that_is_not_named_keeps_its_remote_secrets(self, installed: Mesh) -> None:
        installed.run("link", "--prune", "--yes", "--contexts", "kt,ncloud").exits(0)
        assert installed["kt"].has("Secret", OF_NHN, SYSTEM)


class TestWhereAClusterDoesNotAnswer:
    def test_the_others_are_linked(self, installed: Mesh) -> None:
        kt = installed["kt"]
        kt.delete(kt.get("Secret", "istio-remote-secret-ncloud-nks", SYSTEM))
        installed.cut("nhn")
        result = installed.run("link", "-o", "json").exits(3)
        assert [cluster for _, cluster in result.errors] == ["nhn"]
        assert kt.has("Secret", "istio-remote-secret-ncloud-nks", SYSTEM)

    def test_a_refused_write_is_that_clusters_error_alone(self, installed: Mesh) -> None:
        for name in ("kt", "ncloud"):
            one = installed[name]
            one.delete(one.get("Secret", OF_NHN, SYSTEM))
        refusal = refusals.Refused(500, "InternalError", "no")
        installed["kt"].faults.refuse(refusal, "PATCH", path="/secrets/")
        result = installed.run("link", "-o", "json").exits(3)
        assert [cluster for _, cluster in result.errors] == ["kt"]
        assert installed["ncloud"].has("Secret", OF_NHN, SYSTEM)


def test_a_token_that_kubernetes_never_writes_is_named_at_the_deadline(installed: Mesh) -> None:
    nhn = installed["nhn"]
    nhn.delete(nhn.get("Secret", READER, SYSTEM))
    nhn.controllers.held.add("tokens")
    result = installed.run("link", "-o", "json", "--timeout", "3s").exits(3)
    assert ("no-reader-token", "nhn") in result.errors


def test_the_secret_of_a_cluster_that_istiod_closed_is_deleted_and_created_again(installed: Mesh) -> None:
    kt = installed["kt"]
    document = yaml.safe_load(base64.b64decode(kt.get("Secret", OF_NHN, SYSTEM)["data"]["nhn-nks"]))
    document["users"][0]["user"]["exec"] = {"command": "aws"}
    bad = base64.b64encode(json.dumps(document).encode()).decode()
    kt.edit(kt.get("Secret", OF_NHN, SYSTEM), lambda copy: copy["data"].update({"nhn-nks": bad}))
    installed.settle()
    assert synced(kt)["nhn-nks"] == "closed"
    installed.run("link").exits(0)
    written = [one.method for one in kt.faults.writes if one.path.endswith(f"/{OF_NHN}")]
    assert written == ["DELETE", "PATCH"]
