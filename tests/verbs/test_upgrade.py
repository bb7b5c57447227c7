"""upgrade: a mesh to another Istio on stand-in clusters, one after another, and back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from istio_mc.domain.tools import Tool
from istio_mc.gateways.tools.cache import Cache
from istio_mc.gateways.tools.find import own_platform
from istio_mc.ops.upgrade import gate, rollout, workloads
from tests.support import refusals
from tests.support.fixtures import made_once
from tests.support.folders import shared_folder
from tests.support.istioctl_serving import bin_dir
from tests.support.quick import look_at_pods_often

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cluster import Cluster
    from tests.support.mesh import Mesh
    from tests.support.runs import Result

SYSTEM = "istio-system"
OLD, NEW = "1.30.4", "1.31.0"
OLDEST, HOPS = "1.28.3", ("1.29.1", "1.30.4")
TO = ("upgrade", "--to", NEW)


def run(mesh: Mesh, *words: str, **more: Any) -> Result:
    """A run with the istioctls of both versions, with JSON as its result."""
    for version in (OLDEST, *HOPS, NEW):
        cached = cache().program(Tool.ISTIOCTL, version, own_platform())
        if not cached.exists():
            cached.parent.mkdir(parents=True)
            cached.symlink_to(bin_dir(version) / "istioctl")
    return mesh.run(*words, "-o", "json", ISTIO_MC_BIN_DIR="/none", **more)


def cache() -> Cache:
    """Where a run of the stand-in mesh keeps programs."""
    return Cache(shared_folder() / "cache" / "istio-mc")


@pytest.fixture(name="old")
def older_mesh(mesh: Mesh) -> Mesh:
    """Three clusters as an install of the older version leaves them; mesh.yaml pins no version."""

    def make() -> None:
        mesh.settings(istio=None)
        run(mesh, "install", "--contexts", "kt,ncloud,nhn", "--istio-version", OLD).exits(0)

    made_once(mesh, "upgrade", make)
    return mesh


def image(one: Cluster, deployment: str = "istiod") -> str:
    (container,) = one.get("Deployment", deployment, SYSTEM)["spec"]["template"]["spec"]["containers"]
    return str(container["image"]).rpartition(":")[2]


def versions(mesh: Mesh) -> dict[str, str]:
    return {name: image(one) for name, one in mesh.clusters.items()}


def gateway_pods(one: Cluster) -> set[str]:
    pods = [
        pod
        for pod in one.store.of("Pod", SYSTEM)
        if pod["metadata"]["labels"].get("istio") == "ingressgateway"
    ]
    return {str(pod["spec"]["containers"][0]["image"]).rpartition(":")[2] for pod in pods}


def statuses(result: Result) -> dict[str, str]:
    return {one["name"]: one["status"] for one in result.data["clusters"]}


def held(mesh: Mesh) -> list[str]:
    """Deployments that a run of an upgrade holds."""
    return [
        f"{name} {deployment['metadata']['name']}"
        for name, one in mesh.clusters.items()
        for deployment in one.store.of("Deployment", SYSTEM)
        if {"paused", "minReadySeconds"} & deployment["spec"].keys()
        or deployment["spec"].get("progressDeadlineSeconds", 600) != 600
    ]


def record_of(one: Cluster) -> list[str] | None:
    """The versions that a cluster can return to."""
    found = one.store.find("ConfigMap", "istio-mc-upgrade", SYSTEM)
    return [each["version"] for each in json.loads(found["data"]["before"])] if found else None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for a long time is waited for a short one."""
    monkeypatch.setattr(gate, "SETTLE_S", 0.0)
    monkeypatch.setattr(rollout, "MOST_LACKING_S", 0.3)
    monkeypatch.setattr(rollout, "_POLL_S", 0.02)
    look_at_pods_often(monkeypatch)


