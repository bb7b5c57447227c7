"""link: remote secrets by istiod's rules, and API servers behind a proxy."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from istio_mc.domain.istio.documents import READER_TOKEN_SECRET
from tests.support.self_signed import self_signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
NHN = "istio-remote-secret-nhn-nks"
NCLOUD = "istio-remote-secret-ncloud-nks"


def edited(mesh: Mesh, edit: Callable[[dict[str, Any], dict[str, Any]], object], context: str = "kt") -> None:
    """Has a cluster hold another remote secret of nhn: `edit` changes the entries of cluster and user."""
    secret = mesh[context].get("Secret", NHN, SYSTEM)
    kubeconfig = yaml.safe_load(base64.b64decode(secret["data"]["nhn-nks"]))
    edit(kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"])
    data = {"nhn-nks": base64.b64encode(yaml.safe_dump(kubeconfig).encode()).decode()}
    mesh[context].edit(secret, lambda found: found.update(data=data))


def accepted(cluster: dict[str, Any], _user: dict[str, Any]) -> None:
    del cluster["certificate-authority-data"]
    cluster["insecure-skip-tls-verify"] = True


def together(mesh: Mesh) -> None:
    """Has kt hold its remote secrets in one Secret, under a name of its own."""
    found = [mesh["kt"].get("Secret", name, SYSTEM) for name in (NHN, NCLOUD)]
    for name in (NHN, NCLOUD):
        mesh["kt"].delete(mesh["kt"].get("Secret", name, SYSTEM))
    labels = {"istio/multiCluster": "true"}
    mesh["kt"].make(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "remotes", "namespace": SYSTEM, "labels": labels},
            "data": found[0]["data"] | found[1]["data"],
        }
    )


def link_errors(mesh: Mesh) -> list[tuple[str, str | None]]:
    return mesh.run("verify", "--only", "link", "-o", "json").errors


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_remote_secret_that_istiod_accepts_is_left_as_it_is(installed: Mesh) -> None:
    edited(installed, accepted)
    before = installed["kt"].get("Secret", NHN, SYSTEM)["data"]
    assert link_errors(installed) == []
    assert installed.run("link", "-o", "json").exits(0).cluster("kt")["status"] == "unchanged"
    assert installed["kt"].get("Secret", NHN, SYSTEM)["data"] == before


def test_a_remote_secret_that_istiod_refuses_is_written_again(installed: Mesh) -> None:
    edited(installed, lambda _cluster, user: user.update(tokenFile="/var/run/token"))
    assert ("remote-secret-unusable", "kt") in link_errors(installed)
    assert installed.run("link", "-o", "json").exits(0).cluster("kt")["remoteSecrets"] == [NHN]
    assert ("remote-secret-unusable", "kt") not in link_errors(installed)


def test_one_secret_for_all_clusters_is_left_as_it_is(installed: Mesh) -> None:
    together(installed)
    assert link_errors(installed) == []
    assert installed.run("link", "-o", "json").exits(0).cluster("kt")["status"] == "unchanged"


def test_a_cluster_that_leaves_is_taken_out_of_a_secret_of_several(installed: Mesh) -> None:
    together(installed)
    result = installed.run("uninstall", "--contexts", "nhn", "--yes", "-o", "json").exits(3)
    assert result.errors == [("rotation-not-replaced", "kt")]  # its token of ncloud, which nhn knew, stays
    assert list(installed["kt"].get("Secret", "remotes", SYSTEM)["data"]) == ["ncloud-nks"]


def test_pruning_removes_a_key_and_leaves_those_that_belong(installed: Mesh) -> None:
    secret = installed["kt"].get("Secret", NHN, SYSTEM)
    installed["kt"].edit(secret, lambda found: found["data"].update(gone=found["data"]["nhn-nks"]))
    done = installed.run("link", "--prune", "--yes", "-o", "json").exits(0).cluster("kt")
    assert done["pruned"] == [f"{NHN} (key gone)"]
    assert list(installed["kt"].get("Secret", NHN, SYSTEM)["data"]) == ["nhn-nks"]


def written(mesh: Mesh, context: str = "kt") -> dict[str, Any]:
    """The cluster's entry of the remote secret of nhn."""
    data = mesh[context].get("Secret", NHN, SYSTEM)["data"]
    found: dict[str, Any] = yaml.safe_load(base64.b64decode(data["nhn-nks"]))["clusters"][0]["cluster"]
    return found


