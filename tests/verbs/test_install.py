"""install: one mesh of bare clusters, and nothing to do the second time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import refusals, world
from tests.support.fixtures import made_once
from tests.support.kept_values import VALUE, keep_a_value
from tests.support.snapshots import changed

if TYPE_CHECKING:
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

RECORDED = Path(__file__).parents[1] / "support/recorded"
THREE = "kt,ncloud,nhn"
SYSTEM = "istio-system"
NO = refusals.Refused(500, "InternalError", "no")


def steps(mesh_data: dict[str, object], name: str) -> list[str]:
    (cluster,) = [one for one in mesh_data["clusters"] if one["name"] == name]  # type: ignore[attr-defined]
    return [step["name"] for step in cluster["steps"]]


def test_every_cluster_gets_every_step(mesh: Mesh) -> None:
    data = mesh.run("install", "--contexts", THREE, "-o", "json").exits(0).data
    whole = ["namespace", "cacerts", "istio", "expose", "gateway-api", "link"]
    assert [steps(data, name) for name in mesh.names] == [whole, whole, whole]


def test_every_istiod_sees_every_other_cluster(installed: Mesh) -> None:
    for one in installed.clusters.values():
        (istiod,) = one.istiods.running()
        seen = {row["id"]: row["syncStatus"] for row in one.istiods.clusterz(istiod)}
        assert seen == dict.fromkeys(("kt-k2p", "ncloud-nks", "nhn-nks"), "synced")


def test_every_istiod_signs_with_a_ca_of_its_own_under_one_root(installed: Mesh) -> None:
    issuers = [one.istiods.running()[0].issuer for one in installed.clusters.values()]
    assert len({issuer.root for issuer in issuers}) == 1
    assert len({issuer.certificate for issuer in issuers}) == 3
    keys = [issuer.root.public_key() for issuer in issuers]
    curves = {key.curve.name for key in keys if isinstance(key, ec.EllipticCurvePublicKey)}
    assert (len(keys), curves) == (3, {"secp256r1"})  # as mesh.yaml has it


def test_a_second_run_changes_nothing(installed: Mesh) -> None:
    before = installed.snapshots()
    data = installed.run("install", "--contexts", THREE, "-o", "json").exits(0).data
    assert [steps(data, name) for name in installed.names] == [[], [], []]
    assert installed.snapshots() == before


def test_a_second_run_does_not_even_write_what_is_there_already(installed: Mesh) -> None:
    installed.run("install", "--contexts", THREE).exits(0)
    assert [one.faults.writes for one in installed.clusters.values()] == [[], [], []]


def test_a_dry_run_changes_nothing_in_the_clusters_or_on_disk(mesh: Mesh) -> None:
    before = mesh.snapshots()
    data = mesh.run("install", "--contexts", THREE, "--dry-run", "-o", "json").exits(0).data
    assert "istio" in steps(data, "kt")
    assert mesh.snapshots() == before
    assert not mesh.certs.exists()


def test_a_dry_run_shows_every_step_of_a_first_install(mesh: Mesh) -> None:
    data = mesh.run("install", "--contexts", THREE, "--dry-run", "-o", "json").exits(0).data
    shown = ["namespace", "cacerts", "istio", "expose", "gateway-api", "link"]
    assert [steps(data, name) for name in mesh.names] == [shown] * 3


def test_a_gateway_api_manifest_with_another_digest_than_mesh_yaml_pins_is_refused(mesh: Mesh) -> None:
    before = mesh.snapshots()
    manifest = str(RECORDED / "gateway-api.yaml")
    mesh.settings(gatewayAPI={"manifest": manifest, "sha256": "a" * 64})
    done = mesh.run("install", "--contexts", THREE, "-o", "json")
    assert {code for code, _ in done.errors} == {"checksum-mismatch"}
    assert mesh.snapshots() == before


def test_only_changed_objects_are_repaired(installed: Mesh) -> None:
    kt = installed["kt"]
    kt.edit(kt.get("Service", "istiod", SYSTEM), lambda item: item["spec"].update(selector={"app": "nobody"}))
    before = installed.snapshots()
    installed.run("install", "--contexts", THREE).exits(0)
    after = installed.snapshots()
    assert kt.get("Service", "istiod", SYSTEM)["spec"]["selector"]["app"] == "istiod"
    assert changed(before["ncloud"], after["ncloud"]) == changed(before["nhn"], after["nhn"]) == []


class TestAFailedStep:
    @pytest.fixture
    def result(self, mesh: Mesh) -> Result:
        def run() -> Result:
            mesh["kt"].faults.refuse(NO, "PATCH", path="/secrets/cacerts")
            return mesh.run("install", "--contexts", THREE, "-o", "json")

        return made_once(mesh, "cacerts that could not be written", run)

    def test_those_after_it_are_not_begun(self, mesh: Mesh, result: Result) -> None:
        assert {cluster for _, cluster in result.exits(3).errors} == {"kt"}
        assert mesh["kt"].has("Namespace", SYSTEM)
        assert not mesh["kt"].has("Deployment", "istiod", SYSTEM)
        assert steps(result.data, "kt") == ["namespace"]

    @pytest.mark.usefixtures("result")
    def test_the_other_clusters_are_finished_and_linked(self, mesh: Mesh) -> None:
        assert mesh["ncloud"].has("Secret", "istio-remote-secret-nhn-nks", SYSTEM)
        assert not mesh["ncloud"].has("Secret", "istio-remote-secret-kt-k2p", SYSTEM)

    @pytest.mark.usefixtures("result")
    def test_the_next_run_does_the_rest(self, mesh: Mesh) -> None:
        data = mesh.run("install", "--contexts", THREE, "-o", "json").exits(0).data
        assert steps(data, "kt") == ["cacerts", "istio", "expose", "gateway-api", "link"]
        assert steps(data, "nhn") == ["link"]


class TestCacertsThatWereRewritten:
    def test_a_running_istiod_is_restarted_after_them(self, installed: Mesh) -> None:
        kt = installed["kt"]
        before = set(kt.names("Pod", SYSTEM))
        kt.delete(kt.get("Secret", "cacerts", SYSTEM))
        data = installed.run("install", "--contexts", THREE, "-o", "json").exits(0).data
        kt.settle()
        assert steps(data, "kt") == ["cacerts", "restart"]
        istiods = {name for name in kt.names("Pod", SYSTEM) if name.startswith("istiod")}
        assert istiods
        assert not istiods & before

    def test_they_are_the_same_ca_again(self, installed: Mesh) -> None:
        kt = installed["kt"]
        before = kt.get("Secret", "cacerts", SYSTEM)["data"]
        kt.delete(kt.get("Secret", "cacerts", SYSTEM))
        installed.run("install", "--contexts", THREE).exits(0)
        assert kt.get("Secret", "cacerts", SYSTEM)["data"] == before


class TestAClusterUnderAnotherRoot:
    OTHER = world.ca_certs("nhn", "another")

    @pytest.fixture
    def two_roots(self, installed: Mesh) -> Mesh:
        nhn, data = installed["nhn"], self.OTHER.secret_data()
        nhn.edit(nhn.get("Secret", "cacerts", SYSTEM), lambda item: item.update(data=data))
        return installed

    def test_is_refused_until_it_is_named(self, two_roots: Mesh) -> None:
        refused = two_roots.run("install", "--contexts", THREE, "-o", "json").exits(1)
        assert refused.errors == [("roots-differ", None)]
        assert two_roots["nhn"].get("Secret", "cacerts", SYSTEM)["data"] == self.OTHER.secret_data()

    def test_gets_a_ca_under_the_root_of_the_others_where_it_is_named(self, two_roots: Mesh) -> None:
        words = ("install", "--contexts", THREE, "--replace-ca", "nhn", "-o", "json")
        planned = two_roots.run(*words, "--dry-run").exits(0).data
        data = two_roots.run(*words).exits(0).data
        assert steps(planned, "nhn") == steps(data, "nhn") == ["cacerts", "restart"]
        roots = {
            one.get("Secret", "cacerts", SYSTEM)["data"]["root-cert.pem"]
            for one in two_roots.clusters.values()
        }
        assert len(roots) == 1

    def test_keeps_what_its_secret_held_in_the_folder(self, two_roots: Mesh) -> None:
        two_roots.run("install", "--contexts", THREE, "--replace-ca", "nhn").exits(0)
        (kept,) = (two_roots.certs / "replaced").iterdir()
        assert (kept / "ca-key.pem").read_bytes() == self.OTHER.ca_key


class TestAClusterThatDoesNotAnswer:
    @pytest.mark.parametrize("how", ["refused", pytest.param("silent", marks=pytest.mark.thorough)])
    def test_it_is_an_error_and_the_others_are_one_mesh(self, mesh: Mesh, how: str) -> None:
        mesh.cut("nhn", how)
        result = mesh.run("install", "--contexts", THREE, "-o", "json").exits(3)
        assert [cluster for _, cluster in result.errors] == ["nhn"]
        assert mesh["kt"].has("Secret", "istio-remote-secret-ncloud-nks", SYSTEM)
        assert not mesh["kt"].has("Secret", "istio-remote-secret-nhn-nks", SYSTEM)

    def test_the_same_command_later_takes_it_in(self, mesh: Mesh) -> None:
        mesh.cut("nhn")
        mesh.run("install", "--contexts", THREE).exits(3)
        mesh.heal("nhn")
        mesh.run("install", "--contexts", THREE).exits(0)
        assert mesh["kt"].has("Secret", "istio-remote-secret-nhn-nks", SYSTEM)

    def test_a_member_that_does_not_answer_keeps_its_links(self, installed: Mesh) -> None:
        installed.cut("nhn")
        installed.run("install", "--contexts", THREE).exits(3)
        assert installed["kt"].has("Secret", "istio-remote-secret-nhn-nks", SYSTEM)


def test_a_cluster_joins_with_a_network_that_no_other_has(mesh: Mesh) -> None:
    mesh.run("install", "--contexts", "kt,nhn").exits(0)
    mesh.run("install", "--contexts", "kt,ncloud,nhn").exits(0)
    networks = [
        one.get("Namespace", SYSTEM)["metadata"]["labels"]["topology.istio.io/network"]
        for one in mesh.clusters.values()
    ]
    assert networks == ["network1", "network3", "network2"]
    assert mesh["kt"].has("Secret", "istio-remote-secret-ncloud-nks", SYSTEM)


@pytest.mark.thorough
def test_a_cluster_that_joins_beside_a_silent_member_gets_a_network_named_for_its_id(
    mesh: Mesh,
) -> None:
    mesh.run("install", "--contexts", "kt,ncloud").exits(0)
    mesh.cut("kt")
    joined = mesh.run("install", "--contexts", "ncloud,nhn", "-o", "json").exits(0)
    assert ("network-by-id", "nhn") in joined.warnings
    mesh.heal("kt")
    mesh.run("install", "--contexts", THREE).exits(0)
    labels = mesh["nhn"].get("Namespace", SYSTEM)["metadata"]["labels"]
    assert labels["topology.istio.io/network"] == "network-nhn-nks"


def test_faults_of_a_gateway_explain_its_configuration_drift(installed: Mesh) -> None:
    nhn = installed["nhn"]
    nhn.edit(
        nhn.get("Service", "istio-ingressgateway", SYSTEM),
        lambda copy: copy["spec"].update(ports=[p for p in copy["spec"]["ports"] if p["port"] != 15443]),
    )
    data = installed.run("verify", "-o", "json").exits(4).data
    assert [(one["id"], one["cluster"]) for one in data["rootCauses"]] == [("gateway.ports", "nhn")]


def test_without_a_mesh_yaml_configuration_drift_is_unknown_and_no_failure(installed: Mesh) -> None:
    kt = installed["kt"]
    kt.edit(kt.get("Service", "istiod", SYSTEM), lambda item: item["metadata"]["labels"].update(istio="x"))
    installed.run("verify", "--only", "drift").exits(4)
    (installed.folder / "mesh.yaml").unlink()
    result = installed.run("verify", "--only", "drift", "-o", "json").exits(0)
    verdicts = {one["cluster"]: one["verdict"] for one in result.data["checks"]}
    assert verdicts == {"kt": "unknown", "ncloud": "ok", "nhn": "ok"}


@pytest.fixture
def with_values(installed: Mesh) -> Mesh:
    """A mesh of which kt was installed with a value of a mesh.yaml that is not here."""

    keep_a_value(installed)
    return installed


def test_an_install_without_a_mesh_yaml_that_would_reset_values_changes_nothing(with_values: Mesh) -> None:
    before = with_values.snapshots()
    result = with_values.run("install", "--contexts", THREE, "-o", "json").exits(2)
    assert result.errors == [("values-lost", "kt")]
    assert VALUE in result.json["errors"][0]["seen"]
    assert changed(before, with_values.snapshots()) == []


def test_a_dry_run_without_a_mesh_yaml_that_would_reset_values_warns(with_values: Mesh) -> None:
    result = with_values.run("install", "--contexts", THREE, "--dry-run", "-o", "json").exits(0)
    assert ("values-lost", "kt") in result.warnings


def test_an_install_without_a_mesh_yaml_of_a_mesh_with_the_default_values_is_not_stopped(
    installed: Mesh,
) -> None:
    (installed.folder / "mesh.yaml").unlink()
    installed.run("install", "--contexts", THREE, "-o", "json").exits(0)


def test_a_ca_file_rewritten_in_another_form_is_reported_with_its_context(mesh: Mesh) -> None:
    mesh.run("ca", "init").exits(0)
    mesh.run("ca", "issue", "--cluster-id", "kt-k2p").exits(0)
    file = mesh.certs / "kt-k2p" / "ca-cert.pem"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    result = mesh.run("install", "--contexts", "kt", "-o", "json").exits(0)
    assert [one["cluster"] for one in result.json["messages"] if one["code"] == "pem-rewritten"] == ["kt"]


def test_a_cluster_that_no_other_reads_gets_no_token_for_others(mesh: Mesh) -> None:
    mesh.run("install", "--contexts", "kt").exits(0)
    assert mesh["kt"].tokens == {}