@pytest.mark.thorough
def test_every_cluster_is_brought_to_the_version_and_nothing_stays_held(old: Mesh) -> None:
    result = run(old, *TO).exits(0)
    assert versions(old) == dict.fromkeys(old.names, NEW)
    gateways = {name: image(one, "istio-ingressgateway") for name, one in old.clusters.items()}
    assert gateways == dict.fromkeys(old.names, NEW)
    assert statuses(result) == dict.fromkeys(old.names, "upgraded")
    assert held(old) == []


@pytest.mark.thorough
def test_a_second_run_finds_nothing_to_change(old: Mesh) -> None:
    run(old, *TO).exits(0)
    before = old.snapshots()
    assert statuses(run(old, *TO).exits(0)) == dict.fromkeys(old.names, "unchanged")
    assert old.snapshots() == before


def test_a_dry_run_shows_the_path_and_changes_nothing(old: Mesh) -> None:
    before = old.snapshots()
    result = run(old, *TO, "--dry-run").exits(0)
    assert old.snapshots() == before
    assert result.data["path"] == [NEW]
    assert statuses(result) == dict.fromkeys(old.names, "to upgrade")


@pytest.mark.thorough
def test_the_version_and_values_of_each_cluster_are_recorded_before_its_first_change(old: Mesh) -> None:
    seen: list[list[str] | None] = []
    old.when("PATCH .*/deployments/istiod$", lambda: seen.append(record_of(old["kt"])))
    run(old, *TO).exits(0)
    assert seen == [[OLD]]


@pytest.mark.thorough
def test_the_canary_goes_first_and_alone(old: Mesh) -> None:
    order: list[str] = []
    for name, one in old.clusters.items():
        one.store.on_write.append(
            lambda name=name, one=one: order.append(name) if image(one) == NEW else None  # type: ignore[misc]
        )
    try:
        run(old, *TO, "--canary", "nhn", "--parallel", "2").exits(0)
    finally:
        for one in old.clusters.values():
            one.store.on_write.pop()
    assert next(iter(dict.fromkeys(order))) == "nhn"


@pytest.fixture(name="stopped")
def stopped_in_the_canary(old: Mesh) -> Result:
    """An upgrade whose gate failed in kt, because its Gateway resource went meanwhile."""

    def make() -> Result:
        gateway = old["kt"].get("Gateway", "cross-network-gateway", SYSTEM)
        old.when("PATCH .*/deployments/istio-ingressgateway$", lambda: old["kt"].delete(gateway))
        return run(old, *TO, "--canary", "kt").exits(1)

    return made_once(old, "upgrade stopped in the canary", make)


@pytest.mark.thorough
def test_a_gate_that_fails_in_the_canary_never_reaches_the_second_cluster(old: Mesh, stopped: Result) -> None:
    assert stopped.errors[0] == ("upgrade-gate", "kt")
    assert versions(old) == {"kt": NEW, "ncloud": OLD, "nhn": OLD}


def test_the_fix_of_a_failed_gate_returns_the_canary_to_its_version(old: Mesh, stopped: Result) -> None:
    assert "istio-mc upgrade --back --contexts kt" in stopped.json["errors"][0]["hint"]
    result = run(old, "upgrade", "--back", "--contexts", "kt").exits(0)
    assert statuses(result) == {"kt": "returned"}
    assert versions(old) == dict.fromkeys(old.names, OLD)
    assert record_of(old["kt"]) is None
    assert gates(old) == []
    assert held(old) == []


def gates(mesh: Mesh) -> list[str]:
    """The clusters that have a gate to pass."""
    found = "istio-mc-gate-upgrade"
    return [name for name, one in mesh.clusters.items() if one.store.find("ConfigMap", found, SYSTEM)]


def test_the_same_command_stops_again_at_a_gate_that_the_canary_did_not_pass(
    old: Mesh, stopped: Result
) -> None:
    assert stopped.errors[0] == ("upgrade-gate", "kt")
    assert gates(old) == ["kt"]
    again = run(old, *TO, "--canary", "kt").exits(1)
    assert again.errors[0] == ("upgrade-gate", "kt")
    assert versions(old) == {"kt": NEW, "ncloud": OLD, "nhn": OLD}