def test_the_ca_and_name_of_a_proxy_are_written_where_they_are_given(installed: Mesh) -> None:
    ca = self_signed("proxy").certificate
    (installed.folder / "proxy.pem").write_bytes(ca)
    flags = ("--api-server-ca", "nhn=proxy.pem", "--api-server-name", "nhn=proxy.example")
    planned = installed.run("link", "--dry-run", *flags, "-o", "json").exits(0)
    assert planned.cluster("kt")["remoteSecrets"] == [NHN]
    installed.run("link", *flags).exits(0)
    entry = written(installed)
    assert (base64.b64decode(entry["certificate-authority-data"]), entry["tls-server-name"]) == (
        ca,
        "proxy.example",
    )
    assert entry["server"] == installed.url("nhn")
    assert installed.run("link", *flags, "-o", "json").exits(0).cluster("kt")["status"] == "unchanged"


def test_mesh_yaml_has_the_same_effect_without_naming_the_server(installed: Mesh) -> None:
    (installed.folder / "proxy.pem").write_bytes(self_signed("proxy").certificate)
    clusters = [{"context": name} for name in ("kt", "ncloud")]
    installed.settings(clusters=[*clusters, {"context": "nhn", "apiServer": {"caFile": "proxy.pem"}}])
    assert installed.run("link", "-o", "json").exits(0).cluster("kt")["remoteSecrets"] == [NHN]
    assert written(installed)["server"] == installed.url("nhn")


def test_flags_that_cannot_be_used_are_all_reported_before_anything_is_touched(installed: Mesh) -> None:
    (installed.folder / "text.pem").write_text("no certificate")
    before = installed.snapshots()
    flags = ("--api-server-ca", "nhn=text.pem", "--api-server-ca", "kt=missing.pem")
    assert installed.run("link", *flags, "-o", "json").exits(2).errors == [
        ("certificate-unreadable", "nhn"),
        ("file-unreadable", "kt"),
    ]
    assert installed.run("link", "--api-server-ca", "kt", "-o", "json").exits(2).errors == [
        ("option-malformed", None)
    ]
    assert installed.snapshots() == before


def trusting(ca: str) -> Callable[[dict[str, Any]], None]:
    """Gives a token's Secret that CA."""

    def change(secret: dict[str, Any]) -> None:
        secret["data"]["ca.crt"] = ca

    return change


@pytest.mark.thorough
def test_link_carries_out_the_fix_that_verify_suggests_for_a_proxy(installed: Mesh) -> None:
    """The clusters give their service accounts another CA than that of what responds at their address."""
    other = self_signed("own").certificate
    for context in installed.names:
        secret = installed[context].get("Secret", READER_TOKEN_SECRET, SYSTEM)
        ca = base64.b64encode(other).decode()
        installed[context].edit(secret, trusting(ca))
    installed.run("link").exits(0)
    found = installed.run("verify", "--only", "link", "-o", "json").json["errors"]
    hints = [
        one["hint"] for one in found if one["code"] == "api-server-not-trusted" and one["cluster"] == "kt"
    ]
    assert any(hint.startswith("istio-mc link --api-server-ca nhn=FILE ") for hint in hints), hints
    kubeconfig = yaml.safe_load(installed.kubeconfig.read_text())
    entry = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
    (installed.folder / "FILE").write_bytes(base64.b64decode(entry))
    flags = [part for name in installed.names for part in ("--api-server-ca", f"{name}=FILE")]
    installed.run("link", *flags).exits(0)
    assert link_errors(installed) == []
