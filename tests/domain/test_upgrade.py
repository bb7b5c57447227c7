"""What an upgrade decides without I/O: its path, its record, what a rollout leaves, what manifests lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.istio.discovery import IstiodView, NetworkGateway
from istio_mc.domain.problem import Code, InputError
from istio_mc.domain.upgrade import judgement, manifests
from istio_mc.domain.upgrade.path import next_hops, path_of, tag_for
from istio_mc.domain.upgrade.record import Before, Record, begun, document_of, read_record
from istio_mc.domain.upgrade.rollout import free, hold, lacking, least_ready
from istio_mc.domain.upgrade.workloads import old_proxies, proxy_version, too_far_behind, why_not_now
from istio_mc.gateways.istio.releases import release_table

if TYPE_CHECKING:
    from istio_mc.domain.kube.objects import Object

TABLE = release_table()


@pytest.mark.parametrize(
    ("running", "to", "hops", "path"),
    [
        ({"kt": "1.30.4"}, "1.31.0", (), ("1.31.0",)),
        ({"kt": "1.31.0"}, "1.31.0", (), ()),
        ({"kt": "1.31.0", "nhn": "1.30.4"}, "1.31.0", (), ("1.31.0",)),
        ({"kt": "1.30.4"}, "1.30.8", (), ("1.30.8",)),
        ({"kt": "1.28.3", "nhn": "1.30.4"}, "1.31.0", ("1.29.1", "1.30.4"), ("1.29.1", "1.30.4", "1.31.0")),
        ({"kt": "1.29.1"}, "1.31.0", (), (TABLE.release("1.30.0").newest, "1.31.0")),  # type: ignore[union-attr]
    ],
)
def test_the_path_goes_in_single_minors(
    running: dict[str, str | None], to: str, hops: tuple[str, ...], path: tuple[str, ...]
) -> None:
    assert path_of(TABLE, running, to, hops) == path


@pytest.mark.parametrize(
    ("running", "to", "hops", "code"),
    [
        ("1.31.0", "1.30.4", (), Code.UPGRADE_NOT_NEWER),
        ("1.31.1", "1.31.0", (), Code.UPGRADE_NOT_NEWER),
        (None, "1.31.0", (), Code.ISTIO_VERSION_UNKNOWN),
        ("1.30.4", "1.31.0", ("1.27.9",), Code.OPTION_MALFORMED),
        ("1.32.0", "1.40.0", (), Code.ISTIO_UNKNOWN),
    ],
)
def test_there_is_no_such_path(running: str | None, to: str, hops: tuple[str, ...], code: Code) -> None:
    with pytest.raises(InputError) as error:
        path_of(TABLE, {"kt": running}, to, hops)
    assert [problem.code for problem in error.value.problems] == [code]


def test_a_cluster_goes_on_from_what_it_runs() -> None:
    assert next_hops(("1.29.1", "1.30.4", "1.31.0"), "1.29.1") == ("1.30.4", "1.31.0")


@pytest.mark.parametrize(
    ("tag", "result"),
    [(None, "1.31.0"), ("1.30.4", "1.31.0"), ("1.30.4-distroless", "1.31.0-distroless"), ("ours", "ours")],
)
def test_the_image_tag_follows_the_version(tag: str | None, result: str) -> None:
    assert tag_for(tag, "1.31.0") == result


def test_a_record_is_read_as_it_was_written() -> None:
    record = Record("1.31.0", (Before("1.29.1", {"spec": {"a": 1}}), Before("1.30.4", {})))
    assert read_record([document_of(record)]) == record


def test_a_version_is_recorded_once() -> None:
    before = Before("1.30.4", {"spec": {}})
    assert Record("1.31.0").with_version(before).with_version(Before("1.30.4", {})).before == (before,)


@pytest.mark.parametrize(
    ("record", "to", "running", "kept"),
    [
        (None, "1.31.0", "1.30.4", 0),
        (Record("1.31.0", (Before("1.30.4", {}),)), "1.31.0", "1.31.0", 1),
        (Record("1.31.0", (Before("1.30.4", {}),)), "1.32.0", "1.31.0", 0),
        (Record("1.31.0", (Before("1.30.4", {}),)), "1.32.0", "1.30.4", 1),
    ],
)
def test_the_record_of_an_upgrade_that_has_ended_is_not_kept(
    record: Record | None, to: str, running: str, kept: int
) -> None:
    assert len(begun(record, to, running).before) == kept


def deployment(replicas: int, surge: object, unavailable: object, kind: str = "RollingUpdate") -> Object:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    spec = {"replicas": replicas, "strategy": {"type": kind, "rollingUpdate": rolling}}
    metadata = {"name": "shop", "namespace": "shop"}
    return {"kind": "Deployment", "metadata": metadata, "spec": {**spec, "template": {"metadata": {}}}}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "kind", "left"),
    [
        (1, "100%", "25%", "RollingUpdate", 1),
        (1, 0, 1, "RollingUpdate", 0),
        (1, 0, 0, "RollingUpdate", 0),
        (4, "25%", "25%", "RollingUpdate", 3),
        (3, 0, "0%", "RollingUpdate", 2),
        (2, 1, 0, "Recreate", 0),
    ],
)
def test_what_a_rollout_leaves_ready(
    replicas: int, surge: object, unavailable: object, kind: str, left: int
) -> None:
    assert least_ready(deployment(replicas, surge, unavailable, kind)) == left


@pytest.mark.parametrize("deadline_s", [None, 600, 90])
def test_an_istiod_that_was_held_and_freed_has_its_deadline_again(deadline_s: int | None) -> None:
    spec: Object = {} if deadline_s is None else {"progressDeadlineSeconds": deadline_s}
    held = {"spec": {**spec, **hold({"spec": spec})["spec"]}}
    assert held["spec"]["progressDeadlineSeconds"] > held["spec"]["minReadySeconds"]
    assert hold(held) == {}
    assert free(held)["spec"] == {"minReadySeconds": None, "progressDeadlineSeconds": deadline_s or 600}
    assert free({"spec": spec}) == {}


OLD = IstiodView("old", (NetworkGateway("n2", "192.0.2.2", 15443),), {"nhn": {("s", "r"): frozenset("ab")}})


def test_a_new_istiod_that_has_all_lacks_nothing() -> None:
    assert lacking(IstiodView("new", OLD.gateways, OLD.endpoints), [OLD]) == ""


def test_a_new_istiod_may_lack_a_gateway() -> None:
    assert lacking(IstiodView("new", (), OLD.endpoints), [OLD]) == "a gateway of n2"


def test_a_new_istiod_may_lack_endpoints() -> None:
    new = IstiodView("new", OLD.gateways, {"nhn": {("s", "r"): frozenset("a")}})
    assert lacking(new, [OLD]) == "endpoints of s/r in nhn"


def test_endpoints_that_are_gone_are_not_missing() -> None:
    new = IstiodView("new", OLD.gateways, {"nhn": {("s", "r"): frozenset("a")}})
    assert lacking(new, [OLD], {"nhn": {("s", "r"): frozenset("a")}}) == ""


def pod(version: str, kind: str = "containers") -> Object:
    owner = {"kind": "ReplicaSet", "name": "shop-5d4", "controller": True}
    metadata = {"name": f"shop-{version}", "namespace": "shop", "labels": {"pod-template-hash": "5d4"}}
    container = {"name": "istio-proxy", "image": f"docker.io/istio/proxyv2:{version}@sha256:00"}
    return {"metadata": {**metadata, "ownerReferences": [owner]}, "spec": {kind: [container]}}


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_the_version_of_a_sidecar_is_that_of_its_image(kind: str) -> None:
    assert proxy_version(pod("1.30.4", kind)) == "1.30.4"


def test_old_proxies_are_named_by_their_workload() -> None:
    (found,) = old_proxies([pod("1.30.4"), pod("1.29.1"), pod("1.31.0")], "1.31.0")
    assert (str(found), found.pods) == ("Deployment shop/shop (1.29.1, 1.30.4)", 2)


@pytest.mark.parametrize(("version", "count"), [("1.28.3", 1), ("1.29.1", 0)])
def test_a_proxy_may_be_two_minors_older(version: str, count: int) -> None:
    assert len(too_far_behind(old_proxies([pod(version)], "1.31.0"), "1.31.0")) == count


def budget(allowed: int) -> Object:
    spec: Object = {"selector": {"matchLabels": {}}}
    return {
        "metadata": {"name": "b", "namespace": "shop"},
        "spec": spec,
        "status": {"disruptionsAllowed": allowed},
    }


@pytest.mark.parametrize(
    ("surge", "unavailable", "allowed", "reason"),
    [
        (0, 1, 0, "PodDisruptionBudget b allows no disruption"),
        (0, 1, 1, ""),
        (1, 0, 0, ""),
    ],
)
def test_a_budget_holds_what_would_take_a_pod(
    surge: int, unavailable: int, allowed: int, reason: str
) -> None:
    assert why_not_now(deployment(2, surge, unavailable), [budget(allowed)]) == reason


def crd(*versions: tuple[str, bool, bool], fields: tuple[str, ...] = ()) -> Object:
    schema: Object = {
        "openAPIV3Schema": {"properties": {"spec": {"properties": {name: {} for name in fields}}}}
    }
    made = [
        {"name": name, "served": served, "storage": storage, "schema": schema}
        for name, served, storage in versions
    ]
    names = {"kind": "Thing"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.istio.io"},
        "spec": {"group": "istio.io", "names": names, "versions": made},
    }


V1, V2 = ("v1", True, True), ("v2", True, True)


def test_a_storage_version_that_the_older_istio_does_not_serve_has_no_way_back() -> None:
    found = manifests.no_way_back("kt", "1.30.4", [crd(V1)], [crd(("v1", True, False), V2)])
    assert found
    assert found.seen == "storage versions that 1.30.4 does not serve: things.istio.io: v2"
    assert manifests.no_way_back("kt", "1.30.4", [crd(("v2", True, False), V1)], [crd(V2)]) is None


def test_objects_stored_in_a_newer_version_keep_a_cluster_from_returning() -> None:
    live = {**crd(V2), "status": {"storedVersions": ["v1", "v2"]}}
    assert manifests.stored_beyond([crd(V1)], [live]) == ["things.istio.io: v2"]


def test_fields_and_versions_that_go_are_found() -> None:
    old, new = crd(V1, ("v0", True, False), fields=("a", "b")), crd(V1, fields=("a",))
    assert manifests.fields_dropped([old], [new]) == {"things.istio.io": {"b"}}
    assert manifests.versions_dropped([old], [new]) == {"things.istio.io": ["v0"]}
    assert manifests.uses({"spec": {"a": 1, "b": [{"c": 2}]}}, {"b", "x"}) == ["b"]


def role(*resources: str) -> Object:
    rules = [{"apiGroups": [""], "resources": [one], "verbs": ["get", "list"]} for one in resources]
    metadata = {"name": "istio-reader-clusterrole-istio-system"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": metadata,
        "rules": rules,
    }


def test_a_readers_role_is_extended_by_what_a_newer_istiod_reads() -> None:
    (found,) = manifests.missing_reader_rules([role("pods", "configmaps")], [role("pods", "nodes")])
    assert [rule["resources"] for rule in found["rules"]] == [["pods"], ["nodes"], ["configmaps"]]
    assert manifests.missing_reader_rules([role("pods")], [role("pods", "nodes")]) == []


@pytest.mark.parametrize(("before", "after", "count"), [("1.27.9", "1.28.3", 1), ("1.28.3", "1.29.1", 0)])
def test_values_with_another_effect_are_named_where_it_begins(before: str, after: str, count: int) -> None:
    values = {"global": {"networkPolicy": {"enabled": True}}}
    found = judgement.changed_values("kt", values, before, after)
    assert len([found] if found else []) == count


def test_images_that_every_node_lists_are_there() -> None:
    template = {"spec": {"containers": [{"image": "docker.io/istio/pilot:1.31.0"}]}}
    manifest = [{"kind": "Deployment", "spec": {"template": template}}]
    there = {"n1": frozenset({"docker.io/istio/pilot:1.31.0"})}
    assert judgement.images("kt", manifest, there).endswith("on every node of kt")
    assert "1 of 2 nodes" in judgement.images("kt", manifest, {**there, "n2": frozenset()})
