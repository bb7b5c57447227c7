"""ca-crl.pem in the Secret cacerts, which istiod reads since Istio 1.27: it is of others, and stays."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh

ALL = ("--contexts", "kt,ncloud,nhn")
CRL = base64.b64encode(b"-----BEGIN X509 CRL-----").decode()


def cacerts(cluster: Cluster) -> Object:
    return cluster.get("Secret", "cacerts", "istio-system")


def revoke(cluster: Cluster) -> None:
    """Puts revocation lists into cacerts, as their owner would."""
    cluster.edit(cacerts(cluster), lambda copy: copy["data"].update({"ca-crl.pem": CRL}))


def test_it_stays_where_a_damaged_secret_is_repaired(installed: Mesh) -> None:
    nhn = installed["nhn"]
    revoke(nhn)
    nhn.edit(cacerts(nhn), lambda copy: copy["data"].pop("ca-key.pem"))
    result = installed.run("install", *ALL, "-o", "json").exits(0)
    assert [step["name"] for step in result.cluster("nhn")["steps"]] == ["cacerts", "restart"]
    assert cacerts(nhn)["data"]["ca-crl.pem"] == CRL
    assert cacerts(nhn)["data"]["ca-key.pem"]


@pytest.mark.thorough
def test_it_stays_where_the_ca_is_replaced_by_one_under_another_root(installed: Mesh) -> None:
    nhn = installed["nhn"]
    revoke(nhn)
    before = cacerts(nhn)["data"]["ca-cert.pem"]
    installed.certs.rename(installed.folder / "before")
    installed.run("ca", "init").exits(0)
    installed.run("install", *ALL, "--replace-ca", "kt,ncloud,nhn").exits(0)
    assert cacerts(nhn)["data"]["ca-cert.pem"] != before
    assert cacerts(nhn)["data"]["ca-crl.pem"] == CRL


@pytest.mark.thorough
def test_it_stays_where_a_mesh_is_taken_over_and_then_installed(scripted: Mesh) -> None:
    nhn = scripted["nhn"]
    revoke(nhn)
    for verb in ("adopt", "install"):
        scripted.run(verb, *ALL).exits(0)
        assert cacerts(nhn)["data"]["ca-crl.pem"] == CRL


def test_no_ca_is_written_beside_lists_with_which_istiod_would_not_start(installed: Mesh) -> None:
    nhn = installed["nhn"]
    revoke(nhn)

    def upgrade(copy: Object) -> None:
        (container,) = copy["spec"]["template"]["spec"]["containers"]
        container["image"] = container["image"].replace("1.26.0", "1.31.0")

    nhn.edit(nhn.get("Deployment", "istiod", "istio-system"), upgrade)
    nhn.edit(cacerts(nhn), lambda copy: copy["data"].pop("ca-key.pem"))
    before = installed.snapshots()
    for words in (ALL, (*ALL, "--dry-run")):
        result = installed.run("install", *words, "-o", "json").exits(1)
        (error,) = result.json["errors"]
        assert (error["code"], error["cluster"]) == ("cacerts-crl", "nhn")
        assert (
            error["seen"]
            == "ca-crl.pem contains no revocation list signed by nhn-nks.intermediate.istio.io, root.istio.io"
        )
    assert installed.snapshots() == before
