"""uninstall, step by step: what is planned for each cluster, what goes, and what is reported on failure."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from istio_mc.domain.events import Event, State, silent
from istio_mc.domain.problem import Code, Problem
from istio_mc.ops.rotation import tokens
from istio_mc.ops.session.inputs import Inputs
from istio_mc.ops.session.session import Session, open_named
from istio_mc.ops.uninstall.plan import prepare
from istio_mc.ops.uninstall.uninstall import uninstall
from tests.support import quick, recording
from tests.support.mesh import environment
from tests.support.refusals import Refused
from tests.support.sessions import changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.mesh import Mesh

SYSTEM = "istio-system"
NO = Refused(403, "Forbidden", "no")
UNUSABLE = Problem(code=Code.CLUSTER_UNREACHABLE, message="not reached")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def session(installed: Mesh, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    for name, value in environment(installed.folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tokens, "PROPAGATION_S", 0.0)
    inputs = Inputs(str(installed.kubeconfig), installed.names, installed.folder / "mesh.yaml", timeout_s=60)
    quick.hurry()
    # No namespace goes before the run has reported that it waits for one.
    for one in installed.clusters.values():
        one.controllers.held.add("namespaces")

    def progress(event: Event) -> None:
        events.append(event)
        if event.state is State.WAITING and event.cluster:
            installed[event.cluster].controllers.held.discard("namespaces")
            installed[event.cluster].controllers.wake()

    with installed.direct(), open_named(inputs, progress) as found:
        yield found
    quick.calm_down()


def unusable(session: Session, context: str) -> None:
    session.clusters.mark_unusable({context: (UNUSABLE,)})


def sample_namespace(mesh: Mesh, context: str, **labels: str) -> None:
    metadata = {"name": "sample", "labels": {"istio-injection": "enabled", **labels}}
    mesh[context].make({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    mesh[context].deploy("helloworld", "sample")


OURS = {"app.kubernetes.io/managed-by": "istio-mc"}


def test_what_is_planned_for_each_cluster(installed: Mesh, session: Session) -> None:
    sample_namespace(installed, "kt", **OURS)
    sample_namespace(installed, "ncloud")
    installed["kt"].deploy("shop", "shop")
    installed.settle()
    todo = prepare(session)
    assert (todo.going, todo.staying, todo.absent, todo.is_whole_mesh) == (installed.names, (), (), True)
    assert todo.sample == ("kt",)
    roots = {name: {item.namespace for item in found} for name, found in todo.roots.items()}
    assert {"sample", SYSTEM} & roots["kt"] == set()  # they go with their namespaces
    assert {"default", "shop"} <= roots["kt"]
    assert "sample" in roots["ncloud"]
    assert list(todo.meshed) == ["kt"]  # the sample's own pods are nobody's
    assert [pod.rpartition("-")[0][:10] for pod in todo.meshed["kt"]] == ["shop/shop-"]
    assert todo.servers == {name: installed.url(name) for name in installed.names}
    assert todo.mesh_id == "mesh1"


def test_members_of_two_meshes_are_both_named_in_the_plan(installed: Mesh, session: Session) -> None:
    kt = installed["kt"]
    kt.edit(
        kt.get("Namespace", SYSTEM),
        lambda copy: copy["metadata"]["labels"].update({"istio-mc/mesh-id": "another"}),
    )
    assert prepare(session).mesh_id == "another,mesh1"


def test_each_cluster_that_nothing_can_be_planned_for_is_reported(installed: Mesh, session: Session) -> None:
    unusable(session, "nhn")
    installed["ncloud"].faults.refuse(NO, "GET", path="/deployments$")
    installed["kt"].faults.refuse(NO, "GET", path="/namespaces/sample$")
    todo = prepare(session)
    assert set(todo.failures) == {"kt", "ncloud", "nhn"}
    assert todo.removals == {}


def test_a_mesh_of_which_no_cluster_responds_is_that_of_mesh_yaml(installed: Mesh, session: Session) -> None:
    for name in installed.names:
        unusable(session, name)
    todo = prepare(session)
    assert (todo.mesh_id, set(todo.failures)) == ("mesh1", set(installed.names))


def test_a_leave_reports_what_failed_in_those_that_stay_and_in_those_that_go(
    installed: Mesh, session: Session
) -> None:
    session = replace(session, listed=("nhn",))
    unusable(session, "ncloud")
    todo = prepare(session, ["ncloud", "nhn"])
    installed["kt"].faults.refuse(NO, "DELETE", path="/secrets/istio-reader-.*-token$")
    installed["nhn"].faults.refuse(NO, "DELETE", path="/deployments/istiod$")
    done = uninstall(session, todo)
    assert set(done.failures) == {"kt", "ncloud", "nhn"}
    assert "Secret istio-system/istio-remote-secret-nhn-nks" in done.removed["kt"]
    # What went before the fault is reported, and no more than that.
    assert f"Service {SYSTEM}/istiod" in done.removed["nhn"]
    assert not {f"Deployment {SYSTEM}/istiod", f"Namespace {SYSTEM}"} & set(done.removed["nhn"])
    assert [problem.code for problem in done.warnings] == ["tokens-kept", "settings-name-it"]
    assert done.dry_run is False


def test_a_namespace_that_does_not_go_is_not_reported_as_removed(installed: Mesh, session: Session) -> None:
    todo = prepare(session)
    for one in installed.clusters.values():
        one.controllers.held.add("namespaces")
    done = uninstall(changed(session, deadline=time.monotonic(), progress=silent), todo)
    assert {problem.code for found in done.failures.values() for problem in found} == {"namespace-stuck"}
    for removed in done.removed.values():
        assert f"Deployment {SYSTEM}/istiod" in removed
        assert f"Namespace {SYSTEM}" not in removed


def test_all_that_goes_from_a_namespace_that_stays_is_reported(
    installed: Mesh, session: Session, events: list[Event]
) -> None:
    kt = installed["kt"]
    sample_namespace(installed, "kt", **OURS)
    metadata = {"name": "of-others", "namespace": SYSTEM}
    kt.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    leader = {"control-plane.alpha.kubernetes.io/leader": "{}"}
    elsewhere = {"name": "istio-leader", "namespace": "default", "annotations": leader}
    kt.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": elsewhere})
    kt.make({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": elsewhere})
    installed.settle()
    todo = prepare(session)
    events.clear()
    done = uninstall(session, todo)
    assert done.failures == {}
    assert {
        "Namespace sample",
        f"Deployment {SYSTEM}/istiod",
        "CustomResourceDefinition gateways.networking.istio.io",
        f"ConfigMap {SYSTEM}/istio-leader",
        f"Lease {SYSTEM}/istio-gateway-deployment-default",
        "ConfigMap default/istio-ca-root-cert",
    } <= set(done.removed["kt"])
    assert f"Namespace {SYSTEM}" not in done.removed["kt"]
    assert "ConfigMap sample/istio-ca-root-cert" not in done.removed["kt"]  # it goes with its namespace
    assert kt.has("ConfigMap", "istio-leader", "default")
    assert kt.has("Lease", "istio-leader", "default")
    labels = kt.get("Namespace", SYSTEM)["metadata"]["labels"]
    assert not [label for label in labels if label.startswith("istio-mc/")]
    assert f"Namespace {SYSTEM}" in done.removed["nhn"]
    assert not kt.has("Namespace", "sample")
    assert any(one.what == f"Namespace {SYSTEM}" for one in todo.removals["kt"].left)
    assert not installed["nhn"].has("Namespace", SYSTEM)
    states = [event.state for event in events if event.cluster == "nhn"]
    assert states[:3] == [State.PENDING, State.STARTED, State.WAITING]
    assert states[-1] == State.DONE


def config_maps_of_istiod(mesh: Mesh, context: str) -> list[str]:
    mesh[context].settle()
    found = mesh[context].store.of("ConfigMap")
    return [name for item in found if (name := item["metadata"]["name"]).startswith("istio-")]


def stays(mesh: Mesh, context: str) -> None:
    """Has istio-system be that of others, which an uninstall leaves."""
    namespace = mesh[context].get("Namespace", SYSTEM)
    mesh[context].edit(namespace, lambda copy: copy["metadata"]["labels"].pop(*OURS))
    assert config_maps_of_istiod(mesh, context)


def test_what_istiod_writes_is_deleted_only_once_its_pods_are_gone(
    installed: Mesh, session: Session, events: list[Event]
) -> None:
    """Until then it creates it again: a Deployment's pods go some time after the Deployment."""
    stays(installed, "kt")
    for name in ("kt", "nhn"):
        installed[name].controllers.held.add("garbage")
    todo = prepare(session, ["kt", "nhn"])
    of_pods = "for the pods of istiod to go"

    def progress(event: Event) -> None:
        events.append(event)
        if event.state is State.WAITING and event.cluster:
            one = installed[event.cluster]
            one.settle()  # what was deleted before is there again
            one.controllers.held -= {"garbage", "namespaces"}
            one.controllers.wake()

    done = uninstall(changed(session, progress=progress), todo)
    assert done.failures == {}
    assert {event.cluster for event in events if event.detail == of_pods} == {"kt", "nhn"}
    assert config_maps_of_istiod(installed, "kt") == config_maps_of_istiod(installed, "nhn") == []
    assert f"ConfigMap {SYSTEM}/istio-leader" in done.removed["kt"]
    assert "ConfigMap default/istio-ca-root-cert" in done.removed["nhn"]