@pytest.mark.thorough
def test_after_the_repair_the_same_command_passes_the_gate_and_goes_on(old: Mesh, stopped: Result) -> None:
    assert stopped.errors[0] == ("upgrade-gate", "kt")
    old["kt"].apply(old["nhn"].get("Gateway", "cross-network-gateway", SYSTEM))
    run(old, *TO, "--canary", "kt").exits(0)
    assert versions(old) == dict.fromkeys(old.names, NEW)
    assert gates(old) == []


@pytest.mark.thorough
def test_a_gate_that_a_killed_run_did_not_reach_is_passed_before_the_next_cluster(old: Mesh) -> None:
    run(old, *TO, "--canary", "kt", dies_after="DELETE .*/configmaps/istio-mc-gate-upgrade$")
    run(old, *TO, "--contexts", "ncloud", dies_after=PHASES["tag"])
    old["ncloud"].delete(old["ncloud"].get("Gateway", "cross-network-gateway", SYSTEM))
    result = run(old, *TO, "--canary", "ncloud").exits(1)
    assert result.errors[0] == ("upgrade-gate", "ncloud")
    assert versions(old)["nhn"] == OLD


@pytest.mark.thorough
def test_an_uninstall_removes_the_gate_that_was_not_passed(old: Mesh, stopped: Result) -> None:
    assert stopped.errors[0] == ("upgrade-gate", "kt")
    run(old, "uninstall", "--yes").exits(0)
    assert gates(old) == []


@pytest.mark.thorough
def test_a_fault_from_before_the_upgrade_does_not_stop_it(old: Mesh) -> None:
    old["nhn"].delete(old["nhn"].get("Gateway", "cross-network-gateway", SYSTEM))
    run(old, *TO).exits(0)


def test_the_old_istiod_serves_until_the_new_one_has_its_endpoints(old: Mesh) -> None:
    old["kt"].istiods.born_blind = {"nhn-nks"}
    result = run(old, *TO, "--canary", "kt").exits(1)
    assert result.errors[0] == ("discovery-endpoints", "kt")
    assert {one.tag for one in old["kt"].istiods.running()} == {OLD, NEW}
    assert gateway_pods(old["kt"]) == {OLD}
    assert versions(old)["ncloud"] == OLD


@pytest.mark.thorough
def test_the_same_command_continues_when_the_new_istiod_has_its_endpoints(old: Mesh) -> None:
    old["kt"].istiods.born_blind = {"nhn-nks"}
    run(old, *TO).exits(1)
    old["kt"].istiods.born_blind = set()
    for one in old["kt"].istiods.running():
        one.blind.clear()
    run(old, *TO).exits(0)
    assert versions(old) == dict.fromkeys(old.names, NEW)
    assert held(old) == []
    assert record_of(old["kt"]) == [OLD]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("deployment", "done", "still_held"),
    [
        ("istiod", [], ["kt istio-ingressgateway", "kt istiod"]),
        ("istio-ingressgateway", ["control plane"], []),
    ],
)
def test_pods_that_never_start_stop_it_with_the_cause_and_old_ones_serve_on(
    old: Mesh, deployment: str, done: list[str], still_held: list[str]
) -> None:
    old["kt"].stuck[deployment] = "ImagePullBackOff"
    result = run(old, *TO, "--canary", "kt", "--timeout", "20s").exits(1)
    assert "image-not-pulled" in {code for code, _ in result.errors}
    assert re.findall(r"\bkt  (control plane|gateway) done", result.stderr) == done
    assert sorted(held(old)) == still_held, "what istioctl could not finish stays held"
    ready = old["kt"].get("Deployment", deployment, SYSTEM)["status"]["readyReplicas"]
    assert ready == 1
    assert versions(old)["ncloud"] == OLD
    del old["kt"].stuck[deployment]
    old["kt"].controllers.wake()
    run(old, *TO, "--canary", "kt").exits(0)
    assert versions(old) == dict.fromkeys(old.names, NEW)


