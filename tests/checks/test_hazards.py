"""Hazards as checks: verify judges what runs, an install what it would write; each once for the mesh."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.checks import access, versions
from istio_mc.checks.model import Facts, Result, Severity, Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.observed import Surroundings
from istio_mc.domain.problem import ProblemError
from istio_mc.gateways.istio.releases import release_table
from istio_mc.ops.install.preflight import judge
from tests.support.world import CLUSTERS, World

if TYPE_CHECKING:
    from collections.abc import Mapping

TLS = "tlsroutes.gateway.networking.k8s.io"
ALPHA = {"name": "PILOT_ENABLE_ALPHA_GATEWAY_API", "value": "true"}
WELL = Surroundings(storage_classes={"fast": True}, metrics=True)


def world(versions: Mapping[str, str], image: str = "docker.io/istio/pilot:{}") -> World:
    """A mesh whose istiods are of these versions."""
    made = World(releases=release_table())
    for context, version in versions.items():
        pod = made.find(context, "Pod", "istiod-1")
        pod["spec"]["containers"][0]["image"] = image.format(version)
    return made


def everywhere(version: str) -> dict[str, str]:
    return dict.fromkeys(CLUSTERS, version)


def facts(made: World, *, crds: dict[str, str] | None = None, version: str = "1.31.4", **mesh: Any) -> Facts:
    found = made.facts()
    around = replace(WELL, gateway_api=crds or {})
    return replace(
        found,
        surroundings=dict.fromkeys(CLUSTERS, around),
        mesh=replace(found.mesh, version=version, **mesh),
    )


def verified(found: Facts) -> dict[str, Result]:
    results = [one for one in run((*access.CHECKS, *versions.HAZARDS), found) if one.check.topic == "hazards"]
    assert len(results) == len(versions.HAZARDS)  # once for the mesh
    return {one.check.id: one for one in results}


def warned(found: Facts) -> list[str]:
    return [check_id for check_id, one in verified(found).items() if one.is_warning]


def test_a_mesh_on_a_patch_with_nothing_known_passes_them_all() -> None:
    results = verified(facts(world(everywhere("1.31.4")), crds={TLS: "v1.6.0"}))
    assert {one.verdict for one in results.values()} == {Verdict.OK}


def test_the_running_version_is_checked_and_not_that_of_mesh_yaml() -> None:
    made = world({"kt": "1.31.4", "ncloud": "1.30.3", "nhn": "1.30.3"})
    result = verified(facts(made, version="1.31.4"))[versions.DEFECTS]
    assert result.is_warning
    assert result.seen.startswith("1.30.3 (ncloud, nhn): ")
    assert result.problem
    assert "--context ncloud -n istio-system rollout restart deployment istiod" in str(result.problem.hint)


def test_security_fixes_that_are_missing_are_a_warning() -> None:
    assert warned(facts(world(everywhere("1.30.4")))) == [versions.SECURITY]


def test_istiods_whose_images_name_no_version_are_unknown() -> None:
    results = verified(facts(world(everywhere("prod"))))
    unknown = {check_id for check_id, one in results.items() if one.verdict is Verdict.UNKNOWN}
    assert unknown == {versions.DEFECTS, versions.SECURITY}
    assert warned(facts(world(everywhere("prod")))) == []


def test_images_by_digest_are_known_by_the_tag_before_it() -> None:
    made = world(everywhere("1.30.3"), "registry:5000/istio/pilot:{}@sha256:" + "0" * 64)
    assert versions.DEFECTS in warned(facts(made))


def test_a_registry_that_is_switched_off_is_found_in_images() -> None:
    made = world(everywhere("1.31.4"))
    made.find("nhn", "Pod", "istiod-1")["spec"]["containers"][0]["image"] = (
        "gcr.io/istio-release/pilot:1.31.4"
    )
    result = verified(facts(made))[versions.HUB]
    assert result.is_warning
    assert result.seen.startswith("gcr.io/istio-release (nhn): ")


def test_it_is_found_where_sidecars_are_injected_from_too() -> None:
    made = world(everywhere("1.31.4"))
    values = {"global": {"hub": "registry.istio.io/release"}}
    made.objects["kt"].append(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system"},
            "data": {"values": json.dumps(values)},
        }
    )
    assert verified(facts(made))[versions.HUB].seen.startswith("registry.istio.io (kt): ")


@pytest.mark.parametrize(
    "values", ["{", "[]", "null", '{"global": null}', '{"global": []}', '{"global": {}}']
)
def test_values_of_the_injector_that_have_no_hub_are_no_fault(values: str) -> None:
    made = world(everywhere("1.31.4"))
    made.objects["kt"].append(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system"},
            "data": {"values": values},
        }
    )
    assert warned(facts(made)) == []


def test_crds_that_the_next_istiod_does_not_start_beside_are_a_warning_while_this_one_runs() -> None:
    made = world(everywhere("1.29.1"))
    container = made.find("kt", "Deployment", "istiod")["spec"]["template"]["spec"]["containers"][0]
    container["env"].append(ALPHA)
    result = verified(facts(made, crds={TLS: "v1.5.0"}))[versions.CRDS_TOO_NEW]
    assert result.is_warning
    assert result.seen == f"{TLS} v1.5.0 (kt), Istio 1.29.1: istiod does not become ready"
    assert result.problem
    assert result.problem.expected == "Istio 1.29.2 or newer"


def test_crds_that_istiod_ignores_are_a_warning_with_all_their_clusters() -> None:
    result = verified(facts(world(everywhere("1.30.8")), crds={TLS: "v1.4.1"}))[versions.CRDS_TOO_OLD]
    assert result.is_warning
    assert result.seen.startswith(f"{TLS} v1.4.1 (kt, ncloud, nhn), Istio 1.30.8: istiod ignores TLSRoutes")
    assert result.problem
    assert result.problem.expected == "bundle version 1.5.0 or newer"


# Before an install


def hazards_before(found: Facts) -> list[str]:
    results = run((*access.CHECKS, *versions.BEFORE_AN_INSTALL), found)
    return [one.problem.code for one in results if one.problem]


def test_an_install_judges_the_version_it_would_write() -> None:
    made = world(everywhere("1.30.3"))
    assert hazards_before(facts(made, version="1.31.4", tag=None)) == []
    assert hazards_before(facts(made, version="1.30.3", tag=None)) == [
        "istio-defects",
        "istio-security",
        "istioctl-analyze",
    ]


def test_a_tag_that_names_a_patch_wins_over_the_version() -> None:
    made = world({})
    assert "istio-defects" in hazards_before(facts(made, version="1.31.4", tag="1.30.3-distroless"))
    assert "istio-defects" in hazards_before(facts(made, version="1.30.3", tag="prod"))


@pytest.mark.parametrize(
    "mesh",
    [
        {"hub": "gcr.io/istio-release"},
        {"values": {"global": {"hub": "registry.istio.io/release"}}},
        {"hub": "docker.io/istio", "values": {"pilot": {"hub": "gcr.io/istio-release"}}},
    ],
    ids=str,
)
def test_an_install_warns_of_a_discontinued_hub_in_every_setting(mesh: dict[str, Any]) -> None:
    assert hazards_before(facts(world({}), **mesh)) == ["hub-switched-off"]


def test_the_usual_hub_is_none_of_them() -> None:
    assert hazards_before(facts(world({}), hub="docker.io/istio")) == []


def test_an_istiod_that_would_never_become_ready_is_not_installed() -> None:
    values = {"pilot": {"env": {ALPHA["name"]: True}}}
    with pytest.raises(ProblemError) as stopped:
        judge(facts(world({}), crds={TLS: "v1.5.0"}, version="1.29.1", values=values), strict=False)
    assert [problem.code for problem in stopped.value.problems] == ["gateway-api-unfit"]


def test_without_the_flag_it_is_installed() -> None:
    assert "gateway-api-unfit" not in hazards_before(
        facts(world({}), crds={TLS: "v1.5.0"}, version="1.29.1", tag=None)
    )


def test_no_other_hazard_stops_an_install() -> None:
    others = [one for one in versions.BEFORE_AN_INSTALL if one.id != versions.CRDS_TOO_NEW]
    assert {one.severity for one in others} == {Severity.WARNING}
    old = facts(world({}), version="1.26.0", tag=None, hub="gcr.io/istio-release")
    codes = {problem.code for problem in judge(old, strict=True)}
    assert {"istio-defects", "istio-security", "istioctl-analyze", "hub-switched-off"} <= codes


@pytest.mark.parametrize("check", [versions.DEFECTS, versions.SECURITY])
def test_of_a_mesh_that_runs_the_fix_is_an_upgrade(check: str) -> None:
    result = verified(facts(world(everywhere("1.26.0"))))[check]
    assert result.problem
    assert str(result.problem.hint).startswith("upgrade Istio: istio-mc upgrade --to VERSION")


@pytest.mark.parametrize("check", [versions.DEFECTS, versions.SECURITY])
def test_before_the_first_install_the_fix_is_the_version_in_the_file(check: str) -> None:
    found = facts(World(releases=release_table()), version="1.26.0")
    nothing = {name: replace(one, objects={}) for name, one in found.observed.items()}
    checks = [one for one in versions.BEFORE_AN_INSTALL if one.id == check]
    (result,) = run([*access.CHECKS, *checks], replace(found, observed=nothing))[-1:]
    assert result.problem
    assert str(result.problem.hint) == "set istio.version in mesh.yaml, and install"
