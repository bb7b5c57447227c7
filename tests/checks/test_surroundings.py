"""What install looks at before its first change: each preset, alone and of all clusters together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from istio_mc.checks.catalogue import PREFLIGHT
from istio_mc.checks.model import Facts, Verdict
from istio_mc.checks.runner import run
from istio_mc.domain.calico import Calico
from istio_mc.domain.hint import kubectl
from istio_mc.domain.kube.objects import ref_of
from istio_mc.domain.observed import ControlPlane, Observed, Surroundings, architectures
from istio_mc.domain.problem import Problem, ProblemError
from istio_mc.ops.install.preflight import judge
from tests.support.world import CLUSTERS, World

SOCKET_LB = (
    "socket load balancing is on (kube-proxy-replacement: true): it selects the backend pod of a Service "
    "before the sidecar sees the request"
)
ITS_CNI = "the Istio CNI plugin is used, and Cilium removes its configuration"
WELL = Surroundings(storage_classes={"fast": True}, metrics=True, architectures={"amd64": 3})
IN_TIME = datetime(2025, 6, 1, tzinfo=UTC)
"""While Istio 1.26 is mended."""


def facts(
    *,
    version: str = "1.26.0",
    server: str = "v1.32.3",
    crds: tuple[dict[str, Any], ...] = (),
    **around: object,
) -> Facts:
    """A mesh in which all is well, but for what is said of kt."""
    whole = World(now=IN_TIME).facts()
    kt = whole.observed["kt"]
    changed = Observed(server, {**kt.objects, **{ref_of(crd): crd for crd in crds}}, gateway_api=True)
    return replace(
        whole,
        mesh=replace(whole.mesh, version=version),
        observed={**whole.observed, "kt": changed},
        surroundings=dict.fromkeys(CLUSTERS, WELL) | {"kt": replace(WELL, **around)},  # type: ignore[arg-type]
    )


def failed_checks(found: Facts) -> dict[tuple[str, str | None], Problem]:
    return {
        (result.problem.code, result.target.cluster): result.problem
        for result in run(PREFLIGHT, found)
        if result.verdict is Verdict.FAILED and result.problem
    }


def crd(name: str, versions: tuple[str, ...] = ("v1",), **metadata: object) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, **metadata},
        "spec": {"versions": [{"name": version, "served": True} for version in versions]},
    }


def test_a_healthy_mesh_has_no_fault() -> None:
    assert failed_checks(facts()) == {}


WARNINGS: dict[str, tuple[dict[str, Any], tuple[str, str | None, str | None]]] = {
    "no default StorageClass": (
        {"storage_classes": {"slow": False}},
        ("no-default-storage-class", "kt", "slow"),
    ),
    "no StorageClass": (
        {"storage_classes": {}},
        ("no-default-storage-class", "kt", "no StorageClass"),
    ),
    "no Metrics API": ({"metrics": None}, ("no-metrics", "kt", "not registered")),
    "a Metrics API that is down": ({"metrics": False}, ("no-metrics", "kt", "registered, but not available")),
    "nodes without images": (
        {"architectures": {"amd64": 2, "s390x": 1}},
        ("architecture", "kt", "2 amd64, 1 s390x"),
    ),
    "Cilium in place of kube-proxy": (
        {"cilium": {"kube-proxy-replacement": "true", "cni-exclusive": "true"}},
        ("cilium-settings", "kt", f"bpf-lb-sock-hostns-only: absent ({SOCKET_LB})"),
    ),
    "Cilium beside Istio's CNI plugin": (
        {"cilium": {"cni-exclusive": "true"}, "istio_cni": True},
        ("cilium-settings", "kt", f"cni-exclusive: true ({ITS_CNI})"),
    ),
    "Calico in eBPF mode": (
        {"calico": Calico({"bpfEnabled": "true"})},
        (
            "calico-settings",
            "kt",
            "bpfEnabled: true, bpfConnectTimeLoadBalancing: unset, which is on",
        ),
    ),
    "a server that is too old": ({"server": "v1.28.10"}, ("kubernetes-too-old", "kt", "v1.28.10")),
    "a server that is too new": ({"server": "v1.34.0"}, ("kubernetes-too-new", "kt", "v1.34.0")),
    "a server that does not tell": ({"server": "main"}, ("kubernetes-unknown", "kt", "main")),
    "an Istio of no table": (
        {"version": "1.23.4"},
        ("istio-unknown", None, "releases 1.24 to 1.32, read on 2026-11-28"),
    ),
    "CRDs of Helm": (
        {
            "crds": (
                crd("a.networking.istio.io", annotations={"meta.helm.sh/release-name": "base"}),
                crd("b.networking.istio.io", annotations={"meta.helm.sh/release-name": "base"}),
            )
        },
        ("crds-of-others", "kt", "a.networking.istio.io, b.networking.istio.io"),
    ),
    "CRDs of a newer Istio": (
        {"crds": (crd("a.networking.istio.io", labels={"operator.istio.io/version": "1.27.1"}),)},
        ("crds-newer", "kt", "1.27.1"),
    ),
    "a Gateway API before its first release": (
        {
            "crds": (
                crd(
                    "gatewayclasses.gateway.networking.k8s.io",
                    versions=("v1alpha2", "v1beta1"),
                    annotations={"gateway.networking.k8s.io/bundle-version": "v0.8.1"},
                ),
            )
        },
        ("gateway-api-old", "kt", "v0.8.1"),
    ),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_a_fault_that_does_not_block_the_install_is_a_warning_of_its_cluster(case: str) -> None:
    spoilt, (code, cluster, seen) = WARNINGS[case]
    found = facts(**spoilt)
    assert {key: problem.seen for key, problem in failed_checks(found).items()} == {(code, cluster): seen}
    assert [problem.code for problem in judge(found, strict=False)] == [code]


def test_nodes_without_images_are_tainted_all_at_once_in_their_own_cluster() -> None:
    found = facts(architectures={"amd64": 1, "ppc64le": 1, "s390x": 1})
    hint = failed_checks(found)["architecture", "kt"].hint
    assert hint == kubectl(
        *("kt", "taint", "nodes", "-l", "kubernetes.io/arch in (ppc64le,s390x)", "arch=other:NoSchedule"),
        "--overwrite",
    )


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_nodes_that_are_tainted_need_no_images(effect: str) -> None:
    """As the hint leaves them."""
    taint = {"key": "arch", "value": "other", "effect": effect}
    nodes = [
        {"spec": {"taints": taints}, "status": {"nodeInfo": {"architecture": name}}}
        for name, taints in (
            ("amd64", None),
            ("amd64", [taint | {"effect": "PreferNoSchedule"}]),
            ("s390x", [taint]),
        )
    ]
    assert architectures(nodes) == {"amd64": 2}


@pytest.mark.parametrize(
    "harmless",
    [
        {"cilium": {"bpf-lb-sock-hostns-only": "true", "cni-exclusive": "false"}},
        {"architectures": {"amd64": 1, "arm64": 2}},
        {"storage_classes": {"slow": False, "fast": True}},
        {"crds": (crd("a.networking.istio.io", labels={"operator.istio.io/version": "1.25.3"}),)},
        {"crds": (crd("a.networking.istio.io", labels={"operator.istio.io/version": "1.26.0"}),)},
        {"crds": (crd("gatewayclasses.gateway.networking.k8s.io", versions=("v1beta1", "v1")),)},
        {"control_planes": (ControlPlane("istio-system", "default", "istioctl"),)},
        {"control_planes": (ControlPlane("istio-system", "canary", "Helm"),)},
    ],
    ids=str,
)
def test_a_desired_state_is_not_reported(harmless: dict[str, object]) -> None:
    assert failed_checks(facts(**harmless)) == {}  # type: ignore[arg-type]


ERRORS: dict[str, tuple[dict[str, object], str, str]] = {
    "Helm": (
        {"control_planes": (ControlPlane("istio-system", "default", "Helm"),)}, "managed-by-others", "by Helm"
    ),
    "the Sail operator": (
        {"control_planes": (ControlPlane("istio-system", "default", "Sail"),)}, "managed-by-others", "by Sail"
    ),
    "another namespace": (
        {"control_planes": (ControlPlane("mesh", "default", "istioctl"),)}, "managed-by-others", "in mesh"
    ),
    "ambient mode": ({"ambient": True}, "managed-by-others", "ambient"),
    "rights": (
        {"denied": tuple(f"create {n}" for n in range(9))}, "rights-missing", "create 5 and 3 more"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_a_blocking_fault_stops_before_the_first_change(case: str) -> None:
    spoilt, code, seen = ERRORS[case]
    with pytest.raises(ProblemError) as raised:
        judge(facts(**spoilt), strict=False)  # type: ignore[arg-type]
    (problem,) = raised.value.problems
    assert (problem.code, problem.cluster) == (code, "kt")
    assert seen in (problem.seen or "")


def test_the_errors_of_all_clusters_are_reported_together() -> None:
    around = {
        "kt": replace(WELL, ambient=True),
        "ncloud": replace(WELL, denied=("create secrets",)),
        "nhn": replace(WELL, control_planes=(ControlPlane("x", "default", "Helm"),), ambient=False),
    }
    with pytest.raises(ProblemError) as raised:
        judge(replace(facts(), surroundings=around), strict=False)
    assert [(problem.code, problem.cluster) for problem in raised.value.problems] == [
        ("rights-missing", "ncloud"),
        ("managed-by-others", "kt"),
        ("managed-by-others", "nhn"),
    ]


def test_warnings_are_reported_together_with_errors() -> None:
    with pytest.raises(ProblemError) as raised:
        judge(facts(denied=("create secrets",), metrics=None), strict=False)
    assert [problem.code for problem in raised.value.problems] == ["rights-missing"]
    assert [problem.code for problem in raised.value.warnings] == ["no-metrics"]


@pytest.mark.parametrize(
    "case",
    [
        "a server that is too old",
        "a server that is too new",
        "a server that does not tell",
        "an Istio of no table",
    ],
)
def test_strict_stops_where_versions_do_not_go_together(case: str) -> None:
    spoilt, (code, _, _) = WARNINGS[case]
    with pytest.raises(ProblemError) as raised:
        judge(facts(**spoilt), strict=True)
    assert [problem.code for problem in raised.value.problems] == [code]


def test_strict_stops_at_an_end_of_life() -> None:
    late = replace(facts(), now=datetime(2026, 1, 1, tzinfo=UTC))
    assert [problem.code for problem in judge(late, strict=False)] == ["istio-end-of-life"]
    with pytest.raises(ProblemError, match="end of life"):
        judge(late, strict=True)


def test_strict_does_not_stop_at_other_warnings() -> None:
    assert [problem.code for problem in judge(facts(metrics=None), strict=True)] == ["no-metrics"]