@pytest.mark.thorough
def test_a_fault_is_reported_at_once_and_not_when_the_others_of_its_batch_have_ended(old: Mesh) -> None:
    old.when("PATCH .*/configmaps/istio-mc-upgrade$", lambda: refused(old))
    result = run(old, *TO, "--parallel", "3", "--timeout", "60s").exits(3)
    lines = result.stderr.splitlines()
    (reported,) = [at for at, line in enumerate(lines) if "kt  istio failed: " in line]
    (last,) = [at for at, line in enumerate(lines) if "nhn  ready done" in line]
    assert reported < last
    assert statuses(result)["nhn"] == "upgraded"


PHASES = {
    "readers": "PATCH .*/clusterroles/istio-reader",
    "record": "PATCH .*/configmaps/istio-mc-upgrade$",
    "held": "PATCH .*/deployments/istiod$",
    "CRDs": "PATCH .*/customresourcedefinitions/",
    "control plane": "PATCH .*/services/istiod$",
    "gateway": "PATCH .*/horizontalpodautoscalers/istio-ingressgateway$",
    "tag": "PATCH .*/mutatingwebhookconfigurations/istio-revision-tag-default$",
}
"""A write of each phase of a cluster's upgrade."""


@pytest.mark.thorough
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_that_was_killed_is_continued_by_the_same_command(old: Mesh, phase: str) -> None:
    run(old, *TO, dies_after=PHASES[phase])
    run(old, *TO).exits(0)
    assert versions(old) == dict.fromkeys(old.names, NEW)
    assert held(old) == []
    assert {record_of(one)[0] for one in old.clusters.values() if record_of(one)} == {OLD}  # type: ignore[index]


@pytest.mark.thorough
@pytest.mark.parametrize("phase", ["held", "CRDs"])
def test_after_a_kill_the_version_that_a_cluster_leaves_is_not_installed_again(old: Mesh, phase: str) -> None:
    run(old, *TO, "--canary", "kt", dies_after=PHASES[phase])
    result = run(old, *TO, "--canary", "kt").exits(0)
    assert f"istio started: Istio {OLD}" not in result.stderr


def unreachable(mesh: Mesh) -> None:
    mesh.cut("kt")


def refused(mesh: Mesh) -> None:
    mesh["kt"].faults.refuse(refusals.Refused(403, "Forbidden", "a policy forbids it"), "PATCH")


def slow(mesh: Mesh) -> None:
    mesh["kt"].faults.slow_s = 0.05


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [unreachable, refused, slow])
@pytest.mark.parametrize("phase", PHASES)
def test_a_fault_in_any_phase_stops_before_the_next_cluster_and_the_same_command_continues(
    old: Mesh, phase: str, fault: Callable[[Mesh], None]
) -> None:
    old.when(PHASES[phase], lambda: fault(old))
    result = run(old, *TO, "--canary", "kt", "--timeout", "20s")
    if fault is not slow:
        assert result.code != 0
        assert [versions(old)[name] for name in ("ncloud", "nhn")] == [OLD, OLD]
    old.heal("kt")
    old["kt"].faults.rules.clear()
    old["kt"].faults.slow_s = 0.0
    run(old, *TO, "--canary", "kt").exits(0)
    assert versions(old) == dict.fromkeys(old.names, NEW)
    assert held(old) == []


@pytest.mark.thorough
def test_back_returns_every_cluster_to_its_version_and_removes_the_record(old: Mesh) -> None:
    run(old, *TO).exits(0)
    result = run(old, "upgrade", "--back").exits(0)
    assert versions(old) == dict.fromkeys(old.names, OLD)
    assert statuses(result) == dict.fromkeys(old.names, "returned")
    assert [record_of(one) for one in old.clusters.values()] == [None, None, None]
    assert held(old) == []


@pytest.mark.thorough
def test_one_cluster_alone_returns(old: Mesh) -> None:
    run(old, *TO).exits(0)
    run(old, "upgrade", "--back", "--contexts", "ncloud").exits(0)
    assert versions(old) == {"kt": NEW, "ncloud": OLD, "nhn": NEW}


