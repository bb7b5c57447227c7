"""Which Istio the verbs are about where nobody named one: the mesh's own, else one that fits its clusters."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.istio import releases
from istio_mc.domain.istio.releases import IstioRelease, ReleaseTable
from istio_mc.gateways.istio import releases as packaged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.mesh import Mesh

THREE = ("--contexts", "kt,ncloud,nhn")
ONLY = IstioRelease(
    (1, 26), date(2025, 5, 8), newest="1.26.0", lab=("1.26.0",), oldest_kubernetes=(1, 32),
    newest_kubernetes=(1, 32), gateway_api="1.3.0",
)  # fmt: skip
"""A release without an end: no day changes what these tests see. The stand-in's clusters are of 1.32."""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Callable[[IstioRelease], None]:
    """Has the program go by a table of one release."""

    def use(release: IstioRelease) -> None:
        found = ReleaseTable(date(2026, 11, 28), (release,), {(1, 32): date(2026, 2, 28)})
        monkeypatch.setattr(packaged, "_packaged", lambda: found)

    use(ONLY)
    return use


def unpinned(mesh: Mesh) -> Mesh:
    mesh.settings(istio=None)
    return mesh


@pytest.mark.usefixtures("table")
class TestABareMesh:
    def test_gets_the_version_that_fits_its_clusters_with_the_reason(self, mesh: Mesh) -> None:
        data = unpinned(mesh).run("install", *THREE, "-o", "json").exits(0).data
        assert (data["istioVersion"], data["istioVersionReason"], data["istioVersionTested"]) == (
            "1.26.0",
            "newest supported minor for Kubernetes 1.32",
            "1.26.0",
        )
        assert mesh["kt"].get("Deployment", "istiod", "istio-system")

    def test_shows_the_version_in_the_plan_and_before_the_first_change(self, mesh: Mesh) -> None:
        done = unpinned(mesh).run("install", *THREE, "--dry-run").exits(0)
        line = "Istio 1.26.0: newest supported minor for Kubernetes 1.32; tested with 1.26.0"
        assert line in done.stdout.splitlines()
        assert any(one.endswith(f"preflight done: {line}") for one in done.stderr.splitlines())

    def test_that_no_release_fits_is_an_error_before_the_first_change(
        self, mesh: Mesh, table: Callable[[IstioRelease], None]
    ) -> None:
        table(replace(ONLY, newest_kubernetes=(1, 31), oldest_kubernetes=(1, 29)))
        done = unpinned(mesh).run("install", *THREE, "-o", "json").exits(2)
        assert done.errors == [("istio-none-fits", None)]
        assert "--istio-version 1.26.0" in done.json["errors"][0]["hint"]
        assert not mesh["kt"].has("Namespace", "istio-system")

    @pytest.mark.thorough
    def test_is_installed_all_the_same_with_a_version_that_is_named(
        self, mesh: Mesh, table: Callable[[IstioRelease], None]
    ) -> None:
        table(replace(ONLY, newest_kubernetes=(1, 31), oldest_kubernetes=(1, 29)))
        done = unpinned(mesh).run("install", *THREE, "--istio-version", "v1.26.0", "-o", "json").exits(0)
        assert done.data["istioVersionReason"] == "set by --istio-version"
        assert ("kubernetes-too-new", "kt") in done.warnings

    def test_needs_an_istioctl_of_that_version_or_another_one_pinned(
        self, mesh: Mesh, table: Callable[[IstioRelease], None]
    ) -> None:
        table(replace(ONLY, newest="1.26.8"))
        done = unpinned(mesh).run("install", *THREE, "-o", "json").exits(2)
        (error,) = done.json["errors"]
        assert (error["code"], error["expected"]) == (
            "istioctl-version",
            "1.26.8 (newest supported minor for Kubernetes 1.32)",
        )
        assert error["hint"].endswith("--istio-version 1.26.0")

    def test_whose_clusters_are_all_silent_reports_only_that(
        self, mesh: Mesh, table: Callable[[IstioRelease], None]
    ) -> None:
        table(replace(ONLY, newest="1.26.8"))  # of which no istioctl is here: that is not what stops the run
        for name in mesh.names:
            mesh.cut(name)
        done = unpinned(mesh).run("install", *THREE, "-o", "json").exits(1)
        assert done.errors == [("cluster-unreachable", name) for name in mesh.names]

    def test_with_a_silent_cluster_names_the_one_that_did_not_count(self, mesh: Mesh) -> None:
        mesh.cut("nhn")
        data = unpinned(mesh).run("install", *THREE, "-o", "json").exits(3).data
        assert data["istioVersionReason"] == "newest supported minor for Kubernetes 1.32, nhn unknown"


def test_a_flag_wins_over_mesh_yaml(mesh: Mesh) -> None:
    (error,) = mesh.run("install", *THREE, "--istio-version", "1.27.0", "-o", "json").exits(2).json["errors"]
    assert (error["code"], error["expected"]) == ("istioctl-version", "1.27.0")


def test_a_flag_with_an_invalid_version_is_a_usage_error(mesh: Mesh) -> None:
    done = mesh.run("install", *THREE, "--istio-version", "latest", "-o", "json").exits(2)
    assert [code for code, _ in done.errors] == ["option-malformed"]
    assert done.json["errors"][0]["message"].startswith("--istio-version: ")


