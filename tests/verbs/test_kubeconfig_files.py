"""PILOT_MULTICLUSTER_KUBECONFIG_PATH (Istio 1.30 and newer): an istiod that reads kubeconfigs from files."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fixtures import made_once
from tests.support.istioctl_serving import bin_dir
from tests.support.recording import KUBECONFIGS

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
ALL = ("--contexts", "kt,ncloud,nhn")
FOLDER = "/var/run/remote-kubeconfigs"
FILES = "remote-kubeconfigs"
IDS = {"kt": "kt-k2p", "ncloud": "ncloud-nks", "nhn": "nhn-nks"}
REMOTE = "istio-remote-secret-"
KT_READS_FILES: list[Object] = [
    {"context": "kt", "values": KUBECONFIGS},
    {"context": "ncloud"},
    {"context": "nhn"},
]


def run(mesh: Mesh, *words: str) -> Result:
    """A run that needs the istioctl of this version."""
    return mesh.run(*words, ISTIO_MC_BIN_DIR=str(bin_dir("1.31.0")))


def remote_secrets(cluster: Cluster) -> list[str]:
    return [name for name in cluster.names("Secret", SYSTEM) if name.startswith(REMOTE)]


def keep_as_files(cluster: Cluster) -> None:
    """Has what the remote secrets hold in a Secret that istiod mounts, and no remote secret."""
    files: dict[str, str] = {}
    for name in remote_secrets(cluster):
        secret = cluster.get("Secret", name, SYSTEM)
        files |= {f"{cluster_id}.yaml": value for cluster_id, value in secret["data"].items()}
        cluster.delete(secret)
    metadata = {"name": FILES, "namespace": SYSTEM}
    cluster.make({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": files})


@pytest.fixture
def mixed(mesh: Mesh) -> Mesh:
    """A mesh in which istiod of kt reads files, and those of the others read remote secrets."""
    made_once(mesh, "kubeconfig files", lambda: install_mixed(mesh))
    return mesh


def install_mixed(mesh: Mesh) -> None:
    mesh.settings(istio={"version": "1.31.0"})
    run(mesh, "install", *ALL).exits(0)
    keep_as_files(mesh["kt"])
    mesh.settings(istio={"version": "1.31.0"}, clusters=KT_READS_FILES)
    run(mesh, "install").exits(0)


def synced(cluster: Cluster) -> dict[str, str]:
    (istiod,) = cluster.istiods.running()
    rows = cluster.istiods.clusterz(istiod)
    return {row["id"]: row["secretName"] for row in rows if row["syncStatus"] == "synced"}


def links(mesh: Mesh) -> dict[str, dict[str, Any]]:
    """The checks of links that verify makes of kt and a peer, by check and peer."""
    result = mesh.run("verify", "--only", "link", "-o", "json").exits(0)
    pairs = [one for one in result.data["checks"] if one["peer"] and one["cluster"] == "kt"]
    return {f"{one['id']} {one['peer']}": one for one in pairs}


def failed(mesh: Mesh) -> list[tuple[str, str, str | None]]:
    """The checks of links that fail, with their clusters."""
    result = mesh.run("verify", "--only", "link", "-o", "json").exits(4)
    found = [one for one in result.data["checks"] if one["verdict"] == "failed"]
    return [(one["id"], one["cluster"], one["peer"]) for one in found]


def test_an_install_writes_no_remote_secret_where_istiod_reads_none(mixed: Mesh) -> None:
    assert remote_secrets(mixed["kt"]) == []
    assert synced(mixed["kt"]) == {"kt-k2p": "", "ncloud-nks": "/ncloud-nks", "nhn-nks": "/nhn-nks"}
    assert remote_secrets(mixed["nhn"]) == [f"{REMOTE}kt-k2p", f"{REMOTE}ncloud-nks"]
    before = mixed.writes
    run(mixed, "install").exits(0)
    assert mixed.writes == before


@pytest.mark.parametrize("has_settings", [True, False])
def test_link_writes_none_there_and_those_that_lack_elsewhere(mixed: Mesh, *, has_settings: bool) -> None:
    nhn = mixed["nhn"]
    nhn.delete(nhn.get("Secret", f"{REMOTE}kt-k2p", SYSTEM))
    if not has_settings:
        (mixed.folder / "mesh.yaml").unlink()
    result = mixed.run("link", "-o", "json").exits(0)
    assert [one["status"] for one in result.data["clusters"]] == ["unchanged", "unchanged", "changed"]
    assert result.cluster("kt")["kubeconfigFolder"] == FOLDER
    assert remote_secrets(mixed["kt"]) == []
    assert f"istiod reads kubeconfigs in {FOLDER}" in mixed.run("link").exits(0).stdout


def test_verify_has_no_fault_for_that_and_reports_the_skipped_probes(mixed: Mesh) -> None:
    found = links(mixed)
    assert {one["verdict"] for one in found.values()} == {"ok", "unknown"}
    for check in ("link.secret", "link.usable", "link.named", "link.unique"):
        assert found[f"{check} nhn"]["seen"] == f"not needed: istiod reads kubeconfigs in {FOLDER}"
    assert found["link.synced nhn"]["verdict"] == "ok"
    for check in ("link.address", "link.token", "link.rights"):
        assert found[f"{check} nhn"]["verdict"] == "unknown"
    drift = run(mixed, "verify", "--only", "drift", "-o", "json").exits(0)
    assert {one["verdict"] for one in drift.data["checks"]} == {"ok"}


def test_verify_still_reports_a_cluster_that_no_file_names(mixed: Mesh) -> None:
    kt = mixed["kt"]
    kt.edit(kt.get("Secret", FILES, SYSTEM), lambda copy: copy["data"].pop("nhn-nks.yaml"))
    assert failed(mixed) == [("link.synced", "kt", "nhn")]


def test_verify_reports_a_file_of_a_cluster_that_is_not_a_member(mixed: Mesh) -> None:
    kt = mixed["kt"]
    value = kt.get("Secret", FILES, SYSTEM)["data"]["nhn-nks.yaml"]
    other = base64.b64encode(base64.b64decode(value).replace(b"nhn-nks", b"other")).decode()
    kt.edit(kt.get("Secret", FILES, SYSTEM), lambda copy: copy["data"].update({"other.yaml": other}))
    assert failed(mixed) == [("link.members", "kt", None)]


def test_an_istiod_without_support_for_the_variable_still_needs_remote_secrets(installed: Mesh) -> None:
    kt = installed["kt"]
    variable = {"name": "PILOT_MULTICLUSTER_KUBECONFIG_PATH", "value": FOLDER}

    def change(copy: Object) -> None:
        copy["spec"]["template"]["spec"]["containers"][0]["env"].append(variable)

    kt.edit(kt.get("Deployment", "istiod", SYSTEM), change)
    kt.delete(kt.get("Secret", f"{REMOTE}nhn-nks", SYSTEM))
    assert ("link.secret", "kt", "nhn") in failed(installed)
    installed.run("link").exits(0)
    assert kt.has("Secret", f"{REMOTE}nhn-nks", SYSTEM)


def test_status_shows_the_clusters_that_files_name(mixed: Mesh) -> None:
    shown = mixed.run("status", "-o", "json").exits(0).cluster("kt")["remoteSecrets"]
    assert shown == [
        {"name": FOLDER, "clusterId": "ncloud-nks", "status": "synced"},
        {"name": FOLDER, "clusterId": "nhn-nks", "status": "synced"},
    ]


def test_a_first_install_waits_for_no_file_and_reports_their_location(mesh: Mesh) -> None:
    mesh.settings(istio={"version": "1.31.0"}, values=KUBECONFIGS)
    result = run(mesh, "install", *ALL, "-o", "json").exits(0)
    messages = [one for one in result.json["messages"] if one["code"] == "not-synced"]
    assert [one["cluster"] for one in messages] == ["kt", "ncloud", "nhn"]
    assert FOLDER in messages[0]["hint"]
    assert remote_secrets(mesh["kt"]) == []
    assert mesh["kt"].tokens == {}


def test_a_cluster_that_leaves_takes_no_token_from_files_of_those_that_stay(mixed: Mesh) -> None:
    ncloud = mixed["ncloud"]
    old = set(ncloud.tokens)
    result = run(mixed, "uninstall", "--contexts", "nhn", "--yes", "-o", "json").exits(0)
    assert old <= set(ncloud.tokens)
    assert synced(mixed["kt"])["ncloud-nks"] == "/ncloud-nks"
    kept = next(one for one in result.json["messages"] if one["code"] == "tokens-kept")
    assert kept["message"] == "tokens of ncloud in nhn still work"
    assert f"kt ({FOLDER})" in kept["seen"]
