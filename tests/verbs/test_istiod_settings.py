"""Settings of istiod that change where it reads and writes, as values of its chart or by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.cluster import Cluster
    from tests.support.kinds import Object
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
BUNDLE = "our-roots"
NAMESPACES = ("--only", "trust.namespaces")


def set_variables(cluster: Cluster, **variables: str) -> None:
    """Gives istiod variables, as `pilot.env` and other values of its chart do."""

    def change(copy: Object) -> None:
        (container,) = copy["spec"]["template"]["spec"]["containers"]
        container["env"] += [{"name": name, "value": value} for name, value in variables.items()]

    cluster.edit(cluster.get("Deployment", "istiod", SYSTEM), change)
    cluster.settle()


def verify(mesh: Mesh, *words: str) -> dict[str, dict[str, Any]]:
    """What verify finds, by cluster, or by both clusters of a pair (`kt nhn`)."""
    result: Result = mesh.run("verify", "-o", "json", *words)
    return {" ".join(filter(None, (one["cluster"], one.get("peer")))): one for one in result.data["checks"]}


class TestRootCertificates:
    """PILOT_CA_CERT_CONFIGMAP, which the chart sets from global.trustBundleName since Istio 1.27."""

    @pytest.fixture
    def renamed(self, installed: Mesh) -> Mesh:
        nhn = installed["nhn"]
        set_variables(nhn, PILOT_CA_CERT_CONFIGMAP=BUNDLE)
        for namespace in nhn.names("Namespace"):
            if nhn.has("ConfigMap", "istio-ca-root-cert", namespace):
                nhn.delete(nhn.get("ConfigMap", "istio-ca-root-cert", namespace))
        return installed

    def test_they_are_compared_as_the_config_map_that_istiod_writes_has_them(self, renamed: Mesh) -> None:
        nhn = renamed["nhn"]
        assert verify(renamed, *NAMESPACES)["nhn"]["verdict"] == "ok"
        nhn.controllers.held.add("istiods")  # it would put back what is changed
        nhn.edit(
            nhn.get("ConfigMap", BUNDLE, "default"), lambda copy: copy.update(data={"root-cert.pem": ""})
        )
        problem = verify(renamed, *NAMESPACES)["nhn"]["problem"]
        assert problem["seen"] == f"ConfigMap {BUNDLE}: default: no certificate"

    def test_namespaces_without_any_are_an_error(self, renamed: Mesh) -> None:
        nhn = renamed["nhn"]
        nhn.controllers.held.add("istiods")
        for namespace in nhn.names("Namespace"):
            if nhn.has("ConfigMap", BUNDLE, namespace):
                nhn.delete(nhn.get("ConfigMap", BUNDLE, namespace))
        problem = verify(renamed, *NAMESPACES)["nhn"]["problem"]
        assert (problem["code"], problem["seen"]) == (
            "namespace-roots-missing",
            f"no ConfigMap {BUNDLE} in any namespace",
        )

    @pytest.mark.thorough
    def test_the_report_names_it_as_holder_of_the_root(self, renamed: Mesh) -> None:
        renamed.run("report", "--file", "report.html").exits(0)
        text = (renamed.folder / "report.html").read_text()
        assert f"nhn: {BUNDLE}" in text
        assert "nhn: istio-ca-root-cert" not in text

    def test_an_uninstall_takes_it_from_every_namespace(self, renamed: Mesh) -> None:
        result = renamed.run("uninstall", "--yes", "-o", "json").exits(0)
        assert f"ConfigMap default/{BUNDLE}" in result.cluster("nhn")["removed"]
        assert not renamed["nhn"].has("ConfigMap", BUNDLE, "default")
