"""What is known to be wrong with which Istio: by ranges of patches, whatever a version ends with."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from istio_mc.domain.istio import hazards
from istio_mc.domain.istio.istiod import restart_istiod
from istio_mc.domain.istio.releases import Defect, PatchRange, is_prerelease, is_vendors, patch_of
from istio_mc.gateways.istio.releases import release_table

TABLE = release_table()
PATCHES = [f"1.{minor}.{patch}" for minor, patch in product(range(24, 33), range(12))]
SAME_PROGRAM = ("-distroless", "-debug")
VENDORS = ("-solo", "-patch1-solo-distroless", "-tetrate0", "+tetratefips0", "-asm.3", "_ossm", "-r2")
PRERELEASES = ("-alpha.0", "-alpha.9f0e1d", "-beta.1", "-rc.0", "-rc.1-distroless", "-dev")
NO_PATCH = ("unknown", "", "latest", "1.27", "1.27-alpha.9f0e1d", "master", "v1", "1.x.0", "prod-7", "sha256")


def ids(version: str) -> list[str]:
    return [defect.id for defect in TABLE.defects_of(version)]


def wrong_with(version: str) -> list[str]:
    """The codes of all that is known of a version."""
    running = hazards.by_version({"kt": [version]})
    found = (
        hazards.defects(TABLE, running),
        hazards.security(TABLE, running),
        hazards.analyze(TABLE, version),
    )
    return [problem.code for problem in found if problem]


@pytest.mark.parametrize(
    ("defect", "first", "last"),
    [
        ("remote-secret-deadlock", "1.29.0", "1.29.2"),
        ("remote-secret-panic", "1.29.0", "1.29.4"),
        ("remote-secret-ignored", "1.30.0", "1.30.2"),
        ("remote-gateway-lost", "1.30.0", "1.30.3"),
        ("remote-secret-error-stays", "1.24.0", "1.28.2"),
    ],
)
def test_a_defect_is_in_every_patch_of_its_range_and_in_no_other(defect: str, first: str, last: str) -> None:
    low, high = patch_of(first), patch_of(last)
    assert low
    assert high
    expected = [version for version in PATCHES if low <= (patch_of(version) or low) <= high]
    assert [version for version in PATCHES if defect in ids(version)] == expected


def test_a_defect_that_was_repaired_in_several_minors_has_a_range_in_each() -> None:
    having = {version for version in PATCHES if "remote-secret-leak" in ids(version)}
    assert {"1.25.11", "1.26.6", "1.27.0", "1.27.3", "1.28.0"} <= having
    assert having.isdisjoint({"1.26.7", "1.27.4", "1.28.1", "1.29.0", "1.32.0"})


def test_analyze_is_safe_from_1_30_5_on_but_for_1_31_0() -> None:
    safe = [version for version in PATCHES if hazards.analyze(TABLE, version) is None]
    least = patch_of("1.30.5")
    assert safe == [v for v in PATCHES if (patch_of(v) or ()) >= (least or ()) and v != "1.31.0"]


@pytest.mark.parametrize("version", ["1.30.5", "1.30.8", "1.31.1", "1.31.4", "1.32.0"])
def test_nothing_is_reported_for_a_patch_without_known_defects(version: str) -> None:
    assert wrong_with(version) == []


@pytest.mark.parametrize("suffix", SAME_PROGRAM)
def test_upstreams_other_images_are_judged_as_the_patch_they_contain(suffix: str) -> None:
    assert not is_vendors(f"1.26.0{suffix}")
    for version in PATCHES:
        assert wrong_with(version + suffix) == wrong_with(version)


@pytest.mark.parametrize("suffix", VENDORS)
def test_a_vendors_build_is_judged_as_upstreams_patch_and_called_a_vendors(suffix: str) -> None:
    for version in PATCHES:
        assert wrong_with(version + suffix) == wrong_with(version)
    problem = hazards.defects(TABLE, hazards.by_version({"kt": [f"1.30.3{suffix}"]}))
    assert problem
    assert str(problem.seen).startswith(f"1.30.3{suffix} (kt, a vendor's build): ")


@pytest.mark.parametrize("suffix", PRERELEASES)
def test_a_prerelease_has_not_the_fixes_of_the_patch_it_comes_before(suffix: str) -> None:
    assert is_prerelease(f"1.29.3{suffix}")
    assert not is_vendors(f"1.29.3{suffix}")
    for version in PATCHES:
        assert set(wrong_with(version)) <= set(wrong_with(version + suffix))
    assert "remote-secret-deadlock" in ids(f"1.29.3{suffix}")
    assert "remote-secret-deadlock" not in ids(f"1.29.4{suffix}")
    assert "istioctl-analyze" in wrong_with(f"1.30.5{suffix}")
    assert "istio-security" in wrong_with(f"1.30.5{suffix}")
    assert "istio-security" not in wrong_with(f"1.30.6{suffix}")


@pytest.mark.parametrize("version", NO_PATCH)
def test_a_version_that_names_no_patch_has_no_known_defects(version: str) -> None:
    assert wrong_with(version) == []
    assert hazards.by_version({"kt": [version]}) == {}


def test_a_range_without_an_end_goes_to_the_newest() -> None:
    onward = PatchRange(first="1.30.0")
    assert [v for v in ("1.29.9", "1.30.0", "1.31.4", "2.0.0") if v in onward] == [
        "1.30.0",
        "1.31.4",
        "2.0.0",
    ]


def test_each_defect_is_reported_once_for_all_clusters_with_the_patch_that_repairs_it() -> None:
    running = hazards.by_version({"kt": ["1.30.3"], "ncloud": ["1.30.3"], "nhn": ["1.30.2"]})
    problem = hazards.defects(TABLE, running)
    assert problem
    lines = str(problem.seen).split("\n")
    assert [line.partition(":")[0] for line in lines] == [
        "1.30.3 (kt, ncloud)",
        "1.30.2 (nhn)",
        "1.30.2 (nhn)",
    ]
    assert [line.rpartition("(")[2] for line in lines] == [
        "fixed in 1.30.4)",
        "fixed in 1.30.3)",
        "fixed in 1.30.4)",
    ]
    assert problem.expected == "Istio 1.30.4 or newer"
    assert problem.cluster is None


def test_the_patch_that_is_named_repairs_every_defect() -> None:
    for version in PATCHES:
        problem = hazards.defects(TABLE, {version: []})
        if problem:
            named = str(problem.expected).removeprefix("Istio ").removesuffix(" or newer")
            assert hazards.defects(TABLE, {named: []}) is None, version


def test_a_defect_without_a_fix_is_reported_as_such() -> None:
    table = replace(TABLE, defects=(Defect("new", "it fails", (PatchRange(first="1.31.0"),), "s"),))
    problem = hazards.defects(table, {"1.31.4": []})
    assert problem
    assert problem.seen == "1.31.4: it fails (no release with a fix is known)"
    assert problem.expected == "a release without the defect"
    assert str(problem.hint) == "see which releases there are: istio-mc tools list"


def test_no_other_version_is_suggested_for_a_defect_without_a_fix() -> None:
    table = replace(TABLE, defects=(Defect("new", "it fails", (PatchRange(first="1.31.0"),), "s"),))
    problem = hazards.defects(table, {"1.31.4": ["kt"]}, lambda context: restart_istiod(context, "istiod"))
    assert problem
    assert str(problem.hint) == (
        "a restart of istiod removes their effects: "
        "kubectl --context kt -n istio-system rollout restart deployment istiod"
    )


def test_every_cluster_with_a_defect_has_a_restart_in_a_line_of_its_own() -> None:
    versions = {"1.31.4": ["kt", "nhn"]}
    table = replace(TABLE, defects=(Defect("new", "it fails", (PatchRange(first="1.31.0"),), "s"),))
    problem = hazards.defects(table, versions, lambda context: restart_istiod(context, "istiod"))
    assert problem
    assert [line[line.index("kubectl") :] for line in str(problem.hint).splitlines()] == [
        f"kubectl --context {name} -n istio-system rollout restart deployment istiod"
        for name in ("kt", "nhn")
    ]


@pytest.mark.parametrize(
    ("version", "least"),
    [
        ("1.25.4", "1.25.5"), ("1.26.0", "1.26.8"), ("1.27.7", "1.27.8"), ("1.28.8", "1.28.9"),
        ("1.29.8", "1.29.9"), ("1.30.4", "1.30.5"), ("1.31.0", "1.31.1"),
    ],
)  # fmt: skip
def test_the_least_patch_with_security_fixes_is_named_with_its_source(version: str, least: str) -> None:
    problem = hazards.security(TABLE, hazards.by_version({"kt": [version]}))
    assert problem
    assert str(problem.expected).startswith(f"{least} or newer (https://istio.io/")
    assert hazards.security(TABLE, {least: []}) is None


@pytest.mark.parametrize("version", ["1.24.0", "1.32.0", "1.23.9"])
def test_of_a_minor_whose_fixes_no_source_names_nothing_is_claimed(version: str) -> None:
    assert hazards.security(TABLE, {version: []}) is None


@pytest.mark.parametrize(
    ("image", "dying"),
    [
        ("gcr.io/istio-release/pilot:1.29.1", True), ("gcr.io/istio-release", True),
        ("registry.istio.io/release/proxyv2:1.30.0@sha256:00", True), ("registry.istio.io/release", True),
        ("docker.io/istio/pilot:1.31.0", False), ("gcr.io/istio-release-mirror/pilot:1.29.1", False),
        ("mirror.example.com/gcr.io/istio-release/pilot:1.29.1", False), ("gcr.io/istio-testing", False),
        ("registry.istio.io.example.com/release/pilot:1.30.0", False), ("", False),
    ],
)  # fmt: skip
def test_images_are_of_a_registry_by_its_whole_name(image: str, *, dying: bool) -> None:
    assert (hazards.dying_hub(TABLE, {"kt": [image]}) is not None) is dying


def test_registries_are_reported_once_with_all_their_clusters_and_a_replacement() -> None:
    gcr, own = "gcr.io/istio-release/pilot:1.29.1", "registry.istio.io/release/pilot:1.30.8"
    problem = hazards.dying_hub(
        TABLE, {"kt": [gcr], "ncloud": [own, gcr], "nhn": ["docker.io/istio/pilot:1"]}
    )
    assert problem
    places = [line.partition(":")[0] for line in str(problem.seen).split("\n")]
    assert places == ["gcr.io/istio-release (kt, ncloud)", "registry.istio.io (ncloud)"]
    assert "2026-12-08 15:00 UTC" in str(problem.seen)
    assert str(problem.expected).startswith("docker.io/istio")
    assert "istio.hub: docker.io/istio" in str(problem.hint)


ALPHA = {"PILOT_ENABLE_ALPHA_GATEWAY_API": "true"}
TLS, TCP = "tlsroutes.gateway.networking.k8s.io", "tcproutes.gateway.networking.k8s.io"


def found(version: str, crds: dict[str, str], environment: dict[str, str] | None = None) -> list[str]:
    return [one.defect.id for one in hazards.crd_hazards(TABLE, version, crds, environment or {})]


@pytest.mark.parametrize("bundle", ["v1.5.0", "v1.5.0-rc.1", "v1.5.1", "v1.6.0"])
def test_with_the_alpha_flag_old_istiods_wait_for_an_unserved_tlsroute(bundle: str) -> None:
    waiting = [v for v in PATCHES if "tlsroutes-too-new" in found(v, {TLS: bundle}, ALPHA)]
    assert {"1.26.0", "1.27.8", "1.28.0", "1.28.5", "1.29.0", "1.29.1"} <= set(waiting)
    assert set(waiting).isdisjoint({"1.27.9", "1.28.6", "1.29.2", "1.30.0", "1.31.0"})


UDP = "udproutes.gateway.networking.k8s.io"


@pytest.mark.parametrize("version", ["1.30.4", "1.31.0"])
def test_with_the_alpha_flag_some_istiods_wait_for_an_unserved_udproute(version: str) -> None:
    assert found(version, {UDP: "v1.6.0"}, ALPHA) == ["udproutes-too-new"]
    assert found(version, {UDP: "v1.5.1"}, ALPHA) == []
    assert found(version, {UDP: "v1.6.0"}) == []
    waiting = hazards.crd_hazards(TABLE, version, {UDP: "v1.6.0"}, ALPHA)
    problem = hazards.incompatible_crds({"kt": waiting}, {"kt": {UDP: "v1.6.0"}}, {"kt": [version]})
    assert problem
    assert problem.expected == "no PILOT_ENABLE_ALPHA_GATEWAY_API, or a bundle version before 1.6.0"
    assert str(problem.hint) == "remove PILOT_ENABLE_ALPHA_GATEWAY_API from pilot.env in the values"


@pytest.mark.parametrize("value", ["", "false", "0", "no"])
def test_without_the_alpha_flag_they_do_not(value: str) -> None:
    assert found("1.29.1", {TLS: "v1.5.0"}, {"PILOT_ENABLE_ALPHA_GATEWAY_API": value}) == []
    assert found("1.29.1", {TLS: "v1.5.0"}) == []


@pytest.mark.parametrize(
    ("version", "crds", "ids_"),
    [
        ("1.29.1", {TLS: "v1.4.1"}, []),
        ("1.30.0", {TLS: "v1.4.1"}, ["tlsroutes-too-old"]),
        ("1.30.8", {TLS: "v1.4.1"}, ["tlsroutes-too-old"]),
        ("1.31.0", {TLS: "v1.4.1", TCP: "v1.5.1"}, ["tlsroutes-too-old", "tcproutes-too-old"]),
        ("1.30.4", {TLS: "v1.5.0-rc.1", TCP: "v1.5.1"}, []),
        ("1.31.0", {TLS: "v1.6.0", TCP: "v1.6.0"}, []),
        ("1.31.0", {}, []),
        ("1.31.0", {TLS: ""}, []),
        ("1.31.0", {TLS: "main"}, []),
        ("latest", {TLS: "v1.4.1"}, []),
    ],
)
def test_new_istiods_ignore_crds_below_their_least_version(
    version: str, crds: dict[str, str], ids_: list[str]
) -> None:
    assert found(version, crds) == ids_