class TestAMeshThatRunsAnIstio:
    """The packaged table has newer ones: they do not matter."""

    def test_keeps_it(self, installed: Mesh) -> None:
        done = unpinned(installed).run("install", *THREE, "-o", "json").exits(0)
        assert (done.data["istioVersion"], done.data["istioVersionReason"]) == ("1.26.0", "used by the mesh")
        assert not done.data["changed"]

    def test_has_no_drift(self, installed: Mesh) -> None:
        unpinned(installed).run("verify", "--only", "drift", "-o", "json").exits(0)

    @pytest.mark.thorough
    def test_is_removed_with_it(self, installed: Mesh) -> None:
        unpinned(installed).run("uninstall", "--yes").exits(0)
        assert not installed["kt"].has("Namespace", "istio-system")

    @pytest.mark.thorough
    def test_is_removed_with_it_where_a_removal_was_interrupted(self, installed: Mesh) -> None:
        for one in installed.clusters.values():
            one.delete(one.get("Deployment", "istiod", "istio-system"))
        unpinned(installed).run("uninstall", "--yes").exits(0)
        assert not installed["kt"].has("Namespace", "istio-system")

    def test_of_two_versions_goes_on_to_the_newer_and_warns(self, installed: Mesh) -> None:
        kt = installed["kt"]

        def older(deployment: dict[str, object]) -> None:
            spec = deployment["spec"]
            spec["template"]["spec"]["containers"][0]["image"] = "docker.io/istio/pilot:1.25.2"  # type: ignore[index]

        kt.edit(kt.get("Deployment", "istiod", "istio-system"), older)
        done = unpinned(installed).run("install", *THREE, "-o", "json").exits(0)
        assert ("istio-versions-differ", None) in done.warnings
        assert done.data["istioVersion"] == "1.26.0"
        assert {one["name"]: [step["name"] for step in one["steps"]] for one in done.data["clusters"]} == {
            "kt": ["istio"],
            "ncloud": [],
            "nhn": [],
        }

    def test_that_cannot_be_read_needs_the_version_named(self, installed: Mesh) -> None:
        def remove_version(deployment: dict[str, object]) -> None:
            labels = deployment["metadata"]["labels"]  # type: ignore[index]
            for key in ("operator.istio.io/version", "app.kubernetes.io/version"):
                labels.pop(key, None)
            spec = deployment["spec"]
            spec["template"]["spec"]["containers"][0]["image"] = "docker.io/istio/pilot:ours"  # type: ignore[index]

        for one in installed.clusters.values():
            one.edit(one.get("Deployment", "istiod", "istio-system"), remove_version)
        done = unpinned(installed).run("install", *THREE, "-o", "json").exits(2)
        assert done.errors == [("istio-version-unknown", None)]
        # Who only looks is told as much as can be told.
        found = installed.run("verify", "--only", "versions", "-o", "json")
        assert found.json["data"] is not None

    def test_is_taken_over_as_it_is(self, scripted: Mesh) -> None:
        data = unpinned(scripted).run("adopt", *THREE, "-o", "json").exits(0).data
        assert (data["istioVersion"], data["istioVersionReason"]) == ("1.26.0", "used by the mesh")

    def test_is_what_tools_are_listed_for(self, installed: Mesh) -> None:
        data = unpinned(installed).run("tools", "list", "-o", "json").exits(0).data
        assert (data["istio"], data["istioVersionReason"]) == ("1.26.0", "used by the mesh")
        desired = {tool["name"]: tool["desired"] for tool in data["tools"]}
        assert (desired["istioctl"], desired["gateway-api"]) == ("1.26.0", "1.3.0")

    def test_is_what_tools_are_installed_for(self, installed: Mesh) -> None:
        data = unpinned(installed).run("tools", "install", "istioctl", "--dry-run", "-o", "json").data
        assert [tool["version"] for tool in data["tools"]] == ["1.26.0"]
        assert data["istioVersionReason"] == "used by the mesh"


def test_images_of_another_version_are_a_warning(installed: Mesh) -> None:
    installed.settings(istio={"version": "1.26.0", "tag": "1.25.1-distroless"})
    done = installed.run("install", *THREE, "--dry-run", "-o", "json").exits(0)
    assert ("istio-tag", None) in done.warnings


@pytest.mark.parametrize("verb", [("install", *THREE, "--dry-run"), ("verify", "--only", "names")])
@pytest.mark.parametrize(
    ("read", "is_reported"),
    [(date(2000, 1, 1), True), pytest.param(date(2999, 1, 1), False, marks=pytest.mark.thorough)],
)
def test_a_table_that_was_read_long_ago_is_a_warning(
    installed: Mesh, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], read: date, *, is_reported: bool
) -> None:
    found = replace(packaged.release_table(), read=read)
    monkeypatch.setattr(packaged, "_packaged", lambda: found)
    monkeypatch.setattr(releases, "OLD_AFTER_DAYS", 90)
    done = installed.run(*verb, "-o", "json").exits(0)
    assert (("releases-old", None) in done.warnings) is is_reported