@pytest.mark.thorough
def test_a_return_that_was_killed_is_continued(old: Mesh) -> None:
    run(old, *TO).exits(0)
    run(old, "upgrade", "--back", dies_after="PATCH .*/services/istiod$")
    run(old, "upgrade", "--back").exits(0)
    assert versions(old) == dict.fromkeys(old.names, OLD)


@pytest.mark.thorough
def test_back_after_an_upgrade_that_stopped_frees_what_was_held(old: Mesh) -> None:
    old["kt"].istiods.born_blind = {"nhn-nks"}
    run(old, *TO, "--canary", "kt").exits(1)
    old["kt"].istiods.born_blind = set()
    run(old, "upgrade", "--back", "--contexts", "kt").exits(0)
    assert versions(old) == dict.fromkeys(old.names, OLD)
    assert held(old) == []


def test_nothing_recorded_is_an_error(old: Mesh) -> None:
    result = run(old, "upgrade", "--back").exits(1)
    assert {code for code, _ in result.errors} == {"upgrade-nothing-recorded"}


def test_an_older_version_is_refused(old: Mesh) -> None:
    result = run(old, "upgrade", "--to", "1.29.1").exits(2)
    assert {code for code, _ in result.errors} == {"upgrade-not-newer"}


def test_istioctl_of_every_hop_must_be_there_before_the_first_change(old: Mesh) -> None:
    before = old.snapshots()
    result = run(old, "upgrade", "--to", "1.32.0").exits(1)
    assert [code for code, _ in result.errors] == ["istioctl-version"] * 2
    assert result.data["path"] == ["1.31.4", "1.32.0"]
    assert old.snapshots() == before


def test_a_gateway_whose_rollout_leaves_no_pod_stops_it_before_the_first_change(old: Mesh) -> None:
    kt = old["kt"]
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    gateway = kt.get("Deployment", "istio-ingressgateway", SYSTEM)
    kt.edit(gateway, lambda item: item["spec"].update(strategy=strategy))
    result = run(old, *TO).exits(1)
    assert ("upgrade-no-surge", "kt") in result.errors
    assert versions(old) == dict.fromkeys(old.names, OLD)


def test_a_version_pinned_in_mesh_yaml_is_warned_of(old: Mesh) -> None:
    old.settings(istio={"version": OLD})
    assert ("upgrade-pinned", None) in run(old, *TO, "--dry-run").exits(0).warnings


@pytest.mark.thorough
def test_workloads_that_keep_their_proxy_are_listed(old: Mesh) -> None:
    old["kt"].deploy("shop", "shop")
    old.settle()
    result = run(old, *TO).exits(0)
    (older,) = result.cluster("kt")["olderProxies"]
    assert (older["workload"], older["versions"]) == ("Deployment shop/shop", [OLD])


@pytest.mark.thorough
def test_workloads_are_restarted_on_request(old: Mesh) -> None:
    old["kt"].deploy("shop", "shop")
    old.settle()
    result = run(old, *TO, "--restart-workloads", "--yes").exits(0)
    assert result.cluster("kt")["olderProxies"] == []


@pytest.mark.thorough
def test_a_gate_follows_where_only_workloads_were_restarted(old: Mesh) -> None:
    for name in ("kt", "ncloud"):
        old[name].deploy("shop", "shop")
    old.settle()
    run(old, *TO).exits(0)
    kt, gateway = old["kt"], old["kt"].get("Gateway", "cross-network-gateway", SYSTEM)
    old.when("PATCH .*/deployments/shop$", lambda: kt.delete(gateway))
    for _ in range(2):
        result = run(old, *TO, "--restart-workloads", "--yes", "--canary", "kt").exits(1)
        assert result.errors[0] == ("upgrade-gate", "kt")
        assert result.cluster("kt")["olderProxies"] == []
        pods = old["ncloud"].store.of("Pod", "shop")
        assert {one.rpartition(":")[2] for pod in pods for one in images(pod) if "proxyv2" in one} == {OLD}


def images(pod: dict[str, Any]) -> list[str]:
    spec = pod["spec"]
    return [str(one["image"]) for one in (*spec.get("initContainers", []), *spec["containers"])]