def test_istiod_pods_that_stay_are_reported_and_the_next_run_deletes_their_objects(
    installed: Mesh, session: Session
) -> None:
    stays(installed, "kt")
    installed["kt"].controllers.held.add("garbage")
    installed["kt"].controllers.held.discard("namespaces")
    pods = [name for name in installed["kt"].names("Pod", SYSTEM) if name.startswith("istiod")]
    todo = prepare(session, ["kt"])
    done = uninstall(changed(session, deadline=time.monotonic(), progress=silent), todo)
    (problem,) = done.failures["kt"]
    assert (problem.code, problem.cluster, problem.seen) == ("istiod-still-runs", "kt", ", ".join(pods))
    assert config_maps_of_istiod(installed, "kt")  # it is still there, and has made them again
    installed["kt"].controllers.held.discard("garbage")
    installed["kt"].controllers.wake()
    assert uninstall(session, prepare(session, ["kt"])).failures == {}
    assert config_maps_of_istiod(installed, "kt") == []


def test_pods_that_go_with_their_namespace_after_the_last_read_are_no_failure(
    installed: Mesh, session: Session
) -> None:
    for one in installed.clusters.values():
        one.controllers.held.add("garbage")
    todo = prepare(session)

    def progress(event: Event) -> None:
        if event.state is State.WAITING and event.cluster:
            one = installed[event.cluster]
            one.controllers.held.clear()
            one.controllers.wake()
            one.settle()

    done = uninstall(changed(session, deadline=time.monotonic(), progress=progress), todo)
    assert done.failures == {}
    assert all(f"Namespace {SYSTEM}" in removed for removed in done.removed.values())


def test_an_istiod_of_another_revision_is_not_waited_for(
    installed: Mesh, session: Session, events: list[Event]
) -> None:
    installed["kt"].istioctl(recording.another_revision("canary"))
    installed.settle()
    todo = prepare(session, ["kt"])
    done = uninstall(changed(session, deadline=time.monotonic()), todo)
    assert "kt" not in done.failures
    assert [event for event in events if event.state is State.WAITING and event.cluster == "kt"] == []
    assert installed["kt"].istiods.running()
    assert config_maps_of_istiod(installed, "kt")