@pytest.mark.thorough
def test_a_workload_whose_budget_allows_no_disruption_keeps_its_proxy(
    old: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workloads, "PATIENCE_S", 0.1)
    kt = old["kt"]
    kt.deploy("shop", "shop")
    shop = kt.get("Deployment", "shop", "shop")
    recreate = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}
    kt.edit(shop, lambda item: item["spec"].update(recreate, replicas=2))
    budget = {"selector": {"matchLabels": {"app": "shop"}}, "minAvailable": 2}
    metadata = {"name": "shop", "namespace": "shop"}
    kt.make({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": budget})
    old.settle()
    result = run(old, *TO, "--restart-workloads", "--yes").exits(0)
    (older,) = result.cluster("kt")["olderProxies"]
    assert older["reason"] == "PodDisruptionBudget shop allows no disruption"


def test_proxies_that_are_too_old_for_the_version_stop_it_before_the_first_change(old: Mesh) -> None:
    kt = old["kt"]
    kt.deploy("shop", "shop")
    old.settle()
    (pod,) = kt.store.of("Pod", "shop")

    def age(item: dict[str, Any]) -> None:
        item["spec"]["containers"][-1]["image"] = "docker.io/istio/proxyv2:1.27.9"

    kt.edit(pod, age)
    result = run(old, *TO).exits(1)
    assert ("upgrade-proxies-behind", "kt") in result.errors
    assert versions(old) == dict.fromkeys(old.names, OLD)


def test_a_cluster_that_cannot_be_reached_stops_it_before_the_first_change(old: Mesh) -> None:
    old.cut("ncloud")
    result = run(old, *TO, "--contexts", "kt,ncloud,nhn").exits(1)
    assert ("cluster-unreachable", "ncloud") in result.errors
    assert versions(old)["kt"] == OLD


def test_a_format_that_is_for_verify_only_is_the_error_before_missing_options(old: Mesh) -> None:
    result = old.run("upgrade", "-o", "junit")
    assert result.code == 2
    assert "junit is for verify only" in result.stderr


def test_to_and_back_exclude_each_other(old: Mesh) -> None:
    assert run(old, *TO, "--back").code == 2
    assert run(old, "upgrade").code == 2


def of_the_oldest(mesh: Mesh) -> None:
    mesh.settings(istio=None)
    run(mesh, "install", "--contexts", "kt", "--istio-version", OLDEST).exits(0)


def test_proxies_that_fall_behind_on_the_way_stop_it_before_the_first_change(mesh: Mesh) -> None:
    made_once(mesh, "upgrade of the oldest", lambda: of_the_oldest(mesh))
    mesh["kt"].deploy("shop", "shop")
    mesh.settle()
    way = [word for hop in HOPS for word in ("--hop", hop)]
    result = run(mesh, *TO, *way, "--dry-run").exits(1)
    assert result.errors == [("upgrade-proxies-behind", "kt")]
    assert result.data["path"] == [*HOPS, NEW]
    assert run(mesh, *TO, *way, "--dry-run", "--restart-workloads").exits(0).errors == []


@pytest.mark.thorough
def test_a_path_of_several_minors_goes_there_and_back_one_at_a_time(mesh: Mesh) -> None:
    made_once(mesh, "upgrade of the oldest", lambda: of_the_oldest(mesh))
    mesh["kt"].deploy("shop", "shop")
    mesh.settle()
    way = [word for hop in HOPS for word in ("--hop", hop)]
    there = run(mesh, *TO, *way, "--restart-workloads", "--yes").exits(0)
    assert [one["version"] for one in there.cluster("kt")["reached"]] == [*HOPS, NEW]
    assert record_of(mesh["kt"]) == [OLDEST, *HOPS]
    back = run(mesh, "upgrade", "--back").exits(0)
    assert [one["version"] for one in back.cluster("kt")["reached"]] == [*reversed(HOPS), OLDEST]
    assert image(mesh["kt"]) == OLDEST
